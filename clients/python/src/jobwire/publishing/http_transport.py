"""Publishing over HTTP: one request for one event, or for many with one event a line."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from jobwire.addresses import Gateway
from jobwire.publishing.daemon_threads import DaemonThreads
from jobwire.publishing.outbox import BatchLimits
from jobwire.publishing.transport import Batch, Outage, Rejected
from jobwire.tokens import TokenFailed, TokenSource

# The gateway gives an answer within 38 s.
_TIMEOUT = 45.0
# No pause that the gateway asks for is longer. In seconds.
_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class _Answer:
    status: int
    body: dict[str, Any]
    retry_after: str

    @property
    def wait(self) -> float:
        digits = self.retry_after
        return min(float(digits), _LONGEST_WAIT) if digits.isascii() and digits.isdigit() else 0.0

    @property
    def reason(self) -> str:
        return f"{self.body.get('error', 'an answer that is no JSON')} ({self.status})"


class HttpTransport:
    """A gateway that takes events."""

    # 1,000 lines and 4 MiB are possible; less is answered sooner.
    limits = BatchLimits(events=500)

    def __init__(self, gateway: Gateway, tokens: TokenSource, threads: DaemonThreads) -> None:
        self._gateway = gateway
        self._tokens = tokens
        self._threads = threads

    async def send(self, batch: Batch) -> int:
        """Store a batch, and return how many of its events were stored before."""
        answer = await self._asked(batch, await self._token(is_new=False))
        if answer.status == 401 and self._tokens.is_renewable:
            answer = await self._asked(batch, await self._token(is_new=True))
        if answer.status == 201:
            return sum(event.get("duplicate") is True for event in _events(answer.body))
        if answer.body.get("code") == "INVALID_EVENT":
            raise Rejected(_index(answer.body, batch), answer.reason)
        is_part = "events" in answer.body and answer.status >= 500
        stored = len(_events(answer.body)) if is_part else None
        raise Outage(answer.reason, answer.wait, stored)

    def retire(self) -> None:
        """Do nothing: every request has a connection of its own."""

    async def _token(self, is_new: bool) -> str | None:
        try:
            return await (self._tokens.renewed() if is_new else self._tokens.current())
        except TokenFailed as failure:
            raise Outage(str(failure)) from failure

    async def _asked(self, batch: Batch, token: str | None) -> _Answer:
        request = _request(self._gateway.events(batch.kind, batch.job_id), batch, token)
        try:
            return await asyncio.wrap_future(self._threads.submit(lambda: _answer(request)))
        except (OSError, HTTPException, ValueError) as failure:
            raise Outage(str(failure) or type(failure).__name__) from failure

    def __str__(self) -> str:
        return str(self._gateway)


def _request(url: str, batch: Batch, token: str | None) -> urllib.request.Request:
    bodies = [envelope.body for envelope in batch.envelopes]
    is_one = len(bodies) == 1
    headers = {
        "Content-Type": "application/json" if is_one else "application/x-ndjson",
        "Idempotency-Key": batch.key,
        **dict(batch.envelopes[0].trace),
    }
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return urllib.request.Request(url, b"\n".join(bodies), headers, method="POST")


def _answer(request: urllib.request.Request) -> _Answer:
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return _Answer(answer.status, _json(answer.read()), "")
    except urllib.error.HTTPError as failure:
        with failure:
            retry_after = failure.headers.get("Retry-After", "")
            return _Answer(failure.code, _json(failure.read()), retry_after)


def _json(body: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(body)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _events(body: dict[str, Any]) -> list[dict[str, Any]]:
    events = body.get("events", [body])
    return [event for event in events if isinstance(event, dict)]


def _index(body: dict[str, Any], batch: Batch) -> int:
    line = body.get("line")
    return line - 1 if isinstance(line, int) and 1 <= line <= len(batch.envelopes) else 0
