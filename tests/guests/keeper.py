# SPDX-License-Identifier: MIT
"""What keeps memfds in place of a kernel, and another process that loads guests from it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from luo_tui.guests import load as loader
from luo_tui.guests.failed import GuestFailed
from luo_tui.guests.load import load
from luo_tui.guests.qmp import Qmp
from luo_tui.guests.record import Records

ROOT = Path(__file__).parents[2]


class Descriptors:
    """Keeps a descriptor for each token; what is asked of it can be refused."""

    def __init__(self, fds: dict[int, int] | None = None) -> None:
        self.fds = fds or {}
        self.refuse: dict[str, int] = {}
        """What is refused from now on: the call, and the calls of it that still go well."""

    def make_ready(self) -> None:
        self._may("make ready")

    def let_go(self, token: int) -> None:
        assert token in self.fds

    def preserve(self, fd: int, name: str = "") -> int:
        assert name, "each of them has one of its own"
        self._may("preserve")
        token = max(self.fds, default=40) + 1
        self.fds[token] = os.dup(fd)
        return token

    def unpreserve(self, token: int) -> None:
        self._may("unpreserve")
        try:
            os.close(self.fds.pop(token))
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "unknown token") from None

    def restore(self, token: int) -> int:
        self._may("restore")
        # As from the kernel: an open file of its own, at the position that was kept.
        return os.open(f"/proc/self/fd/{self.fds[token]}", os.O_RDWR | os.O_CLOEXEC)

    def _may(self, call: str) -> None:
        if call in self.refuse:
            if not self.refuse[call]:
                raise OSError(errno.ENOMEM, "Cannot allocate memory")
            self.refuse[call] -= 1

    def load_elsewhere(
        self, records: Records, name: str, killed_at: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Load a guest from its record in a process that knows nothing else.

        It is killed where it would call ``killed_at``, of the loader's own functions; with
        ``QEMU`` in front of that, separated by a blank, QEMU is.
        """
        return subprocess.run(
            [sys.executable, "-m", "tests.guests.keeper", str(records.folder), name,
             json.dumps(self.fds), killed_at],
            cwd=ROOT, pass_fds=tuple(self.fds.values()), capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    def close(self) -> None:
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


def main() -> int:
    folder, name, fds, killed_at = sys.argv[1:]
    # As on a machine where no QEMU would have started within the time for an answer.
    loader.LIMIT = 0.001
    if killed_at:
        whose, _, where = killed_at.rpartition(" ")
        called = getattr(loader, where)

        def kill(qmp: Qmp, *more: object) -> object:
            os.kill(qmp.peer if whose else os.getpid(), signal.SIGKILL)
            return called(qmp, *more)

        setattr(loader, where, kill)
    keeper = Descriptors({int(token): fd for token, fd in json.loads(fds).items()})
    for fd in keeper.fds.values():
        # A kernel's are in no process.
        os.set_inheritable(fd, False)
    records = Records(Path(folder))
    record = records.find(name)
    assert record is not None
    try:
        print(load(keeper, record, records).pid)
    except GuestFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    slow = {"asyncio", "dataclasses", "hashlib", "psutil", "pyudev", "tempfile", "textual"} & set(
        sys.modules
    )
    print(*sorted(slow))
    return 0


if __name__ == "__main__":
    sys.exit(main())
