# SPDX-License-Identifier: MIT
"""``luo-tui guests`` on this host, and the README's example as it is written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from luo_tui.cli import guests as command
from luo_tui.cli import main as cli
from luo_tui.errors import Exit
from luo_tui.guests.facts import GuestFacts
from luo_tui.guests.find import Found, find_guests
from tests.guests.machine import BARE, LONG, Machine

ROOT = Path(__file__).parents[2]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = cli.run(["guests", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def of(found: dict[str, Any], pid: int) -> dict[str, Any]:
    (guest,) = (g for g in found["guests"] if g["pid"] == pid)
    assert isinstance(guest, dict)
    return guest


def test_for_people_and_for_programs(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.boot(name="well-77")
    private = Machine(tmp_path)
    try:
        private.start("-name", "private-77", *BARE, "-S")
        code, found = told(capsys)
        assert code == Exit.OK
        assert of(found, machine.pid) == {
            "name": "well-77",
            "pid": machine.pid,
            "state": "running",
            "memory_bytes": 64 << 20,
            "qmp": str(machine.socket),
            "can_be_carried": True,
            "reasons": [],
            "warnings": [],
        }
        lost = of(found, private.pid)
        assert lost["can_be_carried"] is False
        assert [r["code"] for r in lost["reasons"]] == ["private-memory"]
        assert told(capsys, "check", "well-77")[0] == Exit.OK
        assert told(capsys, "check", "private-77")[0] == Exit.BLOCKED
        assert told(capsys, "check")[0] == Exit.BLOCKED
        assert cli.run(["guests", "check", "nobody-77"]) == Exit.NOT_FOUND
        assert "There is no guest nobody-77." in capsys.readouterr().err
        assert cli.run(["guests"]) == Exit.OK
        lines = capsys.readouterr().out.splitlines()
        at = next(n for n, line in enumerate(lines) if "private-77" in line)
        assert lines[at].endswith("prelaunch     64 MiB  would be lost")
        assert lines[at + 1].startswith("    why   private-memory: its memory")
        assert lines[at + 2].startswith("    do    Start it with -object memory-backend-memfd")
        with machine.monitor():
            code, found = told(capsys, "check", "well-77")
        assert code == Exit.DOUBTFUL
        guest = of(found, machine.pid)
        assert (guest["can_be_carried"], guest["state"], guest["memory_bytes"]) == (
            None,
            None,
            None,
        )
    finally:
        private.end()


def test_none_is_said_only_where_all_were_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def finds(*missing: str) -> None:
        guests: tuple[GuestFacts, ...] = ()
        monkeypatch.setattr("luo_tui.guests.find.find_guests", lambda **_: Found(guests, missing))

    finds()
    assert cli.run(["guests", "check"]) == Exit.OK
    assert capsys.readouterr().out == "no guest of QEMU runs here\n"
    finds("which guests run is known to root alone")
    assert cli.run(["guests", "check"]) == Exit.DOUBTFUL
    assert capsys.readouterr().out == (
        "no guest of QEMU was found\nunknown     which guests run is known to root alone\n"
    )
    assert command.verdict((), ()) is Exit.OK


def test_the_command_line_in_the_readme_works_as_written(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (written,) = re.findall(r"^(qemu-system-x86_64 (?:.*\\\n)+.*)$", text, re.MULTILINE)
    # Where a test may write, and no other guest's name: nothing else is changed.
    for folder in ("/run", "/srv"):
        written = written.replace(f"{folder}/", f"{tmp_path}/")
    written = written.replace("-name web1", f"-name readme-{os.getpid()}")
    (tmp_path / "web1.img").write_bytes(b"\0" * (1 << 20))
    subprocess.run(shlex.split(written.replace("\\\n", " ")), check=True, capture_output=True)
    (facts,) = (
        g for g in find_guests(limit=LONG).guests if f"readme-{os.getpid()}" in g.process.argv
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", "luo_tui", "guests", "check", f"readme-{os.getpid()}"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        os.kill(facts.process.pid, 9)
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    end = time.monotonic() + LONG
    while Path(f"/proc/{facts.process.pid}/exe").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_loads_nothing_that_is_slow() -> None:
    code = (
        "import sys\n"
        "import luo_tui.guests.find, luo_tui.guests.rules\n"
        "slow = {'asyncio', 'hashlib', 'psutil', 'pyudev', 'subprocess', 'tempfile', 'textual'}\n"
        "print(*sorted(slow & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
