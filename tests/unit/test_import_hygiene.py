# SPDX-License-Identifier: MIT
"""Imports run downward only, and nothing below the console brings Textual along."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "luo_tui"

# The floors of the house, lowest first. A module may import from lower floors
# and from its own. A name is a module or a whole folder of luo_tui.
FLOORS = (
    ("luo_tui",),
    ("state",),
    ("model", "errors", "operations", "error_table"),
    ("uapi",),
    ("machine",),
    ("arrival",),
    ("sources",),
    ("monitor",),
    ("orchestrator",),
    ("guests",),
    ("update",),
    ("demo",),
    ("console",),
    ("cli",),
    ("__main__",),
    ("packaging",),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
CORE = (
    "model",
    "errors",
    "operations",
    "error_table",
    "uapi",
    "machine",
    "arrival",
    "sources",
    "monitor",
    "orchestrator",
    "guests",
    "update",
    "demo",
    "cli",
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(path) for path in MODULES}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, also those inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            # "from luo_tui.monitor import hub" needs a module of its own.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & NAMES
            if names - NAMES:
                found.add(node.module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_run_downward(path: Path) -> None:
    here = room(dotted(path))
    assert here in FLOOR, f"{here} has no floor yet: give it one above"
    for target in imported(path):
        if target.split(".")[0] == "luo_tui":
            allowed = FLOOR[room(target)] <= FLOOR[here]
            # The command line opens the console inside a function, when it is asked to.
            assert allowed, f"{dotted(path)} imports {target}, which stands above it"
        if here in CORE:
            assert target.split(".")[0] != "textual", f"{dotted(path)} imports Textual"


def test_no_module_needs_one_that_needs_it() -> None:
    """Not even through an import inside a function, which only hides such a circle."""
    graph = {dotted(path): imported(path) & NAMES for path in MODULES}
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as found:
        pytest.fail(" -> ".join(found.args[1]))


def test_the_screens_ask_the_monitor_not_the_sources() -> None:
    drawn = [p for p in MODULES if p.parent.name in ("screens", "widgets")]
    assert len(drawn) > 20
    for path in drawn:
        found = {m for m in imported(path) if room(m) == "sources"}
        assert not found, f"{dotted(path)} imports {found}"


@pytest.mark.parametrize("foreign", ["textual", "pyudev", "watchdog", "zstandard", "lz4"])
def test_the_core_and_the_command_line_load_nothing_slow(foreign: str) -> None:
    core = [dotted(m) for m in MODULES if room(dotted(m)) in CORE]
    assert len(core) > 20
    code = (
        "import importlib, sys\n"
        f"for name in {[*core, 'luo_tui.cli.main', 'luo_tui.__main__']!r}:\n"
        "    importlib.import_module(name)\n"
        f"sys.exit(sorted(m for m in sys.modules if m.split('.')[0] == {foreign!r}) != [])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{foreign} was loaded\n{done.stderr}"


NOT_FOR_A_LOOK = (
    "textual",
    "pyudev",
    "psutil",
    "watchdog",
    "zstandard",
    "lz4",
    "tomllib",
    "logging",
    "platform",
    "traceback",
    "hashlib",
    "subprocess",
    "dataclasses",
    "inspect",
    "luo_tui.error_table",
    "luo_tui.cli.check",
    "luo_tui.cli.window",
    "luo_tui.cli.plan",
    "luo_tui.cli.hold",
    "luo_tui.cli.arrive",
    "luo_tui.cli.history",
    "luo_tui.cli.report",
    "luo_tui.cli.metrics",
    "luo_tui.cli.rehearse",
    "luo_tui.cli.demo",
    "luo_tui.cli.guests",
    "luo_tui.cli.watch",
    "luo_tui.monitor.hub",
    "luo_tui.monitor.event_text",
    "luo_tui.monitor.log",
    "luo_tui.update.acts",
    "luo_tui.update.jump",
)
"""What `status` does without, since each of them takes time at every start."""


def test_a_look_at_the_status_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from luo_tui.__main__ import main\n"
        "sys.argv = ['luo-tui', 'status', '--json']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({NOT_FOR_A_LOOK!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        # Settings of whoever runs the tests would have a reader of TOML loaded.
        env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"state"' in done.stdout
    assert done.stderr.splitlines()[-1] == "[]"


def test_what_status_does_without_is_there() -> None:
    """A name in the list above that has been changed would be missed by nobody."""
    assert {n for n in NOT_FOR_A_LOOK if n.startswith("luo_tui.")} <= NAMES


def test_guests_wait_for_next_to_nothing() -> None:
    """After a kexec they stand still until the program that loads them has been imported."""
    code = (
        "import sys\n"
        "import luo_tui.__main__, luo_tui.cli.first, luo_tui.guests.arrival\n"
        "print(*sorted(m for m in sys.modules if m.startswith('luo_tui')))\n"
        "print(*sorted(m for m in sys.modules if '.' not in m))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours, others = (line.split() for line in done.stdout.splitlines())
    assert {name.removeprefix("luo_tui.") for name in ours} == {
        *("luo_tui", "__main__", "cli", "cli.first", "state", "update", "update.folder"),
        *("guests", "guests.arguments", "guests.arrival", "guests.context", "guests.control"),
        *(
            "guests.failed",
            "guests.json_stream",
            "guests.load",
            "guests.proc",
            "guests.qmp",
            "guests.record",
            "guests.restore",
        ),
        *("guests.start", "guests.together", "sources", "sources.clean", "sources.qemu"),
        *("uapi", "uapi.luo_v2", "uapi.rights"),
    }
    slow = {"argparse", "ast", "asyncio", "dataclasses", "inspect", "logging", "pyudev"}
    slow |= {"subprocess", "tempfile", "textual", "threading", "tomllib", "traceback"}
    assert not slow & set(others)


def test_the_first_picture_waits_for_nothing_that_it_does_not_show() -> None:
    """Other places, dialogs, and those who speak to a simulated host from other processes."""
    code = (
        "import sys\n"
        "import luo_tui.demo.run, luo_tui.console.app\n"
        "print(*sorted(m for m in sys.modules if m.startswith('luo_tui.console.screens.')))\n"
        "print('multiprocessing' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    screens, others = done.stdout.splitlines()
    assert {name.rpartition(".")[2] for name in screens.split()} == {
        *("asking", "base", "notice", "overview"),
    }
    assert others == "False"
