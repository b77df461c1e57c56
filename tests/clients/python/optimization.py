"""Watches one job on the shared connection, as the tools of that system do.

It remembers the last id, comes back 2 s after a close, and pings every 30 s.
"""

import asyncio
import json

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from contract import OptimizationContract, Violation, is_final
from report import report, run


class Watcher:
    def __init__(self, address, job, after, ping_every):
        self.url = f"ws://{address}/ws/optimization"
        self.job = job
        self.last_event_id = after
        self.ping_every = ping_every
        self.contract = OptimizationContract(job, after)
        self.is_over = False

    async def watch(self):
        while not self.is_over:
            try:
                await self.watch_once()
            except (OSError, InvalidMessage):
                report(closed=None)
            if not self.is_over:
                await asyncio.sleep(2)

    async def watch_once(self):
        async with connect(self.url) as socket:
            report(open=True)
            await self.send(socket, "subscribe", afterEventId=self.last_event_id)
            pings = asyncio.create_task(self.ping(socket))
            try:
                while not self.is_over:
                    text = await socket.recv()
                    report(text=text if isinstance(text, str) else None)
                    await self.on_message(socket, self.contract.receive(text))
            except ConnectionClosed as closed:
                report(closed=closed.rcvd.code if closed.rcvd else None)
            finally:
                pings.cancel()

    async def on_message(self, socket, message):
        events = [message["event"]] if message["type"] == "event" else message.get("data", [])
        for event in events:
            self.last_event_id = event["id"]
        if events and is_final(events[-1]):
            await self.send(socket, "unsubscribe")
        if message["type"] == "unsubscribed":
            # A button that is pressed too late.
            await self.send(socket, "replay", afterEventId=0)
        if message["type"] == "error":
            if message["error"] not in ("Job not found", "Not subscribed to job"):
                raise Violation(f"an error that this client does not know: {message!r}")
            self.is_over = True

    async def send(self, socket, request, **fields):
        await socket.send(json.dumps({"type": request, "jobId": self.job, **fields}))

    async def ping(self, socket):
        while True:
            await asyncio.sleep(self.ping_every / 1000)
            await socket.send('{"type": "ping"}')


async def watch(address, job, after=None, pingEvery=30_000):
    await Watcher(address, job, after, pingEvery).watch()


run(watch)
