"""A gateway that does what a test tells it, to play what the real one does rarely."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

Part = Callable[["Visit"], Awaitable[None]]


class Visit:
    """One connection of a client."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self._connection = connection
        self.number = number
        self.heard: list[dict[str, Any]] = []

    @property
    def token(self) -> str | None:
        request = self._connection.request
        header = None if request is None else request.headers.get("Authorization")
        return None if header is None else header.removeprefix("Bearer ")

    async def hear(self, kind: str = "subscribe") -> dict[str, Any]:
        """Return the client's next message of a type; pings are answered."""
        while True:
            message = json.loads(await self._connection.recv())
            self.heard.append(message)
            if message["type"] == "ping":
                await self.say(type="pong")
            if message["type"] == kind:
                return dict(message)

    async def say(self, **message: Any) -> None:
        await self._connection.send(json.dumps(message))

    async def say_text(self, text: str) -> None:
        await self._connection.send(text)

    async def subscribed(self, last: int = 0, epoch: str = "one") -> None:
        await self.say(type="subscribed", jobId="job", lastEventId=last, epoch=epoch)

    async def event(self, number: int, event_type: str = "progress", **more: Any) -> None:
        await self.say(type="event", jobId="job", event=event(number, event_type, **more))

    async def replay(self, *numbers: int) -> None:
        await self.say(type="replay", jobId="job", data=[event(number) for number in numbers])

    async def position(self, number: int) -> None:
        await self.say(type="position", jobId="job", id=number, caughtUp=True)

    async def error(self, code: str, **more: Any) -> None:
        await self.say(type="error", jobId="job", error=f"it is {code}", code=code, **more)

    async def close(self, code: int, reason: str = "") -> None:
        await self._connection.close(code, reason)

    async def cut(self) -> None:
        self._connection.transport.abort()

    async def rest(self) -> None:
        """Stay until the client goes."""
        await self._connection.wait_closed()


class Stage:
    """What the scripted gateway has seen."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.url = ""

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse the upgrade, as often as the test wants."""
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        body = json.dumps({"error": "not today", "code": f"CODE_{status}"})
        response = connection.respond(HTTPStatus(status), body)
        for name, value in headers.items():
            response.headers[name] = value
        return response


@asynccontextmanager
async def scripted(*parts: Part) -> AsyncIterator[Stage]:
    """Serve one part for each connection; after the last one the gateway is silent."""
    stage = Stage()

    async def visited(connection: ServerConnection) -> None:
        visit = Visit(connection, len(stage.visits))
        stage.visits.append(visit)
        if visit.number < len(parts):
            await parts[visit.number](visit)
        else:
            await visit.rest()

    server: Server
    async with serve(
        visited, "127.0.0.1", 0, process_request=stage.answer, ping_interval=None, close_timeout=1
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        stage.url = f"http://127.0.0.1:{port}"
        yield stage


def event(number: int, event_type: str = "progress", **more: Any) -> dict[str, Any]:
    return {"id": number, "eventType": event_type, "timestamp": "2026-03-01T10:00:00Z", **more}


async def patiently() -> None:
    """Give the client time to do what it should not."""
    await asyncio.sleep(0.2)
