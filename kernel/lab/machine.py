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
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cache
import images as guest
import kernels

COMMAND_LINE = "console=ttyS0 kho=on liveupdate=off panic=-1"
HOST_NAME = "lab-hv"
_DISK = 64 << 20
_ASK = 10.0
_PORT = "@PORT@"
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
class Machine:
    """A machine by name. Every method raises LabError with words for the user."""

    name: str = "lab"
    built: Built | None = None
    memory: int = 1024
    """MiB."""
    qemu: Sequence[str] = ()
    """More of QEMU's arguments, which outrank those before them: ``-device edu``, ``-smp 2``."""
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = cache.root() / "machines" / self.name

    # Files of the state folder.

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

    def boot(
        self, *, kernel: str = "old", extra: str = "", fresh: bool = True, wait: float = 60
    ) -> None:
        """Start it on a kernel that it was built with and wait for ssh.

        ``extra`` is appended to the kernel's command line and so outranks what
        stands before it. ``fresh`` makes a new disk. Where /dev/liveupdate should
        be and is not, that is an error.
        """
        if self.running():
            raise cache.LabError(f"the machine {self.name} runs already")
        built = self.built = self.built or build()
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        disk = self.folder / "disk"
        if not disk.exists():
            with disk.open("wb") as file:
                file.truncate(_DISK)
            cache.run(
                ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", disk],
                "making the machine's disk",
                env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
            )
        self._launch(
            "-kernel", built.kernels[kernel].image, "-initrd", built.images.initrd,
            "-append", f"{COMMAND_LINE} {extra}".strip(),
            "-drive", f"file={built.images.base},format=raw,if=virtio,readonly=on,file.locking=off",
            "-drive", f"file={built.images.top},format=raw,if=virtio,readonly=on,file.locking=off",
            "-drive", f"file={disk},format=raw,if=virtio",
            "-device", "virtio-rng-pci",
            "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{_PORT}-:22",
            "-device", "virtio-net-pci,netdev=net",
            "-no-shutdown",
        )  # fmt: skip
        self.wait_ready("", wait)
        faults = [line for line in self.log().splitlines() if line.startswith("lab: FAULT")]
        if faults:
            raise cache.LabError(f"{faults[0]}\n(the machine {self.name} goes on, to look into)")

    def run_static(
        self, kernel: kernels.Kernel, initrd: Path, *, append: str = "", wait: float = 600
    ) -> str:
        """Run a kernel on an initial RAM disk alone; return everything that it printed.

        There is no disk, no network and no ssh, only /init in ``initrd`` (see
        ``images.pack``). It ends by switching off; after ``wait`` seconds it is ended.
        """
        if self.running():
            raise cache.LabError(f"the machine {self.name} runs already")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._launch(
            "-kernel", kernel.image, "-initrd", initrd,
            "-append", f"{COMMAND_LINE} {append}".strip(), "-no-reboot",
        )  # fmt: skip
        end = time.monotonic() + wait
        while self.running() and time.monotonic() < end:
            time.sleep(0.1)
        self.stop()
        return self.log()

    def _launch(self, *what: str | Path) -> None:
        """Start QEMU in the background with ``what``, in which @PORT@ is a free one."""
        for path in (*self.serial, self.monitor, self.folder / "pid", self.folder / "ttyS0.log"):
            path.unlink(missing_ok=True)
        for _ in range(5):
            port = str(_free_port())
            (self.folder / "port").write_text(port)
            if self._start([str(w).replace(_PORT, port) for w in what]):
                return
        raise cache.LabError("QEMU could not be started:\n" + self._qemu_said())

    def _start(self, what: Sequence[str]) -> bool:
        s0, s1 = self.serial
        command = [
            "qemu-system-x86_64", "-name", f"luo-lab-{self.name}",
            "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "pc", "-accel", "tcg", "-cpu", "max", "-smp", "1",
            "-m", f"{self.memory}M", *what,
            "-chardev", f"socket,id=s0,path={s0},server=on,wait=off,"
                        f"logfile={self.folder / 'ttyS0.log'}",
            "-serial", "chardev:s0",
            "-chardev", f"socket,id=s1,path={s1},server=on,wait=off", "-serial", "chardev:s1",
            "-monitor", f"unix:{self.monitor},server=on,wait=off",
            "-pidfile", str(self.folder / "pid"), "-daemonize", *self.qemu,
        ]  # fmt: skip
        with (self.folder / "qemu.log").open("wb") as log:
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
                )
            except FileNotFoundError as error:
                raise cache.LabError(
                    "QEMU is missing. As root: apt-get install qemu-system-x86"
                ) from error
        return done.returncode == 0

    def wait_ready(self, not_boot: str, wait: float = 60) -> str:
        """Wait until a boot other than ``not_boot`` answers on ssh; return its boot id."""
        end = time.monotonic() + wait
        ask = time.monotonic() + _ASK
        while time.monotonic() < end:
            if not self.running():
                raise cache.LabError("QEMU has ended:\n" + self._qemu_said())
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

    def stop(self) -> None:
        """End exactly the QEMU that was started, by its process id."""
        pid = self.running()
        if not pid:
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

    def remove(self) -> None:
        """End it, and take its disk and its log away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _qemu_said(self) -> str:
        try:
            return (self.folder / "qemu.log").read_text(errors="replace")[-2000:]
        except OSError:
            return "(nothing)"


def all_running() -> Sequence[Machine]:
    """Return the machines that run now."""
    folder = cache.root() / "machines"
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [m for m in map(Machine, names) if m.running()]


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
