# SPDX-License-Identifier: MIT
"""A simulated host: the demo, and the second half of every contract test.

It behaves as LUO v2 does: the same moves, errnos and tokens, on real memfds
whose bytes are really there. Its kexec ends one boot and begins another: new
boot id, the loaded image's release, and only what was handed over is left.
What it does not imitate: that a prepared file can neither grow nor shrink, and
the cost of pinning memory.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from luo_tui.changes import Change, LuoChanged, ParticipantsRead, ResourcesRead
from luo_tui.model import (
    Host,
    KexecState,
    LuoState,
    Participant,
    Resource,
    ResourceState,
    Stamps,
    State,
)
from luo_tui.orchestrator import Move, Moves, Source
from luo_tui.orchestrator.state_machine import MOVES
from luo_tui.sources.clean import clean

HOST_NAME = "demo-hv"
RUNNING = "7.3.3-hv"
TARGET = "7.3.4-hv"
COMPATIBLE = "luo-ko-v2"
COMMAND_LINE = "root=/dev/nvme0n1p2 ro console=ttyS0,115200 kho=on liveupdate=off"
_STATE_FILE = "host.json"
_GIB = 1 << 30
_REFUSES = "subsystem-vfio-v1"
"""Who refuses in the scenarios where somebody does."""

SCENARIOS = {
    "default": "an update that goes well",
    "prepare-refused": "a participant refuses to prepare",
    "freeze-refused": "a participant refuses to freeze",
    "kexec-no-image": "the loaded image is gone when the kexec comes",
    "target-incompatible": "the target's luo.ko reads another format",
    "nothing-restored": "nobody restores anything after the kexec",
}

_PARTICIPANTS = (
    Participant("subsystem-pci-v1", "subsystem", "pci-v1", "registered"),
    Participant("pci-0000:3b:00.0", "pci", "0000:3b:00.0", "registered", driver="mlx5_core"),
    Participant(_REFUSES, "subsystem", "vfio-v1", "registered"),
)

_GUESTS = (
    ("guest-web1", 8 * _GIB, 2101, "cloud-hyperviso"),
    ("guest-db1", 32 * _GIB, 2177, "cloud-hyperviso"),
    ("guest-ci", 4 * _GIB, 2231, "cloud-hyperviso"),
    ("vm-state", 262_144, 1840, "vmmd"),
)


class SimulatedJump(BaseException):
    """The simulated machine has jumped: no code of the old boot runs any more."""


@dataclass(slots=True)
class _Kept:
    """A descriptor that the simulated kernel holds."""

    token: int
    fd: int
    name: str
    pid: int
    comm: str
    state: ResourceState = ResourceState.PRESERVED

    def resource(self) -> Resource:
        size = os.fstat(self.fd).st_size
        return Resource(self.token, "memfd", self.state, self.name, size, self.pid, self.comm)


@dataclass(slots=True)
class SimulatedHost:
    """The machine: its kernel's state, what it holds, and its /boot."""

    folder: Path
    scenario: str = "default"
    delay: float = 0.0
    """Seconds that prepare, freeze and finish take."""
    release: str = RUNNING
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: State = State.NORMAL
    from_release: str = ""
    stamps: Stamps = field(default_factory=Stamps)
    next_token: int = 0
    image: str = ""
    """Release of the image loaded for kexec; empty when there is none."""
    jump: Callable[[SimulatedHost], None] | None = None
    """Called when the new boot has begun; whatever it does, the old boot does not go on."""
    participants: dict[str, Participant] = field(default_factory=dict)
    _kept: dict[int, _Kept] = field(default_factory=dict)
    _listeners: list[int] = field(default_factory=list)
    _acting: threading.RLock = field(default_factory=threading.RLock)
    """Held by every call that acts, as the kernel's state lock is; who only looks never waits."""
    _table: threading.Lock = field(default_factory=threading.Lock)
    """Held while what is kept changes: nobody looks at a descriptor that is being closed."""

    @classmethod
    def create(cls, folder: Path, scenario: str = "default", delay: float = 0.0) -> SimulatedHost:
        """Set up a host in ``folder`` with three guests' memory preserved, and its /boot."""
        host = cls(folder, scenario, delay)
        host.lay_boot()
        for name, size, pid, comm in _GUESTS:
            fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, size)
            host._keep(_Kept(host.next_token, fd, name, pid, comm))
        host.participants = {p.id: p for p in _PARTICIPANTS}
        host.jump = SimulatedHost.start_again
        return host

    @classmethod
    def resume(cls, folder: Path) -> SimulatedHost:
        """Go on in the boot that :meth:`start_again` began, with the memory it handed over."""
        raw = json.loads((folder / _STATE_FILE).read_text())
        kept = [_Kept(**{**k, "state": ResourceState(k["state"])}) for k in raw.pop("kept")]
        stamps = Stamps(**raw.pop("stamps"))
        participants = [Participant(**p) for p in raw.pop("participants")]
        host = cls(folder, stamps=stamps, **{**raw, "state": State(raw["state"])})
        host.participants = {p.id: p for p in participants}
        for k in kept:
            os.set_inheritable(k.fd, False)
            host._kept[k.token] = k
        host.jump = SimulatedHost.start_again
        return host

    @property
    def orchestrator(self) -> SimulatedOrchestrator:
        """Return commands and sources for this host."""
        return SimulatedOrchestrator(self)

    @property
    def boot_folder(self) -> Path:
        """Where the simulated kernel images lie."""
        return self.folder / "boot"

    @property
    def modules_folder(self) -> Path:
        """Where the simulated modules lie."""
        return self.folder / "modules"

    def lay_boot(self) -> None:
        """Write the images, configs and modules of two kernels, and one image cut short."""
        self.boot_folder.mkdir(parents=True, exist_ok=True)
        incompatible = self.scenario == "target-incompatible"
        for release, compatible in (
            (RUNNING, COMPATIBLE),
            (TARGET, "luo-ko-v0" if incompatible else COMPATIBLE),
        ):
            (self.boot_folder / f"vmlinuz-{release}").write_bytes(_image(release))
            (self.boot_folder / f"initrd.img-{release}").write_bytes(b"\0" * 512)
            (self.boot_folder / f"config-{release}").write_text("CONFIG_KEXEC_HANDOVER=y\n")
            extra = self.modules_folder / release / "extra"
            extra.mkdir(parents=True, exist_ok=True)
            (extra / "luo.ko").write_bytes(f"\0luo_compatible={compatible}\0".encode())
        (self.boot_folder / "vmlinuz-7.4.0-rc1").write_bytes(_image("7.4.0-rc1")[:-1])

    # What the simulated kernel does. Each raises OSError with the errno of the real one.

    def luo(self) -> LuoChanged:
        """Return the state with all that stands beside it."""
        return LuoChanged(LuoState(self.state), self.stamps, COMPATIBLE, self.from_release)

    def resources(self) -> tuple[Resource, ...]:
        """Return what the class shows."""
        with self._table:
            return tuple(k.resource() for k in self._kept.values())

    def move(self, move: Move) -> None:
        """Make a move of the state machine."""
        with self._acting:
            target = MOVES.get((self.state, move))
            if target is None:
                raise _error(errno.EINVAL)
            getattr(self, f"_{move}")()
            self._enter(target)

    def _prepare(self) -> None:
        self.stamps = Stamps(tsc_khz=_KHZ, prepare_begin=_tsc())
        time.sleep(self.delay)
        refused = self.scenario == "prepare-refused"
        self._called("prepared", refused, prepare_ns=int(self.delay * 1e9 / 3) + 1)
        if refused:
            raise _error(errno.EIO)
        self.stamps = replace(self.stamps, prepare_end=_tsc())

    def _freeze(self) -> None:
        self.stamps = replace(self.stamps, freeze_begin=_tsc())
        time.sleep(self.delay / 4)
        refused = self.scenario == "freeze-refused"
        self._called("frozen", refused, freeze_ns=int(self.delay * 1e9 / 12) + 1)
        if refused:
            self._enter(State.NORMAL)
            raise _error(errno.EIO)
        self.stamps = replace(self.stamps, freeze_end=_tsc())

    def _cancel(self) -> None:
        """Tokens and resources stay."""
        self._called("registered", refused=False)

    def _called(
        self, state: str, refused: bool, prepare_ns: int | None = None, freeze_ns: int = 0
    ) -> None:
        """Let all participants have been called; after a refusal all are cancelled."""
        for p in list(self.participants.values()):
            guilty = refused and p.id == _REFUSES
            self.participants[p.id] = replace(
                p,
                state="registered" if refused else state,
                result=errno.EIO if guilty else 0,
                prepare_ns=p.prepare_ns if prepare_ns is None else prepare_ns,
                freeze_ns=freeze_ns,
            )
        if refused:
            self._tell()

    def _finish(self) -> None:
        time.sleep(self.delay)
        self._called("registered", refused=False)
        self._drop(lambda kept: kept.state is not ResourceState.PRESERVED)

    def _drop(self, which: Callable[[_Kept], bool]) -> None:
        with self._table:
            for kept in [k for k in self._kept.values() if which(k)]:
                os.close(self._kept.pop(kept.token).fd)

    def preserve(self, fd: int) -> int:
        """Keep a memfd."""
        with self._acting:
            return self._preserve(fd)

    def _preserve(self, fd: int) -> int:
        self._preservable()
        target = str(Path(f"/proc/self/fd/{fd}").readlink()) if _is_open(fd) else ""
        if not target:
            raise _error(errno.EBADF)
        if not target.startswith("/memfd:"):
            raise _error(errno.ENOENT)
        mine = os.fstat(fd)
        for k in self._kept.values():
            there = os.fstat(k.fd)
            same = (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
            if same and k.state is ResourceState.PRESERVED:
                raise _error(errno.EEXIST)
        name = clean(target.removeprefix("/memfd:").removesuffix(" (deleted)"))
        comm = clean(Path("/proc/self/comm").read_text().removesuffix("\n"))
        copy = os.dup(fd)
        return self._keep(_Kept(self.next_token, copy, name, os.getpid(), comm))

    def unpreserve(self, token: int) -> None:
        """Give a kept memfd up."""
        with self._acting:
            self._preservable()
            kept = self._kept.get(token)
            if kept is None or kept.state is not ResourceState.PRESERVED:
                raise _error(errno.ENOENT)
            self._drop(lambda k: k.token == token)
            self._tell()

    def restore(self, token: int) -> int:
        """Give out what came over."""
        with self._acting:
            return self._restore(token)

    def _restore(self, token: int) -> int:
        if self.state is not State.UPDATED:
            raise _error(errno.EBUSY)
        kept = self._kept.get(token)
        if kept is None or kept.state is ResourceState.PRESERVED:
            raise _error(errno.ENOENT)
        if kept.state is ResourceState.RESTORED:
            raise _error(errno.EINVAL)
        fd = os.dup(kept.fd)
        kept.state = ResourceState.RESTORED
        self._tell()
        return fd

    def load(self, image: str, initrd: str) -> None:
        """Load an image, as the boot protocol says what one is."""
        head = Path(image).read_bytes()[:1024]
        if initrd:
            Path(initrd).stat()
        if head[0x202:0x206] != b"HdrS":
            raise _error(errno.ENOEXEC)
        at = int.from_bytes(head[0x20E:0x210], "little") + 0x200
        words = head[at : at + 256].split(b"\0")[0].decode(errors="replace").split()
        if not words:
            raise _error(errno.ENOEXEC)
        self.image = clean(words[0])

    def reboot(self) -> NoReturn:
        """Jump: an implicit freeze if prepared, then another boot."""
        with self._acting:
            if self.scenario == "kexec-no-image":
                self.image = ""
            # As in the kernel: without an image nothing else is looked at.
            if not self.image:
                raise _error(errno.EINVAL)
            if self.state is State.PREPARED:
                self.move(Move.FREEZE)
            self.stamps = replace(self.stamps, jump=_tsc())
            self._boot()
            if self.jump is not None:
                self.jump(self)
            raise SimulatedJump

    def _boot(self) -> None:
        """Begin another boot with what the old one handed over."""
        came = self.state is State.FROZEN
        self._drop(lambda kept: not came or kept.state is not ResourceState.PRESERVED)
        for kept in self._kept.values():
            kept.state = ResourceState.INCOMING
        self.from_release = self.release if came else ""
        self.release, self.image = self.image, ""
        self.boot_id = str(uuid.uuid4())
        self.next_token = max(self._kept, default=-1) + 1
        time.sleep(2 * self.delay)
        self.stamps = replace(self.stamps, arrived=_tsc()) if came else Stamps()
        if came and self.scenario != "nothing-restored":
            # The guests' own agents come back with the new kernel's userspace.
            for kept in self._kept.values():
                if kept.comm in ("cloud-hyperviso", "vmmd"):
                    kept.state = ResourceState.RESTORED
        self._called("incoming" if came else "registered", refused=False, prepare_ns=0, freeze_ns=0)
        self._enter(State.UPDATED if came else State.NORMAL)

    def start_again(self) -> None:
        """Let this process start anew in the new boot, with the memory that came over."""
        kept = []
        for k in self._kept.values():
            os.set_inheritable(k.fd, True)
            kept.append(asdict(k))
        state: dict[str, Any] = {
            "scenario": self.scenario,
            "delay": self.delay,
            "release": self.release,
            "boot_id": self.boot_id,
            "state": self.state,
            "from_release": self.from_release,
            "next_token": self.next_token,
            "stamps": asdict(self.stamps),
            "kept": kept,
            "participants": [asdict(p) for p in self.participants.values()],
        }
        (self.folder / _STATE_FILE).write_text(json.dumps(state))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        command = [sys.executable, "-m", "luo_tui", "demo", "--resume", str(self.folder)]
        os.execv(sys.executable, command)  # noqa: S606 - this is the jump

    def _preservable(self) -> None:
        if self.state not in (State.NORMAL, State.UPDATED):
            raise _error(errno.EBUSY)

    def _keep(self, kept: _Kept) -> int:
        with self._table:
            self._kept[kept.token] = kept
        self.next_token = kept.token + 1
        self._tell()
        return kept.token

    def _enter(self, state: State) -> None:
        self.state = state
        self._tell()

    def _tell(self) -> None:
        for fd in list(self._listeners):
            with contextlib.suppress(OSError):
                os.eventfd_write(fd, 1)

    def listen(self, fd: int) -> None:
        """Ring this eventfd at every change."""
        self._listeners.append(fd)

    def unlisten(self, fd: int) -> None:
        """Ring it no more."""
        with contextlib.suppress(ValueError):
            self._listeners.remove(fd)


class SimulatedSource:
    """Tells of the simulated host by an eventfd."""

    name = "simulated"
    events = select.POLLIN

    def __init__(self, host: SimulatedHost) -> None:
        """Nothing is opened yet."""
        self._host = host
        self._fd = -1

    def fileno(self) -> int:
        """Return the eventfd."""
        return self._fd

    def reopen(self) -> None:
        """Begin to listen."""
        self.close()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._host.listen(self._fd)

    def enumerate(self) -> Sequence[Change]:
        """Read everything."""
        participants = tuple(self._host.participants.values())
        return (
            self._host.luo(),
            ResourcesRead(self._host.resources()),
            ParticipantsRead(participants),
        )

    def drain(self) -> Sequence[Change] | None:
        """Take the news."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        return self.enumerate()

    def close(self) -> None:
        """Listen no more."""
        if self._fd >= 0:
            self._host.unlisten(self._fd)
            os.close(self._fd)
            self._fd = -1


class SimulatedKexec:
    """Kexec on the simulated host."""

    def __init__(self, host: SimulatedHost) -> None:
        """All state is the host's."""
        self._host = host

    @property
    def boot_folder(self) -> Path:
        """The simulated /boot."""
        return self._host.boot_folder

    @property
    def modules_folder(self) -> Path:
        """The simulated /lib/modules."""
        return self._host.modules_folder

    def command_line(self) -> str:
        """Return the simulated command line."""
        return COMMAND_LINE

    def load(self, image: str, initrd: str, command_line: str) -> None:
        """Load an image; ENOEXEC if it is none, EINVAL for a command line that is too long."""
        if len(command_line) > 2047:
            raise _error(errno.EINVAL)
        self._host.load(image, initrd)

    def unload(self) -> None:
        """Drop the loaded image."""
        self._host.image = ""

    def state(self) -> KexecState:
        """Return what is loaded."""
        return KexecState(loaded=bool(self._host.image))

    def sync(self) -> None:
        """There is nothing to write out."""

    def reboot(self) -> NoReturn:
        """Jump."""
        self._host.reboot()


class SimulatedOrchestrator:
    """Commands to the simulated host; touches nothing real."""

    demo = True
    title = "simulated (demo)"

    def __init__(self, host: SimulatedHost, *, may_act: bool = True) -> None:
        """``may_act`` False shows what an unprivileged user sees."""
        self._host = host
        self._may_act = may_act
        self.kexec = SimulatedKexec(host)

    @property
    def moves(self) -> Moves:
        """The moves of LUO v2."""
        return MOVES

    def may_act(self) -> bool:
        """Whether acting is allowed here."""
        return self._may_act

    def host(self) -> Host:
        """Return the simulated machine."""
        return Host(HOST_NAME, self._host.release, self._host.boot_id)

    def state(self) -> State:
        """Return the state."""
        return self._host.state

    def move(self, move: Move) -> None:
        """Make a move."""
        self._host.move(move)

    def preserve(self, fd: int) -> int:
        """Keep a memfd."""
        return self._host.preserve(fd)

    def unpreserve(self, token: int) -> None:
        """Give it up."""
        self._host.unpreserve(token)

    def restore(self, token: int) -> int:
        """Give out what came over."""
        return self._host.restore(token)

    def sources(self) -> Sequence[Source]:
        """Return the one source there is."""
        return (SimulatedSource(self._host),)

    def surroundings(self) -> Sequence[Source]:
        """Return what tells of the simulated machine."""
        return ()


_KHZ = 1_000_000


def _tsc() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except (OSError, OverflowError):
        return False
    return True


def _image(release: str) -> bytes:
    """Build the smallest file that the x86 boot protocol calls a kernel image."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x1F4:0x1F8] = (4).to_bytes(4, "little")
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    text = f"{release} (demo) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head) + bytes(64)
