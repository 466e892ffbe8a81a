# SPDX-License-Identifier: MIT
"""One guest in a real QEMU: it counts, and keeps a pattern in its memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from luo_tui.guests.qmp import Qmp, QmpError

QEMU = "qemu-system-x86_64"
LONG = 60.0
"""Seconds that a slow machine has for what is to happen."""
_PROGRAM = bytes.fromhex(
    "fa 31c0 8ed8"  # cli; ds = 0
    "b80020 8ec0 31ff b90080 b85aa5 f3ab"  # 64 KiB of 0xa55a at 0x20000
    "fb f4 66ff060005 ebf7"  # count at 0x500 each time that the timer wakes it
)
COUNTER, PATTERN = 0x500, 0x20000
MEMORY = (
    *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
    *("-machine", "pc,memory-backend=ram"),
)
BARE = ("-accel", "tcg", "-nodefaults", "-display", "none", "-m", "64")


class Machine:
    """A QEMU whose files lie in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "qmp.sock"
        self.disk = folder / "disk.img"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._adopted = 0

    @property
    def pid(self) -> int:
        return self._adopted or self._processes[-1].pid

    def adopt(self, pid: int) -> None:
        """Take the QEMU that another process has started for this one's."""
        self._adopted = pid

    @property
    def log(self) -> str:
        return (self.folder / "qemu.log").read_text(errors="replace")

    def boot(self, *more: str, name: str = "web1", under: Sequence[str] = ()) -> None:
        """Start it with its counting program on a raw disk, and wait until QEMU listens."""
        # Of less than a megabyte the firmware makes no disk.
        about = self.folder.stat()
        self.disk.write_bytes((_PROGRAM.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        os.chown(self.disk, about.st_uid, about.st_gid)
        disk = f"file={self.disk},format=raw,if=virtio,id=hd0"
        self.start("-name", name, *BARE, *MEMORY, "-drive", disk, *more, under=under)

    def start(
        self,
        *arguments: str,
        qmp: bool = True,
        under: Sequence[str] = (),
        fds: Sequence[int] = (),
    ) -> None:
        """Start QEMU with these arguments, and a socket for QMP unless it is to have none."""
        monitor = ("-qmp", f"unix:{self.socket},server=on,wait=off") if qmp else ()
        with (self.folder / "qemu.log").open("wb") as log:
            process = subprocess.Popen(
                [*under, QEMU, *arguments, *monitor],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self._processes.append(process)
        if qmp:
            self.until(self.listens)

    def listens(self) -> bool:
        assert self._adopted or self._processes[-1].poll() is None, self.log
        self.monitor().close()
        return True

    def monitor(self) -> Qmp:
        return Qmp.connect(self.socket, limit=LONG)

    def ask(self, command: str, **arguments: object) -> object:
        with self.monitor() as monitor:
            return monitor.command(command, arguments)

    def number_at(self, address: int) -> int:
        said = self.ask("human-monitor-command", **{"command-line": f"xp /1wx {address:#x}"})
        assert isinstance(said, str)
        return int(said.split(":")[1], 16)

    def counts(self) -> int:
        """Wait until it has counted on, and return how far."""
        before = self.number_at(COUNTER)
        self.until(lambda: self.number_at(COUNTER) > before)
        return self.number_at(COUNTER)

    def is_whole(self) -> bool:
        return {self.number_at(PATTERN + at) for at in (0, 4096, 65532)} == {0xA55AA55A}

    def until(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + LONG
        while True:
            with contextlib.suppress(QmpError):
                if holds():
                    return
            assert time.monotonic() < end, "it did not come to that in time"
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> None:
        """Wait until the QEMU that was killed has ended."""
        if self._adopted:
            self.until(lambda: not _runs(self._adopted))
        else:
            self._processes[-1].wait()

    def end(self) -> None:
        if self._adopted:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@contextlib.contextmanager
def machine_below(above: Path) -> Iterator[Machine]:
    """Lend a machine with a folder of its own; its QEMU is ended afterwards."""
    folder = above / "guest"
    folder.mkdir()
    made = Machine(folder)
    try:
        yield made
    finally:
        made.end()
