"""The rendered pods, started: the real gateway takes its configuration and answers its probes, and
the Job makes the stream. Under the users of nats/users.conf, which have no right too many."""

import json
import os
import re
import subprocess
import tomllib

import existing
import pytest
from chart import MATRIX, ROOT, values_of
from node import PATIENCE, Gateway, Node, eventually

PASSWORDS = {
    "GATEWAY_PASSWORD": "gateway-password",
    "OPERATOR_PASSWORD": "operator-password",
    "PUBLISHING_GATEWAY_PASSWORD": "unused-a",
    "TRAINING_PRODUCER_PASSWORD": "unused-b",
}
SERVER = """\
include "users.conf"
host: "127.0.0.1"
max_payload: 1MB
jetstream { store_dir: "%s", max_file_store: 64GB }
"""


@pytest.fixture(scope="session")
def secrets():
    return existing.everything()


@pytest.fixture(scope="session")
def nats(nats_server_program, tmp_path_factory):
    """A NATS server with the users of nats/users.conf; its address."""
    place = tmp_path_factory.mktemp("nats")
    (place / "users.conf").write_text((ROOT / "nats" / "users.conf").read_text())
    (place / "server.conf").write_text(SERVER % (place / "data"))
    command = [nats_server_program, "-c", place / "server.conf", "-p", "-1", "--ports_file_dir", place]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **PASSWORDS}, stderr=log)
    try:
        eventually(lambda: list(place.glob("*.ports")) or process.poll(), (place / "log").read_text)
        assert process.poll() is None, (place / "log").read_text()
        (ports,) = place.glob("*.ports")
        yield eventually(lambda: addresses(ports), ports.read_text)
    finally:
        process.kill()
        process.wait()


def addresses(file):
    try:
        return json.loads(file.read_text())["nats"][0]
    except json.JSONDecodeError:
        return None  # Still being written.


@pytest.mark.parametrize("path", MATRIX, ids=lambda path: path.stem)
def test_the_gateway_takes_the_configuration_and_answers_its_probes(path, chart, jobwire, secrets, tmp_path):
    release = chart.render(values_of(path))
    with Gateway(Node(tmp_path, release, secrets), jobwire, release.gateway()) as gateway:
        assert [gateway.probe(name) for name in ("startup", "liveness", "readiness")] == [200, 200, 503]
        assert gateway.stop() == 0, gateway.said()


def test_the_gateway_would_refuse_a_wrong_configuration(chart, jobwire, secrets, tmp_path):
    release = chart.render({"nats": {"url": "nats://n:4222"}, "config": {"window": "1MiB"}})
    code, told = Node(tmp_path, release, secrets).run(jobwire, release.gateway())
    assert code == 2 and "window: 1.0 MiB is less than the 4.0 MiB it needs" in told


