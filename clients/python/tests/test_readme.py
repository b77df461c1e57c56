"""Each block of code of the README does what it says, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobwire import JobCompleted, watch_sync
from stage import PATIENCE, Gateway, NatsServer

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
REPORTS = {
    "my-run": ("optimization", 102),
    "my-bar": ("optimization", 4),
    "my-study": ("optimization", 22),
    "my-training": ("training", 5),
    "my-task": ("agent", 3),
    "my-job": ("import", 5),
}


def run(block: str, gateway: Gateway) -> str:
    environment = {**os.environ, "JOBWIRE_URL": gateway.url}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", block]
    ended = subprocess.run(
        command, env=environment, timeout=PATIENCE, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return str(ended.stdout)


def block_with(text: str) -> str:
    (block,) = [block for block in BLOCKS if text in block]
    return block


def test_every_block_is_run_by_a_test() -> None:
    run_here = [block for block in BLOCKS if any(f'"{job}"' in block for job in REPORTS)]
    assert len(run_here) == len(BLOCKS) == 8


@pytest.mark.parametrize("job", [job for job in REPORTS if job != "my-run"])
def test_a_block_that_reports(gateway: Gateway, job: str) -> None:
    run(block_with(f'"{job}"'), gateway)
    kind, count = REPORTS[job]
    events = list(watch_sync(job, kind=kind, url=gateway.url, give_up_after=PATIENCE))
    assert isinstance(events[-1], JobCompleted)
    assert len(events) >= count if job != "my-bar" else len(events) in (3, 4)


def test_three_lines_report_and_three_lines_watch(
    gateway: Gateway, nats_server: NatsServer
) -> None:
    run(block_with('run("my-run")'), gateway)
    assert len(nats_server.stored("optimization", "my-run")) == 102
    printed = run(block_with('watch_sync("my-run")'), gateway).splitlines()
    assert len(printed) == 102
    assert "job_started" in printed[0]
    assert '"loss": 0.01' in printed[100]
    followed = run(block_with("async def follow"), gateway)
    assert "100% step 100" in followed
    assert "completed Cursor(" in followed
