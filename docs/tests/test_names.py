"""What documents name exists: options, environment variables, metrics, paths.

Only what stands in code is looked at: spans of it, and lines that begin with `jobwire`.
"""

import os
import re
import subprocess
from functools import cache

import pytest
import yaml
from markdown import ROOT, blocks, documents, name_of

# One worker: what they share is made once.
pytestmark = pytest.mark.xdist_group("names")
# Histories and measurements of other programs name what is not ours.
LEFT_OUT = {"CHANGELOG.md"}
# Options of other programs, in prose of ours.
OF_OTHERS = {"--away", "--build-arg", "--case", "--check", "--client", "--experimental-websocket", "--group",
             "--job-progress-bar", "--scenario", "--set", "--token", "--volumes", "--without"}  # fmt: skip
# Variables of other parts: clients, tests, images, and what they are built with.
OTHER_SOURCES = ["clients", "tests", "helm", "benches", "compose.yaml", "Makefile", "Dockerfile", "nats", "docs/check"]


def spans(text):
    prose = "\n".join(re.split(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL))
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)


def commands(text):
    """Lines with the program's name at the beginning or after its path."""
    lines = [line for block in blocks(text) for line in block.text.replace("\\\n", " ").splitlines()]
    return [line for line in [*lines, *spans(text)] if re.match(r"(\S*/)?jobwire ", line)]


@cache
def help_of(*command):
    program = os.environ["JOBWIRE_BIN"]
    return subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True).stdout


@cache
def helps():
    """What every command and the commands below it tell of themselves."""
    told, waiting = [], [()]
    while waiting:
        command = waiting.pop()
        text = help_of(*command)
        told.append(text)
        listed = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
        names = re.findall(r"^  (\w[\w-]*)", listed[1], re.MULTILINE) if listed else []
        waiting += [(*command, name) for name in names if name != "help"]
    return "\n".join(told)


@cache
def known_options():
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", helps())) | OF_OTHERS


@cache
def known_variables():
    told = set(re.findall(r"\b(?:JOBWIRE|NATS)_[A-Z_]+\b", helps()))
    told |= set(re.findall(r"`((?:JOBWIRE|NATS)_[A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    grep = ["git", "grep", "-hoE", r"\b(JOBWIRE|NATS)_[A-Z_]+\b", "--", *OTHER_SOURCES, ":!*.md"]
    return told | set(subprocess.run(grep, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


@cache
def known_metrics():
    found = set()
    for source in (ROOT / "src").rglob("*.rs"):
        found |= set(re.findall(r'"(jobwire_[a-z_]+)"', source.read_text()))
    return found


@cache
def known_paths():
    """Every described path, of a request or a WebSocket."""
    requests = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())["paths"]
    channels = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())["channels"].values()
    return [*requests, *(channel["address"] for channel in channels)]


def is_path(name):
    """Whether it is a described path, with anything for its parameters, or the beginning of one."""
    patterns = (re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) for path in known_paths())
    if any(re.fullmatch(pattern, name) for pattern in patterns):
        return True
    return name.endswith("/") and any(path.startswith(name) for path in known_paths())


def options_in(text):
    lines = [*commands(text), *(span for span in spans(text) if span.startswith("--"))]
    return [option for line in lines for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)]


def unknown(text):
    """Everything that a document names and that is not there."""
    yield from (option for option in options_in(text) if not is_among(known_options(), option))
    variables = re.findall(r"\b(?:JOBWIRE|NATS)_[A-Z_]+\b", text)
    yield from (variable for variable in variables if not is_among(known_variables(), variable))
    for metric in re.findall(r"\bjobwire_[a-z_]+\b", text):
        family = re.sub(r"_(bucket|sum|count)$", "", metric)
        if not is_among(known_metrics(), metric) and family not in known_metrics():
            yield metric
    for path in re.findall(r"(?<![\w.])/(?:api|ws)/[^\s`\"'?)>]+|/(?:live|ready)z|/metrics", " ".join(spans(text))):
        if not is_path(path.rstrip("…")):
            yield path


def is_among(known, name):
    """Whether it is one of them or, where it ends in a dash, the beginning of one."""
    return name in known or name[-1] in "-_" and any(one.startswith(name) for one in known)


def test_there_is_something_to_compare_with():
    assert {"--listen", "--nats-url", "--replicas"} <= known_options()
    assert {"JOBWIRE_LISTEN", "NATS_URL", "JOBWIRE_TOKEN"} <= known_variables()
    assert "jobwire_connections" in known_metrics()


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_what_is_named_exists(document):
    if name_of(document) in LEFT_OUT:
        return
    found = sorted(set(unknown(document.read_text())))
    assert not found, f"{name_of(document)} names {', '.join(found)}"


def test_a_name_that_does_not_exist_would_be_found():
    text = "`--lisen` `JOBWIRE_LISEN` `jobwire_conections` `/api/v1/job`\n```\njobwire serve --windo 1\n```\n"
    assert set(unknown(text)) == {"--lisen", "JOBWIRE_LISEN", "jobwire_conections", "/api/v1/job", "--windo"}
    assert not list(unknown("`--listen` `jobwire_catch_up_page_seconds_bucket` `/api/v1/jobs/a/b` `/readyz`"))
