"""Watching, against a gateway that follows a script."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection

import jobwire
from jobwire import Event, Gap, Reset, watch
from jobwire.link import _renew
from jobwire.tokens import TokenSource
from jobwire.watching import Watch
from scripted import Visit, event, patiently, scripted
from stage import signed, within


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back at once: what is waited for is tested where it matters."""
    monkeypatch.setattr("jobwire.backoff.random.random", lambda: 0.0)


async def taken(watched: Watch) -> list[Any]:
    """Everything until the end; ids for events."""

    async def take() -> list[Any]:
        return [item.id if isinstance(item, Event) else item async for item in watched]

    return await within("the end of the job", take())


async def ends(visit: Visit, number: int = 99) -> None:
    await visit.event(number, "job_completed")
    await visit.rest()


async def test_after_a_cut_in_the_middle_of_a_replay_it_goes_on_behind_the_last_event() -> None:
    async def first(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=4)
        await visit.replay(1, 2)
        await visit.cut()

    async def second(visit: Visit) -> None:
        asked.append(await visit.hear())
        await visit.subscribed(last=4)
        await visit.replay(3, 4)
        await ends(visit)

    asked: list[dict[str, Any]] = []
    async with scripted(first, second) as stage:
        assert await taken(watch("job", url=stage.url)) == [1, 2, 3, 4, 99]
    assert (asked[0]["afterEventId"], asked[0]["epoch"]) == (2, "one")


async def test_what_comes_twice_is_told_once() -> None:
    async def twice(say: Callable[[], Awaitable[None]]) -> None:
        await say()
        await say()

    async def play(visit: Visit) -> None:
        await visit.hear()
        await twice(lambda: visit.subscribed(last=3))
        await twice(lambda: visit.error("HISTORY_TRUNCATED", requestedAfter=0, firstAvailable=2))
        await twice(lambda: visit.replay(2, 3))
        await twice(lambda: visit.event(5))
        await visit.event(4)
        await twice(lambda: visit.error("CURSOR_INVALID", epoch="two"))
        await twice(lambda: visit.event(1))
        await twice(lambda: visit.position(1))
        await ends(visit)

    async with scripted(play) as stage:
        items = await taken(watch("job", url=stage.url))
    gap, reset = Gap("job", "optimization", 0, 2, None), Reset("job", "optimization", "two")
    assert items == [gap, 2, 3, 5, reset, 1, 99]


async def test_a_gap_stands_where_events_are_missing() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=9)
        await visit.error("HISTORY_TRUNCATED", requestedAfter=3, firstAvailable=8, lastEventId=9)
        await visit.replay(8, 9)
        await ends(visit)

    async with scripted(play) as stage:
        items = await taken(watch("job", after=3, url=stage.url))
    assert items == [Gap("job", "optimization", 3, 8, 9), 8, 9, 99]


async def test_a_gap_ends_the_watch_where_that_was_asked_for() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.error("HISTORY_TRUNCATED", requestedAfter=3, firstAvailable=8, lastEventId=9)
        await visit.rest()

    async with scripted(play) as stage:
        watched = watch("job", after=3, url=stage.url, on_truncated="fail")
        with pytest.raises(jobwire.HistoryTruncated) as raised:
            await within("the refusal", anext(watched))
        assert raised.value.gap == Gap("job", "optimization", 3, 8, 9)
        assert stage.visits[0].heard[0]["onTruncated"] == "fail"


async def test_after_a_reset_ids_start_again_and_the_new_epoch_counts() -> None:
    async def first(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=50)
        await visit.error("CURSOR_INVALID", epoch="two")
        await visit.replay(1, 2)
        await visit.cut()

    async def second(visit: Visit) -> None:
        asked.append(await visit.hear())
        await visit.subscribed(last=2, epoch="two")
        await ends(visit, 3)

    asked: list[dict[str, Any]] = []
    async with scripted(first, second) as stage:
        items = await taken(watched := watch("job", after=50, epoch="one", url=stage.url))
    assert items == [Reset("job", "optimization", "two"), 1, 2, 3]
    assert (asked[0]["afterEventId"], asked[0]["epoch"]) == (2, "two")
    assert (watched.last_event_id, watched.cursor.epoch) == (3, "two")


