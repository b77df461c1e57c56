"""The processes of a stage: a NATS server with the stream, and gateways."""

from __future__ import annotations

import asyncio
import base64
import calendar
import hashlib
import hmac
import json
import os
import re
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nats

SECRET = "a secret of the scenarios that has 32 bytes or more"
STREAM = "JOBS"
PATIENCE = 20.0


class Failed(Exception):
    """A server did not do what the stage needs."""


class Process:
    """A server that is started, ended, and started again."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.lines: deque[str] = deque(maxlen=200)

    async def _launch(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        self._reading = asyncio.ensure_future(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())

    async def _says(self, pattern: str) -> str:
        """Return what the pattern's group finds in the output."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self.lines:
                if found := re.search(pattern, line):
                    return found[1]
            if self._process is None or self._process.returncode is not None:
                break
            await asyncio.sleep(0.01)
        raise Failed(f"{self._program} did not say {pattern!r}:\n" + "\n".join(self.lines))

    def signal(self, number: int) -> None:
        """Send a signal to it."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
        if process is not None:
            await process.wait()
        if self._reading is not None:
            await self._reading


class NatsServer(Process):
    """A NATS server, and the stream of events in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(os.environ["NATS_SERVER"])
        self._folder = folder
        self.url = ""
        self._client: Any = None

    async def start(self) -> None:
        """Start it with a stream as the gateway wants it."""
        configuration = self._folder / "nats.conf"
        store = f'store_dir: "{self._folder}/nats", max_file_store: 64GB, max_memory_store: 64MB'
        configuration.write_text(
            f"host: 127.0.0.1\nport: -1\nmax_payload: 1MB\njetstream {{ {store} }}\n"
        )
        await self._launch(["-c", str(configuration)], {})
        port = await self._says(r"Listening for client connections on 127\.0\.0\.1:(\d+)")
        self.url = f"nats://127.0.0.1:{port}"
        await self._says("(Server is ready)")
        await self._apply()
        self._client = await nats.connect(self.url)

    async def stop(self) -> None:
        """End it, and the connection to it."""
        if self._client is not None:
            await self._client.close()
        await self.kill()

    async def _apply(self) -> None:
        command = [os.environ["JOBWIRE_BIN"], "stream", "apply", "--nats-url", self.url]
        pipe = asyncio.subprocess.PIPE
        applied = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        _, complaint = await applied.communicate()
        if applied.returncode:
            raise Failed(f"the stream cannot be made: {complaint.decode()}")

    async def publish(self, subject: str, event: Mapping[str, Any]) -> int:
        """Store an event; its id."""
        return await self.publish_text(subject, json.dumps(event))

    async def publish_text(self, subject: str, text: str) -> int:
        """Store whatever it is; its id."""
        return int((await self._client.jetstream().publish(subject, text.encode())).seq)

    async def last(self) -> int:
        """Return the stream's last id."""
        return int((await self._info())["state"]["last_seq"])

    async def epoch(self) -> str:
        """Return the epoch as the protocol defines it: the time of creation in nanoseconds."""
        whole, _, fraction = (await self._info())["created"].removesuffix("Z").partition(".")
        seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
        return f"{seconds * 10**9 + int(fraction.ljust(9, '0')):x}"

    async def _info(self) -> dict[str, Any]:
        answer = await self._client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"", timeout=PATIENCE)
        return dict(json.loads(answer.data))

    async def lose(self, last: int) -> None:
        """Let retention take everything up to this id."""
        stream = self._client.jetstream()
        configuration = (await stream.stream_info(STREAM)).config
        kept = await self.last() - last
        await stream.update_stream(configuration.evolve(max_msgs=kept))

    async def recreate(self) -> None:
        """Delete the stream, and make it anew."""
        await self._client.jetstream().delete_stream(STREAM)
        await self._apply()


class Gateway(Process):
    """A gateway."""

    def __init__(self, nats_url: str, options: Sequence[str]) -> None:
        super().__init__(os.environ["JOBWIRE_BIN"])
        self._arguments = ["serve", "--nats-url", nats_url, "--workers=1", *options]
        self._arguments += ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]
        self.port = 0
        self._admin_port = 0

    async def start(self, secret: str = SECRET) -> None:
        """Start it, and wait until it is ready."""
        # It complains about a secret that it has no use for.
        is_guarded = "--auth-mode=jwt" in self._arguments
        await self._launch(self._arguments, {"JOBWIRE_AUTH_SECRET": secret} if is_guarded else {})
        self.port = int(await self._says(r"^listening on .*:(\d+)"))
        self._admin_port = int(await self._says(r"^admin on .*:(\d+)"))
        deadline = time.monotonic() + PATIENCE
        while not (await self._asked("/readyz")).startswith("HTTP/1.1 200"):
            if time.monotonic() > deadline:
                raise Failed("the gateway is not ready:\n" + "\n".join(self.lines))
            await asyncio.sleep(0.01)

    def drain(self) -> None:
        """Stop it gently."""
        self.signal(signal.SIGTERM)

    async def metric(self, sample: str) -> float:
        """Return a sample of its metrics; 0 if it is not there."""
        for line in (await self._asked("/metrics")).splitlines():
            if line.startswith(f"{sample} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    async def _asked(self, path: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._admin_port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        try:
            return (await reader.read()).decode()
        finally:
            writer.close()


def token(seconds: float, secret: str) -> str:
    """Return a token for every job that expires after so many seconds."""
    claims = {"exp": int(time.time() + seconds), "watch": ["*/*"]}
    parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims)]
    signature = hmac.new(secret.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _base64(signature)])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
