"""Load: what producers and watchers do on a good day, for as long as it is wanted."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import socket
import threading
import time
import urllib.error
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

SECRET = "a secret of the tests that has 32 bytes or more"
KINDS = ("optimization", "training", "agent", "beam-search")
HISTORY = 6_000
ENDS = ("job_completed", "job_failed", "job_cancelled")


def token(**claims):
    def part(value):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    said = part({"alg": "HS256"}) + b"." + part({"exp": int(time.time()) + 3600, **claims})
    return (said + b"." + part(hmac.digest(SECRET.encode(), said, hashlib.sha256))).decode()


def request(gateway, path, lines=None, **headers):
    """The status of an answer; None if there was none."""
    body = None if lines is None else "\n".join(map(json.dumps, lines)).encode()
    kind = {"Content-Type": "application/x-ndjson"} if lines is not None else {}
    asked = urllib.request.Request(f"http://{gateway.address}{path}", body, {**kind, **headers})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def publish(gateway, kind, job, *types, **event):
    return request(gateway, f"/api/v1/jobs/{kind}/{job}/events", [{"eventType": name, **event} for name in types])


def store_history(gateway):
    """More than the smallest window holds, so that it is read in pages."""
    for _ in range(HISTORY // 500):
        status = publish(gateway, "optimization", "history", *["progress"] * 500, data={"text": "x" * 1_000})
        assert status == 201, status


class Load:
    """Runs until it is stopped, in a thread of its own. Faults of others do not end it: it tries again."""

    def __init__(self, stage, gateways, guarded=None):
        stage.callback(self.stop)
        self.gateways = gateways
        self.guarded = guarded
        self._done = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._produce, self._ask, self._watch_all)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._done.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "the load does not end"

    def _produce(self):
        """Ten events a second of the job that is watched, and each second a job that begins and ends."""
        for number in itertools.count():
            if self._done.wait(0.1):
                return
            publish(self.gateways[0], "optimization", "live", "progress", data={"progress": number % 100 / 100})
            if number % 10 == 0:
                kind = KINDS[number // 10 % len(KINDS)]
                end = ENDS[number // 10 % len(ENDS)]
                publish(self.gateways[0], kind, f"short-{number}", "job_created", "job_started", "progress", end)

    def _ask(self):
        """What clients without WebSockets do, and tokens, good and bad."""
        while not self._done.wait(0.5):
            for gateway in self.gateways:
                request(gateway, "/api/v1/jobs?limit=5")
                request(gateway, "/api/v1/jobs/optimization/live")
                request(gateway, "/nothing/here")
            if self.guarded:
                good = token(watch=["*/*"])
                for credentials in (good, good, good, "nonsense"):
                    request(self.guarded, "/api/v1/jobs", Authorization=f"Bearer {credentials}")

    def _watch_all(self):
        asyncio.run(self._watch())

    async def _watch(self):
        watchers = [
            task
            for gateway in self.gateways
            for task in (
                *[self._again(self._follow, gateway) for _ in range(3)],
                self._again(self._read_history, gateway),
                self._again(self._short_visit, gateway, "/ws/agent-progress/live"),
                self._again(self._short_visit, gateway, "/api/v1/training-jobs/short-10/stream"),
            )
        ]
        watching = asyncio.gather(*watchers)
        while not self._done.is_set():
            await asyncio.sleep(0.1)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    async def _again(self, watch, *place):
        while True:
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                await watch(*place)
            await asyncio.sleep(0.5)

    async def _follow(self, gateway):
        """A watcher that stays."""
        async with connect(f"ws://{gateway.address}/ws/optimization") as socket_:
            await socket_.send(json.dumps({"type": "subscribe", "jobId": "live"}))
            async for _ in socket_:
                pass

    async def _read_history(self, gateway):
        """One that comes with an old cursor, reads what there is and goes."""
        async with (
            asyncio.timeout(10),
            connect(f"ws://{gateway.address}/ws/optimization", max_size=None) as socket_,
        ):
            wanted = {"type": "subscribe", "jobId": "history", "afterEventId": 1, "position": True}
            await socket_.send(json.dumps(wanted))
            async for message in socket_:
                if json.loads(message)["type"] == "position":
                    return
        await asyncio.sleep(2)

    async def _short_visit(self, gateway, path):
        async with asyncio.timeout(2), connect(f"ws://{gateway.address}{path}") as socket_:
            async for _ in socket_:
                pass


class Sleeper:
    """A client that asks for everything and never reads."""

    def __init__(self, stage, gateway):
        self.socket = socket.socket()
        stage.callback(self.socket.close)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.connect(("127.0.0.1", gateway.port))
        wanted = json.dumps({"type": "subscribe", "jobId": "history", "afterEventId": 1}).encode()
        self.socket.sendall(
            b"GET /ws/optimization HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            # A masked text frame whose mask is nothing.
            + bytes([0x81, 0x80 | len(wanted), 0, 0, 0, 0])
            + wanted
        )
