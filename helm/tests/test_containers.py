"""Dockerfile and compose.yaml, without Docker: read as their specifications want, and what they say
about files, users and commands held against the project."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import compose_spec
import pytest
import yaml
from chart import ROOT
from node import PATIENCE, eventually

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
COMPOSE = (ROOT / "compose.yaml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
OURS = ("stream", "gateway", "demo")


# The image


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).parent / "hadolint"
    result = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_the_image_runs_as_a_number_that_is_not_root():
    (user,) = re.findall(r"^USER (.+)$", STAGES[-1], re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_image_needs_no_shell():
    for instruction in ("ENTRYPOINT", "CMD"):
        assert re.findall(rf"^ *{instruction} (.)", STAGES[-1], re.MULTILINE) == ["["] * (
            2 if instruction == "CMD" else 1
        )
    assert "RUN" not in STAGES[-1]


def test_the_image_has_the_version_of_the_program():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert re.findall(r"^ARG VERSION=(.+)$", STAGES[-1], re.MULTILINE) == [version]


def test_every_target_has_an_empty_source_for_the_layer_of_dependencies():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    named = [part.get("path") or f"tests/{part['name']}.rs" for part in cargo.get("test", [])]
    named += [part.get("path") or f"benches/{part['name']}.rs" for part in cargo.get("bench", [])]
    named += [part["path"] for part in cargo.get("example", [])]
    (made,) = re.findall(r"for target in (.+); do", DOCKERFILE)
    assert set(made.split()) == {"src/main.rs", *named}


def test_what_the_program_is_built_from_is_copied_and_not_ignored():
    """Sources outside of src that are compiled in, tests aside."""
    outside = set()
    for source in (ROOT / "src").rglob("*.rs"):
        if source.name == "tests.rs":
            continue
        for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
            path = (source.parent / name).resolve().relative_to(ROOT)
            outside |= {path.parts[0]} - {"src", "tests"}
    copied = set(re.findall(r"^COPY (\w+) \w+$", STAGES[0], re.MULTILINE))
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert outside and outside <= copied - {"src"} and copied | {"Cargo.toml", "Cargo.lock"} == kept


# The services


def without_variables(text):
    """As Compose takes it where nothing is set outside."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def parsed(text):
    return compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(without_variables(text))))


def test_compose_takes_the_file():
    compose = parsed(COMPOSE)
    compose.validate()
    assert set(compose.service_names()) == set(SERVICES)


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("condition: service_healthy", "condition: service_is_well", "unknown variant `service_is_well`"),
        ("restart: always", "restart: sometimes", "unknown variant `sometimes`"),
        ("restart: always", "restrat: always", "`restrat` does not start with"),
        ("networks: [jobwire]", "networks: [other]", "network `other`"),
    ],
)
def test_compose_would_refuse_what_is_wrong(old, new, sentence):
    assert old in COMPOSE
    with pytest.raises(ValueError, match=sentence):
        parsed(COMPOSE.replace(old, new)).validate()


def test_volumes_with_a_name_are_declared():
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in mounted if not name.startswith(".")} == set(yaml.safe_load(COMPOSE)["volumes"])


def test_files_that_are_mounted_are_there():
    mounts = [
        volume
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert len(mounts) == 5
    for mount in mounts:
        source, target, mode = mount.split(":")
        assert (ROOT / source).exists(), source
        assert mode == "ro"


def test_nothing_is_published_beyond_this_machine():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_images_have_versions():
    others = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in others), others


def test_our_containers_can_do_nothing_they_need_not():
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_gateway_has_time_to_drain():
    grace = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace >= 20 + 2 + 10


def values(service):
    """The environment of a service where nothing is set outside."""
    return {key: without_variables(value) for key, value in SERVICES[service]["environment"].items()}


@pytest.fixture(scope="module")
def nats(nats_server_program, tmp_path_factory):
    """The NATS server of compose.yaml, with its configuration and its passwords; its address."""
    place = tmp_path_factory.mktemp("nats")
    (place / "users.conf").write_text((ROOT / "nats" / "users.conf").read_text())
    text = (ROOT / "nats" / "compose.conf").read_text()
    free = (
        text.replace('"/data"', f'"{place}/data"')
        .replace("port: 4222", 'host: "127.0.0.1"\nport: -1')
        .replace(":8222", ":-1")
    )
    (place / "compose.conf").write_text(free)
    log = place / "log"
    with log.open("w") as output:
        command = [nats_server_program, "-c", place / "compose.conf"]
        process = subprocess.Popen(command, env={**os.environ, **values("nats")}, stderr=output)
    try:
        ready = r"Listening for client connections on (\S+)"
        found = eventually(lambda: re.search(ready, log.read_text()) or process.poll(), log.read_text)
        assert process.poll() is None, log.read_text()
        yield f"nats://{found[1]}"
    finally:
        process.kill()
        process.wait()


def test_stream_and_demo_may_do_what_they_do(jobwire, nats):
    """The commands of compose.yaml, as its users, one after the other."""
    for service, more in (("stream", []), ("demo", ["--seconds", "1"])):
        command = [jobwire, *SERVICES[service]["command"], *more]
        environment = {**values(service), "NATS_URL": nats}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 0, (service, result.stdout, result.stderr)


def test_everybody_has_a_user_of_the_server():
    users = (ROOT / "nats" / "users.conf").read_text()
    for service in OURS:
        user = values(service)["NATS_USER"]
        variable = re.search(rf"user: {user}, password: \$(\w+)", users)[1]
        assert values(service)["NATS_PASSWORD"] == values("nats")[variable]
        assert f'"{values(service)["NATS_INBOX_PREFIX"]}.>"' in users


def test_prometheus_asks_the_admin_port_and_reads_the_rules_that_are_mounted():
    settings = yaml.safe_load((ROOT / "grafana" / "prometheus.yml").read_text())
    (target,) = settings["scrape_configs"][0]["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert name in SERVICES and f"JOBWIRE_ADMIN_LISTEN=0.0.0.0:{port}" in DOCKERFILE
    (pattern,) = settings["rule_files"]
    assert f"./grafana/alerts:{Path(pattern).parent}:ro" in SERVICES["prometheus"]["volumes"]


def test_grafana_shows_the_directory_that_is_mounted_from_the_prometheus_that_runs():
    provisioning = ROOT / "grafana" / "provisioning"
    provider = yaml.safe_load((provisioning / "dashboards" / "jobwire.yaml").read_text())["providers"][0]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in SERVICES
