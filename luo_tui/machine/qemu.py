# SPDX-License-Identifier: MIT
"""One QEMU in the background: started, told, ended.

Everything about it lies in its state folder, so that a command started later finds
it. Nothing listens on any address but 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

PROGRAM = "qemu-system-x86_64"
PORT = "@PORT@"
"""Stands in QEMU's arguments for a free port on 127.0.0.1."""

CPU = "max,-la57,-avx,-avx2,-f16c,-fma,-erms,-fsrm"
"""What an emulated processor has, less what costs more than it saves where each instruction
is emulated: a fifth level of page tables, wide vectors, and copies byte by byte. Python
starts in some half of the time without them."""


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class QemuError(Exception):
    """What its user has to know, in words."""


class Qemu:
    """A QEMU by its state folder. Every method raises :attr:`error` with words for its user."""

    folder: Path
    """It is made by whoever starts a machine."""
    name: str
    memory: int
    """MiB."""
    qemu: Sequence[str] = ()
    """Arguments that outrank all others."""
    accel: str = "tcg"
    cpu: str = CPU
    lives_on: bool = True
    """Whether it stays when the process that has started it ends, however that ends."""
    error: type[Exception] = QemuError
    missing: str = f"{PROGRAM} is not installed."
    """What to say where there is no QEMU."""
    _child: subprocess.Popen[bytes] | None = None

    @property
    def serial(self) -> tuple[Path, Path]:
        """Sockets of ttyS0, the kernel's own console, and of ttyS1."""
        return self.folder / "ttyS0", self.folder / "ttyS1"

    @property
    def monitor(self) -> Path:
        """Socket of QEMU's human monitor."""
        return self.folder / "monitor"

    @property
    def port(self) -> int:
        """Port on 127.0.0.1 that leads to the guest's ssh."""
        return int((self.folder / "port").read_text())

    def log(self) -> str:
        """Return everything that the kernel's console has printed."""
        try:
            return (self.folder / "ttyS0.log").read_text(errors="replace")
        except OSError:
            return ""

    def running(self) -> int:
        """Return QEMU's process id; 0 if this machine does not run."""
        try:
            pid = int((self.folder / "pid").read_text())
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return 0
        # The number may belong to somebody else by now.
        return pid if os.fsencode(self.folder / "monitor") in line else 0

    def launch(self, *what: str | Path, log: Path | None = None) -> None:
        """Start QEMU in the background with ``what``, in which @PORT@ is a free one.

        ``log`` is what the kernel has printed before.
        """
        console = self.folder / "ttyS0.log"
        for path in (*self.serial, self.monitor, self.folder / "pid", console):
            path.unlink(missing_ok=True)
        if log is not None:
            shutil.copy(log, console)
        for _ in range(5):
            port = str(_free_port())
            (self.folder / "port").write_text(port)
            if self._start([str(w).replace(PORT, port) for w in what]):
                return
        raise self.error("QEMU could not be started:\n" + self.said())

    def _start(self, what: Sequence[str]) -> bool:
        s0, s1 = self.serial
        command = [
            PROGRAM, "-name", f"luo-{self.name}",
            "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "pc", "-accel", self.accel, "-cpu", self.cpu, "-smp", "1",
            "-m", f"{self.memory}M", *what,
            "-chardev", f"socket,id=s0,path={s0},server=on,wait=off,"
                        f"logfile={self.folder / 'ttyS0.log'},logappend=on",
            "-serial", "chardev:s0",
            "-chardev", f"socket,id=s1,path={s1},server=on,wait=off", "-serial", "chardev:s1",
            "-monitor", f"unix:{self.monitor},server=on,wait=off",
            "-pidfile", str(self.folder / "pid"), *self.qemu,
        ]  # fmt: skip
        with (self.folder / "qemu.log").open("wb") as log:
            try:
                if not self.lives_on:
                    return self._as_child(command, log)
                done = subprocess.run(
                    [*command, "-daemonize"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    check=False,
                )
            except FileNotFoundError as error:
                raise self.error(self.missing) from error
        return done.returncode == 0

    def _as_child(self, command: Sequence[str], log: BinaryIO) -> bool:
        """Start it so that it ends with this process; return whether it runs."""
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl+C is for whoever has started it, and ends it in order.
            process_group=0,
            preexec_fn=end_with_parent,
        )
        # It writes down its number before it knows whether it can start.
        while self._child.poll() is None:
            with contextlib.suppress(self.error):
                if self.monitor.exists() and self.tell("info status"):
                    return True
            time.sleep(0.01)
        return False

    def until(self, command: str, answer: str, wait: float = 60) -> None:
        """Give QEMU a command, and repeat it until its answer is this."""
        end = time.monotonic() + wait
        while answer not in (said := self.tell(command)):
            if time.monotonic() > end or "failed" in said:
                raise self.error(f"QEMU does not come to {answer!r}: {said.strip()[-500:]}")
            time.sleep(0.05)

    def tell(self, command: str) -> str:
        """Give QEMU's monitor a command; return its answer, in which it repeats the command."""
        prompt, said = b"(qemu) ", b""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(20)
            try:
                monitor.connect(str(self.monitor))
                monitor.sendall(command.encode() + b"\n")
                while said.count(prompt) < 2:
                    if not (more := monitor.recv(1 << 16)):
                        raise self.error("QEMU has ended:\n" + self.said())
                    said += more
            except OSError as error:
                raise self.error(f"QEMU does not answer ({error})") from error
        return said.decode(errors="replace")

    def stop(self) -> None:
        """End exactly the QEMU that was started, by its process id."""
        pid = self.running()
        if not pid:
            self._reap()
            return
        # QEMU removes its pid file before it has ended, and lets go of the disk last.
        began = _began(pid)
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 60.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            end = time.monotonic() + patience
            while began and _began(pid) == began:
                if time.monotonic() > end:
                    break
                time.sleep(0.02)
            else:
                break
        (self.folder / "pid").unlink(missing_ok=True)
        self._reap()

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None

    def said(self) -> str:
        """Return the last that QEMU itself has printed."""
        try:
            return (self.folder / "qemu.log").read_text(errors="replace")[-2000:]
        except OSError:
            return "(nothing)"


def end_with_parent() -> None:
    """Have the kernel end a child when the thread that has started it is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _began(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; nothing if it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
