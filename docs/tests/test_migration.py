"""The comparison that docs/migration tells to make, with a gateway that serves each format at two paths."""

import json
import os
import subprocess
import sys
import urllib.request

import pytest
from markdown import ROOT, blocks, name_of
from reader import Reader

# One worker: what they share is made once.
pytestmark = pytest.mark.xdist_group("migration")
COMPARE = ROOT / "docs" / "migration" / "compare.py"
PAGE = """
```toml file=jobwire.toml
[[route]]
path = "/next/ws/optimization"
dialect = "optimization"

[[route]]
path = "/next"
dialect = "beam-search"

[[route]]
path = "/next/training/{job}"
polling_path = "/next/polling/{job}"
dialect = "training"

[[route]]
path = "/next/agent/{job}"
dialect = "agent"
```
```sh run background
nats-server -js -sd data -a 127.0.0.1 -p 4222
```
```text output
Server is ready
```
```sh run
export NATS_URL=nats://127.0.0.1:4222
jobwire stream apply
```
```sh run background
jobwire serve --config jobwire.toml --publish --listen 127.0.0.1:8080 --admin-listen 127.0.0.1:8081
```
```text output
following the stream
```
"""
SUBSCRIBE = json.dumps({"type": "subscribe", "jobId": "j-1", "afterEventId": 0})
FORMATS = {
    "optimization": ("/ws/optimization", "/next/ws/optimization", ["--send", SUBSCRIBE], "silent"),
    "beam-search": ("/", "/next", ["--send", SUBSCRIBE], "silent"),
    "training": ("/api/v1/training-jobs/j-1/ws", "/next/training/j-1", [], "closed with 1000"),
    "agent": ("/ws/agent-progress/j-1", "/next/agent/j-1", [], "closed with 1000"),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migration")
    page = folder / "page.md"
    page.write_text(PAGE)
    reader = Reader(page, folder)
    try:
        reader.read()
        yield f"127.0.0.1:{reader.port('8080')}"
    finally:
        reader.close()


def publish(gateway, kind, events):
    lines = "\n".join(map(json.dumps, events)).encode()
    url = f"http://{gateway}/api/v1/jobs/{kind}/j-1/events"
    request = urllib.request.Request(url, lines, {"Content-Type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201


def compare(gateway, one, other, *more):
    addresses = [f"ws://{gateway}{path}" for path in (one, other)]
    command = [sys.executable, COMPARE, *addresses, "--silence", "1.5", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_is_the_same_and_another_job_is_not(gateway, kind):
    publish(gateway, kind, [{"eventType": "job_started"}, {"eventType": "job_completed", "data": {"model_id": 1}}])
    one, other, more, ending = FORMATS[kind]
    same = compare(gateway, one, other, *more, "--without", "timestamp")
    assert same.returncode == 0, same.stdout + same.stderr
    assert same.stdout.strip().endswith(f"then {ending}")
    different = compare(gateway, one, f"{other}?kind=other", *more, "--without", "timestamp")
    assert different.returncode == 1, different.stdout + different.stderr
    assert "job_completed" in different.stdout or "complete" in different.stdout


CONFIGURATIONS = [
    (page, block)
    for page in sorted(COMPARE.parent.glob("*.md"))
    for block in blocks(page.read_text())
    if block.language == "toml"
]


@pytest.mark.parametrize("page, block", CONFIGURATIONS, ids=lambda value: getattr(value, "stem", ""))
def test_configurations_are_taken(page, block, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("a secret of the tests that has 32 bytes or more")
    text = block.text.replace("/run/secrets/training-key", str(secret))
    (tmp_path / "jobwire.toml").write_text(text)
    command = [os.environ["JOBWIRE_BIN"], "serve", "--config", tmp_path / "jobwire.toml"]
    addresses = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--nats-url", "nats://127.0.0.1:1"]
    process = subprocess.Popen([*command, *addresses], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout.readline().startswith("listening on"), f"{name_of(page)}:{block.line}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
