"""What a server sends, cut into units: a WebSocket frame, or a block of an event stream.

Only as much of both formats as a man in the middle needs. Frames of servers are not masked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

_TEXT, _CLOSE = 1, 8
_MASKED = 0x80


@dataclass(frozen=True)
class Unit:
    """Bytes that belong together, and what they say."""

    raw: bytes
    message: dict[str, Any] | None = None
    closing: tuple[int, str] | None = None

    @property
    def kind(self) -> str | None:
        """The message's type."""
        return None if self.message is None else self.message.get("type")

    @property
    def ids(self) -> list[int]:
        """Ids of the events in it."""
        message: dict[str, Any] = self.message or {}
        events = [message.get("event")] if self.kind == "event" else message.get("data") or []
        return [event["id"] for event in events if event and self.kind in ("event", "replay")]


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[Unit]:
    """Frames of either side, until the connection ends."""
    while True:
        try:
            yield await _frame(reader)
        except asyncio.IncompleteReadError:
            return


async def _frame(reader: asyncio.StreamReader) -> Unit:
    head = await reader.readexactly(2)
    length, more = head[1] & 0x7F, b""
    if length >= 126:
        more = await reader.readexactly(2 if length == 126 else 8)
        length = int.from_bytes(more, "big")
    mask = await reader.readexactly(4) if head[1] & _MASKED else b""
    payload = await reader.readexactly(length)
    plain = _unmasked(payload, mask) if mask else payload
    raw = head + more + mask + payload
    match head[0] & 0x0F:
        case 1:
            return Unit(raw, _object(plain))
        case 8:
            return Unit(raw, None, (int.from_bytes(plain[:2], "big"), plain[2:].decode()))
    return Unit(raw)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    pad = (mask * (len(payload) // 4 + 1))[: len(payload)]
    xor = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return xor.to_bytes(len(payload), "big")


def text_frame(text: bytes) -> bytes:
    """A text frame as a server sends it; at most 64 KiB."""
    size = len(text)
    head = bytes([0x80 | _TEXT, size]) if size < 126 else bytes([0x80 | _TEXT, 126])
    return head + (b"" if size < 126 else size.to_bytes(2, "big")) + text


async def blocks(reader: asyncio.StreamReader, is_chunked: bool) -> AsyncIterator[Unit]:
    """Blocks of an event stream, each as one chunk of its own; at the end the last chunk."""
    rest = b""
    async for part in _chunks(reader) if is_chunked else _parts(reader):
        *whole, rest = (rest + part).split(b"\n\n")
        for block in whole:
            block += b"\n\n"
            raw = _chunk(block) if is_chunked else block
            yield Unit(raw, _told(block))
    if is_chunked:
        yield Unit(b"0\r\n\r\n")


async def _parts(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while part := await reader.read(65_536):
        yield part


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _told(block: bytes) -> dict[str, Any] | None:
    """The block in the words of the WebSocket."""
    lines = dict(line.split(b": ", 1) for line in block.splitlines() if b": " in line)
    if b"retry" in lines:
        return {"type": "retry", "milliseconds": int(lines[b"retry"])}
    data = _object(lines.get(b"data", b""))
    if data is None:
        return None
    return {"type": "event", "event": data} if b"id" in lines else {"type": "error", **data}


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
