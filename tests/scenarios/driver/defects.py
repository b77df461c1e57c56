"""What a client may do wrong: each makes of a runner's lines what a broken client would tell.

The verdict has to find every one of them: in a runner that is really broken, and in what is
recorded of each play, where the defect changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Line = dict[str, Any]
Lines = Iterable[Line]


def _from_second_event(lines: Lines, change: Callable[[Line], list[Line]]) -> Iterator[Line]:
    events = 0
    for line in lines:
        events += "event" in line
        yield from change(line) if "event" in line and events == 2 else [line]


def loses_an_event(lines: Lines) -> Iterator[Line]:
    yield from _from_second_event(lines, lambda line: [])


def tells_an_event_twice(lines: Lines) -> Iterator[Line]:
    yield from _from_second_event(lines, lambda line: [line, line])


def changes_an_event(lines: Lines) -> Iterator[Line]:
    def changed(line: Line) -> list[Line]:
        return [{"event": {**line["event"], "data": {"number": 0}}}]

    yield from _from_second_event(lines, changed)


def tells_two_events_in_the_wrong_order(lines: Lines) -> Iterator[Line]:
    held: Line | None = None
    events = 0
    for line in lines:
        events += "event" in line
        if "event" in line and events == 2:
            held = line
            continue
        yield line
        if held is not None and "event" in line:
            yield held
            held = None
    if held is not None:
        yield held


def ignores_gaps(lines: Lines) -> Iterator[Line]:
    yield from (line for line in lines if "gap" not in line)


def ignores_resets(lines: Lines) -> Iterator[Line]:
    yield from (line for line in lines if "reset" not in line)


def begins_anew_for_itself(lines: Lines) -> Iterator[Line]:
    """It tells a reset that there was not."""
    yield from _from_second_event(lines, lambda line: [{"reset": {"epoch": "0"}}, line])


def hides_interruptions(lines: Lines) -> Iterator[Line]:
    yield from (line for line in lines if line.get("state") != "reconnecting")


def keeps_refusals_to_itself(lines: Lines) -> Iterator[Line]:
    yield from (line for line in lines if "error" not in line)


def forgets_the_outcome(lines: Lines) -> Iterator[Line]:
    for line in lines:
        is_forgotten = "done" in line and line["done"]["outcome"] is not None
        yield {"done": {**line["done"], "outcome": None}} if is_forgotten else line


def remembers_an_old_epoch(lines: Lines) -> Iterator[Line]:
    for line in lines:
        is_old = "done" in line and line["done"]["epoch"] is not None
        yield {"done": {**line["done"], "epoch": "0"}} if is_old else line


def breaks_off(lines: Lines) -> Iterator[Line]:
    yield from (line for line in lines if "done" not in line)


DEFECTS: Mapping[str, Callable[[Lines], Iterator[Line]]] = {
    defect.__name__: defect
    for defect in (
        loses_an_event,
        tells_an_event_twice,
        changes_an_event,
        tells_two_events_in_the_wrong_order,
        ignores_gaps,
        ignores_resets,
        begins_anew_for_itself,
        hides_interruptions,
        keeps_refusals_to_itself,
        forgets_the_outcome,
        remembers_an_old_epoch,
        breaks_off,
    )
}

# Which scenario a really broken runner is tried with.
STAGED: Mapping[str, str] = {
    "loses_an_event": "ended_job",
    "tells_an_event_twice": "ended_job",
    "changes_an_event": "ended_job",
    "tells_two_events_in_the_wrong_order": "ended_job",
    "ignores_gaps": "truncated",
    "ignores_resets": "foreign_epoch",
    "keeps_refusals_to_itself": "truncated_fail",
}
