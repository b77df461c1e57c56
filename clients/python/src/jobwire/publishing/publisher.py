"""What all publishers have in common: they accept, and never get in the way of the job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from jobwire.names import checked_key, checked_name
from jobwire.publishing.endpoint import Endpoint
from jobwire.publishing.envelope import current_trace, encoded
from jobwire.publishing.outbox import Limits, Statistics
from jobwire.publishing.sender import JobSender
from jobwire.tokens import Token

_Self = TypeVar("_Self", bound="Publisher")

# How long the end of a `with` waits for what is not stored yet, in seconds.
CLOSE_PATIENCE = 10.0

_log = logging.getLogger("jobwire")


class Publisher:
    """Accepts events at once and has them stored in the background."""

    def __init__(
        self,
        job_id: str,
        kind: str,
        url: str | None,
        token: Token,
        nats_options: Mapping[str, Any] | None,
        limits: Limits,
    ) -> None:
        self.job_id = checked_name("job", job_id)
        self.kind = checked_name("kind", kind)
        self._arguments = (url, token, nats_options, limits)
        self._sender = JobSender(self.kind, self.job_id, Endpoint(url, token, nats_options), limits)

    @property
    def statistics(self) -> Statistics:
        """What became of the events so far; a copy."""
        return replace(self._sender.outbox.statistics)

    @property
    def waiting(self) -> int:
        """How many events are not acknowledged yet."""
        return self._sender.outbox.waiting()

    def flush(self, timeout: float = CLOSE_PATIENCE) -> bool:
        """Wait until nothing is left to be stored; False if that takes longer, in seconds."""
        return self._sender.outbox.wait_until_empty(timeout)

    def close(self, timeout: float = CLOSE_PATIENCE) -> None:
        """Wait as `flush` does, and log what is left. What is left is still sent if it can be."""
        if not self.flush(timeout):
            _log.warning("job %s: %d events still wait", self.job_id, self.waiting)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def _accept(
        self,
        event_type: str,
        data: Mapping[str, Any] | None = None,
        iteration: float | None = None,
        stage: str | None = None,
        timestamp: str | None = None,
        key: str | None = None,
    ) -> None:
        """Take an event. Whatever is wrong is logged: a report must not end what it reports on."""
        try:
            body = encoded(event_type, data, iteration, stage, timestamp)
            key = None if key is None else checked_key(key)
            self._sender.put(event_type, body, key, current_trace())
        except Exception:
            _log.exception("job %s: a %s event is not published", self.job_id, event_type)
