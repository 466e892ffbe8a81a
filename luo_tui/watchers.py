# SPDX-License-Identifier: MIT
"""Everything that watches for the console: the hub, the journal's folder, the kernel's lines.

Each has a thread of its own, and each only posts a message: nothing else
crosses from them into the console.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from textual.message import Message

from luo_tui.hub import Hub
from luo_tui.messages import JournalChanged, Repaint, Wake
from luo_tui.model import Snapshot
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.folder import FolderWatch
from luo_tui.sources.kmsg import KernelLines, is_kernel_console


class Watchers:
    """Starts and stops them together."""

    def __init__(
        self, orchestrator: Orchestrator, folder: Path, post: Callable[[Message], bool]
    ) -> None:
        """``post`` puts a message where the console finds it; from any thread."""
        self._post = post
        self.hub = Hub(orchestrator, lambda: self._tell(Wake()))
        self._folder = FolderWatch(folder, lambda: self._tell(JournalChanged()))
        self._lines = KernelLines(lambda: self._tell(Repaint()))

    @property
    def snapshot(self) -> Snapshot:
        """The hub's latest picture."""
        return self.hub.snapshot

    def start(self) -> None:
        """Watch; the first picture is there on return."""
        self.hub.start()
        self._folder.start()
        if _on_kernel_console():
            self._lines.start()

    def stop(self) -> None:
        """Watch no more; harmless twice."""
        self.hub.stop()
        self._folder.stop()
        self._lines.stop()

    def _tell(self, message: Message) -> None:
        # The console's loop may have ended since.
        with contextlib.suppress(RuntimeError):
            self._post(message)


def _on_kernel_console() -> bool:
    try:
        tty = os.ttyname(0).removeprefix("/dev/")
        return is_kernel_console(tty, Path("/proc/consoles").read_text())
    except OSError:
        return False
