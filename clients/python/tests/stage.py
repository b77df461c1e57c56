"""A stage for the tests: a NATS server, a gateway, and time to wait for what they do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.js.api import StreamConfig

T = TypeVar("T")

# How long a test waits for what has to happen, in seconds.
PATIENCE = 30.0
GLANCE = 0.02
SECRET = "a secret of the tests that has 32 bytes or more"


def program(variable: str) -> str:
    """Return a program that the tests cannot do without."""
    path = os.environ.get(variable, "")
    if not path or not os.access(path, os.X_OK):
        raise RuntimeError(f"set {variable} to an executable; it is {path!r}")
    return path


def free_port() -> int:
    """Return a port that nobody listens on, below those that outgoing connections take."""
    for port in range(20_000 + os.getpid() * 7 % 9_000, 32_000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                try:
                    tried.close()
                    with socket.socket() as bound:
                        bound.bind(("127.0.0.1", port))
                        return port
                except OSError:
                    continue
    raise RuntimeError("no free port")


def eventually(what: str, look: Callable[[], T | None], patience: float = PATIENCE) -> T:
    """Look again and again until there is an answer that is true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(GLANCE)
    raise AssertionError(f"{what}: not so after {patience} s")


async def within(what: str, awaited: Awaitable[T], patience: float = PATIENCE) -> T:
    """Await something for a bounded time."""
    try:
        return await asyncio.wait_for(awaited, patience)
    except asyncio.TimeoutError:
        raise AssertionError(f"{what}: did not happen within {patience} s") from None


class Process:
    """A server of the stage: started, killed, started again at the same place."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def _launch(self, arguments: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.lines = []
        self._process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        threading.Thread(target=self._read, args=(self._process, self.lines), daemon=True).start()

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.append(line)
                del lines[:-5_000]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return "".join(self.lines)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait(PATIENCE)


class NatsServer(Process):
    """A NATS server with JetStream, and the stream of events."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="jobwire-python-")
        self.port = free_port()
        self.start()
        self.apply()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        configuration = Path(self.folder) / "server.conf"
        configuration.write_text(
            "host: 127.0.0.1\nmax_payload: 1MB\n"
            "jetstream { max_file_store: 64GB, max_memory_store: 256MB }\n"
        )
        arguments = ["-c", str(configuration), "-p", str(self.port), "-sd", self.folder]
        self._launch([program("NATS_SERVER"), *arguments])
        eventually("the NATS server is ready", lambda: "Server is ready" in self.log())

    def apply(self) -> None:
        """Create the stream as the gateway wants it."""
        command = [program("JOBWIRE_BIN"), "stream", "apply", "--nats-url", self.url]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)

    def call(self, use: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with the stream."""

        async def called() -> T:
            client = await nats.connect(self.url)
            try:
                return await use(client.jetstream())
            finally:
                await client.close()

        # In a thread of its own: a test may have an event loop that runs.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(called())).result()

    def make_anew(self) -> None:
        """Delete the stream, and create it again, empty."""
        self.call(lambda stream: stream.delete_stream("JOBS"))
        self.apply()

    def limit(self, messages: int) -> None:
        """Let the stream keep no more than its newest messages."""

        async def limited(stream: Any) -> None:
            configuration: StreamConfig = (await stream.stream_info("JOBS")).config
            await stream.update_stream(configuration.evolve(max_msgs=messages))

        self.call(limited)

    def publish(self, job: str, event_type: str, count: int = 1, **event: Any) -> int:
        """Store events, and return the id of the last."""

        async def published(stream: Any) -> int:
            last = 0
            kind = event.pop("kind", "optimization")
            for _ in range(count):
                subject = f"jobs.{kind}.{job}.{event_type}"
                last = (await stream.publish(subject, json.dumps(event).encode())).seq
            return last

        return self.call(published)

    def stored(self, kind: str, job: str) -> list[dict[str, Any]]:
        """Return what is stored of a job, with the headers as `headers`."""

        async def read(stream: Any) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            subject = f"jobs.{kind}.{job}.>"
            reader = await stream.subscribe(subject, ordered_consumer=True)
            state = await reader.consumer_info()
            for _ in range(state.num_pending + state.delivered.consumer_seq):
                message = await reader.next_msg(timeout=PATIENCE)
                event = json.loads(message.data)
                found.append({**event, "headers": dict(message.headers or {})})
            return found

        return self.call(read)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Gateway(Process):
    """A gateway, always at the same address."""

    def __init__(self, nats_url: str, *options: str, **environment: str) -> None:
        super().__init__()
        self._nats_url = nats_url
        self._options = options
        self._environment = environment
        self.port = free_port()
        self.admin_port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/optimization"

    def start(self) -> None:
        addresses = ["--listen", f"127.0.0.1:{self.port}", "--admin-listen", "127.0.0.1:0"]
        command = [program("JOBWIRE_BIN"), "serve", "--nats-url", self._nats_url, "--workers", "1"]
        self._launch([*command, *addresses, *self._options], self._environment)
        found = eventually("the gateway tells its address", self._admin_address)
        self.admin_port = int(found[1])
        eventually("the gateway is ready", self._is_ready)

    def _admin_address(self) -> re.Match[str] | None:
        return re.search(r"admin on .*?:(\d+)", self.log())

    def _is_ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self.admin_port}/readyz"
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    def restart(self) -> None:
        """Kill it without a word, and start it again."""
        self.kill()
        self.start()


def token(seconds: float = 3600, **claims: Any) -> str:
    """Return a token that the gateway of the tests takes. It counts whole seconds."""
    return signed({"exp": int(time.time() + seconds), **claims})


def signed(claims: Mapping[str, Any]) -> str:
    parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "HS256"}, dict(claims))]
    signature = hmac.new(SECRET.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _base64(signature)])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
