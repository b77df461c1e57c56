"""The examples run, and who watches them sees what they do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobwire import Event, IterationCompleted, JobCompleted, Progress, watch_sync
from stage import PATIENCE, Gateway, NatsServer

EXAMPLES = Path(__file__).parent.parent / "examples"


def watched(gateway: Gateway, name: str, job: str, kind: str, publish_url: str) -> list[Event]:
    """Run an example, watch it from before it begins, and return its events."""
    addresses = {"JOBWIRE_URL": gateway.url, "JOBWIRE_PUBLISH_URL": publish_url}
    command = [sys.executable, str(EXAMPLES / name), job]
    with subprocess.Popen(command, env={**os.environ, **addresses}) as example:
        watch = watch_sync(
            job, kind=kind, url=gateway.url, wait_for_job=True, give_up_after=PATIENCE
        )
        events = [item for item in watch if isinstance(item, Event)]
        assert example.wait(PATIENCE) == 0
    assert isinstance(events[-1], JobCompleted)
    return events


@pytest.mark.parametrize("way", ["http", "nats"])
def test_an_incremental_training(
    gateway: Gateway, nats_server: NatsServer, job: str, way: str
) -> None:
    address = gateway.url if way == "http" else nats_server.url
    events = watched(gateway, "incremental_training.py", job, "training", address)
    epochs = [event for event in events if isinstance(event, Progress)]
    assert [event.iteration for event in epochs] == list(range(1, 16))
    losses = [event.data["current_loss"] for event in epochs]
    assert losses[-1] < losses[0] / 2
    assert epochs[-1].fraction == 1


def test_a_study_of_optuna(gateway: Gateway, job: str) -> None:
    events = watched(gateway, "optuna_digits.py", job, "optimization", gateway.url)
    trials = [event for event in events if isinstance(event, IterationCompleted)]
    assert [event.iteration for event in trials] == list(range(1, 13))
    scores = [event.score or 0 for event in trials]
    assert max(scores) > 0.85
    assert isinstance(events[-1], JobCompleted)
    assert events[-1].final_score == max(scores)


def test_an_agent_with_tools(gateway: Gateway, job: str) -> None:
    events = watched(gateway, "agent.py", job, "agent", gateway.url)
    steps = [event.stage for event in events]
    assert {"entity_extraction", "scam_db", "domain_reputation", "reasoning"} <= set(steps)
    percents = [event.data["percent"] for event in events]
    assert percents == sorted(percents)
    assert events[-1].data["message"] == "This is a scam (100%)"
