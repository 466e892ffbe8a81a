# SPDX-License-Identifier: MIT
"""Files that others write: kernel images in /boot, the maintenance windows' journal and locks.

Watched by inotify (watchdog), whose threads do nothing but ring an eventfd. A
folder that is not there yet is noticed by its nearest parent that is. A console
that dies closes its lock, which is an event too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luo_tui.sources.changes import Change, ImagesRead, WindowsWritten
from luo_tui.sources.clean import clean

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

_IMAGES = ("vmlinuz", "bzImage")
_WRITTEN = ("closed", "modified", "moved", "deleted")
"""Kinds of watchdog's events after which a file is what it is going to be."""


def read_images(boot: Path) -> tuple[str, ...]:
    """Return the kernel image files in ``boot``: name, a tab, size and time of the last write."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(boot):
            if not entry.name.startswith(_IMAGES):
                continue
            with contextlib.suppress(OSError):
                about = entry.stat()
                name = clean(entry.name.encode(errors="surrogateescape").decode(errors="replace"))
                found.append(f"{name}\t{about.st_size} {about.st_mtime_ns}")
    return tuple(sorted(found))


class FilesSource:
    """Blocks on an eventfd that watchdog's threads ring."""

    name = "files"
    events = select.POLLIN

    def __init__(self, boot: Path, windows: Path, locks: Path) -> None:
        """``boot`` holds kernel images; ``windows`` has the journal, ``locks`` the host's locks."""
        self._boot = boot
        self._windows = windows
        self._locks = locks
        self._fd = -1
        self._observer: BaseObserver | None = None
        self._lock = threading.Lock()
        self._stirred: set[Path] = set()

    def fileno(self) -> int:
        """Return the eventfd."""
        return self._fd

    def reopen(self) -> None:
        """Begin to watch. OSError where that cannot be: no inotify left, no permission."""
        # Slow to import, and of no use to a command that only looks once.
        from watchdog.observers import Observer

        # It logs what is of no interest; without a handler that goes to the terminal.
        logging.getLogger("watchdog").addHandler(logging.NullHandler())
        self.close()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._observer = Observer()
        self._arm(self._observer)
        self._observer.start()

    def enumerate(self) -> Sequence[Change]:
        """Read which images there are."""
        return (ImagesRead(read_images(self._boot)),)

    def drain(self) -> Sequence[Change] | None:
        """Tell what was written since."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        with self._lock:
            stirred, self._stirred = self._stirred, set()
        changes: list[Change] = []
        if self._boot in stirred:
            changes += self.enumerate()
        if {self._windows, self._locks} & stirred:
            changes.append(WindowsWritten())
        return changes

    def close(self) -> None:
        """End the threads and release the eventfd."""
        observer, self._observer = self._observer, None
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _arm(self, observer: BaseObserver) -> None:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler

        source = self

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                source._heard(event.event_type, os.fsdecode(event.src_path), event.is_directory)

        observer.unschedule_all()
        folders = (self._boot, self._windows, self._windows / "windows", self._locks)
        for path in {_nearest(f) for f in folders}:
            observer.schedule(Handler(), str(path))

    def _heard(self, kind: str, name: str, is_folder: bool) -> None:
        """In a thread of watchdog's: note whose news that is; watch deeper when a folder came."""
        path, observer = Path(name), self._observer
        for folder in (self._boot, self._windows, self._locks):
            above, below = path in folder.parents, folder in path.parents
            if not (above or below or path == folder):
                continue
            if is_folder:
                if kind != "created" or observer is None:
                    continue
                with contextlib.suppress(OSError):
                    self._arm(observer)
            elif not self._is_news(kind, path, below=below, images=folder == self._boot):
                continue
            with self._lock:
                self._stirred.add(folder)
                if self._fd >= 0:
                    os.eventfd_write(self._fd, 1)

    def _is_news(self, kind: str, path: Path, *, below: bool, images: bool) -> bool:
        """Whether something has been written to its end; an image in the making is none yet."""
        if kind == "created":
            return _is_link(path)
        return kind in _WRITTEN and not (images and (not below or kind == "modified"))


def _nearest(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _is_link(path: Path) -> bool:
    """Whether this name came whole, with nothing left to be written."""
    try:
        return path.is_symlink() or path.stat().st_nlink > 1
    except OSError:
        return False
