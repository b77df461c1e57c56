"""The stage that most tests share."""

import json
import time

import pytest
from load import SECRET, Load, Sleeper, store_history
from stage import Gateway, NatsServer, Prometheus

# What a small gateway needs to show all of its sides: a window that is soon full, and little patience.
SMALL = ("--publish", "true", "--window", "4MiB", "--stuck-timeout", "1s", "--send-buffer", "4KiB", "--job-grace", "0s")
# A public key, for a set that is fetched; tokens of the tests are signed with the secret.
KEY = {"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256"}
POINT = {"x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}


class Scene:
    """Everything that runs, and the text that both gateways gave to a scrape."""

    def __init__(self, prometheus, texts):
        self.prometheus = prometheus
        self.texts = texts


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    processes, load, sleepers = [], None, []
    try:
        nats = NatsServer(folder)
        processes.append(nats)
        (folder / "keys.json").write_text(json.dumps({"keys": [KEY | POINT]}))
        tokens = ("--auth-mode", "jwt", "--auth-jwks-file", folder / "keys.json")
        gateways = [Gateway(folder, nats, *SMALL), Gateway(folder, nats, *tokens, JOBWIRE_AUTH_SECRET=SECRET)]
        processes.extend(gateways)
        prometheus = Prometheus(folder, gateways)
        processes.append(prometheus)
        load = Load(gateways[:1], guarded=gateways[1])
        store_history(gateways[0])
        sleepers = [Sleeper(gateways[0])]
        nats.request("jobs.optimization.live.progress", b"no event")
        time.sleep(2)
        yield Scene(prometheus, [gateway.metrics() for gateway in gateways])
    finally:
        if load:
            load.stop()
        for one in sleepers:
            one.close()
        for process in reversed(processes):
            process.end()
