"""Publishing, over NATS and over HTTP, against real servers."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import jobwire
from jobwire import JobPublisher, ProgressPublisher, watch_sync
from stage import PATIENCE, Gateway, NatsServer, eventually, free_port, token

OwnGateway = Callable[..., Gateway]


@pytest.fixture(params=["nats", "http"])
def url(request: pytest.FixtureRequest, nats_server: NatsServer, gateway: Gateway) -> str:
    """Both ways to the same stream."""
    return nats_server.url if request.param == "nats" else gateway.url


def numbers(events: list[dict[str, Any]]) -> list[Any]:
    return [event["iteration"] for event in events if "iteration" in event]


def test_events_are_stored_in_order_as_they_were_published(
    nats_server: NatsServer, url: str, job: str
) -> None:
    with JobPublisher(job, kind="training", url=url) as publisher:
        publisher.started({"epochs": 2})
        publisher.progress(0.5, "half", iteration=1, stage="fit", current_loss=0.25)
        publisher.publish("custom", {"a": [1]}, timestamp="2026-03-01T10:00:00Z")
        publisher.completed(final_metrics={"accuracy": 0.9})
        assert publisher.flush(PATIENCE)
    stored = nats_server.stored("training", job)
    types = [event["eventType"] for event in stored]
    assert types == ["job_started", "progress", "custom", "job_completed"]
    assert stored[1]["data"] == {"progress": 0.5, "message": "half", "current_loss": 0.25}
    assert (stored[1]["iteration"], stored[1]["stage"]) == (1, "fit")
    assert stored[1]["timestamp"].endswith("Z")
    assert stored[2]["timestamp"] == "2026-03-01T10:00:00Z"
    assert publisher.statistics.acknowledged == 4


def test_every_event_has_a_message_id_of_its_job(
    nats_server: NatsServer, url: str, job: str
) -> None:
    with JobPublisher(job, url=url) as publisher:
        publisher.publish("metric", iteration=1, key="epoch-7")
        publisher.publish("metric", iteration=2, key="epoch-7")
        for number in range(3, 40):
            publisher.publish("metric", iteration=number)
        publisher.publish("metric", iteration=40, key="epoch-40")
    stored = nats_server.stored("optimization", job)
    assert numbers(stored) == [1, *range(3, 41)]
    ids = [event["headers"]["Nats-Msg-Id"] for event in stored]
    assert (ids[0], ids[-1]) == (f"optimization/{job}/epoch-7", f"optimization/{job}/epoch-40")
    assert len(set(ids)) == len(ids)
    assert publisher.statistics.duplicates == 1


def test_many_threads_publish_at_once_and_nothing_is_lost(
    nats_server: NatsServer, url: str, job: str
) -> None:
    with JobPublisher(job, url=url) as publisher:

        def publish(thread: int) -> None:
            for number in range(50):
                publisher.publish("metric", {"thread": thread}, iteration=number)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(publish, range(8)))
        assert publisher.flush(PATIENCE)
    stored = nats_server.stored("optimization", job)
    for thread in range(8):
        mine = [event for event in stored if event["data"]["thread"] == thread]
        assert numbers(mine) == list(range(50))


def test_whatever_cannot_be_json_is_made_so_or_left_out(
    nats_server: NatsServer, url: str, job: str, caplog: pytest.LogCaptureFixture
) -> None:
    import numpy

    loop: list[Any] = []
    loop.append(loop)
    with JobPublisher(job, url=url) as publisher:
        data = {"loss": math.nan, "lr": numpy.float32(0.5), "seen": {3}, "shape": numpy.arange(2)}
        one: Any = numpy.int64(1)
        publisher.publish("metric", data, iteration=one)
        publisher.publish("metric", {"loop": loop})
        publisher.publish("no such type!")
        publisher.publish("metric", {"text": "x" * 600_000})
        publisher.publish("metric", iteration="one")  # type: ignore[arg-type]
        publisher.publish("metric", iteration=2, key="no key")
        publisher.completed(report="x" * 600_000)
    stored = nats_server.stored("optimization", job)
    assert stored[0]["data"] == {"loss": None, "lr": 0.5, "seen": [3], "shape": [0, 1]}
    assert numbers(stored) == [1]
    assert stored[-1]["eventType"] == "job_completed"
    assert "omitted" in stored[-1]["data"]
    assert caplog.text.count("is not published") == 5


def test_an_event_that_the_gateway_refuses_is_left_out_and_the_others_are_stored(
    nats_server: NatsServer,
    gateway: Gateway,
    job: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The publisher's own check has to be put out of the way.
    monkeypatch.setattr(
        "jobwire.publishing.publisher.encoded",
        lambda event_type, data, iteration, *_: json.dumps(
            {"eventType": event_type, "iteration": "eleven" if iteration == 11 else iteration}
        ).encode(),
    )
    with JobPublisher(job, url=gateway.url) as publisher:
        for number in range(20):
            publisher.publish("metric", iteration=number)
        assert publisher.flush(PATIENCE)
    assert numbers(nats_server.stored("optimization", job)) == [*range(11), *range(12, 20)]
    assert publisher.statistics.refused == 1
    assert "is refused, and left out" in caplog.text


@pytest.mark.parametrize("way", ["nats", "http"])
def test_an_outage_loses_nothing_doubles_nothing_and_keeps_the_order(
    own_nats: NatsServer, own_gateway: OwnGateway, way: str
) -> None:
    gateway = own_gateway("--publish=true")
    with JobPublisher("job", url=own_nats.url if way == "nats" else gateway.url) as publisher:
        done = threading.Event()

        def work() -> None:
            for number in range(600):
                publisher.publish("metric", iteration=number)
                time.sleep(0.005)
            done.set()

        threading.Thread(target=work).start()
        for _ in range(2):
            time.sleep(0.5)
            own_nats.kill()
            time.sleep(0.5)
            own_nats.start()
        assert done.wait(PATIENCE)
        assert publisher.flush(PATIENCE)
    assert numbers(own_nats.stored("optimization", "job")) == list(range(600))


def test_a_gateway_that_is_killed_loses_nothing_and_doubles_nothing(
    own_nats: NatsServer, own_gateway: OwnGateway
) -> None:
    gateway = own_gateway("--publish=true")
    with JobPublisher("job", url=gateway.url) as publisher:
        for round_ in range(3):
            for number in range(1_000):
                publisher.publish("metric", iteration=round_ * 1_000 + number)
            gateway.restart()
        assert publisher.flush(PATIENCE)
    assert numbers(own_nats.stored("optimization", "job")) == list(range(3_000))


def test_a_job_is_not_held_up_by_a_server_that_does_not_answer(
    own_nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = JobPublisher("job", url=own_nats.url, max_waiting=1_000)
    publisher.started()
    assert publisher.flush(PATIENCE)
    own_nats.signal(signal.SIGSTOP)
    slowest = 0.0
    for number in range(20_000):
        began = time.perf_counter()
        publisher.progress(number / 20_000, iteration=number)
        slowest = max(slowest, time.perf_counter() - began)
    publisher.completed()
    assert slowest < 0.25, "publishing waited for the server"
    assert publisher.waiting == 1_000
    own_nats.signal(signal.SIGCONT)
    assert publisher.flush(PATIENCE)
    stored = own_nats.stored("optimization", "job")
    got = numbers(stored)
    # The oldest gave way; what was on its way, and the job's life, did not.
    assert got == sorted(set(got))
    assert got[-990:] == list(range(19_010, 20_000))
    assert (stored[0]["eventType"], stored[-1]["eventType"]) == ("job_started", "job_completed")
    statistics = publisher.statistics
    assert statistics.dropped == 20_002 - statistics.acknowledged
    assert caplog.text.count("the buffer is full") == 1
    assert f"{statistics.dropped} events were dropped" in caplog.text


def test_nothing_raises_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    for way in ("nats", "http"):
        publisher = JobPublisher("job", url=f"{way}://127.0.0.1:{free_port()}")
        publisher.started()
        assert not publisher.flush(0.7)
        assert publisher.waiting == 1
    assert caplog.text.count("events wait for") == 2


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"job_id": "a b"}, "job 'a b' is no name"),
        ({"kind": "a.b"}, "kind 'a.b' is no name"),
        ({"url": "ftp://x"}, "no address of a gateway"),
        ({"url": "nats://a,http://b"}, "all servers"),
    ],
)
def test_a_wrong_argument_is_told_when_the_publisher_is_made(
    wrong: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        JobPublisher(**{"job_id": "job", **wrong})


def test_a_token_is_used_and_renewed(
    nats_server: NatsServer, guarded_gateway: Gateway, job: str
) -> None:
    tokens = ["not a token", token(publish=[f"optimization/{job}"])]
    given: list[str] = []

    def next_token() -> str:
        given.append(tokens[min(len(given), 1)])
        return given[-1]

    with JobPublisher(job, url=guarded_gateway.url, token=next_token) as publisher:
        publisher.completed()
        assert publisher.flush(PATIENCE)
    assert len(nats_server.stored("optimization", job)) == 1
    assert len(given) == 2


def test_the_trace_of_the_current_span_goes_with_the_event(
    nats_server: NatsServer, url: str, job: str
) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("tests")
    traces = []
    with JobPublisher(job, url=url) as publisher:
        publisher.publish("metric", iteration=0)
        for number in (1, 2):
            with tracer.start_as_current_span("work") as span:
                context = span.get_span_context()
                traces.append(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
                publisher.publish("metric", iteration=number)
    stored = nats_server.stored("optimization", job)
    found = [event["headers"].get("traceparent", "") for event in stored]
    assert [trace[:-2] for trace in found] == ["", *traces]


def test_a_block_of_code_is_a_job(nats_server: NatsServer, gateway: Gateway, job: str) -> None:
    with jobwire.run(job, {"lr": 0.1}, url=gateway.url) as publisher:
        publisher.iteration(1, score=0.7)
    started, iteration, completed = watch_sync(job, url=gateway.url)
    assert isinstance(started, jobwire.JobStarted)
    assert started.config == {"lr": 0.1}
    assert isinstance(iteration, jobwire.IterationCompleted)
    assert iteration.score == 0.7
    assert isinstance(completed, jobwire.JobCompleted)


def test_a_block_that_raises_is_a_job_that_failed(gateway: Gateway, job: str) -> None:
    with pytest.raises(ZeroDivisionError), jobwire.run(job, url=gateway.url):
        _ = 1 / 0
    *_, failed = watch_sync(job, url=gateway.url)
    assert isinstance(failed, jobwire.JobFailed)
    assert failed.error == "ZeroDivisionError: division by zero"
    assert "test_publishing.py" in failed.data["errorStack"]


def test_an_agents_steps_are_stored_as_its_watchers_know_them(
    nats_server: NatsServer, url: str, job: str
) -> None:
    with ProgressPublisher(job, url=url) as publisher:
        publisher.publish("Looking it up", 40.4, "scam_db", tool="scam_database")
        publisher.publish("It does not answer", 140, "exa_search", error=True)
        publisher.publish("Done", 100, "completed")
    with ProgressPublisher(f"{job}-failed", url=url) as publisher:
        publisher.publish("No way", 0, "failed", error=True)
    looked, not_answered, done = nats_server.stored("agent", job)
    assert (looked["eventType"], looked["stage"]) == ("progress", "scam_db")
    data = {"tool": "scam_database", "message": "Looking it up", "percent": 40}
    assert looked["data"] == data
    assert not_answered["data"]["error"] is True
    assert not_answered["data"]["percent"] == 100
    assert (done["eventType"], done["stage"]) == ("job_completed", "completed")
    (failed,) = nats_server.stored("agent", f"{job}-failed")
    assert (failed["eventType"], failed["data"]["error"]) == ("job_failed", "No way")


def test_the_agent_dialect_shows_an_agents_steps(gateway: Gateway, job: str) -> None:
    from websockets.sync.client import connect

    with ProgressPublisher(job, url=gateway.url) as publisher:
        publisher.publish("Thinking", 80, "reasoning")
        publisher.publish("Done", 100, "completed")
    address = gateway.url.replace("http", "ws") + f"/ws/agent-progress/{job}"
    with connect(address) as socket:
        messages = [json.loads(message) for message in socket]
    assert [(message["step"], message["percent"]) for message in messages] == [
        ("connected", 0),
        ("reasoning", 80),
        ("completed", 100),
    ]


async def test_a_publisher_works_in_asynchronous_code(gateway: Gateway, job: str) -> None:
    async with ProgressPublisher(job, url=gateway.url) as publisher:
        publisher.publish("Done", 100, "completed")
    assert publisher.waiting == 0


def test_a_publisher_can_be_sent_to_another_process(gateway: Gateway, job: str) -> None:
    publisher = pickle.loads(pickle.dumps(JobPublisher(job, kind="training", url=gateway.url)))
    publisher.completed()
    assert publisher.flush(PATIENCE)
    assert len(list(watch_sync(job, kind="training", url=gateway.url))) == 1


def test_after_a_fork_parent_and_child_both_publish_and_nothing_is_doubled(
    nats_server: NatsServer, url: str, job: str
) -> None:
    publisher = JobPublisher(job, url=url)
    publisher.publish("metric", {"who": "parent"}, iteration=0)
    assert publisher.flush(PATIENCE)
    for number in range(1, 101):
        publisher.publish("metric", {"who": "parent"}, iteration=number)
    child = os.fork()
    if child == 0:
        for number in range(100):
            publisher.publish("metric", {"who": "child"}, iteration=number)
        os._exit(0 if publisher.flush(PATIENCE) else 1)
    for number in range(101, 201):
        publisher.publish("metric", {"who": "parent"}, iteration=number)
    assert publisher.flush(PATIENCE)
    assert os.waitpid(child, 0)[1] == 0
    stored = nats_server.stored("optimization", job)
    told = {
        who: numbers([event for event in stored if event["data"]["who"] == who])
        for who in ("parent", "child")
    }
    assert told == {"parent": list(range(201)), "child": list(range(100))}


def _work(url: str, job: str) -> None:
    JobPublisher(job, url=url).publish("metric", iteration=7)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_of_multiprocessing_stores_its_events_before_it_ends(
    nats_server: NatsServer, url: str, job: str, method: str
) -> None:
    # A worker of the parent exists: it must not be taken for the child's.
    JobPublisher(f"{job}-parent", url=url).publish("metric")
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=_work, args=(url, job))
    process.start()
    process.join(PATIENCE)
    assert numbers(nats_server.stored("optimization", job)) == [7]


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise ValueError('no')"])
def test_at_the_end_of_a_script_its_events_are_stored(
    nats_server: NatsServer, url: str, job: str, end: str
) -> None:
    address = url.replace("127.0.0.1", "localhost")  # a name that is looked up at the very end
    script = f"""
