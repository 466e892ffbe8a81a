# SPDX-License-Identifier: MIT
"""The simulated machine: its folder, its guests at the start, its jump, and how it goes on.

A kexec here ends one boot and begins another: new boot id, the loaded image's
release, and only what was handed over is left. In the demo the process starts
itself anew for that, with the memory in inherited descriptors.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from luo_tui.model import (
    Condition,
    Device,
    Guest,
    Participant,
    ResourceState,
    Stamps,
    State,
    Vitals,
    Work,
)
from luo_tui.orchestrator.simulated import boot, machinery, program
from luo_tui.orchestrator.simulated.kept import Kept, error
from luo_tui.orchestrator.simulated.kernel import LUO, PRINTED, SimulatedKernel, keep_all
from luo_tui.sources.changes import (
    DeviceGone,
    DevicePut,
    DevicesRead,
    KernelSaid,
    ParticipantGone,
    ParticipantsRead,
    ResourcesRead,
    VitalsRead,
)
from luo_tui.sources.clean import clean

HOST_NAME = "demo-hv"
DEVICES, VITALS = "devices", "host activity"
"""What else there is news of."""
_STATE_FILE = "host.json"
_GIB = 1 << 30
_CROWD = 10_000
_SPARE = 256
_HIGH = 2048
"""The crowd's descriptors are numbered from here on: others need the low numbers."""

GUESTS = (
    ("guest-web1", 8 * _GIB, 2101, "cloud-hyperviso"),
    ("guest-db1", 32 * _GIB, 2177, "cloud-hyperviso"),
    ("guest-ci", 4 * _GIB, 2231, "cloud-hyperviso"),
    ("vm-state", 262_144, 1840, "vmmd"),
)
UNCARRIED = Guest(2290, "qemu-system-x86", name="guest-old1", is_qemu=True)
"""Runs where that was ordered; its memory is in no memfd."""
UNLOADED = GUESTS[2][0]
"""The guest that does not load where that was ordered."""
AGENTS = ("cloud-hyperviso", "vmmd", "blkd")
"""Processes that come back with the new kernel's user space."""
_VMM = AGENTS[0]
"""Whose processes are guests."""

SERVICES = ("chrony", "cron", "nginx", "rsyslog", "ssh", "systemd-logind", "vmmd")
"""Units of the host."""


class SimulatedJump(BaseException):
    """The simulated machine has jumped: no code of the old boot runs any more."""


