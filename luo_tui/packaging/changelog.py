# SPDX-License-Identifier: MIT
"""CHANGELOG.md as what packages want of it: the version, its day, Debian's changelog. Pure."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from itertools import pairwise

from markdown_it import MarkdownIt

_RELEASE = re.compile(r"(\d+(?:\.\d+)+) \((\d{4}-\d\d-\d\d)\)")


@dataclass(frozen=True, slots=True)
class Release:
    """What one version brought."""

    version: str
    day: date
    changes: tuple[str, ...]

    @property
    def at(self) -> datetime:
        """Noon of its day, UTC: the time that everything in its packages has."""
        return datetime.combine(self.day, time(12), UTC)


def releases(markdown: str) -> list[Release]:
    """Return the releases, the newest first. ValueError: there is none, or a heading is no such."""
    found: list[tuple[str, date, list[str]]] = []
    tokens = MarkdownIt("commonmark").parse(markdown)
    for before, token in pairwise(tokens):
        if before.type == "heading_open" and before.tag == "h2":
            if (match := _RELEASE.fullmatch(token.content)) is None:
                raise ValueError(f"CHANGELOG.md: {token.content!r} is not 'VERSION (YYYY-MM-DD)'")
            found.append((match[1], date.fromisoformat(match[2]), []))
        elif before.type == "paragraph_open" and found:
            found[-1][2].append(" ".join(token.content.split()))
    if not found:
        raise ValueError("CHANGELOG.md: there is no release in it")
    return [Release(version, day, tuple(changes)) for version, day, changes in found]


def debian(package: str, maintainer: str, all_: list[Release]) -> str:
    """Return Debian's changelog of a package; deb-changelog(5)."""
    return "\n".join(
        line
        for release in all_
        for line in (
            f"{package} ({release.version}) unstable; urgency=medium",
            "",
            *(_item(change) for change in release.changes),
            "",
            f" -- {maintainer}  {format_datetime(release.at)}",
            "",
        )
    )


def _item(change: str) -> str:
    return textwrap.fill(
        change, 80, initial_indent="  * ", subsequent_indent="    ", break_on_hyphens=False
    )
