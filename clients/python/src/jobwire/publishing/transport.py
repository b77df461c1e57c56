"""What both ways to the stream have in common: a batch, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jobwire.publishing.envelope import Envelope
from jobwire.publishing.outbox import BatchLimits


@dataclass(frozen=True)
class Batch:
    """Events of one job in order. The key makes it safe to send the same batch again."""

    kind: str
    job_id: str
    key: str
    envelopes: Sequence[Envelope]


class Outage(Exception):
    """The batch is not acknowledged, and may be sent again.

    `stored` events at its beginning are: the one after them may be, and none behind that one.
    None: nothing is known. `wait` is the seconds that the other side asks to wait, if it does.
    """

    def __init__(self, reason: str, wait: float = 0.0, stored: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        self.stored = stored


class Rejected(Exception):
    """One event will never be stored. Of its batch none was."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


class Transport(Protocol):
    """A way to the stream."""

    limits: BatchLimits

    async def send(self, batch: Batch) -> int:
        """Store a batch, and return how many of its events were stored before.

        Raises Outage or Rejected.
        """

    def retire(self) -> None:
        """Let go of connections that are not in use."""

    def __str__(self) -> str: ...
