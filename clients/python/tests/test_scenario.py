"""The scenario runner keeps its contract."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from stage import PATIENCE, Gateway, NatsServer, token

RUNNER = Path(__file__).parent / "scenario.py"


def played(**scenario: Any) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, str(RUNNER), json.dumps(scenario)]
    ended = subprocess.run(command, timeout=PATIENCE, capture_output=True, text=True)
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


def test_a_job_to_its_end(nats_server: NatsServer, gateway: Gateway, job: str) -> None:
    nats_server.publish(job, "progress", data={"text": "ü\ud800"})
    last = nats_server.publish(job, "job_completed")
    scenario = {"url": gateway.url, "kind": "optimization", "job": job, "after": 0, "epoch": None}
    more = {"onTruncated": "earliest", "token": None, "transport": "websocket", "idleSeconds": 0}
    code, lines = played(**scenario, **more, until="end")
    assert code == 0
    events = [line["event"] for line in lines if "event" in line]
    assert [event["eventType"] for event in events] == ["progress", "job_completed"]
    assert events[0]["data"] == {"text": "ü\ud800"}
    done = lines[-1]["done"]
    assert (done["outcome"], done["lastEventId"]) == ("completed", last)
    assert isinstance(done["epoch"], str)
    states = [line["state"] for line in lines if "state" in line]
    assert states[:2] == ["connecting", "catching-up"]
    assert states[-1] == "ended"


def test_until_an_id_or_for_some_seconds(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    last = nats_server.publish(job, "progress", count=5)
    code, lines = played(url=gateway.url, job=job, after=0, until={"id": last - 2})
    assert (code, sum("event" in line for line in lines)) == (0, 3)
    assert lines[-1]["done"]["lastEventId"] == last - 2
    code, lines = played(url=gateway.url, job=job, after=last, until={"seconds": 1})
    assert (code, lines[-1]["done"]["outcome"]) == (0, None)
    assert [line["state"] for line in lines if "state" in line][-1] == "closed"


def test_refusals_and_wrong_arguments(
    nats_server: NatsServer, guarded_gateway: Gateway, job: str, tmp_path: Path
) -> None:
    nats_server.publish(job, "job_completed")
    path = tmp_path / "token"
    path.write_text(token(watch=["optimization/other"]))
    scenario = {"url": guarded_gateway.url, "job": job, "after": 0, "until": "end"}
    code, lines = played(**scenario, token={"file": str(path)})
    assert code == 1
    assert [line["error"]["code"] for line in lines if "error" in line] == ["FORBIDDEN"]
    assert "done" in lines[-1]
    path.write_text(token(watch=["optimization/*"]))
    assert played(**scenario, token={"file": str(path)})[0] == 0
    for wrong in ({"transport": "sse"}, {"until": "never"}, {"job": "a.b"}, {"token": 7}):
        assert played(**{**scenario, **wrong})[0] == 2
