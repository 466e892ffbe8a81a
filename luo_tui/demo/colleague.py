# SPDX-License-Identifier: MIT
"""Another operator on the simulated host: a process with a window of its own.

It writes journal and lock as any console does, since it acts through the same
:class:`~luo_tui.update.acts.Window`. The simulated kernel lives in the demo's
process; what the other one asks of it goes over a socket pair.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from luo_tui.demo.answering import Answering
from luo_tui.demo.remote_orchestrator import RemoteOrchestrator
from luo_tui.errors import ActFailed, NotDone
from luo_tui.orchestrator.simulated import TARGET, SimulatedHost, SimulatedOrchestrator, program
from luo_tui.orchestrator.simulated.clock import Clock
from luo_tui.update.acts import Window
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act
from luo_tui.update.target import Target, read_target

_FIRST, _AGAIN = 4.0, 90.0
"""Seconds of the host's life before the first window, and between two."""
_THINKS = 12.0
"""Seconds of the host's life between two acts."""


class Colleague:
    """The demo's side: starts the process and answers for the kernel."""

    def __init__(self, host: SimulatedHost, clock: Clock, folder: Path) -> None:
        """Comes a few seconds after the clock has started."""
        self._host, self._clock, self._folder = host, clock, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting = threading.Event()
        self._stopped = False
        clock.after(_FIRST, self._come)

    def stop(self) -> None:
        """Let the process end; harmless twice."""
        self._stopped = True
        self._waiting.set()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _come(self) -> None:
        try:
            self._begin()
        except OSError:  # Such as too many open files.
            self._clock.after(_AGAIN, self._come)

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        # A terminal of its own, so that it has a name to be shown.
        keep, terminal = os.openpty()
        about = {"SUDO_USER": "oncall", "SSH_CONNECTION": "192.0.2.14 50022 192.0.2.1 22"}
        arguments = [str(theirs.fileno()), str(self._folder), str(self._host.boot_folder)]
        with theirs:
            self._process = subprocess.Popen(
                program.command("luo_tui.demo.colleague", *arguments),
                env=program.environment(**about),
                stdin=terminal,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        os.close(terminal)
        link = Connection(ours.detach())
        thread = threading.Thread(target=self._serve, args=(link, keep), name="colleague")
        thread.daemon = True
        thread.start()

    def _serve(self, link: Connection, terminal: int) -> None:
        Answering(SimulatedOrchestrator(self._host), wait=self._wait).serve(link)
        os.close(terminal)
        if self._process is not None:
            self._process.wait()
        if not self._stopped:
            self._clock.after(_AGAIN, self._come)

    def _wait(self, seconds: float) -> None:
        self._waiting = passed = threading.Event()
        self._clock.after(seconds, passed.set)
        if not self._stopped:
            passed.wait()


def work(remote: RemoteOrchestrator, folder: Path) -> None:
    """Be the other operator: load, prepare, think better of it, and leave."""
    window = Window(remote, folder, remote.look)
    kexec = remote.kexec
    image = kexec.boot_folder / f"vmlinuz-{TARGET}"
    target = read_target(image, kexec.modules_folder, kexec.command_line())
    if not isinstance(target, Target):
        return
    try:
        window.load(Consent.to(Act.LOAD, window.facts(target)), target)
        remote.wait(_THINKS)
        window.prepare(Consent.to(Act.PREPARE, window.facts(target)), target)
        remote.wait(_THINKS)
        window.cancel(Consent.to(Act.CANCEL, window.facts()))
    except (NotDone, ActFailed):
        # Somebody else has the window, or the kernel refused: another time.
        window.leave("not now")


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError):
        connection = Connection(int(sys.argv[1]))
        work(RemoteOrchestrator(connection, Path(sys.argv[3])), Path(sys.argv[2]))
