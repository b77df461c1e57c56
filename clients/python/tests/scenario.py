"""Watches one job as one JSON argument says, and prints what the public API tells, a line each.

The same program exists for every client of jobwire, so that tests/scenarios can compare them all;
its README.md has the contract.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobwire import (
    ConnectionState,
    Event,
    Gap,
    HistoryTruncated,
    Item,
    JobwireError,
    Refused,
    Reset,
    Watch,
    watch,
)

_REFUSED = 1
_WRONG_ARGUMENT = 2


class WrongArgument(Exception):
    """The scenario cannot be played."""


def tell(**line: Any) -> None:
    # ASCII: an event may hold what is no valid text.
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def tell_state(state: ConnectionState) -> None:
    tell(state=state.name, reason=state.reason)


def tell_item(item: Item) -> None:
    match item:
        case Event():
            tell(event=item.as_dict())
        case Gap():
            tell_gap(item)
        case Reset():
            tell(reset={"epoch": item.epoch})


def tell_gap(gap: Gap) -> None:
    tell(
        gap={
            "requestedAfter": gap.requested_after,
            "firstAvailable": gap.first_available,
            "lastEventId": gap.last_event_id,
        }
    )


def tell_refusal(error: JobwireError) -> None:
    code = error.code if isinstance(error, Refused) else type(error).__name__
    message = error.message if isinstance(error, Refused) else str(error)
    tell(error={"code": code, "message": message})


def tell_done(watched: Watch) -> None:
    done = {"outcome": watched.outcome, "lastEventId": watched.last_event_id or 0}
    tell(done={**done, "epoch": watched.cursor.epoch})


def token_of(scenario: Mapping[str, Any]) -> str | Callable[[], str] | None:
    match scenario.get("token"):
        case None | str() as token:
            return token
        case {"file": str() as path}:
            return lambda: Path(path).read_text(encoding="utf-8").strip()
        case other:
            raise WrongArgument(f'token is {other!r}: null, a text or {{"file": …}} is right')


def begun(scenario: Mapping[str, Any]) -> Watch:
    if scenario.get("transport", "websocket") != "websocket":
        raise WrongArgument("this client has no transport but websocket")
    try:
        return watch(
            scenario["job"],
            kind=scenario.get("kind", "optimization"),
            after=scenario.get("after"),
            epoch=scenario.get("epoch"),
            url=scenario["url"],
            token=token_of(scenario),
            on_truncated=scenario.get("onTruncated", "earliest"),
            on_state=tell_state,
            wait_for_job=scenario.get("waitForJob", False),
        )
    except KeyError as missing:
        raise WrongArgument(f"{missing} is missing") from missing
    except (TypeError, ValueError) as wrong:
        raise WrongArgument(str(wrong)) from wrong


def limits(until: object) -> tuple[float | None, int | None]:
    """Return the seconds to watch, and the id to watch to."""
    match until:
        case "end" | "forever":
            return None, None
        case {"seconds": int() | float() as seconds}:
            return float(seconds), None
        case {"id": int() as number}:
            return None, number
    raise WrongArgument(f'until is {until!r}: "end", "forever", {{"id": n}} or {{"seconds": n}}')


async def follow(watched: Watch, last: int | None, idle: float) -> None:
    async for item in watched:
        tell_item(item)
        if last is not None and isinstance(item, Event) and item.id >= last:
            return
        if idle and isinstance(item, Event):
            await asyncio.sleep(idle)


async def play(watched: Watch, seconds: float | None, last: int | None, idle: float) -> int:
    try:
        await asyncio.wait_for(follow(watched, last, idle), seconds)
    except asyncio.TimeoutError:
        pass
    except JobwireError as error:
        if isinstance(error, HistoryTruncated):
            tell_gap(error.gap)
        tell_refusal(error)
        return _REFUSED
    finally:
        await watched.aclose()
        tell_done(watched)
    return 0


async def main(argument: str) -> int:
    try:
        scenario = json.loads(argument)
        seconds, last = limits(scenario.get("until", "end"))
        idle = float(scenario.get("idleSeconds") or 0)
        watched = begun(scenario)
    except (WrongArgument, ValueError, TypeError, AttributeError) as wrong:
        print(f"scenario: {wrong}", file=sys.stderr)
        return _WRONG_ARGUMENT
    return await play(watched, seconds, last, idle)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("scenario: one JSON object is the only argument", file=sys.stderr)
        sys.exit(_WRONG_ARGUMENT)
    sys.exit(asyncio.run(main(sys.argv[1])))
