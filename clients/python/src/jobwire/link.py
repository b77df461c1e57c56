"""One connection to a gateway: opened with a token, kept alive, closed. Knows no jobs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.http11 import Response

from jobwire.errors import ProtocolError, Refused
from jobwire.tokens import TokenFailed, TokenSource

_OPEN_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 1.0
# The gateway's messages have 256 KiB, or one event of 512 KiB.
_LARGEST_MESSAGE = 4 * 1024 * 1024
# Messages read ahead; the rest waits in the gateway, and costs nothing there.
_READ_AHEAD = 2
# How often something is said, so that a slow reader is not taken for a dead one. In seconds.
_PING_EVERY = 20.0
# Without any message for so long, though pings are answered by one, the connection is dead.
SILENCE = 50.0

# A token is asked for again not before this time, and at the latest after the other. In seconds.
_RENEWAL_PAUSE = 1.0
_LONGEST_PAUSE = 30.0

_TRY_LATER = frozenset({408, 425, 429})


class LinkLost(Exception):
    """There is no connection, or no longer.

    `wait` is the seconds that the gateway asks to wait, if it does. `code` is the close code.
    """

    def __init__(self, reason: str, code: int | None = None, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.wait = wait


class Rejected(ProtocolError):
    """The gateway closed because of what this client sent, and would again."""


class Link:
    """A connection that is open."""

    def __init__(self, connection: ClientConnection, tokens: TokenSource) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._is_dropped = False
        self._attendants = [
            asyncio.ensure_future(_keep_alive(connection)),
            asyncio.ensure_future(_renew(connection, tokens)),
        ]

    async def send(self, text: str) -> None:
        """Send a message, or raise LinkLost."""
        try:
            await self._connection.send(text)
        except ConnectionClosed as closed:
            raise _lost(closed) from closed

    async def receive(self, timeout: float = SILENCE) -> str | bytes:
        """Return the next message.

        Raises LinkLost if none comes in time, ProtocolError or Refused if none ever will.
        """
        # Not `wait_for`: before Python 3.12 it may lose a cancellation.
        watchdog = self._loop.call_later(timeout, self._drop)
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            if self._is_dropped:
                raise LinkLost(f"no sign of life for {timeout:.0f} s") from closed
            raise _lost(closed) from closed
        finally:
            watchdog.cancel()

    async def close(self) -> None:
        """Say goodbye; without an answer in a second, just go."""
        self._dismiss()
        goodbye = asyncio.gather(self._connection.close(), self._read_out())
        with contextlib.suppress(WebSocketException, asyncio.TimeoutError, OSError):
            await asyncio.wait_for(goodbye, _CLOSE_TIMEOUT)
        self._connection.transport.abort()

    async def _read_out(self) -> None:
        # The answer to the goodbye is behind what was not read.
        while True:
            await self._connection.recv()

    def abandon(self) -> None:
        """Go without a word, from whatever thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the connection
            self._loop.call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
        self._is_dropped = True
        self._dismiss()
        self._connection.transport.abort()

    def _dismiss(self) -> None:
        for attendant in self._attendants:
            attendant.cancel()


async def open_link(url: str, tokens: TokenSource, is_new: bool) -> Link:
    """Connect, with one more try where the token is not good and another can be had.

    Raises LinkLost if that may succeed later, and Refused if not. `is_new` is whether the address
    has never worked: then an answer that is no gateway's is final.
    """
    try:
        token = await tokens.current()
        try:
            return Link(await _connected(url, token), tokens)
        except InvalidStatus as refusal:
            if refusal.response.status_code != 401 or not tokens.is_renewable:
                raise
        return Link(await _connected(url, await tokens.renewed()), tokens)
    except InvalidStatus as refusal:
        raise _refusal(refusal.response, is_new) from refusal
    except InvalidURI as failure:
        raise Refused("INVALID_ADDRESS", str(failure)) from failure
    except TokenFailed as failure:
        raise LinkLost(str(failure)) from failure
    except (OSError, EOFError, asyncio.TimeoutError, WebSocketException) as failure:
        raise LinkLost(f"cannot connect: {failure or type(failure).__name__}") from failure


async def _connected(url: str, token: str | None) -> ClientConnection:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await connect(
        url,
        additional_headers=headers,
        compression=None,
        open_timeout=_OPEN_TIMEOUT,
        close_timeout=_CLOSE_TIMEOUT,
        # Pongs wait behind what a slow reader has not read; `_keep_alive` does without them.
        ping_interval=None,
        max_size=_LARGEST_MESSAGE,
        max_queue=_READ_AHEAD,
    )


async def _keep_alive(connection: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(_PING_EVERY)
            await connection.send('{"type":"ping"}')


async def _renew(connection: ClientConnection, tokens: TokenSource) -> None:
    """Bring a new token before the old one expires, for as long as that is known."""
    with contextlib.suppress(ConnectionClosed):
        pause = _RENEWAL_PAUSE / 2
        while (wait := tokens.renew_in()) is not None:
            # Whoever fails, or gives one that is as good as expired, is asked less and less often.
            # The gateway closes with 4001 when it is too late.
            is_early = wait > _RENEWAL_PAUSE
            pause = _RENEWAL_PAUSE / 2 if is_early else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(max(wait, pause))
            with contextlib.suppress(TokenFailed):
                token = await tokens.renewed()
                await connection.send(json.dumps({"type": "auth", "token": token}))


def _lost(closed: ConnectionClosed) -> LinkLost:
    frame = closed.rcvd
    if frame is None:
        if closed.sent is not None and closed.sent.code in _ENDS:
            raise ProtocolError(f"this client closed the connection: {closed}") from closed
        return LinkLost("the connection broke")
    if (end := _ENDS.get(frame.code)) is not None:
        raise end(f"the gateway closed with {frame.code}: {frame.reason}") from closed
    wait = _hint(frame.reason) if frame.code == 1012 else None
    return LinkLost(f"closed with {frame.code}: {frame.reason}", frame.code, wait)


def _forbidden(reason: str) -> Refused:
    return Refused("FORBIDDEN", reason)


_ENDS: dict[int, Callable[[str], Exception]] = {
    1002: Rejected,
    1003: Rejected,
    1007: Rejected,
    1008: _forbidden,
    1009: Rejected,
}


def _hint(reason: str) -> float | None:
    # At most two minutes: nobody may make a client wait for ever.
    return min(int(reason), 120_000) / 1000 if reason.isascii() and reason.isdigit() else None


def _refusal(response: Response, is_new: bool) -> Exception:
    status = response.status_code
    sentence, code = _explained(response)
    is_final = status in (401, 403) or (is_new and 300 <= status < 500 and status not in _TRY_LATER)
    if is_final:
        return Refused(code or f"HTTP_{status}", sentence or f"the answer was {status}")
    retry_after = response.headers.get("Retry-After", "")
    return LinkLost(f"the answer was {status}: {sentence or code}", None, _seconds(retry_after))


def _explained(response: Response) -> tuple[str, str]:
    try:
        body = json.loads(response.body or b"")
        return str(body["error"]), str(body["code"])
    except (ValueError, KeyError, TypeError):
        return "", ""


def _seconds(text: str) -> float | None:
    return min(float(text), 120.0) if text.isascii() and text.isdigit() else None
