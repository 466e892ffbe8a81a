# SPDX-License-Identifier: MIT
"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from luo_tui.cli.main import CODES

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "kernel/README.md")
NAMED = re.compile(r"`((?:luo_tui|kernel|tests|screenshots)/[^`*<> ]*)`")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    for path in NAMED.findall(text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert ((ROOT / document).parent / path).exists(), path


def test_every_example_that_is_named_is_in_its_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = re.findall(r"\| `(\w+)` in `([^`]+)` \|", text)
    assert len(found) >= 3
    for name, path in found:
        assert f"class {name}" in (ROOT / path).read_text(), name


def test_the_readme_has_every_exit_code() -> None:
    text = (ROOT / "README.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE))
    assert rows == {str(int(code)): said for code, said in CODES.items()}


def test_every_threat_names_tests_that_are_there() -> None:
    text = (ROOT / "luo_tui/SECURITY.md").read_text()
    table = text.partition("## Threats")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    rows = [row for row in rows if not row.startswith("| ---")]
    assert len(rows) >= 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for path, name in named:
            source = (ROOT / path).read_text()
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), (path, name)
