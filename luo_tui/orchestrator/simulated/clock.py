# SPDX-License-Identifier: MIT
"""When something happens by itself: a clock that runs at the host's pace, in one thread."""

from __future__ import annotations

import heapq
import signal
import threading
import time
from collections.abc import Callable

from luo_tui.orchestrator.simulated.pace import Pace

What = Callable[[], None]
_FOR_THE_MAIN_THREAD = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
)


class Clock:
    """Seconds of the host's life, and what is to happen at which."""

    def __init__(self, pace: Pace, lock: threading.RLock) -> None:
        """Whatever happens, happens with ``lock`` held."""
        self.now = 0.0
        self._pace = pace
        self._lock = lock
        self._due: list[tuple[float, int, What]] = []
        self._count = 0
        self._stopping = False
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, what: What) -> None:
        """Let this happen that much later. From any thread."""
        with self._pace.changed:
            self._count += 1
            heapq.heappush(self._due, (self.now + seconds, self._count, what))
            self._pace.changed.notify_all()

    def step(self) -> None:
        """Let the next thing happen at once, whatever the pace. Not while the thread runs."""
        with self._pace.changed:
            what = self._pop()
        with self._lock:
            what()

    def start(self) -> None:
        """Begin to run; the thread ends with the program."""
        self._thread = threading.Thread(target=self._run, name="life", daemon=True)
        # A thread inherits the mask: signals are for the main thread.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_MAIN_THREAD)
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self) -> None:
        """End the thread, after what happens just now; harmless twice."""
        with self._pace.changed:
            self._stopping = True
            self._pace.changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._pace.changed:
                if not self._wait():
                    return
                what = self._pop()
            with self._lock:
                what()

    def _wait(self) -> bool:
        """Wait until something is due; False if it is time to end."""
        last = time.monotonic()
        while not self._stopping:
            speed = self._pace.speed
            patience = None
            if self._due and speed:
                patience = (self._due[0][0] - self.now) / speed
                if patience <= 0:
                    return True
            self._pace.changed.wait(patience)
            passed = time.monotonic() - last
            last += passed
            self.now += passed * speed
        return False

    def _pop(self) -> What:
        at, _, what = heapq.heappop(self._due)
        self.now = max(self.now, at)
        return what
