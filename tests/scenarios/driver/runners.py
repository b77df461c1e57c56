"""The clients' runners: where they are, and what each of them can do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Runner:
    """A program that keeps the contract of README.md."""

    client: str
    command: list[str]
    transports: frozenset[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def _python(*arguments: str) -> Runner:
    source = {"PYTHONPATH": str(ROOT / "clients/python/src")}
    return Runner("python", [sys.executable, *arguments], frozenset({"websocket"}), source)


PYTHON = _python(str(ROOT / "clients/python/tests/scenario.py"))
TYPESCRIPT = Runner(
    "typescript",
    ["node", str(ROOT / "clients/typescript/test/scenario.mjs")],
    frozenset({"websocket", "sse"}),
)
CLIENTS = ("typescript", "python", "cli")


def found() -> list[Runner]:
    """Every runner there is."""
    return [TYPESCRIPT, PYTHON, *_cli()]


def broken(defect: str) -> Runner:
    """The Python client's runner, with a defect between it and whoever reads it."""
    return _python(str(HERE / "broken_runner.py"), defect, *PYTHON.command)


def _cli() -> list[Runner]:
    """The command line's runner: `cli_runner`, or with an ending that says who runs it."""
    programs = {".py": [sys.executable], ".mjs": ["node"], ".sh": ["bash"], "": []}
    paths = [path for path in sorted(HERE.glob("cli_runner*")) if path.suffix in programs]
    transports = frozenset({"websocket"})
    return [Runner("cli", [*programs[path.suffix], str(path)], transports) for path in paths[:1]]
