# SPDX-License-Identifier: MIT
"""What is said to a QEMU while its guest is saved or loaded, and no more."""

from __future__ import annotations

from luo_tui.guests.qmp import Qmp, QmpNonsense

CAPABILITY = "x-ignore-shared"
"""Has a migration leave shared memory where it is (QEMU 4.0 and later)."""


def status(qmp: Qmp) -> str:
    """Return the guest's state, by QEMU's name for it. QmpError."""
    return _words(qmp.command("query-status"), "status")[0]


def migration_status(qmp: Qmp) -> tuple[str, str]:
    """Return the status of the last migration, and why it failed; empty: none. QmpError."""
    now, why = _words({"status": "", "error-desc": "", **_object(qmp)}, "status", "error-desc")
    return now, why


def set_capability(qmp: Qmp, *, on: bool) -> None:
    """Have migrations leave shared memory where it is, or not. QmpError."""
    one = {"capability": CAPABILITY, "state": on}
    qmp.command("migrate-set-capabilities", {"capabilities": [one]})


def _object(qmp: Qmp) -> dict[str, object]:
    found = qmp.command("query-migrate")
    if not isinstance(found, dict):
        raise QmpNonsense("an answer of another shape than QEMU's")
    return found


def _words(found: object, *names: str) -> list[str]:
    words = [found.get(name) for name in names] if isinstance(found, dict) else [None]
    if not all(isinstance(word, str) for word in words):
        raise QmpNonsense("an answer of another shape than QEMU's")
    return [str(word) for word in words]
