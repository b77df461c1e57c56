"""What the proxy does to what a server sends on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from driver.units import Unit, text_frame


class Cut(Exception):
    """The connection breaks here: with a reset, or with an orderly end of the bytes."""

    def __init__(self, is_orderly: bool) -> None:
        super().__init__()
        self.is_orderly = is_orderly


@dataclass(frozen=True)
class Fault:
    """One fault at one place. README.md tells the fields."""

    do: str
    connection: int = 0
    unit: int = 0
    event: int = 0
    bytes: int = 0
    seconds: float = 0.0
    units: int = 1
    text: str = ""
    raw: str = ""
    status: int = 0
    closing: int = 0
    requests: int = 0
    retry_after: int = 0

    def is_at(self, unit: int, before: int, events: int) -> bool:
        """Whether it is in the unit of this number, which ends with so many events."""
        return unit == self.unit if self.unit else before < self.event <= events


class Tampering:
    """The faults of one connection."""

    def __init__(
        self,
        faults: Sequence[Fault],
        send: Callable[[bytes], Awaitable[None]],
        pause: Callable[[], None],
    ) -> None:
        self._faults = faults
        self._send = send
        self._pause = pause
        self._units = 0
        self._events = 0
        self._held: list[tuple[int, Unit]] = []
        self._swallows = False

    async def pass_on(self, unit: Unit) -> None:
        """Send a unit, or what a fault makes of it. Raises Cut where the connection breaks."""
        self._units += 1
        before, self._events = self._events, self._events + len(unit.ids)
        found = (fault for fault in self._faults if fault.is_at(self._units, before, self._events))
        fault = next(found, None)
        if fault is None:
            await self._pass(unit)
        else:
            await self._do(fault, unit)
        due = [held for until, held in self._held if until <= self._units]
        self._held = [(until, held) for until, held in self._held if until > self._units]
        for held in due:
            await self._pass(held)

    async def _pass(self, unit: Unit) -> None:
        if not self._swallows:
            await self._send(unit.raw)

    async def _do(self, fault: Fault, unit: Unit) -> None:
        match fault.do:
            case "cut" | "end":
                await self._send(unit.raw[: fault.bytes])
                raise Cut(is_orderly=fault.do == "end")
            case "delay":
                await asyncio.sleep(fault.seconds)
                await self._pass(unit)
            case "pause":
                await self._pass(unit)
                self._pause()
            case "repeat":
                await self._send(unit.raw * 2)
            case "hold":
                self._held.append((self._units + fault.units, unit))
            case "drop":
                pass
            case "swallow":
                self._swallows = True
            case "insert":
                await self._send(unit.raw + inserted(fault.text, fault.raw))


def inserted(text: str, raw: str) -> bytes:
    """Bytes that no server has sent: a text frame, or whatever the hexadecimal digits say."""
    return bytes.fromhex(raw) if raw else text_frame(text.encode())
