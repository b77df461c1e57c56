"""What happened in a play: what was stored, what the runner told, what went over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from driver.proxy import Exchange


@dataclass(frozen=True)
class Stored:
    """An event of the job, as it was published."""

    id: int
    event_type: str
    body: Mapping[str, Any]

    def differs(self, told: Mapping[str, Any]) -> str | None:
        """Say in what a told event is another one."""
        expected = {"id": self.id, "eventType": self.event_type, **self.body}
        found = dict(told)
        if not isinstance(found.pop("timestamp", None), str):
            return "timestamp"
        names = sorted(expected.keys() | found.keys())
        return next((name for name in names if expected.get(name) != found.get(name)), None)


@dataclass
class Record:
    """A whole play."""

    stored: list[Stored] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    complaint: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    carriers: list[Exchange] = field(default_factory=list)
    after: int = 0
    """The cursor that the runner was given."""
    began: float = 0.0
    ended: float = 0.0
    """When the runner was there, in the seconds of `time.monotonic`."""
    broken: list[str] = field(default_factory=list)
    """What kept the play from being played to its end."""

    def told(self, word: str) -> list[Any]:
        """What the runner said under one word, in order."""
        return [line[word] for line in self.lines if word in line]
