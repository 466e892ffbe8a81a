# SPDX-License-Identifier: MIT
"""``luo-tui report``: a past window for whoever has to know, and a bundle for who has to help."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui import __version__
from luo_tui.cli.history import WINDOW, chosen
from luo_tui.errors import Exit, NotDone, Op, explain
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.clean import printable

# Loaded when it runs, by it alone: the other commands are to be quick.
if TYPE_CHECKING:
    from luo_tui.update.history import PastWindow

FORMATS = ("text", "md", "html", "json")


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "report",
        help="tell a past window in full: promises, blackout, verdict, timeline",
        description="Tell a window from its journal: who, when and why, what was promised and what "
        "became of it, the blackout, the verdict, the timeline.",
        epilog="The bundle has the report, the window's journal, status, the kernel's lines on "
        "updates, and versions; no arguments or environments of processes, and none of the "
        "preserved bytes. Only its owner may read it.",
    )
    command.add_argument("window", nargs="?", default="", metavar="WINDOW", help=WINDOW)
    command.add_argument("--format", choices=FORMATS, default="text", help="text if not said")
    command.add_argument(
        "--bundle", type=Path, metavar="FILE", help="write a .tar.gz for a supporter instead"
    )


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Print the report, or write the bundle. NotDone: no such window, FILE is there already."""
    window = chosen(args.folder, args.window)
    if args.bundle is not None:
        write_bundle(args.bundle, dict(_bundled(orchestrator, args.folder, window)))
        print(args.bundle)
    else:
        sys.stdout.write(report(window, args.format))
    return Exit.FAILED if window.fault else Exit.OK


def report(window: PastWindow, form: str) -> str:
    """Return the report in one of ``FORMATS``."""
    from luo_tui.update.report import report_json, report_markdown, report_text

    if form == "json":
        return json.dumps(report_json(window), indent=2) + "\n"
    if form == "html":
        from luo_tui.update.report_html import report_html

        return report_html(window)
    lines = report_markdown(window) if form == "md" else report_text(window)
    return "".join(f"{printable(line)}\n" for line in lines)


def _bundled(
    orchestrator: Orchestrator, folder: Path, window: PastWindow
) -> Iterator[tuple[str, str]]:
    """Yield the bundle's files; what cannot be read is said in its place."""
    from luo_tui.cli.status import status_json

    for form in FORMATS:
        yield f"report.{'txt' if form == 'text' else form}", report(window, form)
    journal = folder / "windows" / f"{window.window}.jsonl"
    try:
        yield "journal.jsonl", journal.read_text(errors="replace")
    except OSError as error:
        yield "journal.unreadable", f"{journal}: {error.strerror or error}\n"
    snapshot = reader(orchestrator, orchestrator.surroundings())()
    yield "status.json", json.dumps(status_json(orchestrator, snapshot, folder), indent=2) + "\n"
    condition = orchestrator.condition()
    whole = "" if condition.log_is_whole else "# the beginning of the kernel's log is missing\n"
    missing = "".join(f"# {sentence}\n" for sentence in condition.missing)
    yield "kernel.txt", whole + missing + "".join(f"{line}\n" for line in condition.lines)
    about = os.uname()
    yield (
        "versions.txt",
        (
            f"luo-tui {__version__}\nPython {sys.version}\n"
            f"{about.sysname} {about.release} {about.version} {about.machine}\n"
            f"driven by {orchestrator.title}\nluo.ko writes {snapshot.compatible or '?'}\n"
        ),
    )


def write_bundle(path: Path, files: Mapping[str, str]) -> None:
    """Write a .tar.gz, whole or not at all, for its owner alone.

    NotDone: it is there already, or cannot be written; nothing is left behind then.
    """
    import tarfile  # It loads three compressors.

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise NotDone(_unwritten(path, error), Exit.FAILED) from error
    try:
        with os.fdopen(fd, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as packed:
            for file, text in files.items():
                data = text.encode(errors="replace")
                about = tarfile.TarInfo(f"{path.name.partition('.')[0]}/{file}")
                about.size, about.mtime, about.mode = len(data), int(time.time()), 0o600
                packed.addfile(about, io.BytesIO(data))
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise NotDone(_unwritten(path, error), explain(Op.FILE, error).code) from error
        raise


def _unwritten(path: Path, error: OSError) -> str:
    return f"{path}: {error.strerror or error}. Nothing was written."
