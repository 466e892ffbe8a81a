# SPDX-License-Identifier: MIT
"""The lab itself: what it promises about isolation, and how it says what is wrong."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cache import LabError, make, root
from machine import Built, Machine

LAB = Path(__file__).parents[2] / "kernel" / "lab"


def test_a_machine_is_alone_and_ends_alone(built: Built, machine: Machine) -> None:
    assert machine.must("uname -r").strip() == built.kernels["old"].release
    assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert "FAULT" not in machine.log()

    # Its ports are on the loopback address alone, and it reaches nothing.
    pid = machine.running()
    listening = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {
        str(fd.readlink()).removeprefix("socket:[").removesuffix("]")
        for fd in Path(f"/proc/{pid}/fd").iterdir()
    }
    mine = [line.split() for line in listening if line.split()[9] in inodes]
    assert {words[1].split(":")[0] for words in mine if words[3] == "0A"} == {"0100007F"}
    # (QEMU itself answers a ping to its own 10.0.2.2; behind that nobody is met.)
    with socket.create_server(("127.0.0.1", 0)) as host:
        host.settimeout(0)
        port = host.getsockname()[1]
        machine.ssh(f"echo | nc -w 2 10.0.2.2 {port}", timeout=20)
        with pytest.raises(BlockingIOError):
            host.accept()
    assert "bytes from" not in machine.ssh("ping -c 1 -W 2 1.1.1.1", timeout=20).stdout
    assert machine.must("cat /etc/resolv.conf") == ""

    # A second one, and a process that only looks like one, live on when the first is ended.
    other = Machine(f"test-{os.getpid()}-other", built)
    other.boot()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "qemu"])
    try:
        machine.stop()
        assert not machine.running()
        # Ended, though a lazy process 1 may not have buried it yet.
        assert not Path(f"/proc/{pid}/exe").exists()
        assert other.running()
        assert bystander.poll() is None
        # A stale pid file that names a foreign process ends nobody.
        (machine.folder / "pid").write_text(str(bystander.pid))
        machine.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        other.remove()


_KEXEC = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
kernel = os.open(f"/boot/vmlinuz-{sys.argv[1]}", os.O_RDONLY)
initrd = os.open(f"/boot/initrd.img-{sys.argv[1]}", os.O_RDONLY)
line = open("/proc/cmdline", "rb").read().strip() + b"\\0"
if libc.syscall(320, kernel, initrd, ctypes.c_ulong(len(line)), line, ctypes.c_ulong(0)):
    sys.exit(os.strerror(ctypes.get_errno()))
os.sync()
libc.syscall(169, 0xFEE1DEAD, 672274793, 0x45584543, None)
"""


def test_a_kexec_leads_into_the_other_kernel(built: Built, machine: Machine) -> None:
    """With nothing of ours in it: what the walk's tests stand on."""
    content = os.urandom(100_000)
    machine.put(content, "/var/lib/luo-tui/kept")
    machine.put(b"gone", "/root/gone")
    machine.put(_KEXEC.encode(), "/root/kexec.py")
    before = machine.boot_id()
    tsc = int(machine.must("lab-tsc"))
    with contextlib.suppress(LabError):
        machine.ssh(f"python3 /root/kexec.py {built.kernels['new'].release}", timeout=20)
    after = machine.wait_ready(before, 90)
    assert after == machine.boot_id() != before
    assert machine.must("uname -r").strip() == built.kernels["new"].release
    assert machine.get("/var/lib/luo-tui/kept") == content
    assert machine.ssh("cat /root/gone").returncode != 0
    # Both are on the same counter: it runs on through the kexec.
    first = dict(w.split() for w in machine.must("cat /run/lab/first-line").splitlines())
    assert tsc < int(first["tsc"]) < int(machine.must("lab-tsc"))
    assert float(first["uptime"]) < 60
    assert "FAULT" not in machine.log()


