"""Scenario files: what is in one, and what is wrong with one. README.md tells the words."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driver.faults import Fault

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Steps, and what may stand beside each.
STEPS: Mapping[str, frozenset[str]] = {
    "publish": frozenset({"type", "size", "data"}),
    "malformed": frozenset(),
    "watch": frozenset(),
    "told": frozenset(),
    "state": frozenset(),
    "asked": frozenset(),
    "refused": frozenset(),
    "connections": frozenset(),
    "said": frozenset({"times"}),
    "heard": frozenset({"times"}),
    "passed": frozenset(),
    "gateway": frozenset({"number"}),
    "point": frozenset(),
    "proxy": frozenset(),
    "insert": frozenset(),
    "insert_raw": frozenset(),
    "lose": frozenset(),
    "recreate": frozenset(),
    "token": frozenset(),
    "expired": frozenset(),
    "secret": frozenset(),
    "metric": frozenset({"least"}),
    "wait": frozenset(),
}
FAULTS = frozenset(
    {
        "cut",
        "end",
        "delay",
        "pause",
        "repeat",
        "drop",
        "hold",
        "swallow",
        "insert",
        "answer",
        "token",
    }
)
STORY = re.compile(r"(\d+)(?:-(\d+))?|\??gap|reset")


class WrongScenario(Exception):
    """A file that cannot be played."""


@dataclass(frozen=True)
class Expectation:
    """What the runner and the wire must show."""

    story: list[str]
    outcome: str | None = None
    error: str | None = None
    states: list[str] = dataclasses.field(default_factory=list)
    never: list[str] = dataclasses.field(default_factory=list)
    connections: int | None = None
    resumes_from: int | None = None
    said_at_most: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds_at_least: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """One file."""

    file: str
    name: str
    steps: list[dict[str, Any]]
    expect: Expectation
    transports: list[str]
    gateways: int
    options: list[str]
    small_buffers: bool
    is_long: bool
    watch: dict[str, Any]
    faults: list[Fault]


def load(path: Path) -> Scenario:
    """Read a file. Raises WrongScenario with what is wrong."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return _scenario(path.stem, content)
    except (tomllib.TOMLDecodeError, WrongScenario, TypeError, KeyError) as wrong:
        raise WrongScenario(f"{path.name}: {wrong}") from wrong


def _scenario(file: str, content: dict[str, Any]) -> Scenario:
    gateway = content.pop("gateway", {})
    known = {"name", "steps", "expect", "transports", "small_buffers", "is_long", "watch", "fault"}
    _check("the file", content, known)
    _check("[gateway]", gateway, {"count", "options"})
    _check(
        "[watch]",
        content.get("watch", {}),
        {"after", "epoch", "onTruncated", "waitForJob", "token", "idleSeconds", "until"},
    )
    scenario = Scenario(
        file=file,
        name=content["name"],
        steps=[dict(step) for step in content["steps"]],
        expect=Expectation(**content["expect"]),
        transports=content.get("transports", ["websocket"]),
        gateways=gateway.get("count", 1),
        options=gateway.get("options", []),
        is_long=content.get("is_long", False),
        small_buffers=content.get("small_buffers", False),
        watch=content.get("watch", {}),
        faults=[Fault(**fault) for fault in content.get("fault", [])],
    )
    _check_words(scenario)
    return scenario


def _check_words(scenario: Scenario) -> None:
    for step in scenario.steps:
        verbs = STEPS.keys() & step.keys()
        if len(verbs) != 1:
            raise WrongScenario(f"step {step}: one of {', '.join(STEPS)} is right")
        (verb,) = verbs
        _check(f"step {verb}", step, {verb, *STEPS[verb]})
    if sum("watch" in step for step in scenario.steps) != 1:
        raise WrongScenario("one step is { watch = true }")
    for fault in scenario.faults:
        if fault.do not in FAULTS:
            raise WrongScenario(f"fault {fault.do!r}: one of {', '.join(sorted(FAULTS))} is right")
    for part in scenario.expect.story:
        if not STORY.fullmatch(part):
            raise WrongScenario(f'story {part!r}: "3", "1-20", "gap", "?gap" or "reset" is right')


def _check(where: str, found: Iterable[str], known: set[str]) -> None:
    if unknown := set(found) - known:
        names = ", ".join(sorted(known))
        raise WrongScenario(f"{where} has {', '.join(sorted(unknown))}: known are {names}")
