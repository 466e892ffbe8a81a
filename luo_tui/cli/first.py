# SPDX-License-Identifier: MIT
"""What `luo-tui arrive` does before the command line is even read: guests stand still until then.

Only where nothing has to be decided or started: with luo.ko or a holder of sessions that runs,
as root, and with the journal where it is by default. In all other cases the command
itself does it, a little later.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from luo_tui.update.folder import DEFAULT_FOLDER

COMMAND = "arrive"
_WORDS = ("--json", "--wall")
_SETTINGS = Path("/etc/luo-tui.toml")
_LUO_KO = Path("/sys/kernel/liveupdate/state")
_HOLDER = Path("/run/luo-tui/holder.sock")
"""As in luo_tui/arrival/protocol.py, which need not be imported where there is none."""


def guests_go_on(
    arguments: Sequence[str], environ: Mapping[str, str], settings: Path = _SETTINGS
) -> tuple[str, ...] | None:
    """Load the guests that wait; return why each of the others is not. None: it was not tried."""
    if arguments[:1] != [COMMAND] or not all(word in _WORDS for word in arguments[1:]):
        return None
    if os.geteuid() or any(name.startswith("LUO_TUI_") for name in environ):
        return None
    if not (DEFAULT_FOLDER / "guests").is_dir() or _says_folder(settings):
        return None
    if _LUO_KO.exists():
        from luo_tui.guests.arrival import Device, go_on

        return go_on(DEFAULT_FOLDER, Device())
    if not _HOLDER.exists():
        return None
    from luo_tui.guests.arrival import go_on
    from luo_tui.guests.sessions import HeldSessions, answers

    return go_on(DEFAULT_FOLDER, HeldSessions(_HOLDER)) if answers(_HOLDER) else None


def _says_folder(settings: Path) -> bool:
    """Whether a file of settings may say that the journal lies elsewhere."""
    try:
        return b"folder" in settings.read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return True
