# SPDX-License-Identifier: MIT
"""Tells when another console writes the journal, or takes or leaves the window.

Watches the folder of the windows (watchdog, inotify). A console that dies
closes its lock, which is an event too. A folder that is not there yet is
noticed by its nearest parent that is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileModifiedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer


class FolderWatch(FileSystemEventHandler):
    """Calls ``told``, from a thread of its own, after each change."""

    def __init__(self, folder: Path, told: Callable[[], None]) -> None:
        """``folder`` is that of journal and lock."""
        self._folder = folder
        self._told = told
        self._observer = Observer()

    def start(self) -> bool:
        """Begin to watch; False where that cannot be (no inotify left, no permission)."""
        try:
            self._arm()
            self._observer.start()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End the threads; harmless twice."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Tell of what was written or closed; watch deeper when a folder came."""
        path = Path(os.fsdecode(event.src_path))
        above, below = path in self._folder.parents, self._folder in path.parents
        if not (above or below or path == self._folder):
            return
        if isinstance(event, DirCreatedEvent):
            with contextlib.suppress(OSError):
                self._arm()
        if isinstance(event, DirCreatedEvent | FileClosedEvent | FileModifiedEvent):
            self._told()

    def _arm(self) -> None:
        nearest = self._folder
        while not nearest.is_dir() and nearest != nearest.parent:
            nearest = nearest.parent
        wanted = [nearest]
        if (self._folder / "windows").is_dir():
            wanted.append(self._folder / "windows")
        self._observer.unschedule_all()
        for path in wanted:
            self._observer.schedule(self, str(path))
