"""Whether what happened is what the scenario asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from driver.record import Record
from driver.scenario import Expectation, Scenario

# Clocks, and what a busy machine does to them.
_EARLY, _LATE = 0.05, 10.0


def problems(scenario: Scenario, record: Record) -> list[str]:
    """Return what is wrong, in sentences; nothing if all is well."""
    expect = scenario.expect
    numbers = [item for item in _unfolded(expect.story) if isinstance(item, int)]
    if max(numbers, default=0) > len(record.stored):
        return record.broken or [
            f"the story has event {max(numbers)}; {len(record.stored)} were published"
        ]
    found = [*record.broken, *_story(expect.story, record)]
    if record.broken:
        return found
    found += _states(expect, record)
    found += _end(expect, record)
    found += _wire(expect, record)
    found += _hints(record)
    return found


def _story(story: Sequence[str], record: Record) -> Iterator[str]:
    """Every event exactly once, in order, unchanged, and gaps and resets at their places."""
    wanted = list(_unfolded(story))
    told = [line for line in record.lines if line.keys() & {"event", "gap", "reset"}]
    # What a client may tell or not.
    if wanted[:1] == ["?gap"] and (not told or "gap" not in told[0]):
        wanted.pop(0)
    wanted = ["gap" if item == "?gap" else item for item in wanted]
    previous = record.after
    for index, (item, line) in enumerate(zip(wanted, told, strict=False)):
        following = next((one for one in wanted[index + 1 :] if isinstance(one, int)), None)
        if problem := _item(item, line, previous, following, record):
            yield f"item {index + 1} of the story: {problem}"
            return
        previous = 0 if item == "reset" else line.get("event", {}).get("id", previous)
    if len(told) != len(wanted):
        both = min(len(told), len(wanted))
        other = str([*told[both:], *wanted[both:]][0])[:200]
        yield f"{len(told)} items were told, {len(wanted)} are right; the first other: {other}"


def _unfolded(story: Sequence[str]) -> Iterator[int | str]:
    for part in story:
        if part in ("gap", "?gap", "reset"):
            yield part
        else:
            first, _, last = part.partition("-")
            yield from range(int(first), int(last or first) + 1)


def _item(
    item: int | str, line: dict[str, Any], previous: int, following: int | None, record: Record
) -> str | None:
    if isinstance(item, int):
        stored = record.stored[item - 1]
        if "event" not in line:
            return f"event {item} (id {stored.id}) is right, not {str(line)[:200]}"
        if name := stored.differs(line["event"]):
            return f"event {item} (id {stored.id}) is right; its {name} is not in {str(line)[:200]}"
        return None
    if item not in line:
        return f"a {item} is right, not {str(line)[:200]}"
    if item == "reset":
        right = line["reset"].get("epoch") == record.epochs[-1]
        return None if right else f"the reset's epoch is not {record.epochs[-1]}: {line}"
    return _gap(line["gap"], previous, following, record)


def _gap(gap: dict[str, Any], previous: int, following: int | None, record: Record) -> str | None:
    """It begins where the runner stood, and ends before what is told next."""
    requested, first, last = (
        gap.get(name) for name in ("requestedAfter", "firstAvailable", "lastEventId")
    )
    if not (isinstance(requested, int) and isinstance(first, int) and isinstance(last, int)):
        return f"a field is missing in {gap}"
    next_id = None if following is None else record.stored[following - 1].id
    lost = next((stored.id for stored in record.stored if stored.id > previous), 2**53)
    if not previous <= requested < lost:
        return f"the gap begins at {requested}, not where the runner was, {previous}"
    if not lost < first <= (next_id or first) or last < (next_id or 0):
        return f"the gap {gap} does not lead to event {following}, id {next_id}"
    return None


def _states(expect: Expectation, record: Record) -> Iterator[str]:
    states = record.told("state")
    if states[:1] != ["connecting"]:
        yield f"the first state is not connecting: {states[:3]}"
    last = "ended" if expect.outcome else "closed"
    if states[-1:] != [last] or states.count(last) != 1:
        yield f"the last state, and only that, has to be {last}: {states[-4:]}"
    rest = iter(states)
    if not all(name in rest for name in expect.states):
        yield f"states {expect.states} are not in this order in {states}"
    if "reconnecting" not in states and sum(one.status == 101 for one in record.carriers) > 1:
        yield f"a connection was lost, and that was not told: {states}"
    for name in set(expect.never) & set(states):
        yield f"there was a state {name}: {states}"


def _end(expect: Expectation, record: Record) -> Iterator[str]:
    errors = record.told("error")
    codes = [error.get("code") for error in errors]
    if codes != [expect.error] * bool(expect.error):
        yield f"errors are {errors}, {expect.error} is right"
    if record.exit_code != (1 if expect.error else 0):
        yield f"exit code {record.exit_code}"
    if not record.lines or "done" not in record.lines[-1] or len(record.told("done")) != 1:
        yield f"the last line is not done: {str(record.lines[-1:])[:200]}"
        return
    done = record.lines[-1]["done"]
    if done.get("outcome") != expect.outcome:
        yield f"outcome {done.get('outcome')}, {expect.outcome} is right"
    # Whoever is refused may not have heard of any.
    epochs = [record.epochs[-1], *([None] if expect.error else [])]
    if done.get("epoch") not in epochs:
        yield f"epoch {done.get('epoch')}, {record.epochs[-1]} is right"
    yield from _last_id(done.get("lastEventId"), record)


def _last_id(last: Any, record: Record) -> Iterator[str]:
    """The cursor stands at the last event that was told, or behind it and before the next one."""
    told = [line for line in record.lines if "event" in line or "reset" in line]
    at = told[-1]["event"]["id"] if told and "event" in told[-1] else 0 if told else record.after
    following = [stored.id for stored in record.stored if stored.id > at]
    is_right = isinstance(last, int) and at <= last < min(following, default=2**53)
    if not is_right:
        yield f"lastEventId {last}: the last that was told is {at}"


def _wire(expect: Expectation, record: Record) -> Iterator[str]:
    if expect.connections is not None and len(record.carriers) != expect.connections:
        yield f"{len(record.carriers)} connections, {expect.connections} are right"
    said = [message.get("type") for one in record.carriers for message in one.said]
    for kind, most in expect.said_at_most.items():
        if said.count(kind) > most:
            yield f"the client said {kind} {said.count(kind)} times, {most} are enough"
    if expect.resumes_from is not None:
        least = record.stored[expect.resumes_from - 1].id
        for cursor in _cursors(record):
            if cursor is None or cursor < least:
                yield f"a connection began after {cursor}, not after {least} or later"
    if (took := record.ended - record.began) < expect.seconds_at_least:
        yield f"it took {took:.1f} s, not {expect.seconds_at_least} s or more"


def _cursors(record: Record) -> Iterator[int | None]:
    """Where each connection but the first began."""
    for carrier in record.carriers[1:]:
        if carrier.status == 101:
            begun = (one for one in carrier.said if one.get("type") == "subscribe")
            if (first := next(begun, None)) is not None:
                yield first.get("afterEventId")
        elif found := re.search(r"[?&]after=(\d+)", carrier.path):
            yield int(found[1])


def _hints(record: Record) -> Iterator[str]:
    """Whoever is told for how long to stay away stays away for so long, and then comes."""
    for told in record.exchanges:
        hint = told.hint
        if told.retry_after is not None:
            hint = (told.answered, told.retry_after)
        if hint is None:
            continue
        since, seconds = hint
        # A browser does not say why an upgrade was refused: a question about that is no attempt.
        later = (
            one.began - since
            for one in record.exchanges
            if one.began > since and one.is_upgrade >= told.is_upgrade
        )
        if (waited := next(later, None)) is None:
            continue
        if not seconds - _EARLY <= waited <= seconds + _LATE:
            yield f"the client came back after {waited:.2f} s, told to wait {seconds:.2f} s"
