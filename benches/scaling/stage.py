"""Processes that are measured: nats-servers, gateways, and who publishes to them.

Everything listens on this machine, at ports that were free, and ends with the stage.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
STREAM = {
    "name": "JOBS",
    "subjects": ["jobs.>"],
    "storage": "file",
    "allow_direct": True,
    "max_consumers": 100_000,
    "deny_delete": True,
    "deny_purge": True,
}
EVENT_BYTES = 260
START_WITHIN = 30.0


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(what, condition):
    """Waits until `condition` gives something true, and returns it."""
    end = time.monotonic() + START_WITHIN
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"{what}: not within {START_WITHIN:.0f} s")


def payload(size=EVENT_BYTES):
    """A progress event of `size` bytes."""
    head = b'{"eventType":"progress","iteration":1,"data":{"note":"'
    tail = b'"},"timestamp":"2026-01-02T03:04:05.678Z"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


class Process:
    """A program that runs until the stage ends."""

    def __init__(self, arguments, environment=None):
        self.log = tempfile.TemporaryFile()
        self.child = subprocess.Popen(
            arguments, env={**os.environ, **(environment or {})}, stdout=self.log, stderr=subprocess.STDOUT
        )

    def cpu(self):
        """Processor time so far in seconds, user and system, of all threads that live."""
        total = 0
        for thread in pathlib.Path(f"/proc/{self.child.pid}/task").iterdir():
            try:
                total += int((thread / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                continue
        return total / 1e9

    def memory(self):
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def end(self):
        """Kills it, and waits until it is gone."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()


class Broker(Process):
    """A nats-server, alone or one of a cluster."""

    def __init__(self, executable, storage, name, port, routes):
        self.port = port
        configuration = pathlib.Path(storage) / f"{name}.conf"
        lines = [
            f'server_name: "{name}"',
            'host: "127.0.0.1"',
            f"port: {port}",
            f'jetstream {{ store_dir: "{storage}/{name}" }}',
        ]
        if len(routes) > 1:
            peers = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes.values())
            lines.append(f'cluster {{ name: "scaling", listen: "127.0.0.1:{routes[name]}", routes: [{peers}] }}')
        configuration.write_text("\n".join(lines) + "\n")
        super().__init__([executable, "-c", str(configuration)])


