# SPDX-License-Identifier: MIT
"""The hands of the contract tests on one machine: holds descriptors, makes calls, answers.

In the lab it runs in the guest and speaks JSON lines on its standard streams;
for the simulated orchestrator the very same class is called in process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.errors import ActFailed, NotDone
from luo_tui.model import Snapshot, State
from luo_tui.orchestrator import Move, Orchestrator
from luo_tui.uapi import luo_v2

# Loaded where it is used: in the lab every import is emulated, and after each kexec again.
if TYPE_CHECKING:
    from luo_tui.cli.watch import Wanted
    from luo_tui.monitor.hub import Hub
    from luo_tui.update.acts import Window
    from luo_tui.update.consent import Consent
    from luo_tui.update.hold import Holds
    from luo_tui.update.lock import Lock
    from luo_tui.update.target import Target


class Agent:
    """One process on the machine. Every public method is an operation of the tests."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._fds: list[int] = []
        self._hub: Hub | None = None
        self._wakes = 0
        self._lines: _Lines | None = None
        self._window: Window | None = None
        self._target: Target | None = None
        self._consent: Consent | None = None
        self._held_window: Lock | None = None

    def end(self) -> None:
        """Let go of everything, as the end of a process does."""
        if self._hub is not None:
            self._hub.stop()
            self._hub = None
        if self._lines is not None:
            self._lines.end()
            self._lines = None
        if self._window is not None:
            self._window.release()
            self._window = None
        self.leave_window()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    # The orchestrator.

    def state(self) -> str:
        return self._orchestrator.state()

    def move(self, move: str) -> None:
        self._orchestrator.move(Move(move))

    def preserve(self, fd: int, name: str = "") -> int:
        """Preserve a file; ``name`` is its session's, where the kernel has those."""
        return self._orchestrator.preserve(fd, name)

    def unpreserve(self, token: int) -> None:
        self._orchestrator.unpreserve(token)

    def make_ready(self) -> None:
        """Start what restores, where that is a process."""
        self._orchestrator.make_ready()

    def restore(self, token: int) -> int:
        return self._mine(self._orchestrator.restore(token))

    def load(self, which: str) -> str:
        """Load the first image whose release ends in ``which``; return its release."""
        kexec = self._orchestrator.kexec
        path = next(
            p for p in sorted(kexec.boot_folder.glob("vmlinuz-*")) if p.name.endswith(which)
        )
        release = path.name.removeprefix("vmlinuz-")
        initrd = path.with_name(f"initrd.img-{release}")
        with path.open("rb") as image, initrd.open("rb") as ram_disk:
            kexec.load(image.fileno(), ram_disk.fileno(), kexec.command_line())
        return release

    def load_path(self, path: str) -> None:
        kexec = self._orchestrator.kexec
        with Path(path).open("rb") as image:
            kexec.load(image.fileno(), -1, kexec.command_line())

    def unload(self) -> None:
        self._orchestrator.kexec.unload()

    def loaded(self) -> bool:
        return self._orchestrator.kexec.state().loaded

    # A window: the acts, with consent, refusal, undo and resuming.

    def window(self, folder: str, who: str = "ann") -> None:
        """Be a console with its window in ``folder``, as another process would be after a crash."""
        from luo_tui.monitor.reading import reader
        from luo_tui.update.acts import Window
        from luo_tui.update.person import Person

        if self._window is not None:
            self._window.release()
        orchestrator = self._orchestrator
        look = reader(orchestrator, orchestrator.surroundings())
        me = Person(who, "pts/0", "", os.getpid())
        self._window = Window(orchestrator, Path(folder), look, me)
        self._target = None

    def choose(self, which: str) -> str:
        """Choose the first image whose release ends in ``which``; return its release."""
        from luo_tui.update.target import Target, read_target

        kexec = self._orchestrator.kexec
        path = next(
            p for p in sorted(kexec.boot_folder.glob("vmlinuz-*")) if p.name.endswith(which)
        )
        target = read_target(path, kexec.modules_folder, kexec.command_line())
        assert isinstance(target, Target), target.fault
        self._target = target
        return target.image.release

    def resume(self) -> str:
        """Read what the open window has loaded, as a console does that starts anew."""
        from luo_tui.update.target import Target, read_target

        assert self._window is not None
        window_state = self._window.window_state()
        assert window_state is not None
        target = read_target(
            Path(window_state.image),
            self._orchestrator.kexec.modules_folder,
            window_state.command_line,
            Path(window_state.initrd),
        )
        assert isinstance(target, Target), target.fault
        self._target = target
        return target.image.release

    def agree(self, act: str, typed: str = "") -> None:
        """Agree to an act on the facts of now; :meth:`act` does it later."""
        from luo_tui.update.consent import Consent
        from luo_tui.update.facts import Act

        assert self._window is not None
        facts = self._window.facts(self._target)
        self._consent = Consent.to(Act(act), facts, typed=typed, label=f"yes to {act}")

    def offered(self) -> dict[str, str]:
        """Return the acts that are offered now, each with what blocks it."""
        from luo_tui.update.walk import walk

        assert self._window is not None
        return {a.act: a.blocked for a in walk(self._window.facts(self._target)).actions}

    def act(self) -> dict[str, Any]:
        """Do what was agreed to; return how that ended."""
        from luo_tui.update.facts import Act

        consent, window, target = self._consent, self._window, self._target
        assert consent is not None
        assert window is not None
        acts: dict[Act, Callable[[], object]] = {
            Act.LOAD: lambda: window.load(consent, _known(target)),
            Act.UNLOAD: lambda: window.unload(consent),
            Act.PREPARE: lambda: window.prepare(consent, _known(target)),
            Act.CANCEL: lambda: window.cancel(consent),
            Act.KEXEC: lambda: window.kexec(consent, _known(target), lambda: None),
            Act.FINISH: lambda: window.finish(consent),
        }
        try:
            acts[consent.act]()
        except NotDone as refused:
            return {"refused": refused.reason, "code": int(refused.code)}
        except ActFailed as failed:
            return {"failed": " ".join(failed.lines()), "errno": failed.explanation.errno}
        return {"done": str(consent.act)}

    def host_name(self) -> str:
        return self._orchestrator.host().name

    def arrive(self) -> None:
        """Account for the jump, as a console does that starts after it."""
        assert self._window is not None
        self._window.arrive()

    def recorded(self) -> dict[str, Any]:
        """Return what the journal says of the newest window."""
        assert self._window is not None
        window_state = self._window.window_state()
        return window_state._asdict() if window_state is not None else {}

    def replace_file(self, path: str, more: str) -> None:
        """Write a file anew under the same inode, with ``more`` at its end."""
        with Path(path).open("ab") as file:
            file.write(more.encode())

    def reboot(self) -> None:
        """Jump; comes back by an error alone."""
        self._orchestrator.kexec.sync()
        self._orchestrator.kexec.reboot()

    # What is to be seen.

    def picture(self) -> dict[str, Any]:
        return _plain(self._hub_of(lambda: None).read_now())

    def _hub_of(self, wake: Callable[[], None]) -> Hub:
        from luo_tui.monitor.hub import Hub

        return Hub(self._orchestrator, wake)

    def watch(self) -> None:
        """Begin to watch, as the console does."""
        self._wakes = 0
        self._hub = self._hub_of(self._wake)
        self._hub.start()

    def _wake(self) -> None:
        self._wakes += 1

    def wakes(self) -> int:
        """How often the watching hub has called since it began."""
        return self._wakes

    def watched(self, state: str, tokens: list[int], seconds: float = 5) -> dict[str, Any]:
        """Wait until the watching hub shows this; return what it shows at the end."""
        assert self._hub is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            snapshot = self._hub.snapshot
            if snapshot.luo.state == state and sorted(snapshot.resources) == tokens:
                break
            time.sleep(0.01)
        return _plain(self._hub.snapshot)

    def watched_as(self, token: int, state: str, seconds: float = 5) -> dict[str, Any]:
        """Wait until the watching hub shows one resource in this state."""
        assert self._hub is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            resource = self._hub.snapshot.resources.get(token)
            if resource is not None and resource.state == state:
                break
            time.sleep(0.01)
        return _plain(self._hub.snapshot)

    def lines(self, until: str = "", timeout: float | None = None) -> dict[str, Any]:
        """Begin to watch by line, for programs; return the first object."""
        from luo_tui.cli.watch import Wanted

        if self._lines is not None:
            self._lines.end()
        wanted = Wanted(as_json=True, until=State(until) if until else None, timeout=timeout)
        self._lines = _Lines(self._orchestrator, wanted)
        return self._lines.next()

    def line(self, kind: str, text: str) -> dict[str, Any]:
        """Return the next object of this kind that has ``text`` in it."""
        assert self._lines is not None
        while True:
            found = self._lines.next()
            if found["kind"] == kind and text in found["text"]:
                return found

    def lines_ended(self) -> int:
        """Wait until watching by line has ended by itself; return its exit code."""
        assert self._lines is not None
        return self._lines.code()

    # Files that are held, and the host's locks.

    def hold(self, name: str, text: str) -> Any:
        """Hold a file with this text; return its token, or why it was refused."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file"
            file.write_text(text)
            return _or_refused(lambda: self._holds().hold(file, name).token)

    def give_back(self, name: str) -> Any:
        """Restore what is held; return its text, or why it was refused."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            refused = _or_refused(lambda: self._holds().restore(name, out).name)
            return out.read_text() if refused == name else refused

    def give_up(self, name: str) -> Any:
        """Unpreserve what is held; return its token, or why it was refused."""
        return _or_refused(lambda: self._holds().unpreserve(name).token)

    def take_window(self, user: str) -> None:
        """Hold the window's lock from now on, as ``user``'s console does."""
        from luo_tui.update.lock import Lock
        from luo_tui.update.person import Person

        self._held_window = Lock(self._orchestrator.lock_folder)
        self._held_window.take(Person(user))

    def leave_window(self) -> None:
        if self._held_window is not None:
            self._held_window.release()
            self._held_window = None

    def window_holder(self) -> list[str]:
        """Return who has the window, as another process sees it; and why that is not known."""
        from luo_tui.update.lock import Lock

        found = Lock(self._orchestrator.lock_folder).reading()
        return [found.person.user if found.person else "", found.fault]

    def acts(self) -> int:
        """Count the acts that were done without a window."""
        from luo_tui.update.lock import act_count

        return act_count(self._orchestrator.lock_folder)

    def _holds(self) -> Holds:
        from luo_tui.update.folder import DEFAULT_FOLDER
        from luo_tui.update.hold import Holds

        demo = self._orchestrator.demo
        folder = self._orchestrator.lock_folder.parent if demo else DEFAULT_FOLDER
        return Holds(self._orchestrator, folder, self._hub_of(lambda: None).read_now)

    # Files.

    def memfd(self, name: str, size: int = 0, flags: int = 0) -> int:
        flags |= os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        fd = self._mine(os.memfd_create(name, flags))
        os.ftruncate(fd, size)
        return fd

    def huge(self, name: str, size: int) -> int:
        """Make a file of huge pages with a byte in each; ``size`` is a multiple of 2 MiB."""
        fd = self.memfd(name, size)
        with mmap.mmap(fd, size) as memory:
            memory.madvise(mmap.MADV_HUGEPAGE)
            for at in range(0, size, 2 << 20):
                memory[at] = 7
        return fd

    def huge_pages(self) -> int:
        """Return how many KiB of shared memory are huge pages, on the whole machine."""
        return _meminfo()["ShmemHugePages"]

    def data(self, fd: int) -> list[tuple[int, int]]:
        """Return the runs of a file that are no holes, as (begin, end)."""
        runs, at = [], 0
        while True:
            try:
                begin = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                os.lseek(fd, 0, os.SEEK_SET)
                return runs
            at = os.lseek(fd, begin, os.SEEK_HOLE)
            runs.append((begin, at))

    def punch(self, fd: int, at: int, size: int) -> None:
        self._fallocate(fd, 3, at, size)

    def allocate(self, fd: int, at: int, size: int) -> None:
        """Reserve pages without writing them."""
        self._fallocate(fd, 1, at, size)

    def _fallocate(self, fd: int, mode: int, at: int, size: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.fallocate(fd, mode, ctypes.c_long(at), ctypes.c_long(size)):
            raise OSError(ctypes.get_errno(), "fallocate")

    def many(self, number: int) -> list[int]:
        """Preserve that many files of a page each, with their number in it; first and last token.

        Only the kernel holds them afterwards.
        """
        tokens = []
        for i in range(number):
            fd = os.memfd_create(f"n{i}", os.MFD_CLOEXEC)
            os.write(fd, i.to_bytes(8, "little"))
            tokens.append(self._orchestrator.preserve(fd))
            os.close(fd)
        return [tokens[0], tokens[-1]]

    def restore_many(self, first: int, number: int) -> int:
        """Restore as many from this token on; return how many have their number in them."""
        right = 0
        for i in range(number):
            fd = self._orchestrator.restore(first + i)
            right += os.pread(fd, 8, 0) == i.to_bytes(8, "little")
            os.close(fd)
        return right

    def restore_in_group(self, token: int, limit: int) -> int:
        """Restore in a memory cgroup of ``limit`` bytes; return the errno, 0 for none."""
        code = _in_group("small", limit, lambda: self._orchestrator.restore(token))
        Path("/sys/fs/cgroup/small").rmdir()
        return code

    def fill_in_group(self, fd: int, size: int, limit: int) -> None:
        """Have another process write a file whose memory cgroup holds ``limit`` bytes."""
        assert _in_group("owner", limit, lambda: self.fill(fd, 0, size, "owner")) == 0

    def write_on(self, fd: int, pause: float) -> None:
        """Have another process write page after page, each for the first time, until the end.

        Into each its number; when it is written, and not before, that number
        goes into the first page.
        """
        size = os.fstat(fd).st_size
        if os.fork() == 0:
            with mmap.mmap(fd, size) as memory:
                for i in range(1, size // 4096):
                    number = i.to_bytes(8, "little")
                    memory[i * 4096 : i * 4096 + 8] = number
                    memory[0:8] = number
                    if pause:
                        time.sleep(pause)
                signal.pause()

    def written_on(self, fd: int) -> list[int]:
        """Return the last number that was written, and which pages before it are not there."""
        last = int.from_bytes(os.pread(fd, 8, 0), "little")
        numbers = (os.pread(fd, 8, i * 4096) for i in range(1, last + 1))
        missing = [i for i, n in enumerate(numbers, 1) if int.from_bytes(n, "little") != i]
        return [last, len(missing), *missing[:5]]

    def poison(self, fd: int, at: int) -> None:
        """Have the memory of one page fail, as the machine would tell of it."""
        child = os.fork()
        if child == 0:
            with mmap.mmap(fd, os.fstat(fd).st_size) as memory:
                assert memory[at] >= 0  # the page must be there
                memory.madvise(100, at, 4096)  # MADV_HWPOISON
            os._exit(0)
        # Who has such a page mapped may be killed for it.
        os.waitpid(child, 0)

    def push_out(self, fd: int) -> int:
        """Push a file's pages out to swap; return how many KiB are there now."""
        size = os.fstat(fd).st_size
        with mmap.mmap(fd, size) as memory:
            # Only pages that are in the page table are looked at.
            assert len(memory[::4096]) == size // 4096
            memory.madvise(21)  # MADV_PAGEOUT
        about = _meminfo()
        return about["SwapTotal"] - about["SwapFree"]

    def other(self, kind: str) -> int:
        """Open something that is no memfd."""
        if kind == "none":
            return 987
        if kind == "pipe":
            reader, writer = os.pipe()
            self._mine(writer)
            return self._mine(reader)
        makers: dict[str, Callable[[], int]] = {
            "file": lambda: os.open("/tmp/contract", os.O_RDWR | os.O_CREAT),
            "folder": lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY),
            "eventfd": lambda: os.eventfd(0),
            "hugetlb": lambda: os.memfd_create("h", os.MFD_CLOEXEC | os.MFD_HUGETLB),
            "socket": lambda: socket.socket().detach(),
        }
        return self._mine(makers[kind]())

    def open(self, path: str) -> int:
        return self._mine(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def write(self, fd: int, at: int, text: str) -> None:
        os.pwrite(fd, text.encode(), at)

    def fill(self, fd: int, at: int, size: int, seed: str) -> str:
        """Write bytes that follow from ``seed``; return the digest of the whole file."""
        block = hashlib.shake_256(seed.encode()).digest(min(size, 1 << 20))
        for offset in range(0, size, len(block)):
            os.pwrite(fd, block[: size - offset], at + offset)
        return self.digest(fd)

    def read(self, fd: int, at: int, size: int) -> str:
        return os.pread(fd, size, at).decode("latin-1")

    def digest(self, fd: int) -> str:
        # The fastest one there is where every instruction is interpreted.
        digest = hashlib.md5(usedforsecurity=False)
        at = 0
        while chunk := os.pread(fd, 1 << 20, at):
            digest.update(chunk)
            at += len(chunk)
        return digest.hexdigest()

    def seek(self, fd: int, position: int) -> None:
        os.lseek(fd, position, os.SEEK_SET)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def seal(self, fd: int, seals: int) -> None:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)

    def mode(self, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)

    def about(self, fd: int) -> dict[str, Any]:
        """Everything that has to survive, and how the descriptor was given out."""
        status = os.fstat(fd)
        return {
            "size": status.st_size,
            "mode": status.st_mode & 0o7777,
            "seals": fcntl.fcntl(fd, fcntl.F_GET_SEALS),
            "position": os.lseek(fd, 0, os.SEEK_CUR),
            "blocks": status.st_blocks,
            "cloexec": bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC),
        }

    def close(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)

    def free(self) -> int:
        """Return MemFree in KiB, with nothing left in the caches that could be dropped."""
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return _meminfo()["MemFree"]

    def evidence(self) -> dict[str, Any]:
        """What sysfs and KHO's debugfs tell, beside the orchestrator itself."""
        from luo_tui.sources import sysfs
        from luo_tui.uapi import kho

        luo = sysfs.read_state()
        return {
            "state": luo.state,
            "detail": luo.detail,
            "title": self._orchestrator.title,
            "may_act": self._orchestrator.may_act(),
            "kho": kho.active(),
            "exec_from": kho.exec_from(),
        }

    def overrun(self, events: int) -> dict[str, Any]:
        """Let more events come than a small netlink buffer holds; tell what the source says."""
        from luo_tui.sources import udev
        from luo_tui.sources.changes import ResourcesRead

        large, udev._BUFFER = udev._BUFFER, 4096
        source = udev.ResourceSource()
        source.reopen()
        udev._BUFFER = large
        fd = self.memfd("overrun", 4096)
        for _ in range(events):
            self._orchestrator.unpreserve(self._orchestrator.preserve(fd))
        token = self._orchestrator.preserve(fd)
        time.sleep(1)
        drained = source.drain()
        source.reopen()
        read = [len(c.resources) for c in source.enumerate() if isinstance(c, ResourcesRead)]
        self._orchestrator.unpreserve(token)
        time.sleep(1)
        after = source.drain()
        source.close()
        return {
            "lost": drained is None,
            "read": read,
            "after": None if after is None else [type(c).__name__ for c in after],
        }

    def raw(self, number: int, argument: str = "", flags: int = os.O_RDWR) -> str:
        """Open the device with ``flags`` and make one ioctl with bytes, both in hex."""
        device = os.open(luo_v2.DEVICE, flags | os.O_CLOEXEC)
        try:
            answer = bytearray.fromhex(argument)
            fcntl.ioctl(device, number, answer)
            return answer.hex()
        finally:
            os.close(device)

    def unwritable(self, number: int, argument: str) -> None:
        """Make an ioctl on the device whose argument can be read and not written."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        page = mmap.PAGESIZE
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        at = libc.mmap(None, ctypes.c_size_t(page), 3, private, -1, ctypes.c_long(0))
        raw = bytes.fromhex(argument)
        ctypes.memmove(at, raw, len(raw))
        assert libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(page), 1) == 0
        device = luo_v2.open_device()
        result = libc.ioctl(device, ctypes.c_ulong(number), ctypes.c_void_p(at))
        code = ctypes.get_errno()
        os.close(device)
        libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(page))
        if result:
            raise OSError(code, os.strerror(code))

    def descriptors(self) -> int:
        """How many descriptors this process has."""
        return len(list(Path("/proc/self/fd").iterdir()))

    def inherited(self, number: int) -> int:
        """Make an ioctl on a device that root opened, as nobody; return its errno."""
        device = luo_v2.open_device()
        child = os.fork()
        if child == 0:
            code = 0
            try:
                os.setresuid(65534, 65534, 65534)
                fcntl.ioctl(device, number, bytearray(16))
            except OSError as error:
                code = error.errno or 255
            finally:
                os._exit(code)
        os.close(device)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def module(self, command: str) -> int:
        """Run ``rmmod`` or ``insmod`` on luo.ko; return the exit code."""
        name = "luo" if command == "rmmod" else f"/lib/modules/{os.uname().release}/extra/luo.ko"
        return subprocess.run([command, name], capture_output=True, check=False).returncode

    def rounds(self, number: int, size: int) -> None:
        """Preserve, prepare, cancel and unpreserve the same file, time and again."""
        fd = self.memfd("rounds", size)
        self.fill(fd, 0, size, "rounds")
        for _ in range(number):
            token = self._orchestrator.preserve(fd)
            self._orchestrator.move(Move.PREPARE)
            self._orchestrator.move(Move.CANCEL)
            self._orchestrator.unpreserve(token)
        self.close(fd)

    def _mine(self, fd: int) -> int:
        self._fds.append(fd)
        return fd


def _known(target: Target | None) -> Target:
    assert target is not None, "choose one first"
    return target


class _Lines:
    """A watch by line that writes into a pipe."""

    def __init__(self, orchestrator: Orchestrator, wanted: Wanted) -> None:
        from luo_tui.cli.watch import Watch

        self._reader, self._writer = os.pipe()
        self._rest = b""
        self._code = -1
        nobodys = Path("/nonexistent/luo-tui")
        self._watch = Watch(orchestrator, nobodys, self._writer, wanted, print)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._code = self._watch.run()
        except NotDone as ended:
            self._code = ended.code

    def next(self, seconds: float = 20) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\n" not in self._rest:
            if not select.select([self._reader], [], [], max(0.0, end - time.monotonic()))[0]:
                raise OSError(errno.ETIME, f"no such line; at the end: {self._rest!r}")
            self._rest += os.read(self._reader, 1 << 16)
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    def code(self, seconds: float = 20) -> int:
        self._thread.join(seconds)
        return -1 if self._thread.is_alive() else int(self._code)

    def end(self) -> None:
        if self._thread.is_alive():
            self._watch.leave()
        self._thread.join()
        os.close(self._reader)
        os.close(self._writer)


def _in_group(name: str, limit: int, do: Callable[[], object]) -> int:
    """Do it in a process whose memory cgroup holds ``limit`` bytes; return the errno, 0 for none.

    Whatever else goes wrong is 255. The group stays.
    """
    group = Path("/sys/fs/cgroup") / name
    group.mkdir(exist_ok=True)
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory")
    (group / "memory.max").write_text(str(limit))
    child = os.fork()
    if child == 0:
        code = 255
        try:
            (group / "cgroup.procs").write_text(str(os.getpid()))
            do()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _meminfo() -> dict[str, int]:
    """Return the kernel's account of memory, in KiB where it says so."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def _or_refused(do: Callable[[], object]) -> object:
    try:
        return do()
    except NotDone as refused:
        return {"code": int(refused.code), "said": refused.reason}
    except ActFailed as failed:
        return {"code": int(failed.explanation.code), "said": str(failed)}


def _plain(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "release": snapshot.host.release,
        "boot": snapshot.host.boot_id,
        "state": str(snapshot.luo.state),
        "from_release": snapshot.from_release,
        "compatible": snapshot.compatible,
        "stamps": snapshot.stamps._asdict(),
        "resources": [r._asdict() for _, r in sorted(snapshot.resources.items())],
        "faults": [h.fault for h in snapshot.health.values() if h.fault],
    }


def answer(agent: Agent, line: str) -> str:
    """Carry out one request; an OSError is an answer too."""
    request = json.loads(line)
    try:
        result = getattr(agent, request["call"])(**request["with"])
    except OSError as error:
        return json.dumps({"errno": error.errno, "text": str(error)})
    return json.dumps({"result": result})


def main() -> None:
    """Serve until the other side has gone."""
    from luo_tui.orchestrator.choose import open_orchestrator

    agent = Agent(open_orchestrator())
    print(json.dumps({"result": "ready"}), flush=True)
    for line in sys.stdin:
        print(answer(agent, line), flush=True)
    agent.end()


if __name__ == "__main__":
    main()
