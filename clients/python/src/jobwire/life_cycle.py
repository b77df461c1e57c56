"""Which event types tell a job's life, and which of them end it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Outcome = Literal["completed", "failed", "cancelled"]

LIFE_CYCLE_TYPES = frozenset(
    {
        "job_created",
        "job_started",
        "job_paused",
        "job_resumed",
        "job_completed",
        "job_failed",
        "job_cancelled",
    }
)

_ENDINGS: dict[str, Outcome] = {
    "job_completed": "completed",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
}


def outcome_of(event_type: str, data: Mapping[str, Any]) -> Outcome | None:
    """Return how the job ends with this event; None if it goes on."""
    if event_type == "job_failed" and data.get("willRetry") is True:
        return None
    return _ENDINGS.get(event_type)
