"""Plays the scenarios to the clients, several at a time, and tells what became of each."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from driver import runners, verdict
from driver.defects import DEFECTS, STAGED
from driver.play import Play
from driver.record import Record
from driver.runners import Runner
from driver.scenario import Scenario, WrongScenario, load

CASES = Path(__file__).resolve().parents[1] / "cases"
# Most of the time of a play is waiting.
_AT_ONCE = 12
_PATIENCE = 60.0
# A broken runner may never tell what a step waits for.
_PATIENCE_WITH_BROKEN = 30.0


@dataclass
class Result:
    """What became of one play."""

    scenario: str
    name: str
    client: str
    passed: bool
    seconds: float
    problems: list[str]


async def _played(scenario: Scenario, runner: Runner, transport: str) -> Result:
    begun = time.monotonic()
    record = await Play(scenario, runner, transport).play(_PATIENCE)
    found = verdict.problems(scenario, record)
    if found:
        found += _context(record)
    else:
        found = _overlooked(scenario, record)
    client = runner.client if transport == "websocket" else f"{runner.client}/{transport}"
    seconds = time.monotonic() - begun
    return Result(scenario.file, scenario.name, client, not found, seconds, found)


def _context(record: Record) -> list[str]:
    told = [json.dumps(line)[:160] for line in record.lines if "event" not in line]
    wire = [
        f"{one.path[:100]} {one.status} said {[said.get('type') for said in one.said]}"
        f" heard {one.heard[:3]}… {len(one.passed)} events, closed {one.closing}"
        for one in record.exchanges
    ]
    return [f"  {line}" for line in (*told[-25:], *wire, record.complaint[-1500:]) if line]


def _overlooked(scenario: Scenario, record: Record) -> list[str]:
    """Defects that the verdict does not see, if a client with them had told what was told."""
    expect = scenario.expect
    allowed = {"ignores_gaps"} if "?gap" in expect.story else set()
    allowed |= set() if "reconnecting" in expect.states else {"hides_interruptions"}
    found = []
    for name, defect in DEFECTS.items():
        lines = list(defect(record.lines))
        broken = Record(**{**vars(record), "lines": lines})
        if lines != record.lines and name not in allowed and not verdict.problems(scenario, broken):
            found.append(f"the scenario would not find a client that {name.replace('_', ' ')}")
    return found


async def _broken(defect: str, scenario: Scenario) -> Result:
    begun = time.monotonic()
    runner = runners.broken(defect)
    record = await Play(scenario, runner, "websocket").play(_PATIENCE_WITH_BROKEN)
    # What keeps the play from being played is no find.
    caught = [] if record.broken else verdict.problems(scenario, record)
    name = f"A client that {defect.replace('_', ' ')} is found"
    missed = [] if caught else record.broken or ["the verdict finds nothing wrong"]
    return Result(scenario.file, name, "(broken)", bool(caught), time.monotonic() - begun, missed)


def _plays(
    scenarios: Sequence[Scenario], clients: Sequence[str], with_broken: bool
) -> list[Callable[[], Awaitable[Result]]]:
    plays: list[Callable[[], Awaitable[Result]]] = []
    for scenario in sorted(scenarios, key=lambda scenario: not scenario.is_long):
        for runner in runners.found():
            for transport in scenario.transports:
                if runner.client in clients and transport in runner.transports:
                    plays.append(partial(_played, scenario, runner, transport))
    by_file = {scenario.file: scenario for scenario in scenarios}
    for defect, file in STAGED.items():
        if with_broken and file in by_file:
            plays.append(partial(_broken, defect, by_file[file]))
    return plays


async def _all(plays: Sequence[Callable[[], Awaitable[Result]]], is_json: bool) -> list[Result]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(play: Callable[[], Awaitable[Result]]) -> Result:
        async with places:
            result = await play()
        _tell(result, is_json)
        return result

    return list(await asyncio.gather(*map(one, plays)))


def _tell(result: Result, is_json: bool) -> None:
    if is_json:
        print(json.dumps(asdict(result)), flush=True)
        return
    word = "ok    " if result.passed else "FAILED"
    print(f"{word} {result.seconds:5.1f} s  {result.client:15} {result.name}", flush=True)
    for problem in result.problems:
        print(f"         {problem}", flush=True)
    if not result.passed:
        print(f"         tests/scenarios/cases/{result.scenario}.toml", flush=True)


def _wanted(wanted: str | None) -> list[Scenario]:
    scenarios = [load(path) for path in sorted(CASES.glob("*.toml"))]
    if wanted is None:
        return scenarios
    found = [one for one in scenarios if wanted in (one.file, one.name)]
    if not found:
        names = ", ".join(one.file for one in scenarios)
        raise WrongScenario(f"there is no scenario {wanted!r}; there are {names}")
    return found


def main() -> int:
    """Return the exit code: 0 if all is well, 1 if not, 2 for wrong usage or a wrong scenario."""
    parser = argparse.ArgumentParser(prog="tests/scenarios/check", description=__doc__)
    parser.add_argument("--client", choices=runners.CLIENTS, help="only this client")
    parser.add_argument("--scenario", help="only this one: its name, or its file's without .toml")
    parser.add_argument("--json", action="store_true", help="one JSON object for each play")
    arguments = parser.parse_args()
    try:
        scenarios = _wanted(arguments.scenario)
    except WrongScenario as wrong:
        print(f"tests/scenarios/check: {wrong}", file=sys.stderr)
        return 2
    clients = [arguments.client] if arguments.client else list(runners.CLIENTS)
    missing = set(clients) - {runner.client for runner in runners.found()}
    begun = time.monotonic()
    plays = _plays(scenarios, clients, with_broken="python" in clients)
    try:
        results = asyncio.run(_all(plays, arguments.json))
    except KeyboardInterrupt:
        return 130
    failed = sum(not result.passed for result in results)
    talk = sys.stderr if arguments.json else sys.stdout
    counts = f"{len(results) - failed} passed, {failed} failed"
    print(f"scenarios: {counts}, {time.monotonic() - begun:.0f} s", file=talk)
    if "cli" in missing:
        print(
            "scenarios: NOT PLAYED to the cli: there is no tests/scenarios/cli_runner.*", file=talk
        )
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
