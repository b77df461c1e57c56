"""What a watch yields: events, gaps and resets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jobwire.errors import ProtocolError
from jobwire.life_cycle import Outcome, outcome_of


@dataclass(frozen=True)
class Event:
    """One stored event of a job.

    `id` only rises within a job, with gaps. `timestamp` is ISO 8601, from the producer or, where it
    gave none, the time of storage. `data` is what belongs to the type; empty if there is none.
    """

    id: int
    type: str
    job_id: str
    kind: str
    timestamp: str
    iteration: float | None = None
    stage: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    wire: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def outcome(self) -> Outcome | None:
        """How the job ends with this event; None if it goes on."""
        return outcome_of(self.type, self.data)

    def as_dict(self) -> dict[str, Any]:
        """Return the event as the gateway sent it, to be stored or passed on as JSON."""
        return dict(self.wire)

    def __str__(self) -> str:
        parts = [f"#{self.id}", self.type]
        parts += [] if self.iteration is None else [f"iteration {self.iteration}"]
        parts += [] if self.stage is None else [self.stage]
        parts += [json.dumps(self.data)] if self.data else []
        return " ".join(parts)


class JobCreated(Event):
    """`job_created`: the job is known, and has not begun."""


class JobStarted(Event):
    """`job_started`."""

    @property
    def config(self) -> Mapping[str, Any]:
        """What the job was started with; empty if it did not say."""
        config = self.data.get("config")
        return config if isinstance(config, dict) else {}


class IterationCompleted(Event):
    """`iteration_completed`."""

    @property
    def score(self) -> float | None:
        """The iteration's score, if it has one."""
        return _number(self.data.get("score"))


class Progress(Event):
    """`progress`."""

    @property
    def fraction(self) -> float | None:
        """Fraction done, 0 to 1, if the event tells it."""
        fraction = _number(self.data.get("progress"))
        percent = _number(self.data.get("percent"))
        return fraction if fraction is not None or percent is None else percent / 100

    @property
    def message(self) -> str:
        """A sentence for people; empty if there is none."""
        return _text(self.data.get("message"))


class JobPaused(Event):
    """`job_paused`."""


class JobResumed(Event):
    """`job_resumed`."""


class JobCompleted(Event):
    """`job_completed`: the end, unless the job is run again."""

    @property
    def final_score(self) -> float | None:
        """The job's score, if it has one."""
        return _number(self.data.get("finalScore"))


class JobFailed(Event):
    """`job_failed`: the end, unless `will_retry`."""

    @property
    def error(self) -> str:
        """What went wrong; empty if the job did not say."""
        return _text(self.data.get("error"))

    @property
    def will_retry(self) -> bool:
        """Whether the job is tried again, so that this is not its end."""
        return self.data.get("willRetry") is True


class JobCancelled(Event):
    """`job_cancelled`: the end, unless the job is run again."""


@dataclass(frozen=True)
class Gap:
    """Events after `requested_after` may be gone: nobody can show that nothing is missing.

    The stream's retention took them. What is still there follows.
    """

    job_id: str
    kind: str
    requested_after: int | None
    first_available: int | None
    last_event_id: int | None


@dataclass(frozen=True)
class Reset:
    """The stream was made anew: forget what you know of the job. Ids start again."""

    job_id: str
    kind: str
    epoch: str | None


Item: TypeAlias = Event | Gap | Reset

_CLASSES: dict[str, type[Event]] = {
    "job_created": JobCreated,
    "job_started": JobStarted,
    "iteration_completed": IterationCompleted,
    "progress": Progress,
    "job_paused": JobPaused,
    "job_resumed": JobResumed,
    "job_completed": JobCompleted,
    "job_failed": JobFailed,
    "job_cancelled": JobCancelled,
}


def event_from_wire(job_id: str, kind: str, wire: object) -> Event:
    """Return the event that the gateway sent, or raise ProtocolError if it is none."""
    if not isinstance(wire, dict):
        raise ProtocolError(f"an event that is no object: {wire!r}")
    number, event_type = wire.get("id"), wire.get("eventType")
    if not isinstance(number, int) or not isinstance(event_type, str):
        raise ProtocolError(f"an event without id or type: {wire!r}"[:300])
    data = wire.get("data")
    return _CLASSES.get(event_type, Event)(
        id=number,
        type=event_type,
        job_id=job_id,
        kind=kind,
        timestamp=_text(wire.get("timestamp")),
        iteration=_number(wire.get("iteration")),
        stage=wire.get("stage"),
        data=data if isinstance(data, dict) else {},
        wire=wire,
    )


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