async def test_a_failure_that_is_tried_again_is_no_end() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=1)
        await visit.event(1, "job_failed", data={"error": "no disk", "willRetry": True})
        await visit.position(1)
        await visit.event(2, "job_failed", data={"error": "no disk"})
        await visit.rest()

    async with scripted(play) as stage:
        assert await taken(watched := watch("job", url=stage.url)) == [1, 2]
    assert watched.outcome == "failed"


async def test_an_ending_of_an_earlier_run_is_no_end() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=3)
        await visit.event(1, "job_completed")
        await visit.event(2, "job_started")
        await visit.event(3)
        await visit.position(3)
        await visit.event(4, "job_cancelled")
        await visit.rest()

    async with scripted(play) as stage:
        assert await taken(watched := watch("job", url=stage.url)) == [1, 2, 3, 4]
    assert watched.outcome == "cancelled"


async def test_an_end_is_seen_also_where_its_type_is_filtered_out() -> None:
    async def play(visit: Visit) -> None:
        types.extend((await visit.hear())["eventTypes"])
        await visit.subscribed(last=1)
        await visit.event(1, "metric")
        await ends(visit)

    types: list[str] = []
    async with scripted(play) as stage:
        assert await taken(watch("job", url=stage.url, event_types=["metric"])) == [1]
    assert {"metric", "job_completed", "job_failed"} <= set(types)


async def test_a_position_keeps_the_cursor_of_a_quiet_job_young() -> None:
    async def first(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=1)
        await visit.event(1)
        await visit.position(700)
        await visit.cut()

    async def second(visit: Visit) -> None:
        asked.append((await visit.hear())["afterEventId"])
        await visit.subscribed(last=1)
        await ends(visit, 701)

    asked: list[int] = []
    async with scripted(first, second) as stage:
        assert await taken(watch("job", url=stage.url)) == [1, 701]
    assert asked == [700]


async def test_without_a_cursor_it_goes_on_behind_what_was_stored_when_it_began() -> None:
    async def first(visit: Visit) -> None:
        asked.append((await visit.hear())["afterEventId"])
        await visit.subscribed(last=40)
        await visit.cut()

    async def second(visit: Visit) -> None:
        asked.append((await visit.hear())["afterEventId"])
        await visit.subscribed(last=41)
        await visit.replay(41)
        await ends(visit)

    asked: list[int | None] = []
    async with scripted(first, second) as stage:
        assert await taken(watch("job", after=None, url=stage.url)) == [41, 99]
    assert asked == [None, 40]


