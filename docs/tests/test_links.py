"""Every link between files of the repository leads to a file, and to a heading in it."""

from urllib.parse import unquote

import pytest
from markdown import ROOT, anchors, documents, links, name_of

def problem(document, target):
    """Why a link leads nowhere; None if it does not."""
    path, _, anchor = target.partition("#")
    goal = (document.parent / unquote(path)).resolve() if path else document
    if not goal.is_relative_to(ROOT):
        return "leads out of the repository"
    if not goal.exists():
        return "leads to no file"
    if anchor and goal.suffix == ".md" and unquote(anchor) not in anchors(goal.read_text()):
        return "leads to no heading"
    return None


def test_there_are_documents():
    assert len(documents()) > 20
    assert sum(1 for document in documents() for _ in links(document.read_text())) > 60


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_links_lead_somewhere(document):
    found = []
    for line, target in links(document.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        if complaint := problem(document, target):
            found.append(f"{name_of(document)}:{line}: {target} {complaint}")
    assert not found, "\n".join(found)


def test_a_broken_link_would_be_found():
    readme = ROOT / "README.md"
    assert problem(readme, "docs/protocol.md#names") is None
    assert problem(readme, "docs/protocol.md#no-such-heading") == "leads to no heading"
    assert problem(readme, "docs/no-such-file.md") == "leads to no file"
    assert problem(readme, "../elsewhere.md") == "leads out of the repository"
