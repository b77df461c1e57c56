"""Events of one job that wait to be stored: in order, with a bound.

At the bound the oldest event gives way, but not one of the job's life as long as there is another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from jobwire.publishing.envelope import Envelope


@dataclass(frozen=True)
class Limits:
    """How much may wait; `bytes` counts the events' JSON."""

    events: int = 10_000
    bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True)
class BatchLimits:
    """How much is sent at once."""

    events: int
    bytes: int = 1024 * 1024


@dataclass
class Statistics:
    """What became of the events of a publisher."""

    accepted: int = 0
    acknowledged: int = 0
    duplicates: int = 0
    dropped: int = 0
    refused: int = 0


class Outbox:
    """A queue between the threads that publish and the one that sends."""

    def __init__(self, limits: Limits) -> None:
        self.statistics = Statistics()
        self._limits = limits
        self._ordinary: deque[Envelope] = deque()
        self._life_cycle: deque[Envelope] = deque()
        self._taken: list[Envelope] = []
        self._bytes = 0
        self._has_sender = False
        self._changed = threading.Condition(threading.Lock())

    def put(self, envelope: Envelope) -> tuple[bool, int]:
        """Add an event.

        Returns whether a sender has to be started, and how many events gave way.
        """
        with self._changed:
            (self._life_cycle if envelope.is_life_cycle else self._ordinary).append(envelope)
            self._bytes += len(envelope.body)
            self.statistics.accepted += 1
            dropped = self._make_room()
            needs_sender, self._has_sender = not self._has_sender, True
            return needs_sender, dropped

    def take(self, limits: BatchLimits) -> list[Envelope]:
        """Take the oldest events that can be sent together; if there are none, the sender ends."""
        with self._changed:
            size = 0
            while (envelope := self._oldest()) is not None:
                size += len(envelope.body)
                full = len(self._taken) >= limits.events or size > limits.bytes
                if self._taken and (full or not _go_together(self._taken[0], envelope)):
                    break
                self._taken.append(self._queue_of(envelope).popleft())
            self._has_sender = bool(self._taken)
            self._changed.notify_all()
            return list(self._taken)

    def acknowledge(self, count: int, duplicates: int = 0) -> None:
        """Forget the first events that were taken: they are stored."""
        with self._changed:
            self.statistics.acknowledged += count
            self.statistics.duplicates += duplicates
            self._forget(self._taken[:count])
            del self._taken[:count]
            self._changed.notify_all()

    def refuse(self, index: int) -> Envelope:
        """Forget one event that was taken; the others wait again."""
        with self._changed:
            refused = self._taken.pop(index)
            self.statistics.refused += 1
            self._forget([refused])
            self._give_back(0)
            self._changed.notify_all()
            return refused

    def keep_only_first(self) -> None:
        """Let all but the first event that was taken wait again."""
        with self._changed:
            self._give_back(1)

    def sender_failed(self) -> None:
        """Let the next event start another sender, which begins with what this one has taken."""
        with self._changed:
            self._give_back(0)
            self._has_sender = False

    def waiting(self) -> int:
        """Return how many events are not stored yet."""
        with self._changed:
            return self._count()

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait until nothing is left to be stored, at most for the time given in seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._count() > 0:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return self._count() == 0
            return True

    def _give_back(self, keep: int) -> None:
        for envelope in reversed(self._taken[keep:]):
            self._queue_of(envelope).appendleft(envelope)
        del self._taken[keep:]

    def _count(self) -> int:
        return len(self._ordinary) + len(self._life_cycle) + len(self._taken)

    def _oldest(self) -> Envelope | None:
        heads = [queue[0] for queue in (self._ordinary, self._life_cycle) if queue]
        return min(heads, key=lambda envelope: envelope.sequence, default=None)

    def _queue_of(self, envelope: Envelope) -> deque[Envelope]:
        return self._life_cycle if envelope.is_life_cycle else self._ordinary

    def _make_room(self) -> int:
        dropped = 0
        while self._count() > self._limits.events or self._bytes > self._limits.bytes:
            if self._ordinary:
                victim = self._ordinary.popleft()
            elif len(self._life_cycle) > 1:
                victim = self._life_cycle.popleft()
            else:
                break
            self._forget([victim])
            dropped += 1
        self.statistics.dropped += dropped
        return dropped

    def _forget(self, envelopes: Sequence[Envelope]) -> None:
        self._bytes -= sum(len(envelope.body) for envelope in envelopes)


def _go_together(first: Envelope, other: Envelope) -> bool:
    # The key and the trace of a request are those of all its events.
    return first.key is None and other.key is None and first.trace == other.trace
