"""A man in the middle between one client and its gateways, on the level of TCP and of frames.

Each TCP connection carries one request: the proxy asks servers to close after an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from driver.faults import Cut, Fault, Tampering, inserted
from driver.units import Unit, blocks, frames

_LARGEST_HEAD = 65_536


@dataclass
class Exchange:
    """One request of the client, and what became of it. Times are those of `time.monotonic`."""

    is_carrier: bool
    """Whether it is a WebSocket or an event stream, rather than a question that is answered."""
    is_upgrade: bool
    path: str
    began: float
    answered: float = 0.0
    ended: float = 0.0
    status: int = 0
    retry_after: float | None = None
    said: list[dict[str, Any]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)
    """Ids of the events that were sent to the client, or held or swallowed on the way."""
    closing: tuple[int, str] | None = None
    hint: tuple[float, float] | None = None
    """When the gateway said for how long to stay away, and for how many seconds."""
    writer: asyncio.StreamWriter | None = None


class Proxy:
    """Listens for one client. `upstream` says where the gateway is at the moment."""

    def __init__(self, faults: Sequence[Fault], small_buffers: bool) -> None:
        self.upstream: Callable[[], int] = lambda: 0
        self.on_end: Callable[[int], None] = lambda code: None
        """Called with each status of an answer and each close code, before the client hears it."""
        self.exchanges: list[Exchange] = []
        self.carriers: list[Exchange] = []
        """Those that were taken, in order."""
        self.errors: list[str] = []
        self._faults = faults
        self._small_buffers = small_buffers
        self._lets_in = asyncio.Event()
        self._flows = asyncio.Event()
        self._lets_in.set()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Return the address for the client."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Break everything off."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def act(self, what: str) -> None:
        """Do what a step says."""
        match what:
            case "cut":
                for exchange in self.exchanges:
                    if exchange.is_carrier and not exchange.ended and exchange.writer is not None:
                        _reset(exchange.writer)
            case "hold":
                self._lets_in.clear()
            case "release":
                self._lets_in.set()
            case "pause":
                self._flows.clear()
            case "resume":
                self._flows.set()

    def insert(self, text: str, raw: str) -> None:
        """Send to the client what no server has sent."""
        writer = self.carriers[-1].writer
        assert writer is not None
        writer.write(inserted(text, raw))

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # By `stop`. The streams of asyncio would log it as an error.
        except (OSError, asyncio.IncompleteReadError):
            _reset(writer)
        except Exception as error:
            self.errors.append(repr(error))
            _reset(writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        exchange = _exchange(head, writer)
        self.exchanges.append(exchange)
        try:
            if answer := self._own_answer(exchange):
                writer.write(answer)
                return await writer.drain()
            await self._lets_in.wait()
            await self._forward(head, exchange, reader, writer)
        finally:
            exchange.ended = time.monotonic()

    def _own_answer(self, exchange: Exchange) -> bytes | None:
        for fault in self._faults:
            if fault.do == "answer" and len(self.exchanges) <= fault.requests:
                exchange.status, exchange.retry_after = fault.status, float(fault.retry_after)
                exchange.answered = time.monotonic()
                return _refusal(fault.status, fault.retry_after)
        return None

    async def _forward(
        self,
        head: bytes,
        exchange: Exchange,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        upward, upwriter = await asyncio.open_connection(sock=await self._connected())
        try:
            upwriter.write(head if exchange.is_upgrade else _closing(head))
            answer = await upward.readuntil(b"\r\n\r\n")
            self._note_answer(exchange, answer)
            writer.write(answer)
            if exchange in self.carriers:
                await self._carry(exchange, answer, (reader, writer), (upward, upwriter))
            else:
                while part := await upward.read(_LARGEST_HEAD):
                    writer.write(part)
                await writer.drain()
        finally:
            upwriter.close()

    async def _connected(self) -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        if self._small_buffers:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            address = ("127.0.0.1", self.upstream())
            await asyncio.get_running_loop().sock_connect(connection, address)
        except BaseException:
            connection.close()
            raise
        return connection

    def _note_answer(self, exchange: Exchange, answer: bytes) -> None:
        exchange.answered = time.monotonic()
        exchange.status = int(answer.split(b" ", 2)[1])
        if waits := re.search(rb"(?i)\r\nretry-after: *(\d+)", answer):
            exchange.retry_after = float(waits[1])
        if exchange.status == 101 or b"text/event-stream" in answer:
            exchange.is_carrier = True
            self.carriers.append(exchange)
        self.on_end(exchange.status)

    async def _carry(
        self,
        exchange: Exchange,
        answer: bytes,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        is_socket = exchange.status == 101
        is_chunked = b"chunked" in answer.lower()
        units = frames(server[0]) if is_socket else blocks(server[0], is_chunked)
        down = asyncio.ensure_future(self._pass_down(exchange, units, client[1]))
        up = asyncio.ensure_future(_pass_up(exchange, client[0], server[1]))
        try:
            await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
            if down.done():
                down.result()
            else:
                _reset(server[1])
        except Cut as cut:
            if not cut.is_orderly:
                _reset(client[1])
        finally:
            for task in (down, up):
                task.cancel()
            await asyncio.gather(down, up, return_exceptions=True)

    async def _pass_down(
        self, exchange: Exchange, units: Any, writer: asyncio.StreamWriter
    ) -> None:
        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        number = self.carriers.index(exchange) + 1
        here = [fault for fault in self._faults if fault.connection == number]
        tampering = Tampering(here, send, self._flows.clear)
        while True:
            await self._flows.wait()
            unit: Unit | None = await anext(units, None)
            if unit is None:
                return
            _note_unit(exchange, unit)
            if unit.closing is not None:
                self.on_end(unit.closing[0])
            await tampering.pass_on(unit)


async def _pass_up(
    exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(OSError):
        async for unit in frames(reader):
            if unit.message is not None:
                exchange.said.append(unit.message)
            writer.write(unit.raw)
            await writer.drain()


def _note_unit(exchange: Exchange, unit: Unit) -> None:
    exchange.passed += unit.ids
    exchange.closing = unit.closing or exchange.closing
    if unit.kind is not None:
        exchange.heard.append(unit.kind)
    if unit.kind == "retry" and unit.message is not None:
        exchange.hint = (time.monotonic(), unit.message["milliseconds"] / 1000)
    if unit.closing is not None and unit.closing[0] == 1012:
        exchange.hint = (time.monotonic(), int(unit.closing[1]) / 1000)


def _exchange(head: bytes, writer: asyncio.StreamWriter) -> Exchange:
    path = head.split(b" ", 2)[1].decode()
    return Exchange(False, b"pgrade: " in head, path, time.monotonic(), writer=writer)


def _closing(head: bytes) -> bytes:
    kept = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)
    return kept.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def _refusal(status: int, retry_after: int) -> bytes:
    body = json.dumps({"error": "The gateway stops", "code": "DRAINING"}).encode()
    fields = [f"HTTP/1.1 {status} No", "Content-Type: application/json", "Connection: close"]
    fields += [f"Content-Length: {len(body)}", f"Retry-After: {retry_after}", "", ""]
    return "\r\n".join(fields).encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, as a machine does that has forgotten it."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
