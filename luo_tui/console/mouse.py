# SPDX-License-Identifier: MIT
"""Where the mouse is used without being asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from luo_tui.update.person import Person

_LOCAL = re.compile(r"pts/\d+|tty\d+")
"""A terminal emulator, or a virtual console; all other terminals are lines to somewhere."""


def is_safe_for_mouse(me: Person, environ: Mapping[str, str]) -> bool:
    """Whether the terminal is surely still there to have its reports switched off in the end.

    A line that is lost leaves them on, and every move of the mouse then types into the
    operator's shell. So not over ssh, not on a serial line, and not inside tmux or
    screen, to which people attach from anywhere.
    """
    remote = me.origin or me.inside or any(environ.get(n) for n in ("SSH_CONNECTION", "SSH_TTY"))
    return not remote and _LOCAL.fullmatch(me.tty) is not None
