# SPDX-License-Identifier: MIT
"""The checks on a real kernel: each passes, and fails for its real cause.

What no cause is made for here is proved on recorded files alone (tests/unit): EFI's
variables (LUO-C-028), a key that is trusted (LUO-C-023; lockdown is in test_lockdown.py),
failed units and logind (LUO-C-025, LUO-C-029: no systemd runs here), watchdogs
(LUO-C-017: no driver). Devices that refuse or are lost (LUO-C-013) are in test_devices.py,
the formats of luo.ko (LUO-C-006) in test_refused_handover.py.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import stock
from machine import Built, Machine

from luo_tui.errors import Exit
from luo_tui.update.boot_header import SIZE, parse
from tests.lab import driver

pytestmark = pytest.mark.extra


AS_NOBODY = (
    "HOME= python3 -c 'import os, sys; os.setgroups([]); os.setuid(65534); "
    "os.execvp(sys.argv[1], sys.argv[1:])'"
)
Findings = dict[str, dict[str, Any]]
GUEST = 260 << 20
"""Bytes of a memfd that may be a guest's memory."""
LOW = 16 << 20

_OWNER = """
import os, signal, sys
from luo_tui.uapi import luo_v2
# A large memfd that nobody preserves, and one that is, from a cgroup with no room for it.
large = os.memfd_create("not-preserved")
os.truncate(large, int(sys.argv[1]))
kept = os.memfd_create("kept")
os.write(kept, bytes(int(sys.argv[2])))
luo_v2.preserve(luo_v2.open_device(), kept)
with open(sys.argv[3], "w") as group:
    group.write(str(os.getpid()))
held = os.open("/dev/liveupdate", os.O_RDWR)
print("ready", flush=True)
signal.pause()
"""


def checked(machine: Machine, target: str, more: str = "") -> tuple[int, Findings]:
    done = machine.ssh(f"luo-tui check {target} --json {more}", timeout=180)
    assert done.stdout, done.stderr
    return done.returncode, {r["code"]: r for r in json.loads(done.stdout)["results"]}


def said(found: Findings) -> dict[str, str]:
    """What each check has found, to be told where a test fails."""
    return {code: f"{r['result']}: {r['text']}" for code, r in found.items()}


def other_abi(image: Path, made: Path) -> bytes:
    """Return a kernel's image in which the packed kernel speaks another version of KHO's format."""
    raw = image.read_bytes()
    header = parse(raw[:SIZE], len(raw))
    # Behind the packed kernel stand the bytes that it has unpacked.
    packed = raw[header.payload_at : header.payload_at + header.payload_bytes - 4]
    kernel = subprocess.run(["zstd", "-dc"], input=packed, stdout=subprocess.PIPE, check=True)
    assert b"kho-v4" in kernel.stdout
    made.write_bytes(kernel.stdout.replace(b"kho-v4", b"kho-v9"))
    again = subprocess.run(["zstd", "-1", "-c", made], stdout=subprocess.PIPE, check=True).stdout
    again += len(kernel.stdout).to_bytes(4, "little")
    setup = (raw[0x1F1] or 4) * 512 + 512
    changed = bytearray(raw)
    changed[0x248:0x250] = (len(raw) - setup).to_bytes(4, "little") + len(again).to_bytes(
        4, "little"
    )
    return bytes(changed) + again


