# SPDX-License-Identifier: MIT
"""The one way in which this program watches files: inotify(7), by watchdog.

watchdog's threads do nothing but ask whether an event matters, and ring an
eventfd. What watchdog keeps to itself is found out by whoever watches: an
overrun of the kernel's queue, a folder that was mounted over or moved away as a
whole. So such a source looks for itself every so often, too.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers.api import BaseObserver

OPENED = ("FileOpenedEvent", "FileClosedEvent", "FileClosedNoWriteEvent")
"""Somebody opened or closed the file."""
WRITTEN = (
    "FileCreatedEvent",
    "DirCreatedEvent",
    "FileModifiedEvent",
    "FileClosedEvent",
    "FileMovedEvent",
    "DirMovedEvent",
    "FileDeletedEvent",
    "DirDeletedEvent",
)
"""Something in the folder, or the folder itself, is no longer what it was."""


class Watcher:
    """Rings an eventfd when something that matters happens to one of several paths."""

    def __init__(self, kinds: Sequence[str], matters: Callable[[str, Path, bool], bool]) -> None:
        """``matters`` is asked in a thread of watchdog's, and must not raise.

        It gets the kind of event (``created``, ``modified``, ``closed``, ``moved``,
        ``deleted``, ``opened``), the path, and whether that is a folder's; of a
        move it is asked for both paths.
        """
        self._kinds, self._matters = kinds, matters
        self._fd = -1
        self._observer: BaseObserver | None = None
        self._watched = 0

    def fileno(self) -> int:
        """Return the eventfd."""
        return self._fd

    def open(self) -> None:
        """Make the eventfd; nothing is watched yet."""
        self.close()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def watch(self, paths: Iterable[Path]) -> None:
        """Watch these paths and no others; of a folder, what is in it, too.

        OSError where that cannot be: EACCES no permission, ENOENT no such file,
        EMFILE and ENOSPC no inotify left. Nothing is watched then.
        """
        self._end()
        wanted = sorted(set(paths))
        for path in wanted:
            # watchdog takes a refused watch (EACCES) for a good one.
            if path.exists() and not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        if not wanted:
            return
        # Slow to import, and of no use to a command that only looks once.
        import logging

        from watchdog import events
        from watchdog.observers.inotify import InotifyObserver

        # It logs what is of no interest; without a handler that goes to the terminal.
        logging.getLogger("watchdog").addHandler(logging.NullHandler())
        kinds = [getattr(events, name) for name in self._kinds]
        # Its threads inherit the mask: signals are for the main thread.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            # In full, it also tells of what was moved here from where nobody watches.
            observer = self._observer = InotifyObserver(generate_full_events=True)
            for path in wanted:
                observer.schedule(self._handler(), str(path), event_filter=kinds)
            observer.start()
            self._watched = len(wanted)
        except BaseException:
            self._end()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def whole(self) -> bool:
        """Whether all that was asked for is still watched: a path that is deleted is not."""
        if self._observer is None:
            return not self._watched
        alive = [e for e in self._observer.emitters if e.is_alive()]
        return self._observer.is_alive() and len(alive) == self._watched

    def ring(self) -> None:
        """Wake whoever polls."""
        os.eventfd_write(self._fd, 1)

    def silence(self) -> bool:
        """Take what rang; return whether anything did."""
        try:
            return os.eventfd_read(self._fd) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        """End the threads and release the eventfd; closing twice is harmless."""
        self._end()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _end(self) -> None:
        observer, self._observer, self._watched = self._observer, None, 0
        if observer is None:
            return
        # Also one that never started holds descriptors.
        observer.stop()
        if observer.is_alive():
            observer.join()

    def _handler(self) -> FileSystemEventHandler:
        from watchdog.events import FileSystemEventHandler

        watcher = self

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                watcher._heard(event)

        return Handler()

    def _heard(self, event: FileSystemEvent) -> None:
        paths = [Path(os.fsdecode(p)) for p in (event.src_path, event.dest_path) if p]
        matter = [self._matters(event.event_type, p, event.is_directory) for p in paths]
        if any(matter) and self._fd >= 0:
            self.ring()
