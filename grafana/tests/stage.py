"""A stage: a NATS server, gateways, and a Prometheus that scrapes them and evaluates the rules."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml
from project import RULE_FILES, program

# How long something that has to happen is waited for, in seconds.
PATIENCE = 60.0
SCRAPED_EVERY = "500ms"


def free_port():
    """A port that nobody has, below those that outgoing connections take: it has to be free again for a restart."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.socket() as bound:
            bound.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def eventually(what, look, patience=PATIENCE, pause=0.05):
    """Looks again and again until there is an answer that is true."""
    deadline = time.monotonic() + patience
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not so after {patience:.0f} s")
        time.sleep(pause)
    return answer


def fetched(url):
    """The text at an address, or None while nobody answers well."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


class Stage(contextlib.ExitStack):
    """Whatever begins on it ends with it, the last first."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder


class Process:
    """A program that is started, and ended by us alone. What it says is kept in its folder."""

    def __init__(self, stage, name):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=stage.folder))
        self.process = None
        stage.callback(self.end)

    def launch(self, command, **environment):
        with open(self.folder / "log", "ab") as log:
            settings = {**os.environ, **environment}
            self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, env=settings)

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGKILL):
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait(PATIENCE)


class NatsServer(Process):
    def __init__(self, stage):
        super().__init__(stage, "nats")
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.start()
        self.apply()

    def apply(self):
        """Creates the stream as the gateway wants it."""
        command = [program("JOBWIRE_BIN"), "stream", "apply", "--nats-url", self.url]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)

    def start(self):
        self.launch([program("NATS_SERVER"), "-js", "-a", "127.0.0.1", "-p", self.port, "-sd", self.folder / "store"])
        eventually("NATS listens", self._listens)

    def _listens(self):
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def request(self, subject, payload=b""):
        """Asks for something in the protocol of NATS, which is lines, and returns the answer."""
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as stream,
            stream.makefile("rb") as lines,
        ):
            begin = b'CONNECT {"verbose":false}\r\nSUB answer.%d 1\r\n' % os.getpid()
            stream.sendall(
                begin + b"PUB %s answer.%d %d\r\n%s\r\n" % (subject.encode(), os.getpid(), len(payload), payload)
            )
            for line in lines:
                if line.startswith(b"MSG"):
                    return json.loads(lines.read(int(line.split()[-1])))
        raise AssertionError(f"{subject}: no answer")

    def delete_consumers(self):
        """Deletes all there are, and so the tails of all gateways."""
        for name in self.request("$JS.API.CONSUMER.NAMES.JOBS")["consumers"] or []:
            self.request(f"$JS.API.CONSUMER.DELETE.JOBS.{name}")


class Gateway(Process):
    def __init__(self, stage, nats, *options, **environment):
        super().__init__(stage, "gateway")
        self.port, self.admin_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.admin = f"127.0.0.1:{self.admin_port}"
        command = [program("JOBWIRE_BIN"), "serve", "--nats-url", nats.url, "--listen", self.address]
        self.command = [*command, "--admin-listen", self.admin, "--workers", "1", *options]
        self.environment = environment
        self.start()

    def start(self):
        self.launch(self.command, **self.environment)
        eventually("the gateway is ready", self._is_ready)

    def _is_ready(self):
        assert self.process.poll() is None, self.log()
        return fetched(f"http://{self.admin}/readyz")

    def metrics(self):
        return fetched(f"http://{self.admin}/metrics")


class Prometheus(Process):
    """Scrapes gateways as the job jobwire. The rules are evaluated as often, and made quicker if that is wanted."""

    def __init__(self, stage, gateways, quicker=1):
        super().__init__(stage, "prometheus")
        self.port = free_port()
        rules = self.folder / "rules"
        rules.mkdir()
        for path in RULE_FILES:
            (rules / path.name).write_text(hastened(path.read_text(), quicker))
        configuration = {
            "global": {
                "scrape_interval": SCRAPED_EVERY,
                "scrape_timeout": SCRAPED_EVERY,
                "evaluation_interval": SCRAPED_EVERY,
            },
            "rule_files": [f"{rules}/*.yaml"],
            "scrape_configs": [
                {
                    "job_name": "jobwire",
                    "static_configs": [{"targets": [gateway.admin for gateway in gateways]}],
                }
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self.launch(
            [
                program("PROMETHEUS"),
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=warn",
            ]
        )
        eventually("Prometheus is ready", self._is_ready)

    def _is_ready(self):
        assert self.process.poll() is None, self.log()
        return fetched(f"http://127.0.0.1:{self.port}/-/ready")

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def values(self, query):
        """The numbers that a query gives now; one that is none (0/0) is no answer."""
        answer = self.ask("query", query=query)
        samples = [answer["result"]] if answer["resultType"] == "scalar" else [row["value"] for row in answer["result"]]
        return [float(value) for _, value in samples if value != "NaN"]

    def rules(self):
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def alerts(self, state):
        """Names of the alerts that are in a state: pending or firing."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == state}


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def hastened(text, quicker):
    """Rules with all ranges and waits divided. Their groups are evaluated as often as is scraped."""

    def divided(found):
        return f"{found[1]}{max(1, round(int(found[2]) * SECONDS[found[3]] / quicker))}s{found[4]}"

    text = re.sub(r"(?m)^    interval: .*\n", "", text)
    if quicker == 1:
        return text
    return re.sub(r"(\[|\n        for: )(\d+)([smhd])(\]|(?=\n))", divided, text)