import jobwire
publisher = jobwire.JobPublisher({job!r}, url={address!r})
for number in range(50):
    publisher.publish("metric", iteration=number)
{end}
"""
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, timeout=PATIENCE, capture_output=True, text=True)
    assert numbers(nats_server.stored("optimization", job)) == list(range(50)), ended.stderr


@pytest.mark.parametrize("way", ["nats", "http"])
def test_a_script_ends_soon_although_nobody_listens(way: str) -> None:
    # Numeric libraries import multiprocessing, which has an exit hook of its own.
    script = f"""
import multiprocessing.util
import jobwire
jobwire.JobPublisher("job", url="{way}://127.0.0.1:{free_port()}").completed()
"""
    began = time.monotonic()
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, timeout=PATIENCE, capture_output=True, text=True)
    assert ended.returncode == 0
    assert 4 < time.monotonic() - began < 25
    assert ended.stderr.count("1 events were not stored") == 1, ended.stderr


def test_a_publisher_that_was_dropped_still_sends(
    nats_server: NatsServer, url: str, job: str
) -> None:
    JobPublisher(job, url=url).completed()
    eventually("the event is stored", lambda: nats_server.stored("optimization", job))


def test_publishers_by_the_hundred_share_what_they_need(
    nats_server: NatsServer, url: str, job: str
) -> None:
    ProgressPublisher(f"{job}-0", url=url).publish("first", 0, "start")
    time.sleep(0.2)
    before = threading.active_count()
    publishers = [ProgressPublisher(f"{job}-{number}", url=url) for number in range(300)]
    for publisher in publishers:
        publisher.publish("Done", 100, "completed")
    assert threading.active_count() <= before
    assert all(publisher.flush(PATIENCE) for publisher in publishers)


def test_importing_is_cheap() -> None:
    script = "import sys, jobwire, jobwire.optuna, jobwire.keras, jobwire.lightning;" + (
        "print([name for name in ('nats', 'tqdm', 'optuna', 'opentelemetry', 'numpy')"
        " if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, text=True, timeout=PATIENCE).strip() == "[]"


def test_logging_is_left_to_the_application() -> None:
    assert logging.getLogger("jobwire").handlers == []
