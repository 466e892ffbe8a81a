# SPDX-License-Identifier: MIT
"""Checks that a host has of its own: programs in a folder, run one after another.

A program's name is that of its check, and its code ``LUO-O-NAME``: letters,
digits, ``-`` and ``_`` (any other file is passed over, as run-parts(8) does).
It says what it found by how it ends, and why by the last line that it prints:
0 all is well, 1 a warning, 2 a blocker; whatever else is unknown, as is one that
is not executable, that others than root may change, or that takes longer than
:data:`SECONDS`. One that ends with 0 may print a JSON object as its last line
instead: ``result``, ``text``, ``remedy``, ``why``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luo_tui.sources.clean import clean
from luo_tui.update.facts import Facts, Finding, Level
from luo_tui.update.hooks import HookEnd, run_hook

SECONDS = 10
"""How long one may take."""
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BY_CODE = {0: Level.OK, 1: Level.WARNING, 2: Level.BLOCKER}
_LINE = 400
"""Characters of a text that are kept."""


@dataclass(frozen=True, slots=True)
class OwnCheck:
    """One of them."""

    run: tuple[str, ...]
    seconds: int = SECONDS


def run_own_checks(folder: Path, facts: Facts) -> tuple[Finding, ...]:
    """Run all of a host's own checks, by name. Never fails; a folder that is not there has none."""
    try:
        names = sorted(p.name for p in folder.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        text = f"{folder} could not be read: {error.strerror or error}."
        return (Finding("own checks", Level.UNKNOWN, text, "Put that right.", code="LUO-O"),)
    about = _about(facts)
    return tuple(_run(folder / name, about) for name in names if _NAME.fullmatch(name))


def own_blockers(folder: Path, facts: Facts) -> Iterator[str]:
    """Run them; yield a sentence for each that stops an act."""
    for found in run_own_checks(folder, facts):
        if found.level is Level.BLOCKER:
            yield f"{found.code}: {found.text} {found.remedy}".strip()


def _about(facts: Facts) -> Mapping[str, str]:
    """Return what a check is told, in its environment."""
    image = facts.image
    return {
        "STATE": str(facts.snapshot.luo.state),
        "RELEASE": facts.snapshot.host.release,
        "TARGET": image.release if image is not None else "",
        "IMAGE": image.path if image is not None else "",
        "INITRD": image.initrd if image is not None else "",
        "COMMAND_LINE": facts.command_line,
    }


def _run(path: Path, about: Mapping[str, str]) -> Finding:
    end = run_hook(OwnCheck((str(path),)), about)
    level, said = _level(end), list(end.said)
    text, remedy, why = said[-1] if said else "", "", ""
    if level is Level.OK and text.startswith("{"):
        level, text, remedy, why = _object(text)
    elif level is Level.UNKNOWN:
        text = f"Not known: {end.fault}.{f' Its last line: {text}' if text else ''}"
        remedy = "Put that check right, then ask again."
    return Finding(
        path.name,
        level,
        (text or f"It ended as {level}.")[:_LINE],
        remedy[:_LINE],
        why=why[:_LINE],
        code=f"LUO-O-{path.name}",
        evidence=str(path),
    )


def _level(end: HookEnd) -> Level:
    return Level.UNKNOWN if end.code is None else _BY_CODE.get(end.code, Level.UNKNOWN)


def _object(line: str) -> tuple[Level, str, str, str]:
    """Read what a check says of itself; unknown where that is not what it should be."""
    try:
        said = json.loads(line)
        level = Level(said["result"])
        texts = [clean(_text(said, name)) for name in ("text", "remedy", "why")]
    except (ValueError, KeyError, TypeError, RecursionError):
        text = f"Not known: its last line is no object with a result: {line}"
        return Level.UNKNOWN, text, "Put that check right, then ask again.", ""
    return level, *_three(texts)


def _text(said: Mapping[str, object], name: str) -> str:
    text = said.get(name, "")
    if not isinstance(text, str):
        raise TypeError(name)
    return text


def _three(texts: Sequence[str]) -> tuple[str, str, str]:
    text, remedy, why = texts
    return text, remedy, why
