# SPDX-License-Identifier: MIT
"""What a hook is, and when one runs. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

SECONDS = 60
"""How long a hook may take where its plan does not say."""


class HookPoint(StrEnum):
    """When a hook runs."""

    BEFORE_PREPARE = "before-prepare"
    BEFORE_FREEZE = "before-freeze"
    """After everything else that can take time: to pause guests."""
    AFTER_RESTORE = "after-restore"
    """In the new kernel, once all that was promised has been restored: to resume guests."""
    AFTER_FINISH = "after-finish"
    ON_CANCEL = "on-cancel"
    ON_FAILURE = "on-failure"
    """After a hook before it has run, and the act that it belongs to was not done."""


class Hook(NamedTuple):
    """A program that runs at one point of the window."""

    point: HookPoint
    run: tuple[str, ...]
    """The program's whole path, and its arguments. No shell reads them."""
    seconds: int = SECONDS
    """After so many it is killed, with what it has started in its process group."""
