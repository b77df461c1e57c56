"""docs/protocol-reference.md is what its sources give, and leaves nothing unsaid."""

import re
import subprocess
import sys

from markdown import ROOT

REFERENCE = ROOT / "docs" / "protocol-reference.md"


def test_the_reference_is_current():
    command = [sys.executable, ROOT / "docs" / "generate", "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_every_field_that_may_differ_has_a_meaning():
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| (?:always)? ?\|  \|$", REFERENCE.read_text(), re.MULTILINE)
    # A field with one value, or one of a list, says what it is by that.
    unsaid = [field for field, kind in rows if not re.fullmatch(r"(`[^`]+`(, )?)+", kind)]
    assert rows and not unsaid, unsaid


def test_every_message_and_resource_has_an_example_or_an_answer():
    for section in re.split(r"^#{3,4} (?=`|[A-Z]+ `)", REFERENCE.read_text(), flags=re.MULTILINE)[1:]:
        assert "```" in section or "| status |" in section, section
