"""Publishing to JetStream: one event at a time, each acknowledged before the next is sent.

Several at a time would be faster, and could change their order when one of them is lost on its way
and sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from jobwire.publishing.outbox import BatchLimits
from jobwire.publishing.transport import Batch, Outage, Rejected

_CONNECT_TIMEOUT = 5.0
_ACKNOWLEDGE_TIMEOUT = 5.0
_PING_TIMEOUT = 2.0
# JetStream's own number for a message that is too large for the stream.
_TOO_LARGE = 10054

_log = logging.getLogger("jobwire")


class NatsTransport:
    """One connection to NATS, made anew whenever it is lost."""

    limits = BatchLimits(events=1)

    def __init__(self, servers: Sequence[str], options: Mapping[str, Any]) -> None:
        self._servers = list(servers)
        self._options = dict(options)
        self._client: Client | None = None
        self._connecting: asyncio.Task[Client] | None = None
        self._awaited: set[asyncio.Task[Any]] = set()
        self._error: Exception | None = None

    async def send(self, batch: Batch) -> int:
        """Store an event, and return 1 if it was stored before, else 0."""
        envelope = batch.envelopes[0]
        subject = f"jobs.{batch.kind}.{batch.job_id}.{envelope.event_type}"
        message_id = f"{batch.kind}/{batch.job_id}/{batch.key}"
        headers = {"Nats-Msg-Id": message_id, **dict(envelope.trace)}
        client = await self._connected()
        try:
            return await self._acknowledged(client, subject, envelope.body, headers)
        except nats.js.errors.NoStreamResponseError:
            raise Outage(f"no stream takes {subject}") from None
        except nats.js.errors.APIError as refusal:
            if refusal.err_code == _TOO_LARGE:
                raise Rejected(0, str(refusal.description)) from refusal
            raise Outage(f"the stream refuses: {refusal.description}") from refusal
        except nats.errors.MaxPayloadError as refusal:
            raise Rejected(0, "it is larger than the server's max_payload") from refusal
        except (OSError, nats.errors.Error, asyncio.TimeoutError) as failure:
            await self._check(client)
            raise Outage(self._reason(failure)) from failure

    def retire(self) -> None:
        """Close the connection; who still needs it makes another."""
        client, self._client = self._client, None
        if client is not None:
            task = asyncio.ensure_future(_close(client))
            self._awaited.add(task)
            task.add_done_callback(self._awaited.discard)

    async def _acknowledged(
        self, client: Client, subject: str, body: bytes, headers: dict[str, Any]
    ) -> int:
        publish = client.jetstream().publish(
            subject, body, timeout=_ACKNOWLEDGE_TIMEOUT, headers=headers
        )
        task = asyncio.ensure_future(publish)
        self._awaited.add(task)
        try:
            # A connection that closes cancels the task, not the one who waits for it.
            await asyncio.wait([task])
            if task.cancelled():
                raise nats.errors.ConnectionClosedError
            return 1 if task.result().duplicate else 0
        finally:
            task.cancel()
            self._awaited.discard(task)

    async def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.ensure_future(self._connect())
        try:
            return await asyncio.shield(self._connecting)
        except (
            OSError,
            nats.errors.Error,
            asyncio.TimeoutError,
            ValueError,
            ImportError,
        ) as failure:
            raise Outage(self._reason(failure)) from failure

    async def _connect(self) -> Client:
        self._error = None
        connecting = nats.connect(
            self._servers,
            name="jobwire publisher",
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            # Not the library's own reconnecting: it keeps what was not sent, and sends it later.
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            **self._options,
        )
        self._client = await asyncio.wait_for(connecting, _CONNECT_TIMEOUT)
        return self._client

    async def _check(self, client: Client) -> None:
        """Keep a connection on which nothing but this event went wrong."""
        try:
            await client.flush(timeout=int(_PING_TIMEOUT))
        except Exception:
            await _close(client)

    async def _on_error(self, error: Exception) -> None:
        self._error = error
        _log.debug("NATS: %r", error)

    async def _on_closed(self) -> None:
        for task in list(self._awaited):
            task.cancel()

    def _reason(self, failure: BaseException) -> str:
        known = self._error or failure
        return str(known) or type(known).__name__

    def __str__(self) -> str:
        # Without user and password.
        places = (urlsplit(server) for server in self._servers)
        return ", ".join(
            f"{place.scheme}://{place.hostname}:{place.port or 4222}" for place in places
        )


async def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        await client.close()
