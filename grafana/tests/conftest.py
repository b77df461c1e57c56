"""The stage that most tests share."""

import json

import pytest
from load import SECRET, Load, Sleeper, store_history
from stage import Gateway, NatsServer, Prometheus, Stage

# What a small gateway needs to show all of its sides: a window and a cache that are soon full, and little patience.
SMALL = (
    "--publish=true",
    "--window=4MiB",
    "--page-cache=1MiB",
    "--stuck-timeout=1s",
    "--send-buffer=4KiB",
    "--job-grace=0s",
)
# A public key, for a set that is fetched; tokens of the tests are signed with the secret.
KEY = {"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256"}
POINT = {
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}


class Scene:
    """Everything that runs, and the text that both gateways gave to a scrape."""

    def __init__(self, prometheus, texts):
        self.prometheus = prometheus
        self.texts = texts


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    with Stage(tmp_path_factory.mktemp("scene")) as stage:
        nats = NatsServer(stage)
        (stage.folder / "keys.json").write_text(json.dumps({"keys": [KEY | POINT]}))
        tokens = ("--auth-mode=jwt", f"--auth-jwks-file={stage.folder}/keys.json", "--auth-jwks-refresh=10s")
        open_to_all = Gateway(stage, nats, *SMALL)
        guarded = Gateway(stage, nats, *tokens, JOBWIRE_AUTH_SECRET=SECRET)
        prometheus = Prometheus(stage, [open_to_all, guarded])
        store_history(open_to_all)
        Load(stage, [open_to_all], guarded)
        Sleeper(stage, open_to_all)
        nats.request("jobs.optimization.live.progress", b"no event")
        yield Scene(prometheus, [gateway.metrics() for gateway in (open_to_all, guarded)])
