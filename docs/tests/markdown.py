"""Markdown as the checks need it: which documents there are, their blocks, links and anchors."""

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def documents():
    """Every Markdown file of the repository, also one that is not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for path in map(ROOT.joinpath, listed.splitlines()) if path.exists()]


def name_of(path):
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A block of code; `marks` are the words after its language."""

    language: str
    marks: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self):
        """The name under which it is to be saved, if it is."""
        return next((mark.removeprefix("file=") for mark in self.marks if mark.startswith("file=")), None)


def blocks(text):
    for found in FENCE.finditer(text):
        language, *marks = found["info"].split() or [""]
        yield Block(language, tuple(marks), found["text"], text.count("\n", 0, found.start()) + 1)


def without_code(text):
    """The same lines, with blocks and spans of code taken out."""
    text = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda span: "\n" * span[0].count("\n"), text, flags=re.DOTALL)


def links(text):
    """Yields line and target of every link and picture."""
    prose = without_code(text)
    for found in re.finditer(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", prose, re.MULTILINE):
        yield prose.count("\n", 0, found.start()) + 1, found[1] or found[2]


def anchors(text):
    """The anchors that GitHub gives the headings of a document."""
    taken = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = taken.get(anchor, 0)
        taken[anchor] = number + 1
        yield f"{anchor}-{number}" if number else anchor
    yield from re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text)
