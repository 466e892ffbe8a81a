# SPDX-License-Identifier: MIT
"""What this process may do, as the kernel says: capabilities(7)."""

from __future__ import annotations

from pathlib import Path

CAP_SYS_ADMIN = 21
CAP_SYS_BOOT = 22


def effective() -> int:
    """Return the effective capabilities as a bit mask; 0 where they cannot be read."""
    try:
        for line in Path("/proc/self/status").read_text(errors="replace").splitlines():
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    except (OSError, ValueError, IndexError):
        pass
    return 0


def may_act() -> bool:
    """Whether this process has what acting needs: CAP_SYS_ADMIN and CAP_SYS_BOOT."""
    needed = 1 << CAP_SYS_ADMIN | 1 << CAP_SYS_BOOT
    return effective() & needed == needed
