"""A reader who does what a page says, from top to bottom, in a folder of its own.

    ```sh run               is typed into a terminal, and has to succeed
    ```sh run background    is typed into another terminal, and goes on until the end of the page
    ```text output          are lines that the block before it prints, with … for what differs each time;
                            others, such as a log's, may stand between them
    ```LANGUAGE file=NAME   is saved under this name

Only addresses differ from what the page says: ports are free ones, and `make dev` is the program that was
built before. `jobwire/` is a copy of the repository, as far as pages build from it.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from markdown import ROOT, blocks

# Seconds; a busy machine takes its time.
PATIENCE = 90
PROGRAMS = {"jobwire": "JOBWIRE_BIN", "nats-server": "NATS_SERVER"}
SAME = {"make dev": "jobwire dev --listen 127.0.0.1:8080 --admin-listen 127.0.0.1:8081"}
PORTS = re.compile(r"\b(4222|8000|808[0-9]|8222)\b")


def free_port():
    """A port that nobody listens on, below those that outgoing connections take."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Reader:
    def __init__(self, page: Path, folder: Path):
        self.page = page
        self.folder = folder
        self.ports = {}
        self.terminals = []
        self.programs = folder / ".programs"
        self.programs.mkdir()
        for name, variable in PROGRAMS.items():
            (self.programs / name).symlink_to(os.environ[variable])
        self.copy_repository()

    def copy_repository(self):
        """What pages need of it; a copy where a build writes."""
        copy = self.folder / "jobwire"
        client = copy / "clients" / "typescript"
        built = shutil.ignore_patterns("node_modules", "dist", ".scratch", "test")
        shutil.copytree(ROOT / "clients" / "typescript", client, ignore=built)
        (client / "node_modules").symlink_to(ROOT / "docs" / ".node" / "node_modules")
        for name in ("LICENSE", "nats", "helm"):
            (copy / name).symlink_to(ROOT / name)

    def port(self, written):
        """The port that stands for one that the page names."""
        return self.ports.setdefault(written, str(free_port()))

    def here(self, text):
        """A text of the page with this reader's addresses."""
        for written, meant in SAME.items():
            text = text.replace(written, meant)
        return PORTS.sub(lambda found: self.port(found[0]), text)

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not re.match(r"(JOBWIRE|NATS|PYTHON)_?", name)}
        return {
            **kept,
            "PATH": f"{self.programs}:{ROOT / 'docs' / '.venv' / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
            "PYTHONUNBUFFERED": "1",
            # Where the client for Python looks unless it is told otherwise.
            "JOBWIRE_URL": f"http://127.0.0.1:{self.port('8080')}",
            "NATS_SERVER_BIN": os.environ["NATS_SERVER"],
            "npm_config_offline": "true",
            "npm_config_audit": "false",
            "npm_config_update_notifier": "false",
        }

    def read(self):
        """Does everything that the page says."""
        last = None
        for block in blocks(self.page.read_text()):
            if block.file:
                path = self.folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self.here(block.text))
            elif block.language == "sh" and "run" in block.marks:
                last = Terminal(self, block)
                self.terminals.append(last)
                if "background" not in block.marks:
                    last.succeed()
            elif block.marks == ("output",):
                last.show(block)

    def close(self):
        for terminal in reversed(self.terminals):
            terminal.end()


class Terminal:
    """One block that was typed. What one exports, and its functions, the next ones know, as in one terminal."""

    def __init__(self, reader, block):
        self.reader = reader
        self.where = f"{reader.page.name}:{block.line}"
        self.output = reader.folder / f".output-{block.line}"
        text = f"touch .exported; . ./.exported\n{reader.here(block.text)}"
        if "background" not in block.marks:
            text += "\n{ export -p; declare -f; } >.exported"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=reader.folder,
                env=reader.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def printed(self):
        return self.output.read_text()

    def succeed(self):
        code = self.process.wait(PATIENCE)
        assert code == 0, f"{self.where} ended with {code}:\n{self.printed()}"

    def show(self, block):
        """Waits until it has printed what a block of output says."""
        wanted = self.reader.here(block.text).strip()
        lines = (".*".join(map(re.escape, line.split("…"))) for line in wanted.splitlines())
        pattern = re.compile(r"\n(?:.*\n)*?".join(lines))
        end = time.monotonic() + PATIENCE
        while not pattern.search(self.printed()):
            is_late = time.monotonic() > end or self.process.poll() is not None
            assert not is_late or pattern.search(self.printed()), (
                f"{self.where} printed\n{self.printed()}\nand the page says\n{wanted}"
            )
            time.sleep(0.05)

    def end(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(PATIENCE)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
