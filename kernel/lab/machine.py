# SPDX-License-Identifier: GPL-2.0
"""One virtual machine: started, waited for, spoken to over ssh and serial lines, ended.

Everything about a running machine lies in its state folder, so that a command
started later finds it. Nothing listens on any address but 127.0.0.1, and the
guest reaches no network.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cache
import images as guest
import kernels

from luo_tui.machine.qemu import CPU, PORT, Qemu

COMMAND_LINE = "console=ttyS0 kho=on liveupdate=off panic=-1"
HOST_NAME = "lab-hv"
_DISK = 64 << 20
_MEMORY = 1024
_ASK = 10.0
_LONG = 300
"""Seconds for what takes ten on a machine that has no other work."""
_READY = re.compile(r"lab: ready: \S+ boot ([0-9a-f-]{36})")


@dataclass
class Built:
    """All that machines are made of."""

    kernels: dict[str, kernels.Kernel]
    images: guest.Images


def build(*, prior: bool = False) -> Built:
    """Build what is not in the cache; seconds if everything is.

    With ``prior`` the machine has that kernel too.
    """
    built = {**kernels.kernels(), **(kernels.prior() if prior else {})}
    return Built(built, guest.images(built, kernels.modules(built)))


@dataclass
class Machine(Qemu):
    """A machine by name. Every method raises LabError with words for the user."""

    name: str = "lab"
    built: Built | None = None
    memory: int = _MEMORY
    """MiB."""
    qemu: Sequence[str] = ()
    """More of QEMU's arguments, which outrank those before them: ``-device edu``, ``-smp 2``."""
    folder: Path = field(init=False)
    error: type[Exception] = field(init=False, default=cache.LabError)
    missing: str = field(
        init=False, default="QEMU is missing. As root: apt-get install qemu-system-x86"
    )

    def __post_init__(self) -> None:
        self.folder = cache.root() / "machines" / self.name

    @property
    def disk(self) -> Path:
        """Image of the disk at /var/lib/luo-tui."""
        return self.folder / "disk"

    def boot(
        self, *, kernel: str = "old", extra: str = "", fresh: bool = True, wait: float = 60
    ) -> None:
        """Start it on a kernel that it was built with and wait for ssh.

        ``extra`` is appended to the kernel's command line and so outranks what
        stands before it. ``fresh`` makes a new disk. Where /dev/liveupdate should
        be and is not, that is an error.
        """
        self._may_start()
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.disk.exists():
            with self.disk.open("wb") as file:
                file.truncate(_DISK)
            cache.run(
                ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", self.disk],
                "making the machine's disk",
                env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
            )
        self.launch(*self._arguments(kernel, extra))
        self.wait_ready("", wait)
        faults = [line for line in self.log().splitlines() if line.startswith("lab: FAULT")]
        if faults:
            raise cache.LabError(f"{faults[0]}\n(the machine {self.name} goes on, to look into)")

    def start(self) -> None:
        """Start it and be where ``boot()`` leads, in a second: one that was booted is put back.

        The boot id is that of all who were put back from the same snapshot, until the
        next boot. Whoever differs in its memory or its QEMU arguments is booted.
        """
        if self.qemu or self.memory != _MEMORY:
            self.boot()
            return
        self._may_start()
        snapshot = self._snapshot()
        try:
            self._put_back(snapshot)
        except cache.LabError as error:
            cache.say(f"{error}\nlab: {self.name} is booted, since it could not be put back")
            self.remove()
            self.boot()

    def _snapshot(self) -> Path:
        """Return the folder of a machine that was booted; made if it is not there."""
        built = self.built = self.built or build()
        images = built.images
        # How fast this processor's counter runs was measured in the boot.
        here = Path("/proc/sys/kernel/random/boot_id").read_text()
        name = cache.key(
            cache.run(["qemu-system-x86_64", "--version"], "asking for QEMU's version"),
            *(str(path) for path in (images.base, images.top, built.kernels["old"].image)),
            cache.recipe(Machine._arguments, Machine._take, Qemu._start),
            COMMAND_LINE,
            CPU,
            here,
        )
        return cache.make("booted", name, lambda work: Machine(f"booted-{name}", built)._take(work))

    def _take(self, work: Path) -> None:
        """Boot it, and leave its memory, its disk and its log in ``work``."""
        cache.say("taking a snapshot of a freshly booted machine")
        try:
            self.boot()
            # As if somebody had looked before: what the console reads is in memory.
            look = "python3 -c 'import luo_tui.console.app' && luo-tui status && sync"
            self.must(look, timeout=_LONG)
            self.tell("migrate_set_parameter max-bandwidth 10G")
            self.tell(f'migrate "exec:cat >{shlex.quote(str(work / "state"))}"')
            self.until("info migrate", "Migration status: completed")
            cache.run(["cp", "--sparse=always", self.disk, work / "disk"], "copying a disk")
            shutil.copy(self.folder / "ttyS0.log", work)
        finally:
            self.remove()

    def _put_back(self, snapshot: Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        cache.run(["cp", "--sparse=always", snapshot / "disk", self.disk], "copying a disk")
        state = shlex.quote(str(snapshot / "state"))
        self.launch(
            *self._arguments(), "-incoming", f"exec:cat {state}", log=snapshot / "ttyS0.log"
        )
        # A connection that was made before it runs would be forgotten.
        self.until("info status", "VM status: running")
        # Its clock and its random numbers are those of the snapshot.
        clock = f"date -s @{time.time():.0f} >/dev/null"
        self.must(f"{clock} && cat >/dev/urandom", stdin=os.urandom(64))

    def _may_start(self) -> None:
        if self.running():
            raise cache.LabError(f"the machine {self.name} runs already")

    def _arguments(self, kernel: str = "old", extra: str = "") -> list[str | Path]:
        """Return QEMU's arguments for a machine with the lab's images."""
        built = self.built = self.built or build()
        images = built.images
        return [
            "-kernel", built.kernels[kernel].image, "-initrd", images.initrd,
            "-append", f"{COMMAND_LINE} {extra}".strip(),
            "-drive", f"file={images.base},format=raw,if=virtio,readonly=on,file.locking=off",
            "-drive", f"file={images.top},format=raw,if=virtio,readonly=on,file.locking=off",
            "-drive", f"file={self.disk},format=raw,if=virtio",
            "-device", "virtio-rng-pci",
            "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{PORT}-:22",
            "-device", "virtio-net-pci,netdev=net",
            "-no-shutdown",
        ]  # fmt: skip

    def run_static(
        self, kernel: kernels.Kernel, initrd: Path, *, append: str = "", wait: float = 600
    ) -> str:
        """Run a kernel on an initial RAM disk alone; return everything that it printed.

        There is no disk, no network and no ssh, only /init in ``initrd`` (see
        ``images.pack``). It ends by switching off; after ``wait`` seconds it is ended.
        """
        self._may_start()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.launch(
            "-kernel", kernel.image, "-initrd", initrd,
            "-append", f"{COMMAND_LINE} {append}".strip(), "-no-reboot",
        )  # fmt: skip
        end = time.monotonic() + wait
        while self.running() and time.monotonic() < end:
            time.sleep(0.1)
        self.stop()
        return self.log()

    def wait_ready(self, not_boot: str, wait: float = 60) -> str:
        """Wait until a boot other than ``not_boot`` answers on ssh; return its boot id."""
        end = time.monotonic() + wait
        ask = time.monotonic() + _ASK
        while time.monotonic() < end:
            if not self.running():
                raise cache.LabError("QEMU has ended:\n" + self.said())
            # Asking before the guest listens would wait for a connection's time-out;
            # but a kernel line in the middle of this one may have made it unreadable.
            ready = _READY.findall(self.log())
            if (ready and ready[-1] != not_boot) or time.monotonic() > ask:
                ask = time.monotonic() + _ASK
                with contextlib.suppress(cache.LabError):
                    done = self.ssh("cat /run/lab/ready", timeout=8)
                    boot = done.stdout.strip()
                    if done.returncode == 0 and boot and boot != not_boot:
                        return boot
            time.sleep(0.1)
        tail = "\n".join(self.log().splitlines()[-20:])
        raise cache.LabError(f"the machine {self.name} was not ready in {wait:.0f} s:\n{tail}")

    def boot_id(self) -> str:
        """Return the boot id of the kernel that runs now."""
        return self.must("cat /proc/sys/kernel/random/boot_id").strip()

    def ssh_command(self, user: str = "root", *, terminal: bool = False) -> list[str]:
        """Return the ssh command that leads into it, without what to run there."""
        return [
            "ssh", "-p", str(self.port), "-i", str(guest.key()),
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "ControlMaster=no",
            "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=3",
            "-o", "ConnectTimeout=5", "-o", "BatchMode=yes",
            "-F", "none", "-tt" if terminal else "-T", f"{user}@127.0.0.1",
        ]  # fmt: skip

    def ssh(
        self, command: str, *, user: str = "root", timeout: float = 60, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the guest; LabError if it takes longer than ``timeout``."""
        try:
            done = subprocess.run(
                [*self.ssh_command(user), command],
                input=stdin,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise cache.LabError(f"no answer in {timeout:.0f} s to: {command}") from error
        return subprocess.CompletedProcess(
            command,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    def must(self, command: str, **options: object) -> str:
        """Run a shell command in the guest that has to succeed; return what it printed."""
        done = self.ssh(command, **options)  # type: ignore[arg-type]
        if done.returncode:
            raise cache.LabError(
                f"exit {done.returncode} from: {command}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def put(self, content: bytes, path: str, *, mode: str = "644") -> None:
        """Write a file in the guest."""
        self.must(f"cat >{path} && chmod {mode} {path}", stdin=content)

    def get(self, path: str) -> bytes:
        """Return a file of the guest, byte for byte."""
        done = subprocess.run(
            [*self.ssh_command(), f"cat {shlex.quote(path)}"], capture_output=True, check=False
        )
        if done.returncode:
            raise cache.LabError(f"{path}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def remove(self) -> None:
        """End it, and take its disk and its log away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def all_running() -> Sequence[Machine]:
    """Return the machines that run now."""
    folder = cache.root() / "machines"
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [m for m in map(Machine, names) if m.running()]
