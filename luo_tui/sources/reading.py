# SPDX-License-Identifier: MIT
"""How a reading ends: complete; partial, with what it could not learn; or failed.

What is not there is no gap: a file that went between listing and reading is
absent, and so is a folder that this kernel never had. Any other refusal is a
gap, told in a sentence. Where this process has run out of descriptors or memory
all else would be refused too: the whole reading then fails, by an OSError.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from luo_tui.sources.clean import clean

ABSENT = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.ENOTDIR, errno.ENXIO})
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NAMED = 3
"""Things with one and the same gap that are named; of the others the number is told."""


class Gap(NamedTuple):
    """One thing that could not be learned."""

    what: str
    """A sentence without its end; ``{}`` stands for the subject."""
    why: str = ""
    subject: str = ""


class Reading:
    """Reads files and folders, and notes what it could not learn."""

    def __init__(self) -> None:
        """Nothing is missing yet."""
        self.gaps: list[Gap] = []

    def lacks(self, what: str, why: str = "", subject: str = "") -> None:
        """Note a gap; ``what`` may have ``{}`` for the subject, which is made harmless."""
        self.gaps.append(Gap(what, clean(why), clean(subject)))

    def refused(self, error: OSError, what: str, subject: str = "") -> None:
        """Note that a call was refused: absence is no gap. Raises it where all would be refused."""
        if error.errno in EXHAUSTED:
            raise error
        if error.errno not in ABSENT:
            self.lacks(what, error.strerror or str(error), subject)

    def forget(self, subject: str) -> None:
        """Drop the gaps of ``subject``, before it is read anew."""
        name = clean(subject)
        self.gaps = [g for g in self.gaps if g.subject != name]

    def entries(self, folder: Path, what: str = "{} could not be listed") -> list[Path]:
        """Return what is in a folder, sorted; empty where there is none."""
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            self.refused(error, what, str(folder))
            return []

    def text(self, path: Path, what: str = "{} could not be read", subject: str = "") -> str:
        """Return a file's text without its surrounding blanks; empty where it is not there."""
        try:
            return path.read_text(errors="surrogateescape").strip()
        except OSError as error:
            self.refused(error, what, subject or str(path))
            return ""

    def link(self, path: Path, what: str = "{} could not be read", subject: str = "") -> str:
        """Return the last part of a symbolic link's target; empty where it is not there."""
        try:
            return clean(path.readlink().name)
        except OSError as error:
            self.refused(error, what, subject or str(path))
            return ""

    @property
    def missing(self) -> tuple[str, ...]:
        """All gaps as sentences, without their full stops; those of one kind in one."""
        return sentences(self.gaps)


def sentences(gaps: Iterable[Gap]) -> tuple[str, ...]:
    """Return gaps as sentences, in the order in which their kinds first came."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for gap in gaps:
        kinds.setdefault((gap.what, gap.why), []).append(gap.subject)
    return tuple(_sentence(*kind, subjects) for kind, subjects in kinds.items())


def _sentence(what: str, why: str, subjects: list[str]) -> str:
    named = list(dict.fromkeys(subjects))
    names = ", ".join(named[:_NAMED])
    if len(named) > _NAMED:
        names = f"{names} and {len(named) - _NAMED:,} more"
    text = what.replace("{}", names)
    return f"{text}: {why}" if why else text