def test_the_job_makes_a_stream_that_the_gateway_becomes_ready_with(chart, jobwire, nats, secrets, tmp_path):
    release = chart.render(values_of(next(path for path in MATRIX if path.stem == "user-and-password")))
    job = release.one("Job")["spec"]["template"]
    node = Node(tmp_path, release, secrets, nats)
    with Gateway(node, jobwire, release.gateway()) as gateway:
        assert gateway.probe("readiness") == 503
        for attempt in ("created", "changed by nothing"):
            code, told = node.run(jobwire, job)
            assert code == 0, (attempt, told)
        eventually(lambda: gateway.probe("readiness") == 200, gateway.said)
        environment = node.environment(job["spec"]["containers"][0])
        verdict = subprocess.run(
            [jobwire, "stream", "verify"], env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert verdict.returncode == 0, verdict.stdout + verdict.stderr
        assert gateway.stop() == 0


def test_helm_test_finds_nothing_wrong_and_says_what_it_could_not_look_at(
    chart, jobwire, nats, secrets, tmp_path
):
    release = chart.render(values_of(next(path for path in MATRIX if path.stem == "user-and-password")))
    node = Node(tmp_path, release, secrets, nats)
    code, told = node.run(jobwire, release.one("Job")["spec"]["template"])
    assert code == 0, told
    with Gateway(node, jobwire, release.gateway()) as gateway:
        eventually(lambda: gateway.probe("readiness") == 200, gateway.said)
        doctor = release.one("Pod")
        (url,) = (one for one in doctor["spec"]["containers"][0]["env"] if one["name"] == "JOBWIRE_URL")
        url["value"] = "http://" + gateway.told(r"^listening on (.+)$")
        code, told = node.run(jobwire, doctor)
        assert code == 0, told
        assert re.search(r"^passed +permissions ", told, re.MULTILINE), told
        # This gateway only reads, and no producer was named.
        assert re.search(r"^skipped +round-trip .*Publishing is off", told, re.MULTILINE), told
        assert gateway.stop() == 0


def test_the_gateways_own_rights_would_not_do_for_the_job(chart, jobwire, nats, secrets, tmp_path):
    """Else nobody would notice if the Job got the gateway's."""
    release = chart.render(
        {
            "nats": {"url": "nats://n:4222"},
            "stream": {
                "manage": "job",
                "name": "OTHER",
                "job": {"user": {"secret": {"name": "nats-gateway-user"}}, "inboxPrefix": "_INBOX_gateway"},
            },
        }
    )
    code, told = Node(tmp_path, release, secrets, nats).run(jobwire, release.one("Job")["spec"]["template"])
    assert code == 1 and "$JS.API.STREAM" in told


def test_the_stream_is_the_one_of_the_project(chart):
    release = chart.render({"nats": {"url": "nats://n:4222"}, "stream": {"manage": "job"}})
    made = json.loads(release.one("ConfigMap", "demo-jobwire-stream")["data"]["stream.json"])
    assert made == json.loads((ROOT / "nats" / "stream.json").read_text())


# What the gateway can be told, and what of it the chart knows


@pytest.fixture(scope="module")
def settings(jobwire):
    """Name of each flag of `serve` → its variable and its default."""
    told = subprocess.run(
        [jobwire, "serve", "--help"], capture_output=True, text=True, timeout=PATIENCE
    ).stdout
    parts = re.split(r"\n +(?:-\w, )?--", told)[1:]
    return {
        re.match(r"[-\w]+", part)[0]: (
            (re.search(r"\[env: (\w+)", part) or [None, None])[1],
            (re.search(r"\[default:\s+([^\]]+)\]", part) or [None, None])[1],
        )
        for part in parts
    }


OF_THE_CHART = {"config", "help", "listen", "admin-listen", "tls-certificate", "tls-key", "stream"}


def test_the_chart_knows_every_setting_of_the_gateway_and_no_other(chart, settings):
    theirs = {
        name.replace("-", "_")
        for name in settings
        if name not in OF_THE_CHART and not name.startswith(("nats-", "auth-"))
    }
    ours = set(chart.schema["properties"]["config"]["properties"])
    assert ours - {"route", "default_routes"} == theirs


# Where the chart knows better: a node's cores are not the pod's, and a cluster's logs are read by machines.
OTHER_DEFAULTS = {"workers": 2, "log_format": "json"}


def test_defaults_are_those_of_the_gateway_unless_there_is_a_reason(chart, settings):
    config = values_of(chart.place / "values.yaml")["config"]
    for name, value in config.items():
        flag = name.replace("_", "-")
        if name in OTHER_DEFAULTS:
            assert value == OTHER_DEFAULTS[name]
        elif isinstance(value, list):
            assert settings.get(flag, (None, "none"))[1] == "none" and value == []
        elif value is not None and name != "default_routes":
            assert settings[flag][1] == str(value), name


def test_every_setting_of_nats_can_be_given(every_release, settings):
    theirs = {variable for name, (variable, _) in settings.items() if name.startswith("nats-")}
    ours = {
        variable["name"]
        for release in every_release
        for variable in release.gateway()["spec"]["containers"][0]["env"]
        if variable["name"].startswith("NATS_")
    }
    assert ours == theirs


def test_every_setting_of_tokens_can_be_given(every_release, settings):
    theirs = {name.removeprefix("auth-").replace("-", "_") for name in settings if name.startswith("auth-")}
    ours = {key for release in every_release for key in tomllib.loads(release.toml()).get("auth", {})}
    assert ours == theirs
