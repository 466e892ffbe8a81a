# SPDX-License-Identifier: MIT
"""Where the mouse is used unasked: only where its reports are surely switched off in the end."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from luo_tui.console.mouse import is_safe_for_mouse
from luo_tui.update.person import Person


@pytest.mark.parametrize(
    ("me", "environ", "safe"),
    [
        (Person(tty="pts/3"), {}, True),
        (Person(tty="tty1"), {}, True),
        (Person(tty="pts/3", origin="192.0.2.7"), {}, False),
        (Person(tty="pts/3", inside="tmux"), {}, False),
        (Person(tty="pts/3", inside="screen"), {}, False),
        (Person(tty="pts/3"), {"SSH_TTY": "/dev/pts/3"}, False),
        (Person(tty="pts/3"), {"SSH_CONNECTION": "192.0.2.7 1 192.0.2.8 22"}, False),
        (Person(tty=""), {}, False),
        *[
            (Person(tty=tty), {}, False)
            for tty in ("ttyS0", "hvc0", "ttyAMA0", "ttyUSB1", "ttyACM0", "xvc0", "console")
        ],
    ],
)
def test_where(me: Person, environ: Mapping[str, str], safe: bool) -> None:
    assert is_safe_for_mouse(me, environ) is safe