def test_machines_that_are_put_back_are_as_booted_and_apart(built: Built, machine: Machine) -> None:
    other = Machine(f"{machine.name}-other", built)
    other.start()
    try:
        # All that a boot leads to, and the time of now.
        for one in (machine, other):
            assert one.log().count("lab: ready") == 1
            assert one.must("cat /sys/kernel/liveupdate/state") == "normal\n"
            assert one.must("pidof systemd-udevd")
            assert abs(int(one.must("date +%s")) - time.time()) < 5
            assert one.must("ls -A /var/lib/luo-tui").split() == ["lost+found"]
        before = machine.boot_id()
        assert other.boot_id() == before
        # Each has its own disk, memory and chance.
        for path in ("/var/lib/luo-tui/mine", "/root/mine"):
            machine.put(b"mine", path)
            assert other.ssh(f"test -e {path}").returncode == 1
        chance = "head -c 16 /dev/urandom | od -x"
        assert machine.must(chance) != other.must(chance)
        # And the next kernel is a boot of its own.
        machine.put(_KEXEC.encode(), "/root/kexec.py")
        with contextlib.suppress(LabError):
            machine.ssh(f"python3 /root/kexec.py {built.kernels['new'].release}", timeout=20)
        assert machine.wait_ready(before, 90) != before
        assert machine.get("/var/lib/luo-tui/mine") == b"mine"
        assert other.boot_id() == before
        assert abs(int(machine.must("date +%s")) - time.time()) < 5
    finally:
        other.remove()


def test_a_machine_that_cannot_be_put_back_is_booted(
    cold: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("state", "disk", "ttyS0.log"):
        (tmp_path / name).write_bytes(b"not a machine")
    monkeypatch.setattr(Machine, "_snapshot", lambda self: tmp_path)
    cold.start()
    assert cold.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert "is booted, since it could not be put back" in capsys.readouterr().err


def test_without_handover_the_lab_starts_and_luo_ko_says_why(cold: Machine) -> None:
    cold.boot(extra="kho=off")
    assert cold.ssh("test -e /dev/liveupdate").returncode != 0
    assert "Operation not supported" in cold.must("cat /run/lab/insmod.log")
    assert "luo" in cold.must("dmesg | tail -n 5")
    cold.stop()
    # Asked for by nobody, the same is a fault.
    with pytest.raises(LabError, match="FAULT: there is no /dev/liveupdate"):
        cold.boot(extra="kho_scratch=16M,4G,0M")


def test_a_boot_that_fails_is_told(built: Built) -> None:
    machine = Machine(f"test-{os.getpid()}-broken", built)
    try:
        with pytest.raises(LabError, match=r"(not ready|has ended)"):
            machine.boot(extra="rdinit=/none init=/none", wait=15)
    finally:
        machine.remove()


def test_an_interrupted_build_leaves_no_half_cache() -> None:
    name = f"test-{os.getpid()}"
    calls = []

    def build(work: Path) -> None:
        calls.append(1)
        (work / "part").write_text(str(len(calls)))
        assert not (work / "left").exists()
        if len(calls) == 1:
            (work / "left").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make("test", name, build)
    folder = make("test", name, build)
    assert (folder / "part").read_text() == "2"
    assert make("test", name, build) == folder
    assert len(calls) == 2


_KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
import cache
def build(work):
    writes = "for i in 1 2 3 4 5 6; do echo >>$@$$i; sleep 0.3; done"
    (work / "Makefile").write_text(f"all: a b\\na b:\\n\\t{writes}\\n")
    cache.run(["make", "-C", work, "-j2"], "making")
cache.make("test", "killed", build)
"""


def test_a_killed_build_takes_its_commands_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would write into the folder of the next build."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    builder = subprocess.Popen([sys.executable, "-c", _KILLED, str(LAB)])
    while not list(tmp_path.rglob("b2")):
        time.sleep(0.05)
        assert builder.poll() is None
    builder.kill()
    builder.wait()

    def build(work: Path) -> None:
        time.sleep(1)
        assert list(work.iterdir()) == []

    make("test", "killed", build)


def test_a_failed_download_says_so(tmp_path: Path) -> None:
    """With a mirror that answers nothing, and an empty cache."""
    nowhere = "http://127.0.0.1:9"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import cache, source\n"
        "try: source.version('linux-source-7.3')\n"
        "except cache.LabError as error: print(error); sys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(LAB)],
        env={
            **os.environ,
            **{f"{s}_proxy": nowhere for s in ("http", "https")},
            "XDG_CACHE_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert "package lists" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_command_line_speaks_of_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, str(LAB), "--name", "nobody", "ssh", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "does not run" in done.stderr
    assert root().is_dir()
