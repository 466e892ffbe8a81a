# SPDX-License-Identifier: MIT
"""What an errno means here, and what to do next: the one place for it.

The kernel's answers are few and each means something definite on our path.
:func:`explain` turns (operation, errno) into words for a person; the console
and the command line both show what it returns, the latter with its exit code.
The words themselves stand in :mod:`luo_tui.error_table`.
"""

from __future__ import annotations

import errno as _errno
import os
from typing import NamedTuple

from luo_tui.model import State
from luo_tui.operations import Exit as Exit
from luo_tui.operations import Op as Op


class Explanation(NamedTuple):
    """A failure, told to a person."""

    op: Op
    errno: int
    meaning: str
    remedy: str
    code: Exit

    @property
    def errno_name(self) -> str:
        """``EBUSY`` and the like; the bare number where it has no name."""
        return _errno.errorcode.get(self.errno, str(self.errno))

    def lines(self, state: State | None = None) -> tuple[str, ...]:
        """Return sentences: what failed; the state of the machine now; what to do next."""
        now = (f"The state is now: {state}.",) if state is not None else ()
        return (
            f"Could not {self.op}: {self.meaning} ({self.errno_name}).",
            *now,
            self.remedy,
        )


class HolderError(OSError):
    """A refusal of luo-tui-holder, or by it for the kernel: which of its steps, and in words."""

    def __init__(self, op: Op, code: int, said: str = "") -> None:
        """``said`` is a sentence where the errno alone does not tell all; else empty."""
        super().__init__(code, os.strerror(code))
        self.op, self.said = op, said


def explain(op: Op, error: int | OSError) -> Explanation:
    """Say what ``error`` means for ``op``; never fails, also for an errno nobody foresaw.

    An OSError that names a file came from opening the device, not from the
    call on it: ENOENT means another thing there.
    """
    try:
        # Its texts are many, and most commands end without one.
        from luo_tui import error_table as table
    except (ImportError, OSError):
        # No descriptor is left, or the package is being replaced.
        return _unexplained(op, error)
    said = ""
    if isinstance(error, HolderError):
        op, said = error.op, error.said
    elif op in table.ON_DEVICE and isinstance(error, OSError) and error.filename:
        op = Op.OPEN
    number = _number(error)
    key = table.SAME.get((op, number), (op, number))
    row = table.TABLE.get(key)
    if row is None and op in table.REFUSED_BY_PARTICIPANT and number not in (_errno.EPERM,):
        row = (table.REFUSED_BY_PARTICIPANT[op], table.LOG, Exit.REFUSED)
    if row is None:
        row = table.ANYWHERE.get(number)
    if row is None:
        row = (_meaning(error), table.LOG, Exit.FAILED)
    meaning, remedy, code = row
    if said:
        remedy = f"{said} {remedy}"
    return Explanation(op, number, meaning, remedy, code)


def load_texts() -> None:
    """Load what :func:`explain` says, before an act that may leave no descriptor for it."""
    import luo_tui.error_table  # noqa: F401 - it stays loaded


def _unexplained(op: Op, error: int | OSError) -> Explanation:
    return Explanation(op, _number(error), _meaning(error), "See the kernel's log.", Exit.FAILED)


def _number(error: int | OSError) -> int:
    return error if isinstance(error, int) else (error.errno or 0)


def _meaning(error: int | OSError) -> str:
    number = _number(error)
    return os.strerror(number).lower() if number else str(error)


class ActFailed(Exception):
    """An act did not happen, or not wholly; carries what to tell and what the state is now."""

    def __init__(self, explanation: Explanation, state: State | None, *more: str) -> None:
        """``more`` are further sentences, such as what was undone after the failure."""
        self.explanation = explanation
        self.state = state
        self.more = more
        super().__init__(" ".join(self.lines()))

    @classmethod
    def of(cls, op: Op, error: OSError | int, state: State | None, *more: str) -> ActFailed:
        """Build it from the kernel's answer."""
        return cls(explain(op, error), state, *more)

    def lines(self) -> tuple[str, ...]:
        """Sentences for a person: what failed, the state now, what to do next."""
        return (*self.explanation.lines(self.state), *self.more)


class NotDone(Exception):
    """An act was refused by the console's own rules before anything was touched."""

    def __init__(self, reason: str, code: Exit = Exit.REFUSED) -> None:
        """``reason`` is a whole sentence for a person."""
        self.reason = reason
        self.code = code
        super().__init__(reason)
