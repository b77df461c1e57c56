"""Sends what waits of one job, in order, until all of it is acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
import time

from jobwire.backoff import Backoff
from jobwire.publishing.endpoint import Endpoint
from jobwire.publishing.envelope import Envelope, Trace
from jobwire.publishing.outbox import Limits, Outbox
from jobwire.publishing.transport import Batch, Outage, Rejected, Transport
from jobwire.publishing.worker import register, worker

_LONGEST_PAUSE = 5.0

_log = logging.getLogger("jobwire")


class JobSender:
    """The events of one publisher, and their way to the stream."""

    def __init__(self, kind: str, job_id: str, endpoint: Endpoint, limits: Limits) -> None:
        self._kind = kind
        self._job_id = job_id
        self._endpoint = endpoint
        self._limits = limits
        self.begin_anew()
        register(self)

    def begin_anew(self) -> None:
        """Begin with nothing: at first, and in the child after a fork."""
        self.outbox = Outbox(self._limits)
        self._order = threading.Lock()
        self._numbers = itertools.count(1)
        # Of its own in each process: else a child's events would pass for the parent's.
        self._name = os.urandom(9).hex()
        self._transport: Transport | None = None
        self._backoff = Backoff(first=0.25, longest=_LONGEST_PAUSE)
        self._cut_off_since: float | None = None
        self._dropped = 0

    def put(self, event_type: str, body: bytes, key: str | None, trace: Trace) -> None:
        """Add an event, and have it sent."""
        # Numbers and the queue have to agree, whichever thread publishes.
        with self._order:
            envelope = Envelope(next(self._numbers), event_type, body, key, trace)
            needs_sender, dropped = self.outbox.put(envelope)
        self._count_dropped(dropped)
        if needs_sender:
            try:
                crew = worker()
                self._transport = self._transport or self._endpoint.transport(crew)
                crew.start(self)
            except BaseException:
                self.outbox.sender_failed()
                raise

    async def send(self) -> None:
        """Send until nothing waits. A batch is sent again, unchanged, until its fate is known."""
        transport = self._transport
        if transport is None:
            raise RuntimeError("a sender was started without a way to the stream")
        while envelopes := self.outbox.take(transport.limits):
            key = envelopes[0].key or f"{self._name}-{envelopes[0].sequence}"
            batch: Batch | None = Batch(self._kind, self._job_id, key, envelopes)
            while batch is not None:
                batch = await self._sent(transport, batch)

    async def _sent(self, transport: Transport, batch: Batch) -> Batch | None:
        """Send a batch once, and return what of it has to be sent again before anything else."""
        try:
            duplicates = await transport.send(batch)
        except Rejected as rejection:
            self._leave_out(rejection)
            return None
        except Outage as outage:
            rest = batch if outage.stored is None else self._rest(batch, outage.stored)
            await self._pause(outage, transport)
            return rest
        self.outbox.acknowledge(len(batch.envelopes), duplicates)
        self._reached(transport)
        return None

    def _leave_out(self, rejection: Rejected) -> None:
        # Nothing of the batch is stored: what is left may go as if it were new.
        refused = self.outbox.refuse(rejection.index)
        _log.error(
            "job %s: a %s event is refused, and left out: %s",
            self._job_id,
            refused.event_type,
            rejection.reason,
        )

    def _rest(self, batch: Batch, stored: int) -> Batch:
        """Go on behind the stored beginning of a batch, with the event whose fate is not known."""
        self.outbox.acknowledge(stored)
        self.outbox.keep_only_first()
        if len(batch.envelopes) == 1:
            return batch
        # If it was stored, then under the batch's key with its line.
        key = f"{batch.key}/{stored + 1}"
        return Batch(batch.kind, batch.job_id, key, batch.envelopes[stored : stored + 1])

    async def _pause(self, outage: Outage, transport: Transport) -> None:
        if self._cut_off_since is None:
            self._cut_off_since = time.monotonic()
            _log.warning(
                "job %s: events wait for %s: %s",
                self._job_id,
                transport,
                outage.reason,
            )
        await asyncio.sleep(self._backoff.next_delay(at_least=outage.wait))

    def _reached(self, transport: Transport) -> None:
        self._backoff.succeeded()
        since, self._cut_off_since = self._cut_off_since, None
        dropped, self._dropped = self._dropped, 0
        if since is not None:
            seconds = time.monotonic() - since
            _log.warning("job %s: %s again after %.1f s", self._job_id, transport, seconds)
        if dropped:
            _log.warning("job %s: %d events were dropped meanwhile", self._job_id, dropped)

    def _count_dropped(self, count: int) -> None:
        if count and not self._dropped:
            _log.warning(
                "job %s: the buffer is full; the oldest events are dropped until there is room",
                self._job_id,
            )
        self._dropped += count
