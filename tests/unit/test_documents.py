# SPDX-License-Identifier: MIT
"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from luo_tui.cli.parser import CODES, command_line
from luo_tui.model import Condition, Stamps
from luo_tui.update.blackout import blackout
from luo_tui.update.prediction import MOST

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "kernel/README.md",
    "luo_tui/docs/security.md",
    "luo_tui/docs/blackout.md",
    "luo_tui/docs/fleet.md",
)
NAMED = re.compile(r"`((?:luo_tui|kernel|tests|screenshots)/[^`*<> ]*)`")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    for path in NAMED.findall(text):
        assert (ROOT / path.partition("::")[0]).exists(), path
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
    text = (ROOT / "luo_tui/docs/security.md").read_text()
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


def test_the_play_runs_commands_that_there_are() -> None:
    text = (ROOT / "luo_tui/docs/fleet.md").read_text()
    play = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert play is not None
    lines = re.findall(r"ansible\.builtin\.command: luo-tui (.+)", play[1])
    assert len(lines) >= 5
    for line in lines:
        given = re.sub(r"\{\{ [\w.]+ \}\}", "x", line).split()
        assert command_line().parse_args(given).command == given[0]
    # Each step of a list begins with its name, two blanks further in than its list.
    assert not re.search(r"\t", play[1])


def test_the_blackouts_phases_are_those_that_are_measured() -> None:
    text = (ROOT / "luo_tui/docs/blackout.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ", text, re.MULTILINE)[2:]
    measured = blackout(Stamps(1000, 1, 2, 3, 4, 5, 6))
    assert measured is not None
    assert rows == [phase.name for phase in measured.phases]
    longer = Stamps(1000, 1, 2, 3, 4, 5, 6_000_000)
    split = blackout(longer, Condition(init_up=1.0, arrived_up=2.0))
    assert split is not None
    assert re.findall(r"^- ([a-z].*)$", text, re.MULTILINE) == [p.name for p in split.phases[2:]]
    assert f"the last {('one', 'two', 'three', 'four', 'five')[MOST - 1]} windows" in text