async def test_a_gateway_that_stops_says_when_to_come_back() -> None:
    async def first(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        left.append(time.monotonic())
        await visit.close(1012, "700")

    async def second(visit: Visit) -> None:
        left.append(time.monotonic())
        await visit.hear()
        await visit.subscribed()
        await ends(visit)

    left: list[float] = []
    states: list[str] = []
    async with scripted(first, second) as stage:
        on_state = lambda state: states.append(state.name)  # noqa: E731
        await taken(watch("job", url=stage.url, on_state=on_state))
    assert left[1] - left[0] >= 0.7
    assert states == ["connecting", "catching-up", "reconnecting", "catching-up", "ended"]


async def test_a_refused_upgrade_is_tried_again_when_the_gateway_says_so() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        await ends(visit)

    async with scripted(play) as stage:
        stage.refusals = [(503, {"Retry-After": "1"}), (429, {}), (502, {})]
        started = time.monotonic()
        assert await taken(watch("job", url=stage.url)) == [99]
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize(
    ("status", "code"), [(401, "CODE_401"), (403, "CODE_403"), (404, "CODE_404")]
)
async def test_a_refusal_for_good_ends_the_watch(status: int, code: str) -> None:
    async with scripted() as stage:
        stage.refusals = [(status, {})]
        with pytest.raises(jobwire.Refused, match="not today") as raised:
            await within("the refusal", anext(watch("job", url=stage.url, token="text")))
    assert raised.value.code == code


@pytest.mark.parametrize("code", ["JOB_NOT_FOUND", "FORBIDDEN", "LIMIT", "INVALID_JOB_ID", "NEW"])
async def test_a_refused_subscribe_ends_the_watch_with_its_code(code: str) -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.error(code)
        await visit.rest()

    async with scripted(play) as stage:
        watched = watch("job", url=stage.url)
        with pytest.raises(jobwire.Refused) as raised:
            await within("the refusal", anext(watched))
        assert raised.value.code == code
        assert watched.state is not None
        assert watched.state.name == "closed"


async def test_a_job_that_is_not_there_yet_is_waited_for_if_asked() -> None:
    async def play(visit: Visit) -> None:
        for _ in range(3):
            await visit.hear()
            await visit.error("JOB_NOT_FOUND")
        await visit.hear()
        await visit.subscribed()
        await ends(visit)

    async with scripted(play) as stage:
        assert await taken(watch("job", url=stage.url, wait_for_job=True)) == [99]


async def test_unavailable_is_asked_again_on_the_same_connection() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.error("UNAVAILABLE")
        await visit.hear()
        await visit.subscribed()
        await ends(visit)

    async with scripted(play) as stage:
        assert await taken(watch("job", url=stage.url)) == [99]
        assert len(stage.visits) == 1


GARBLED = [
    "no JSON",
    "[]",
    '{"type":"event","jobId":"job","event":{}}',
    '{"type":"replay","jobId":"job","data":7}',
    # The first of the two is not counted as told.
    '{"type":"replay","jobId":"job","data":[{"id":2,"eventType":"a"},null]}',
]


@pytest.mark.parametrize("text", GARBLED)
async def test_after_a_message_that_cannot_be_understood_the_watch_comes_back(text: str) -> None:
    async def garbled(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        await visit.event(1)
        await visit.say_text(text)
        await visit.rest()

    async def whole(visit: Visit) -> None:
        assert (await visit.hear())["afterEventId"] == 1
        await visit.subscribed()
        await visit.event(2)
        await ends(visit)

    async with scripted(garbled, whole) as stage:
        assert await taken(watch("job", url=stage.url)) == [1, 2, 99]


async def test_a_gateway_that_is_never_understood_ends_the_watch() -> None:
    async def garbled(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        await visit.say_text("no JSON")
        await visit.rest()

    async with scripted(garbled, garbled, garbled, garbled, garbled) as stage:
        with pytest.raises(jobwire.ProtocolError):
            await within("the error", anext(watch("job", url=stage.url)))
        assert len(stage.visits) == 4


async def test_what_is_not_known_yet_is_ignored() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.say(type="weather", jobId="job")
        await visit.subscribed()
        await visit.error("WEATHER")
        await visit.event(1, data={"big": 1}, more={"new": True})
        await visit.say_text(
            '{"type":"event","jobId":"job","event":{"id":2,"eventType":"x","data":{"n":'
            + "9" * 6000
            + "}}}"
        )
        await ends(visit)

    async with scripted(play) as stage:
        assert await taken(watch("job", url=stage.url)) == [1, 2, 99]


async def test_a_token_is_renewed_on_the_connection_before_it_expires() -> None:
    tokens = [signed({"exp": time.time() + life}) for life in (2.0, 3600.0)]
    given: list[str] = []

    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        renewed.append((visit.token, (await visit.hear("auth"))["token"]))
        await visit.say(type="authenticated")
        await ends(visit)

    def next_token() -> str:
        given.append(tokens[len(given)])
        return given[-1]

    renewed: list[tuple[str | None, str]] = []
    async with scripted(play) as stage:
        assert await taken(watch("job", url=stage.url, token=next_token)) == [99]
    assert renewed == [(tokens[0], tokens[1])]
    assert len(given) == 2


async def test_whoever_gives_tokens_that_hardly_last_is_asked_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    given: list[str] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 7:
            raise asyncio.CancelledError

    def next_token() -> str:
        given.append(signed({"exp": time.time() + 0.5}))
        return given[-1]

    class Connection:
        async def send(self, text: str) -> None:
            sent.append(json.loads(text)["token"])

    sent: list[str] = []
    tokens = TokenSource(next_token)
    await tokens.current()
    monkeypatch.setattr("asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await _renew(cast(ClientConnection, Connection()), tokens)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert sent == given[1:]


async def test_an_expired_token_is_replaced_for_the_next_connection() -> None:
    async def first(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        await visit.position(1)
        await visit.close(4001, "the token has expired")

    async def second(visit: Visit) -> None:
        used.append(visit.token)
        await visit.hear()
        await visit.subscribed()
        await ends(visit)

    async def next_token() -> str:
        calls.append(1)
        return f"opaque-{len(calls)}"

    used: list[str | None] = []
    calls: list[int] = []
    async with scripted(first, second) as stage:
        assert await taken(watch("job", url=stage.url, token=next_token)) == [99]
    assert used == ["opaque-2"]


async def test_a_token_that_is_not_good_is_asked_for_once_more() -> None:
    async def play(visit: Visit) -> None:
        used.append(visit.token)
        await visit.hear()
        await visit.subscribed()
        await ends(visit)

    used: list[str | None] = []
    calls: list[int] = []

    def next_token() -> str:
        calls.append(1)
        return f"opaque-{len(calls)}"

    async with scripted(play) as stage:
        stage.refusals = [(401, {})]
        assert await taken(watch("job", url=stage.url, token=next_token)) == [99]
    assert used == ["opaque-2"]


async def test_a_token_function_that_fails_is_called_again_later() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        await ends(visit)

    calls: list[int] = []

    def next_token() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("the issuer is away")
        return "opaque"

    async with scripted(play) as stage:
        assert await taken(watch("job", url=stage.url, token=next_token)) == [99]


async def test_a_step_that_is_cancelled_loses_nothing() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        for number in range(1, 6):
            await asyncio.sleep(0.05)
            await visit.event(number)
        await ends(visit)

    got: list[int] = []
    async with scripted(play) as stage:
        watched = watch("job", url=stage.url)
        while not got or got[-1] != 99:
            try:
                item = await asyncio.wait_for(anext(watched), 0.02)
            except asyncio.TimeoutError:
                continue
            assert isinstance(item, Event)
            got.append(item.id)
    assert got == [1, 2, 3, 4, 5, 99]


async def test_closing_ends_the_iteration_of_another_task() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        await visit.rest()
        gone.set()

    gone = asyncio.Event()
    async with scripted(play) as stage, watch("job", url=stage.url) as watched:
        task = asyncio.ensure_future(taken(watched))
        await patiently()
        await watched.aclose()
        assert await within("the end", task) == []
        await within("the connection's end", gone.wait())


async def test_a_watch_that_is_dropped_closes_its_connection() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed()
        await visit.event(1)
        await visit.rest()
        gone.set()

    async def look() -> None:
        async for _ in watch("job", url=stage.url):
            break

    gone = asyncio.Event()
    async with scripted(play) as stage:
        await look()
        await within("the connection's end", gone.wait())


async def test_it_gives_up_when_told_to() -> None:
    started = time.monotonic()
    watched = watch("job", url="http://127.0.0.1:9", give_up_after=0.5)
    with pytest.raises(jobwire.Unreachable, match=r"127\.0\.0\.1:9"):
        await within("giving up", anext(watched))
    assert time.monotonic() - started < 5


async def test_a_cursor_covers_what_was_yielded_and_no_more() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=3)
        await visit.replay(1, 2, 3)
        await visit.rest()

    async with scripted(play) as stage, watch("job", url=stage.url) as watched:
        await within("an event", anext(watched))
        assert watched.cursor == jobwire.Cursor(1, "one")
        await within("an event", anext(watched))
        await within("an event", anext(watched))
        assert watched.cursor == jobwire.Cursor(3, "one")


async def test_what_was_not_yielded_is_not_covered_when_the_watch_is_closed() -> None:
    async def play(visit: Visit) -> None:
        await visit.hear()
        await visit.subscribed(last=3)
        data = [event(1), event(2), event(3, "job_completed")]
        await visit.say(type="replay", jobId="job", data=data)
        await visit.rest()

    async with scripted(play) as stage:
        async with watch("job", url=stage.url) as watched:
            await within("an event", anext(watched))
        assert watched.cursor == jobwire.Cursor(1, "one")
        assert (watched.last_event_id, watched.outcome) == (1, None)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"job_id": "a.b"}, "job 'a.b' is no name"),
        ({"kind": ""}, "kind '' is no name"),
        ({"after": -1}, "after is -1"),
        ({"after": True}, "after is True"),
        ({"url": "localhost:8080"}, "no address of a gateway"),
        ({"on_truncated": "maybe"}, "'earliest' or 'fail'"),
        ({"event_types": ["a b"]}, "event type 'a b'"),
        ({"event_types": [f"t{n}" for n in range(60)]}, "57 are possible"),
    ],
)
def test_a_wrong_argument_is_told_at_once(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        watch(**{"job_id": "job", **wrong})
