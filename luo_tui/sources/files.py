# SPDX-License-Identifier: MIT
"""Files that others write: kernel images in /boot, the maintenance windows' journal and locks.

Watched by inotify. A folder that is not there yet is noticed by its nearest parent
that is; one that was removed, renamed, mounted over and is there again is watched
anew. A console that dies closes its lock, which is an event too.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from luo_tui.sources.changes import Change, ImagesRead, ReadingDone, WindowsWritten
from luo_tui.sources.clean import clean
from luo_tui.sources.inotify import WRITTEN, Watcher
from luo_tui.sources.reading import ABSENT, EXHAUSTED

Signature = tuple[tuple[str, int, int], ...]
_IMAGES = ("vmlinuz", "bzImage")
_ENDED = ("closed", "modified", "moved", "deleted")
"""Kinds of events after which a file is what it is going to be."""
_PLACED = ("created", "moved", "deleted")
"""Kinds of events after which a folder is where it was not, or no longer where it was."""


def read_images(boot: Path) -> tuple[str, ...]:
    """Return the kernel image files in ``boot``: name, a tab, size and time of the last write.

    No folder is no images. OSError where it cannot be listed, or an image not be looked at.
    """
    found = []
    try:
        names = [entry.name for entry in boot.iterdir()]
    except OSError as error:
        if error.errno in ABSENT:
            return ()
        raise
    for name in names:
        if not name.startswith(_IMAGES):
            continue
        try:
            about = (boot / name).stat()
        except OSError as error:
            if error.errno in ABSENT:
                continue
            raise
        shown = clean(name.encode(errors="surrogateescape").decode(errors="replace"))
        found.append(f"{shown}\t{about.st_size} {about.st_mtime_ns}")
    return tuple(sorted(found))


class FilesSource:
    """Blocks on an eventfd that is rung by inotify; looks for itself every so often, too."""

    name = "files"
    events = select.POLLIN
    every = 15.0

    def __init__(self, boot: Path, windows: Path, locks: Path) -> None:
        """``boot`` holds kernel images; ``windows`` has the journal, ``locks`` the host's locks."""
        self._boot, self._windows, self._locks = boot, windows, locks
        self._folders = (boot, windows, locks)
        """The same, without symbolic links on the way: so events name them."""
        self._watcher = Watcher(WRITTEN, self._heard)
        self._watched: dict[Path, tuple[int, int]] = {}
        """What is watched, with the identity that it had when that began."""
        self._unwatched: tuple[str, ...] = ()
        self._looked = 0.0
        self._seen: Signature = ()
        """Journal and lock as they were last seen."""
        self._lock = threading.Lock()
        self._stirred: set[Path] = set()
        self._replaced = False
        """Whether a folder that is wanted came, went or was moved."""

    def fileno(self) -> int:
        """Return the eventfd."""
        return self._watcher.fileno()

    def reopen(self) -> None:
        """Begin to watch. OSError where that cannot be: no inotify left."""
        self._watcher.open()
        self._replaced = False
        self._folders = (self._boot.resolve(), self._windows.resolve(), self._locks.resolve())
        self._watched = self._as_it_is()
        denied = {f for f in self._watched if not os.access(f, os.R_OK)}
        self._unwatched = tuple(
            f"changes in {clean(str(f))} are noticed late: it may not be watched by this user"
            for f in sorted(denied)
        )
        self._watcher.watch(self._watched.keys() - denied)
        if self._as_it_is() != self._watched:  # Something came or went in between.
            self._replaced = True
            self._watcher.ring()

    def enumerate(self) -> Sequence[Change]:
        """Read which images there are, and whether the journal was written unseen."""
        return (*self._images(), *self._journal())

    def drain(self) -> Sequence[Change] | None:
        """Tell what was written since; None when the folders themselves are others."""
        self._watcher.silence()
        with self._lock:
            stirred, self._stirred = self._stirred, set()
        now = time.monotonic()
        if late := now - self._looked >= self.every * 0.9:
            self._looked = now
        if self._replaced or not self._watcher.whole:
            return None
        # inotify does not tell of a folder that was mounted over, or moved with its parent.
        if late and self._as_it_is() != self._watched:
            return None
        changes: list[Change] = []
        if late or self._folders[0] in stirred:
            changes += self._images()
        if late or self._folders[1] in stirred:
            written = self._journal()
            # A lock that is closed, or taken anew, need not look other than it did.
            changes += (WindowsWritten(),) if self._folders[1] in stirred else written
        return changes

    def close(self) -> None:
        """End the threads and release the eventfd."""
        self._watcher.close()

    def _images(self) -> Sequence[Change]:
        self._looked = time.monotonic()
        try:
            images = read_images(self._boot)
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            missing = f"the kernel images in {clean(str(self._boot))} could not be listed"
            return (ReadingDone(self.name, (f"{missing}: {error.strerror}", *self._unwatched)),)
        return (ImagesRead(images), ReadingDone(self.name, self._unwatched))

    def _journal(self) -> Sequence[Change]:
        """Tell that journal or lock were written, if they are no longer as they were last seen."""
        seen, self._seen = self._seen, _signature(self._windows, self._locks)
        return (WindowsWritten(),) if seen != self._seen else ()

    def _wanted(self) -> Sequence[Path]:
        return (*self._folders, self._folders[1] / "windows")

    def _as_it_is(self) -> dict[Path, tuple[int, int]]:
        """Return what is to be watched now, each with its identity."""
        return {f: _identity(f) for f in map(_nearest, self._wanted())}

    def _heard(self, kind: str, path: Path, is_folder: bool) -> bool:
        """In a thread of watchdog's: note what an event is about, and whether it matters."""
        wanted = self._wanted()
        if kind in _PLACED and any(path == f or path in f.parents for f in wanted):
            self._replaced = True
            return True
        boot, windows, _ = self._folders
        with self._lock:
            if not is_folder and path.parent == boot and _is_image(kind, path):
                self._stirred.add(boot)
                return True
            if not is_folder and path.parent in wanted[1:] and _is_written(kind, path):
                self._stirred.add(windows)
                return True
        return False


def _signature(windows: Path, locks: Path) -> Signature:
    """Return what tells the files of the windows, and the locks, from what they were."""
    found = []
    for folder in (windows, windows / "windows", locks):
        try:
            for entry in folder.iterdir():
                about = entry.stat()
                found.append((str(entry), about.st_size, about.st_mtime_ns))
        except OSError as error:
            # Whoever reads the journal says what cannot be read of it.
            if error.errno in EXHAUSTED:
                raise
    return tuple(sorted(found))


def _is_image(kind: str, path: Path) -> bool:
    """Whether an image is now whole, or gone; one in the making is none yet."""
    if kind == "created":
        return _is_link(path)
    return kind in _ENDED and kind != "modified"


def _is_written(kind: str, path: Path) -> bool:
    """Whether journal or lock were written."""
    return _is_link(path) if kind == "created" else kind in _ENDED


def _is_link(path: Path) -> bool:
    """Whether this name came whole, with nothing left to be written."""
    try:
        return path.is_symlink() or path.stat().st_nlink > 1
    except OSError:
        return False


def _nearest(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _identity(folder: Path) -> tuple[int, int]:
    """Return what tells a folder from another of its name; (0, 0) where there is none."""
    try:
        about = folder.stat()
    except OSError:
        return (0, 0)
    return about.st_dev, about.st_ino
