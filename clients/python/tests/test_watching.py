"""Watching, against a real gateway."""

from __future__ import annotations

import asyncio
import functools
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable

import pytest

import jobwire
from jobwire import Event, Gap, JobCompleted, Progress, Reset, watch, watch_sync
from stage import Gateway, NatsServer, eventually, token, within

OwnGateway = Callable[..., Gateway]


def test_a_job_is_told_from_its_beginning_to_its_end(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_started", data={"config": {"trials": 2}})
    nats_server.publish(job, "progress", iteration=7, stage="search", data={"progress": 0.5})
    nats_server.publish(job, "job_completed", data={"finalScore": 0.9})
    started, progress, completed = watch_sync(job, url=gateway.url)
    assert isinstance(started, jobwire.JobStarted)
    assert started.config == {"trials": 2}
    assert isinstance(progress, Progress)
    assert (progress.fraction, progress.iteration, progress.stage) == (0.5, 7, "search")
    assert isinstance(completed, JobCompleted)
    assert completed.final_score == 0.9
    assert started.id < progress.id < completed.id


def test_a_job_of_another_kind_is_found_by_its_kind(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_completed", kind="training")
    events = list(watch_sync(job, kind="training", url=gateway.url))
    assert [(event.kind, event.job_id) for event in events] == [("training", job)]


async def test_what_is_stored_and_what_happens_come_as_one(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    first = nats_server.publish(job, "progress", count=20)
    ids: list[int] = []
    async for item in watch(job, url=gateway.url):
        assert isinstance(item, Event)
        ids.append(item.id)
        if item.id == first:
            await asyncio.to_thread(nats_server.publish, job, "progress", 20)
            await asyncio.to_thread(nats_server.publish, job, "job_completed")
    assert len(ids) == 41
    assert ids == sorted(set(ids))


def test_a_watch_that_begins_behind_the_end_ends(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_started")
    last = nats_server.publish(job, "job_failed", data={"error": "no disk"})
    watched = watch_sync(job, after=last, url=gateway.url)
    assert list(watched) == []
    assert watched.outcome == "failed"


async def test_a_job_that_does_not_exist_is_refused(gateway: Gateway) -> None:
    with pytest.raises(jobwire.JobNotFound, match="Job not found"):
        await within("the refusal", anext(watch("never", url=gateway.url)))


async def test_a_job_that_comes_later_is_waited_for(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    watched = watch(job, url=gateway.url, wait_for_job=True)
    task = asyncio.ensure_future(anext(watched))
    await asyncio.sleep(3)  # longer than the gateway waits
    await asyncio.to_thread(nats_server.publish, job, "job_completed")
    assert isinstance(await within("the job", task), JobCompleted)


def test_nothing_is_lost_or_told_twice_while_the_gateway_is_killed_and_started_again(
    own_nats: NatsServer, own_gateway: OwnGateway
) -> None:
    gateway = own_gateway()
    own_nats.publish("job", "job_started")
    got: list[int] = []
    states: list[str] = []

    def follow() -> None:
        on_state = lambda state: states.append(state.name)  # noqa: E731
        for item in watch_sync("job", url=gateway.url, on_state=on_state):
            assert isinstance(item, Event)
            got.append(item.id)
            time.sleep(0.001)

    follower = threading.Thread(target=follow)
    follower.start()
    for _ in range(3):
        reached = own_nats.publish("job", "progress", count=200, data={"text": "x" * 500})
        eventually("some events", lambda: len(got) > 20)
        gateway.kill()
        own_nats.publish("job", "progress", count=50)
        gateway.start()
        eventually("it goes on", functools.partial(_is_past, got, reached))
    own_nats.publish("job", "job_completed")
    follower.join(30)
    assert not follower.is_alive()
    assert got == list(range(1, 753))
    assert states.count("reconnecting") >= 3
    assert states[-1] == "ended"


def _is_past(got: list[int], reached: int) -> bool:
    return got[-1] > reached


def test_a_gateway_that_is_told_to_stop_sends_its_watchers_to_the_next(
    own_nats: NatsServer, own_gateway: OwnGateway
) -> None:
    gateway = own_gateway("--drain=1s")
    own_nats.publish("job", "job_started")
    reasons: list[str] = []
    watched = watch_sync(
        "job", url=gateway.url, on_state=lambda state: reasons.append(state.reason)
    )
    next(watched)
    gateway.signal(signal.SIGTERM)
    follower = threading.Thread(target=lambda: list(watched))
    follower.start()
    eventually("the gateway's goodbye", lambda: any("1012" in reason for reason in reasons))
    gateway.kill()
    gateway.start()
    own_nats.publish("job", "job_completed")
    follower.join(30)
    assert watched.outcome == "completed"


def test_events_that_retention_took_are_told_as_a_gap(
    own_nats: NatsServer, own_gateway: OwnGateway
) -> None:
    own_nats.publish("job", "progress", count=30)
    own_nats.limit(10)
    own_nats.publish("job", "job_completed")
    gateway = own_gateway()
    items = list(watch_sync("job", after=5, url=gateway.url))
    assert items[0] == Gap("job", "optimization", 5, 22, 31)
    assert [item.id for item in items[1:] if isinstance(item, Event)] == list(range(22, 32))
    with pytest.raises(jobwire.HistoryTruncated):
        next(watch_sync("job", after=5, url=gateway.url, on_truncated="fail"))


def test_a_stream_that_was_made_anew_is_told_as_a_reset(
    own_nats: NatsServer, own_gateway: OwnGateway
) -> None:
    gateway = own_gateway()
    own_nats.publish("job", "progress", count=5)
    watched = watch_sync("job", url=gateway.url)
    for _ in range(5):
        next(watched)
    epoch = watched.cursor.epoch
    own_nats.make_anew()
    own_nats.publish("job", "job_completed")
    reset, completed = watched
    assert isinstance(reset, Reset)
    assert reset.epoch != epoch
    assert isinstance(completed, JobCompleted)
    assert completed.id == 1
    # A cursor of the stream that is gone is known by its epoch.
    items = list(watch_sync("job", after=5, epoch=epoch, url=gateway.url))
    assert [type(item) for item in items] == [Reset, JobCompleted]


def test_a_token_that_expires_is_renewed_and_the_watch_goes_on(
    nats_server: NatsServer, guarded_gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_started")
    given: list[str] = []
    states: list[str] = []

    def short_token() -> str:
        given.append(token(4, watch=[f"optimization/{job}"]))
        return given[-1]

    watched = watch_sync(
        job,
        url=guarded_gateway.url,
        token=short_token,
        on_state=lambda state: states.append(f"{state.name} {state.reason}"),
    )
    next(watched)
    time.sleep(7)  # more than two lives of a token
    nats_server.publish(job, "job_completed")
    assert [type(item) for item in watched] == [JobCompleted]
    assert len(given) >= 3
    assert [state.split()[0] for state in states] == [
        "connecting",
        "catching-up",
        "live",
        "ended",
    ], states


def test_a_token_that_cannot_be_renewed_ends_the_watch_when_it_expires(
    nats_server: NatsServer, guarded_gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_started")
    watched = watch_sync(job, url=guarded_gateway.url, token=token(2, watch=["*/*"]))
    next(watched)
    with pytest.raises(jobwire.Refused, match="UNAUTHORIZED"):
        next(watched)


def test_a_token_for_another_job_is_refused(
    nats_server: NatsServer, guarded_gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_started")
    with pytest.raises(jobwire.Refused, match="FORBIDDEN"):
        next(watch_sync(job, url=guarded_gateway.url, token=token(watch=["optimization/x"])))


def test_a_slow_reader_gets_everything_and_holds_little(
    own_nats: NatsServer, own_gateway: OwnGateway
) -> None:
    gateway = own_gateway("--ping-interval=1s", "--pong-timeout=1s", "--stuck-timeout=2s")
    count, size = 1_500, 20_000
    own_nats.publish("job", "progress", count=count, data={"text": "x" * size})
    own_nats.publish("job", "job_completed")
    tracemalloc.start()
    got: list[int] = []
    for item in watch_sync("job", url=gateway.url):
        assert isinstance(item, Event)
        got.append(item.id)
        if len(got) in (100, 700):
            time.sleep(5)  # longer than the gateway lets a socket be stuck
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert got == list(range(1, count + 2))
    assert most < 12 * 1024 * 1024, f"{most} bytes of {count * size}"


async def test_a_watch_can_be_cancelled(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_started")

    async def follow() -> None:
        async with watch(job, url=gateway.url) as watched:
            async for _ in watched:
                begun.set()

    begun = asyncio.Event()
    task = asyncio.ensure_future(follow())
    await within("the first event", begun.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within("the end", task, 5)
    assert [other for other in asyncio.all_tasks() if other is not asyncio.current_task()] == []


def test_a_synchronous_watch_is_closed_from_another_thread(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    nats_server.publish(job, "job_started")
    before = threading.active_count()
    watched = watch_sync(job, url=gateway.url)
    next(watched)
    threading.Timer(0.3, watched.close).start()
    assert list(watched) == []
    eventually("its thread ends", lambda: threading.active_count() <= before)


def test_the_gateway_is_found_by_the_environment(
    nats_server: NatsServer, gateway: Gateway, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats_server.publish(job, "job_completed")
    monkeypatch.setenv("JOBWIRE_URL", gateway.url)
    assert len(list(watch_sync(job))) == 1