class SimulatedHost(SimulatedKernel):
    """The machine: its kernel's state, what it holds, its devices, and its /boot."""

    def __init__(self, folder: Path, scenario: str = "default", delay: float | None = 0.0) -> None:
        """Nothing is preserved, and nothing takes part. See :class:`SimulatedKernel`."""
        super().__init__(scenario, delay)
        self.folder = folder
        self.name = HOST_NAME
        self.release = boot.RUNNING
        self.boot_id = str(uuid.uuid4())
        self.image = ""
        """Release of the image loaded for kexec; empty when there is none."""
        self.kdump = False
        self.devices: dict[str, Device] = {}
        self.vitals = Vitals()
        self.guests: dict[str, Guest] = {}
        """The guests that run, by name."""
        self.lively = False
        """Whether the host lives: guests' processes restore what is theirs in their own time."""
        self.carried: list[int] = []
        """Descriptors besides the memory that the process takes along into the next boot."""
        self.jump: Callable[[SimulatedHost], None] | None = None
        """Called when the new boot has begun; whatever it does, the old one does not go on."""

    @classmethod
    def create(
        cls, folder: Path, scenario: str = "default", delay: float | None = 0.0
    ) -> SimulatedHost:
        """Set up a host in ``folder`` with three guests' memory preserved, and its /boot."""
        host = cls(folder, scenario, delay)
        host.lay_boot()
        for name, size, pid, comm in GUESTS:
            host.start_process(name, size, pid, comm)
        if scenario == "guest-not-carried":
            host.guests[UNCARRIED.name] = UNCARRIED._replace(started=_boottime())
        if scenario in ("crowd", "overrun"):
            room = _open_files(_CROWD + _HIGH + _SPARE)
            if scenario == "crowd":
                host._crowd(room)
        host.participants = {p.id: p for p in machinery.PARTICIPANTS}
        host.devices = {d.id: d for d in machinery.DEVICES}
        host.vitals = machinery.vitals()
        host.say(f"luo: loaded, state {host.state}")
        host.jump = SimulatedHost.start_again
        return host

    @classmethod
    def resume(cls, folder: Path) -> SimulatedHost:
        """Go on in the boot that :meth:`start_again` began, with the memory it handed over."""
        raw = json.loads((folder / _STATE_FILE).read_text())
        host = cls(folder, raw["scenario"], raw["delay"])
        for name in ("release", "boot_id", "boots", "from_release", "next_token"):
            setattr(host, name, raw[name])
        host.short_of_memory, host.carried = raw["short_of_memory"], raw["carried"]
        host.state, host.stamps = State(raw["state"]), Stamps(**raw["stamps"])
        host.participants = {p["id"]: Participant(**p) for p in raw["participants"]}
        devices = [Device(**{**d, "users": tuple(d["users"])}) for d in raw["devices"]]
        host.devices = {d.id: d for d in devices}
        vitals: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["vitals"].items()}
        host.vitals = Vitals(**vitals)
        host.lines = [KernelSaid(**said) for said in raw["lines"]]
        host.lowest_fd = raw["lowest_fd"]
        host.pace.speed = raw["before"]
        host.pace.speed = raw["speed"]
        host.lively = raw["lively"]
        kept = [
            Kept(token, fd, name, pid, comm, ResourceState(state), by_agent=by_agent)
            for token, fd, name, pid, comm, state, by_agent in raw["kept"]
        ]
        for fd in (*host.carried, *(k.fd for k in kept)):
            os.set_inheritable(fd, False)
        keep_all(host, kept)
        host._come_back()
        host.jump = SimulatedHost.start_again
        return host

    @property
    def boot_folder(self) -> Path:
        """Where the simulated kernel images lie."""
        return self.folder / "boot"

    @property
    def modules_folder(self) -> Path:
        """Where the simulated modules lie."""
        return self.folder / "modules"

    @property
    def lock_folder(self) -> Path:
        """Where the simulated host's locks lie: one for all who act on it."""
        return self.folder / "run"

    @property
    def checks_folder(self) -> Path:
        """Where checks of the simulated host's own would lie."""
        return self.folder / "checks.d"

    def lay_boot(self) -> None:
        """Write the images, configs and modules of two kernels, and one image cut short."""
        target = boot.OTHER if self.scenario == "target-incompatible" else boot.COMPATIBLE
        boot.install(self.boot_folder, self.modules_folder, boot.RUNNING)
        boot.install(self.boot_folder, self.modules_folder, boot.TARGET, target)
        boot.lay_menu(self.boot_folder, boot.RUNNING, boot.TARGET)
        (self.boot_folder / "vmlinuz-7.4.0-rc1").write_bytes(boot.image("7.4.0-rc1")[:-1])

    def start_process(self, name: str, size: int, pid: int, comm: str) -> int:
        """Let a process preserve a memfd of that size; return its token. OSError as the kernel.

        A guest runs on if that is refused.
        """
        if comm == _VMM and name not in self.guests:
            self.guests[name] = Guest(pid, comm, (name,), size, _boottime())
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            return self.preserve(fd, pid, comm)
        finally:
            os.close(fd)

    def end_process(self, name: str) -> None:
        """Let a guest end."""
        self.guests.pop(name, None)

    def work(self) -> Work:
        """Return what runs here and ends with this kernel."""
        with self.acting:
            guests = tuple(self.guests.values())
        return Work(frozenset((*AGENTS, "systemd", *(g.comm for g in guests))), guests, SERVICES)

    def condition(self) -> Condition:
        """Return what is to be after an update as before."""
        with self.acting:
            users = [u for d in self.devices.values() if d.kind == "network" for u in d.users]
            lines, began = list(self.lines), min((said.at for said in self.lines), default=0.0)
        links = [u.removesuffix(")").split(" (") for u in users if u.endswith(("(up)", "(down)"))]
        return Condition(
            links=dict(links),
            failed_units=(),
            errors=tuple(dict.fromkeys(said.text for said in lines if said.grave)),
            lines=tuple(said.text for said in lines),
            log_is_whole=len(lines) < PRINTED,
            up=max(0.0, time.time() - began),
        )

    def _come_back(self) -> None:
        """Let those guests run whose memory came over: the others are gone."""
        now = _boottime()
        came = [k.resource() for k in self._kept.values() if k.comm == _VMM and not self._stuck(k)]
        self.guests = {r.name: Guest(r.pid, r.comm, (r.name,), r.bytes, now) for r in came}

    def _stuck(self, kept: Kept) -> bool:
        """Whether it is memory that its guest's process cannot go on with."""
        return self.scenario == "guest-does-not-load" and kept.name == UNLOADED

    def _crowd(self, room: int) -> None:
        self.lowest_fd = _HIGH
        for number in range(min(_CROWD - len(self._kept), room - _HIGH - _SPARE)):
            size = (number % 16 + 1) << 20
            self.start_process(f"disk-{number:05}", size, 3000 + number, "blkd")

    # Devices and vitals

    def plug(self, device: Device, participant: Participant | None = None) -> None:
        """Put a device in, or let it be what it is now; its driver may take part."""
        with self.acting:
            self.devices = {**self.devices, device.id: device}
            self.news.announce(DEVICES, DevicePut(device))
            if participant is not None:
                self._put(participant)

    def unplug(self, id_: str) -> None:
        """Take a device out; its driver takes part no longer."""
        with self.acting:
            self.devices = {i: d for i, d in self.devices.items() if i != id_}
            self.news.announce(DEVICES, DeviceGone(id_))
            gone = [p.id for p in self.participants.values() if p.name == id_]
            self.participants = {i: p for i, p in self.participants.items() if i not in gone}
            self.news.announce(LUO, *(ParticipantGone(i) for i in gone))

    def live_with(self, vitals: Vitals) -> None:
        """Let the machine be like this."""
        if vitals != self.vitals:
            self.vitals = vitals
            self.news.announce(VITALS, VitalsRead(vitals))

    # Kexec

    def load(self, image: int, initrd: int) -> None:
        """Load an image, as the boot protocol says what one is."""
        release = boot.release_of(image)
        if initrd >= 0:
            os.fstat(initrd)
        if not release:
            raise error(errno.ENOEXEC)
        self.image = clean(release)

    def reboot(self) -> NoReturn:
        """Jump: an implicit freeze if prepared, then another boot."""
        with self.acting:
            if self.scenario == "kexec-no-image":
                self.image = ""
            # As in the kernel: without an image nothing else is looked at.
            if not self.image:
                raise error(errno.EINVAL)
            self.leave()
            self._boot()
            if self.jump is not None:
                self.jump(self)
            raise SimulatedJump

    def _boot(self) -> None:
        """Begin another boot with what the old one handed over."""
        other = self.scenario == "target-incompatible" and self.image == boot.TARGET
        release, self.image = self.image, ""
        self.boot_id = str(uuid.uuid4())
        self.boots += 1
        self._take(2)
        self.arrive(release, boot.OTHER if other else boot.COMPATIBLE)
        if self.from_release:
            # Once there was a handover, no crash kernel can be loaded before a cold boot.
            self.kdump = False
        self._come_back()
        if self.vitals.memory_total:
            self.vitals = machinery.vitals(users=self.vitals.users[:1])
        if self.scenario != "nothing-restored" and not (self.lively and self.pace.speed):
            self.restore_for_agents()
        self.news.announce(
            LUO,
            self.luo(),
            ResourcesRead(self.resources()),
            ParticipantsRead(tuple(self.participants.values())),
        )
        self.news.announce(DEVICES, DevicesRead(tuple(self.devices.values())))
        self.news.announce(VITALS, VitalsRead(self.vitals))

    def restore_for_agents(self) -> None:
        """Let the guests' own processes take back what is theirs, as far as they can."""
        for kept in list(self._kept.values()):
            if kept.state is ResourceState.INCOMING and kept.comm in AGENTS:
                self.restore_for_agent(kept.token)

    def restore_for_agent(self, token: int) -> str:
        """Let one of them take its own back; return why it could not, empty if it could."""
        if self._stuck(self._kept[token]):
            return "its device state is of another version: the guest is not loaded"
        try:
            os.close(self.restore(token, by_agent=True))
        except OSError as refused:
            return os.strerror(refused.errno or 0)
        return ""

    def close(self) -> None:
        """Switch the machine off: everything that it holds is gone."""
        for fd in self.carried:
            os.close(fd)
        self.carried = []
        self._drop(lambda _: True)

    def start_again(self, *more: str) -> None:
        """Let this process start anew in the new boot, with the memory that came over.

        ``more`` are further arguments of its command.
        """
        state: dict[str, Any] = {
            "scenario": self.scenario,
            "delay": self.delay,
            "speed": self.pace.speed,
            "before": self.pace.moving,
            "lively": self.lively,
            "carried": self.carried,
            "lowest_fd": self.lowest_fd,
            "release": self.release,
            "boot_id": self.boot_id,
            "boots": self.boots,
            "state": self.state,
            "from_release": self.from_release,
            "next_token": self.next_token,
            "short_of_memory": self.short_of_memory,
            "stamps": self.stamps._asdict(),
            "kept": [
                (k.token, k.fd, k.name, k.pid, k.comm, k.state, k.by_agent)
                for k in self._kept.values()
            ],
            "participants": [p._asdict() for p in self.participants.values()],
            "devices": [d._asdict() for d in self.devices.values()],
            "vitals": self.vitals._asdict(),
            "lines": [said._asdict() for said in self.lines],
        }
        for fd in (*self.carried, *(k.fd for k in self._kept.values())):
            os.set_inheritable(fd, True)
        (self.folder / _STATE_FILE).write_text(json.dumps(state))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        command = program.command("luo_tui", "demo", "--resume", str(self.folder), *more)
        os.execve(command[0], command, program.environment())  # noqa: S606 - this is the jump


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _open_files(wanted: int) -> int:
    """Allow this process that many open files, or as many as it may have; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most <= soft:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