def test_the_host(built: Built, machine: Machine) -> None:
    """All is well as far as this machine can be; all causes at once; all taken away again."""
    new, old = (built.kernels[name].release for name in ("new", "old"))
    machine.must("echo 'way_in = \"the serial console\"' >/etc/luo-tui.toml")
    machine.must("echo precious >/dev/shm/f; luo-tui hold /dev/shm/f --name cache", timeout=120)
    grub = "menuentry x {{\n linux /boot/vmlinuz-{}\n}}\n"
    machine.must("mkdir -p /boot/grub /boot/loader/entries")
    machine.put(f"set default=0\n{grub.format(old)}".encode(), "/boot/grub/grub.cfg")
    _, before = checked(machine, new)
    for code in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 17, 18, 19, 20, 21, 22, 23, 26, 28):
        assert before[f"LUO-C-{code:03}"]["result"] == "ok", said(before)
    assert before["LUO-C-017"]["text"] == "None is armed."
    # The owner of what `hold` held has ended: nobody knows who will restore it.
    assert before["LUO-C-024"]["result"] == "unknown", said(before)

    machine.put(_OWNER.encode(), "/root/owner.py")
    group = "/sys/fs/cgroup/low"
    machine.must(
        f"echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir {group}; "
        f"echo {LOW} >{group}/memory.max"
    )
    owner = f"python3 /root/owner.py {GUEST} {LOW * 2} {group}/cgroup.procs"
    machine.must(
        f"setsid {owner} </dev/null >/run/owner.log 2>&1 & "
        "until grep ready /run/owner.log; do sleep 0.1; ! grep Error /run/owner.log || exit 1; done"
    )
    machine.must(f"mv /lib/modules/{new}/extra/luo.ko /root/luo.ko")
    machine.put(
        # systemd-boot's, that starts the target; the newest of its entries.
        f"title x\nlinux /boot/vmlinuz-{new}\n".encode(),
        "/boot/loader/entries/b.conf",
    )
    machine.must("cp /boot/loader/entries/b.conf /boot/loader/entries/a.conf; rm -r /boot/grub")
    machine.must(
        f"sed -i s/{new}/{old}/ /boot/loader/entries/a.conf; touch /boot/loader/loader.conf"
    )
    # What the file system held back for itself is there again after each sync.
    machine.must(
        "for i in 1 2 3 4; do dd if=/dev/zero of=/var/lib/luo-tui/fill-$i bs=1k 2>/dev/null; sync; "
        "done; rm /etc/luo-tui.toml"
    )
    code, now = checked(machine, new)
    assert code == Exit.BLOCKED
    for number, result, text in (
        (6, "blocker", f"No luo.ko is installed for {new}."),
        (12, "warning", "/dev/liveupdate is open in python3"),
        (15, "warning", "1 guest not preserved yet: "),
        (18, "blocker", "may need"),
        (24, "warning", "Too small for what is preserved from there: /low has 16"),
        (26, "warning", "Nobody has said how this host is reached"),
        (28, "warning", "loader.conf and its entry b.conf: it is the target itself."),
        (29, "warning", "Nothing holds an ordinary shutdown back"),
    ):
        found = now[f"LUO-C-{number:03}"]
        assert (found["result"], text in found["text"]) == (result, True), said(now)
        assert found["remedy"]
    assert "python3" in now["LUO-C-015"]["text"]

    machine.must(
        "pkill -f [o]wner.py; rm /var/lib/luo-tui/fill-*; rm -r /boot/loader; mkdir /boot/grub"
    )
    machine.must(f"mv /root/luo.ko /lib/modules/{new}/extra/")
    machine.must("echo 'way_in = \"the serial console\"' >/etc/luo-tui.toml")
    machine.put(f"set default=0\n{grub.format(old)}".encode(), "/boot/grub/grub.cfg")
    machine.must(f"while [ -s {group}/cgroup.procs ]; do sleep 0.1; done")
    _, after = checked(machine, new)
    assert {c: r["result"] for c, r in after.items()} == {c: r["result"] for c, r in before.items()}

    # What a console that is open does to another one, and to whoever looks.
    with driver.over_ssh(machine) as t:
        driver.load(t, new)
        _, now = checked(machine, new)
        assert now["LUO-C-011"]["result"] == "warning", said(now)
        assert "It is open in another console: root" in now["LUO-C-011"]["text"]
        driver.leave(t)
        t.wait_for_left()
    done = machine.ssh(f"{AS_NOBODY} luo-tui check {new} --json", timeout=180)
    nobody = {r["code"]: r for r in json.loads(done.stdout)["results"]}
    for number, result in ((9, "warning"), (10, "unknown"), (12, "unknown"), (15, "unknown")):
        assert nobody[f"LUO-C-{number:03}"]["result"] == result, said(nobody)


