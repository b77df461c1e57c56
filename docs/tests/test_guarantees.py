"""Every promise names a test that exists."""

import re

from markdown import ROOT

GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()
SOURCES = [*ROOT.glob("tests/**/*.rs"), *ROOT.glob("src/**/*.rs"), *ROOT.glob("clients/python/tests/*.py")]


def test_the_tests_that_are_named_exist():
    named = set(re.findall(r"`(\w+_\w+_\w+_\w+)`", GUARANTEES)) - {"jobwire_stream_sequence", "jobwire_tail_sequence"}
    there = {name for source in SOURCES for name in re.findall(r"\b(?:fn|def) (\w+)\(", source.read_text())}
    assert len(named) > 20
    assert not named - there, f"no such tests: {sorted(named - there)}"
