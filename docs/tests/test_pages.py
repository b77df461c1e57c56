"""Whoever types what docs/start says gets what it says."""

import re

import pytest
from browser import Browser
from markdown import ROOT, blocks
from reader import Reader

START = sorted((ROOT / "docs" / "start").glob("*.md"))
# What a reader does with these is typing or saving; what cannot be done here stands in blocks without a language.
DONE = {"sh", "python", "js", "ts", "html", "toml", "yaml", "json", "conf"}


@pytest.fixture
def reader(request, tmp_path):
    reader = Reader(ROOT / "docs" / "start" / request.param, tmp_path)
    yield reader
    reader.close()


def test_there_is_a_page_for_everybody():
    assert [page.stem for page in START] == ["front-end", "platform", "python", "sre"]


@pytest.mark.parametrize("page", START, ids=lambda page: page.stem)
def test_a_page_is_short_and_leaves_nothing_untried(page):
    text = page.read_text()
    assert text.count("\n") < 120
    untried = [block.line for block in blocks(text) if block.language in DONE and not block.marks]
    assert not untried, f"{page.name}: blocks in lines {untried} are neither run nor saved"


@pytest.mark.parametrize("reader", ["python.md", "platform.md", "sre.md"], indirect=True)
def test_everything_works_as_it_is_told(reader):
    reader.read()


@pytest.mark.parametrize("reader", ["front-end.md"], indirect=True)
def test_the_page_shows_the_job_to_its_end(reader):
    reader.read()
    with Browser(reader.folder / ".browser") as browser:
        browser.open(f"http://127.0.0.1:{reader.port('8000')}/page.html")
        browser.shows("ended")
        told = re.findall(r"#\d+ (\w+)", browser.text())
        assert told == ["job_started", "progress", "progress", "job_completed"]
        browser.open(f"http://127.0.0.1:{reader.port('8000')}/element.html")
        browser.shows("Nightly build")
        browser.shows("completed")