class Gateway(Process):
    """`jobwire serve` beside a broker."""

    def __init__(self, executable, broker_port, settings):
        self.port, self.admin = free_port(), free_port()
        environment = {
            "JOBWIRE_LISTEN": f"127.0.0.1:{self.port}",
            "JOBWIRE_ADMIN_LISTEN": f"127.0.0.1:{self.admin}",
            "NATS_URL": f"nats://127.0.0.1:{broker_port}",
            **settings,
        }
        super().__init__([executable, "serve"], environment)
        eventually("a gateway that is ready", self.is_ready)

    def is_ready(self):
        """Whether it has read the stream to its end."""
        try:
            return self.get("/readyz") is not None
        except (urllib.error.URLError, ConnectionError):
            return False

    def get(self, path):
        """An answer of the admin address."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name):
        """The sum of a metric over its labels."""
        lines = re.findall(rf"^{name}(?:\{{.*\}})? ([0-9.e+]+)$", self.get("/metrics"), re.M)
        return sum(float(value) for value in lines)


class Publisher:
    """One connection to a broker that publishes at a rate, and counts acknowledgements."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB _acks.> 1\r\nPING\r\n')
        self.acknowledged = 0
        self.rest = b""
        time.sleep(0.2)
        self.take()

    def request(self, subject, body):
        """One question, and the JSON of its answer; empty if none comes, as of a cluster without a leader."""
        self.socket.sendall(f"PUB {subject} _acks.one {len(body)}\r\n".encode() + body + b"\r\n")
        self.socket.settimeout(2)
        text = b""
        try:
            while b"}\r\n" not in text:
                text += self.socket.recv(65_536)
        except TimeoutError:
            return {}
        finally:
            self.socket.settimeout(None)
        return json.loads(text[text.index(b"{") : text.rindex(b"}") + 1])

    def take(self):
        """Reads what is there, without waiting."""
        self.socket.setblocking(False)
        try:
            while chunk := self.socket.recv(1 << 20):
                self.rest += chunk
        except BlockingIOError:
            pass
        self.socket.setblocking(True)
        self.acknowledged += self.rest.count(b"MSG _acks.")
        if b"PING\r\n" in self.rest:
            self.socket.sendall(b"PONG\r\n")
        self.rest = b""

    def publish(self, numbers, jobs, body, first=0):
        """Events of the jobs in turn, one for each number; `first` is the first job's."""
        tail = f" _acks.e {len(body)}\r\n".encode() + body + b"\r\n"
        self.socket.sendall(
            b"".join(b"PUB jobs.optimization.load-%d.progress" % (first + number % jobs) + tail for number in numbers)
        )

    def run(self, rate, seconds, tick=0.001, jobs=100, size=EVENT_BYTES):
        """Publishes at a rate and returns how many events, once all are acknowledged.

        What has become due in a tick (seconds) leaves at once.
        """
        body, sent, start = payload(size), 0, time.monotonic()
        asked = self.acknowledged
        while sent < rate * seconds:
            due = min(int((time.monotonic() - start) * rate), int(rate * seconds))
            self.publish(range(sent, due), jobs, body)
            sent = due
            self.take()
            time.sleep(tick)
        eventually("acknowledgements", lambda: self.take() or self.acknowledged - asked >= sent)
        return sent

    def fill(self, count, jobs=100, size=EVENT_BYTES, first=0):
        """Publishes as quickly as events are acknowledged."""
        body, asked = payload(size), self.acknowledged
        for begin in range(0, count, 500):
            self.publish(range(begin, min(begin + 500, count)), jobs, body, first)
            while self.acknowledged - asked < begin - 1_000:
                self.take()
        eventually("acknowledgements", lambda: self.take() or self.acknowledged - asked >= count)


class Stage:
    """Brokers with the stream, gateways, and a publisher; a context that ends them all."""

    def __init__(self, executables, servers=1, stream=None):
        self.executables, self.servers, self.stream = executables, servers, stream or {}
        self.gateways, self.brokers = [], []

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="jobwire-scaling-")
        names = [f"n{number}" for number in range(self.servers)]
        routes = {name: free_port() for name in names}
        for name in names:
            self.brokers.append(Broker(self.executables["nats"], self.folder.name, name, free_port(), routes))
        for broker in self.brokers:
            eventually("a nats-server", lambda port=broker.port: listens(port))
        self.publisher = Publisher(self.brokers[0].port)
        stream = json.dumps({**STREAM, **self.stream, "num_replicas": self.servers}).encode()
        eventually("the stream", lambda: "config" in self.publisher.request("$JS.API.STREAM.CREATE.JOBS", stream))
        return self

    def gateway(self, **settings):
        """Starts one more, at the brokers in turn."""
        port = self.brokers[len(self.gateways) % self.servers].port
        self.gateways.append(Gateway(self.executables["jobwire"], port, settings))
        return self.gateways[-1]

    def broker_cpu(self):
        """Of all brokers together."""
        return sum(broker.cpu() for broker in self.brokers)

    def gateway_cpu(self):
        """Of all gateways together."""
        return sum(gateway.cpu() for gateway in self.gateways)

    def __exit__(self, *_):
        for process in self.gateways + self.brokers:
            process.end()
        self.folder.cleanup()


def listens(port):
    """Whether somebody accepts connections at a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def received(process):
    """Bytes that came to a process over its connections to others, by the kernel's count."""
    lines = subprocess.run(["ss", "-tinpH"], capture_output=True, text=True, check=True).stdout
    blocks = re.findall(rf"pid={process.child.pid},.*\n.*?bytes_received:(\d+)", lines)
    return sum(int(count) for count in blocks)