def test_what_the_running_kernel_lacks(built: Built, machine: Machine) -> None:
    new, old = (built.kernels[name].release for name in ("new", "old"))
    machine.must("rmmod luo")
    code, now = checked(machine, new)
    assert (code, now["LUO-C-001"]["result"]) == (Exit.BLOCKED, "blocker")
    assert "luo.ko is not loaded" in now["LUO-C-001"]["text"]
    machine.must(f"insmod /lib/modules/{old}/extra/luo.ko")
    # That lasts until the next boot.
    machine.must("echo 1 >/proc/sys/kernel/kexec_load_disabled")
    code, now = checked(machine, new)
    assert now["LUO-C-001"]["result"] == "ok", said(now)
    assert now["LUO-C-008"]["result"] == "warning", said(now)
    assert (code, now["LUO-C-002"]["text"]) == (
        Exit.BLOCKED,
        "kernel.kexec_load_disabled is set.",
    )
    done = machine.ssh(f"luo-tui load {new}", timeout=120)
    assert (done.returncode, machine.must("cat /sys/kernel/kexec_loaded")) == (
        Exit.BLOCKED,
        "0\n",
    )
    assert "kernel.kexec_load_disabled is set." in done.stderr


def test_the_target_beside_the_running_kernel(
    built: Built, machine: Machine, tmp_path: Path
) -> None:
    target = built.kernels["new"].release
    _, found = checked(machine, target)
    assert (found["LUO-C-020"]["result"], found["LUO-C-020"]["text"]) == (
        "ok",
        "Both speak kho-v4.",
    )
    assert found["LUO-C-021"]["result"] == "ok", found["LUO-C-021"]
    assert "keeps" in found["LUO-C-021"]["text"]
    assert found["LUO-C-022"]["text"] == "None: it is this kernel's."
    assert found["LUO-C-023"]["text"] == "This kernel asks for none."
    assert found["LUO-C-025"]["text"] == "None.", "no systemd runs here"
    assert found["LUO-C-026"]["result"] == "warning"
    assert "ttyS0" in found["LUO-C-026"]["text"]

    # Nobody but root sees scratch memory; that is unknown, and not good.
    done = machine.ssh(f"{AS_NOBODY} luo-tui check {target} --json", timeout=180)
    assert done.stdout, done.stderr
    nobody = {r["code"]: r for r in json.loads(done.stdout)["results"]}
    assert nobody["LUO-C-021"]["result"] == "unknown"
    assert nobody["LUO-C-020"]["result"] == "ok", nobody["LUO-C-020"]

    # An initrd that scratch memory does not take: the check says so, and the kernel does.
    machine.must("cp /boot/initrd* /dev/shm/large 2>/dev/null; truncate -s 300M /dev/shm/large")
    code, found = checked(machine, target, "--initrd /dev/shm/large")
    assert code == Exit.BLOCKED
    assert found["LUO-C-021"]["result"] == "blocker"
    done = machine.ssh(f"luo-tui load {target} --initrd /dev/shm/large", timeout=120)
    assert done.returncode == Exit.BLOCKED
    assert "scratch memory" in done.stderr
    machine.must("rm /dev/shm/large")

    # Somebody has said how the host is reached; a check of its own blocks, here and in the act.
    machine.must("echo 'way_in = \"the serial console\"' >/etc/luo-tui.toml")
    machine.must("mkdir -p /etc/luo-tui/checks.d")
    machine.must(
        "printf '#!/bin/sh\\necho no change is open; exit 2\\n' >/etc/luo-tui/checks.d/ticket; "
        "chmod 755 /etc/luo-tui/checks.d/ticket"
    )
    code, found = checked(machine, target)
    assert found["LUO-C-026"]["result"] == "ok"
    assert (code, found["LUO-O-ticket"]["text"]) == (Exit.BLOCKED, "no change is open")
    done = machine.ssh(f"luo-tui load {target}", timeout=120)
    assert done.returncode == Exit.BLOCKED
    assert machine.must("cat /sys/kernel/kexec_loaded") == "0\n"
    machine.must("rm /etc/luo-tui/checks.d/ticket")

    # A kernel with another version of a format; one that is cut short; one without an initrd.
    initrd = f"/boot/initrd.img-{target}"
    machine.put(other_abi(built.kernels["new"].image, tmp_path / "kernel"), "/dev/shm/other")
    code, found = checked(machine, "/dev/shm/other", f"--initrd {initrd}")
    assert (code, found["LUO-C-020"]["text"]) == (
        Exit.BLOCKED,
        "The target speaks kho-v9, this kernel kho-v4.",
    )
    assert found["LUO-C-003"]["result"] == "ok", said(found)
    machine.must(f"head -c 100000 /boot/vmlinuz-{target} >/dev/shm/short")
    code, found = checked(machine, "/dev/shm/short", f"--initrd {initrd}")
    assert (code, "is cut short" in found["LUO-C-003"]["text"]) == (Exit.BLOCKED, True)
    machine.must("rm /dev/shm/other /dev/shm/short")
    machine.must(f"mv {initrd} /root/initrd")
    _, found = checked(machine, target)
    assert found["LUO-C-004"]["result"] == "warning", said(found)
    machine.must(f": >{initrd}")
    code, found = checked(machine, target)
    assert (code, found["LUO-C-004"]["result"]) == (Exit.BLOCKED, "blocker"), said(found)
    machine.must(f"mv /root/initrd {initrd}")

    # What a plan takes off its command line.
    for name, word, text in (
        ("kho", "blocker", "It does not say kho=on. The target's default is off."),
        ("console", "warning", "It has no console."),
    ):
        plan = f'format = 1\ntarget = "{target}"\n[command_line]\nremove = ["{name}"]\n'
        machine.put(plan.encode(), "/root/plan.toml")
        told = machine.ssh("luo-tui plan check /root/plan.toml", timeout=180).stdout
        assert any(line.startswith(word) and text in line for line in told.splitlines()), told
    machine.must(f"luo-tui load {target}", timeout=120)
    assert machine.must("cat /sys/kernel/kexec_loaded") == "1\n"


