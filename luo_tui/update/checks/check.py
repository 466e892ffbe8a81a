# SPDX-License-Identifier: MIT
"""What a check is. Pure.

Each is a small class with a code that stays the same in all versions of this
program, a name, the reason why it is there, where its answer is read, and
``run``. The reason is shown with whatever it finds amiss; a finding whose
consequence is another one brings its own.
"""

from __future__ import annotations

from typing import Protocol

from luo_tui.model import KernelImage, Snapshot
from luo_tui.update.facts import Finding, Level


class Check(Protocol):
    """One question."""

    code: str
    """``LUO-C-`` and three digits. A code is never used for another question."""
    name: str
    why: str
    """What comes of it where the answer is bad."""
    evidence: str
    """Where the answer is read."""


class TargetCheck(Check, Protocol):
    """One question about a target."""

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Answer it."""
        ...


def complete(check: Check, found: Finding) -> Finding:
    """Add to a finding what is the same for all that its check can find."""
    why = "" if found.level is Level.OK else found.why or check.why
    evidence = found.evidence or check.evidence
    return found._replace(code=check.code, why=why, evidence=evidence)
