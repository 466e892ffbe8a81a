# SPDX-License-Identifier: MIT
"""How the simulated machine's news reach whoever listens, as a netlink socket would bring them.

An ear has a buffer of a fixed size. When more comes than it holds, what it held
is lost, and that it was lost is told.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterable

from luo_tui.sources.changes import Change

MOST = 1024
"""News that an ear holds."""


class Ear:
    """One listener: an eventfd to poll, and what has come since it was last asked."""

    def __init__(self, topic: str) -> None:
        """Hear what is told of ``topic``."""
        self.topic = topic
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._heard: list[Change] = []
        self._overrun = False
        self._fault = 0

    def put(self, changes: Iterable[Change], fault: int = 0) -> None:
        """Let it hear; ``fault`` is an errno to die with. From any thread."""
        with self._lock:
            if self.fd < 0:
                return
            self._heard.extend(changes)
            if len(self._heard) > MOST:
                self._heard.clear()
                self._overrun = True
            self._fault = self._fault or fault
            os.eventfd_write(self.fd, 1)

    def take(self) -> list[Change] | None:
        """Return what came; None if some of it was lost. OSError if it died."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.fd)
            heard, self._heard = self._heard, []
            overrun, self._overrun = self._overrun, False
            if self._fault:
                raise OSError(self._fault, os.strerror(self._fault))
        return None if overrun else heard

    def close(self) -> None:
        """Release the eventfd; harmless twice."""
        with self._lock:
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1


class News:
    """All ears, by topic."""

    def __init__(self) -> None:
        """Nobody listens."""
        self._lock = threading.Lock()
        self._ears: list[Ear] = []
        self._broken: set[str] = set()

    def listen(self, topic: str) -> Ear:
        """Return a new ear. OSError while the topic is broken."""
        with self._lock:
            if topic in self._broken:
                raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            ear = Ear(topic)
            self._ears.append(ear)
        return ear

    def unlisten(self, ear: Ear) -> None:
        """Release an ear; harmless twice."""
        with self._lock, contextlib.suppress(ValueError):
            self._ears.remove(ear)
        ear.close()

    def announce(self, topic: str, *changes: Change) -> None:
        """Let everybody who listens to ``topic`` hear."""
        for ear in self._about(topic):
            ear.put(changes)

    def cut(self, topic: str) -> None:
        """Let every ear of this topic die, and let nobody listen again before :meth:`mend`."""
        with self._lock:
            self._broken.add(topic)
        for ear in self._about(topic):
            ear.put((), errno.ECONNRESET)

    def mend(self, topic: str) -> None:
        """Let this topic be listened to again."""
        with self._lock:
            self._broken.discard(topic)

    def _about(self, topic: str) -> list[Ear]:
        with self._lock:
            return [e for e in self._ears if e.topic == topic]