def test_a_target_without_the_handover(machine: Machine) -> None:
    """Debian's own kernel, from before there was any."""
    debian = stock.stock("bookworm")
    machine.put(debian.image.read_bytes(), f"/boot/vmlinuz-{debian.release}")
    machine.put(debian.config.read_bytes(), f"/boot/config-{debian.release}")
    code, found = checked(machine, debian.release)
    assert code == Exit.BLOCKED
    assert found["LUO-C-003"]["result"] == "ok", said(found)
    assert "was built without CONFIG_KEXEC_HANDOVER" in found["LUO-C-005"]["text"]
    assert found["LUO-C-006"]["text"] == f"No luo.ko is installed for {debian.release}."
    assert found["LUO-C-020"]["result"] == "unknown", said(found)
    done = machine.ssh(f"luo-tui load {debian.release}", timeout=120)
    assert done.returncode == Exit.BLOCKED
    assert machine.must("cat /sys/kernel/kexec_loaded") == "0\n"


def test_a_kernel_that_was_started_without_the_handover(built: Built, cold: Machine) -> None:
    cold.boot(extra="kho=off")
    code, found = checked(cold, built.kernels["new"].release)
    assert code == Exit.BLOCKED
    assert found["LUO-C-001"]["result"] == "blocker", said(found)
    assert "kho=off" in found["LUO-C-001"]["text"], said(found)
    assert found["LUO-C-007"]["text"] == "It says kho=off, which turns Kexec HandOver off."
