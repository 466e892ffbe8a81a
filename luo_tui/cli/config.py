# SPDX-License-Identifier: MIT
"""``luo-tui config``: which settings count, and where each is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luo_tui.cli.settings import SETTINGS
from luo_tui.errors import Exit

if TYPE_CHECKING:
    from luo_tui.cli.settings_files import Settings


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    commands.add_parser(
        "config",
        help="say which settings count, and where each is said",
        description="Settings are said by flags, else by variables, else in "
        "~/.config/luo-tui/config.toml, else in /etc/luo-tui.toml, one `name = value` a line. "
        "For root only files count that root owns and nobody else may write to, and folder "
        "and log come from /etc alone.",
        epilog="settings:\n" + "\n".join(f"  {s.name:8} {s.about} ({s.unsaid})" for s in SETTINGS),
    )


def run(settings: Settings) -> Exit:
    """Print them, and what does not count of the files."""
    print("\n".join((*settings.lines(), *settings.passed_over)))
    return Exit.OK
