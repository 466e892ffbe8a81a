# SPDX-License-Identifier: MIT
"""A third party's client: systemd as process 1, with what two services have left with it.

One has a memfd in its file-descriptor store, one a session that systemd made for it. The
checks say what becomes of both, by either way to the next kernel, and the verdict confirms it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import images
import machine as lab
import pytest
import systemd_root
from machine import HOST_NAME, Machine

from tests.lab.test_holder import jump

SESSIONS = "liveupdate=on luo.noload"
SLOW = 600
"""Seconds for what starts programs one after another where each instruction is emulated."""

COMMON = """
import array, os, select, socket, stat, sys
sys.path.append("/usr/lib/python3/dist-packages")
from luo_tui.uapi import luo_sessions as s
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
given = range(3, 3 + int(os.environ.get("LISTEN_FDS", "0")))

def notify(text, *fds):
    name = os.environ["NOTIFY_SOCKET"]
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.connect("\\0" + name[1:] if name[0] == "@" else name)
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    end.sendmsg([text.encode()], beside)

def made():
    fd = os.memfd_create("state")
    os.write(fd, boot.encode())
    return fd

def found(*texts):
    with open("/run/found-" + sys.argv[1], "w") as file:
        file.write(" ".join(texts))
    notify("READY=1")
    select.select([], [], [])
"""
STORED = """
texts = []
for fd in given:
    is_file = stat.S_ISREG(os.fstat(fd).st_mode)
    texts.append(os.pread(fd, 100, 0).decode() if is_file else "no file")
if not given:
    notify("FDSTORE=1\\nFDNAME=state", made())
    # What no kernel carries.
    notify("FDSTORE=1\\nFDNAME=pipe", os.pipe()[0])
found(*texts)
"""
SESSION = """
(session,) = given
try:
    text = os.pread(s.retrieve_fd(session, 1), 100, 0).decode()
except OSError:
    s.preserve_fd(session, made(), 1)
    text = ""
found(text)
"""
UNIT = """[Unit]
After=lab.service

[Service]
Type=notify
TimeoutStartSec=infinity
ExecStart=/usr/bin/python3 /usr/lib/lab/{name}.py {name}
FileDescriptorStoreMax=4
FileDescriptorStorePreserve=yes
{more}

[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def host(built: lab.Built, tmp_path: Path) -> Iterator[Machine]:
    """A machine with systemd as process 1, the two services, and the kernel's own orchestrator."""
    tree = tmp_path / "layer"
    units = tree / "etc/systemd/system"
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True)
    (tree / "usr/lib/lab").mkdir(parents=True)
    for name, code, more in (("stored", STORED, ""), ("owner", SESSION, "LUOSession=ram")):
        (tree / f"usr/lib/lab/{name}.py").write_text(COMMON + code)
        (units / f"{name}.service").write_text(UNIT.format(name=name, more=more))
        (wants / f"{name}.service").symlink_to(f"../{name}.service")
    layer = tmp_path / "layer.img"
    images.squash(tree, layer, level=1)
    m = Machine(f"test-{os.getpid()}-systemd", systemd_root.with_systemd(built))
    m.qemu = ("-drive", f"file={layer},format=raw,if=virtio,readonly=on,file.locking=off")
    m.boot(extra=f"{SESSIONS} {systemd_root.INIT}", wait=SLOW)
    yield m
    m.remove()


def must(machine: Machine, command: str) -> str:
    return machine.must(command, timeout=SLOW)


def as_json(machine: Machine, command: str) -> Any:
    # Exit 15 where something is to be looked at.
    return json.loads(machine.ssh(command, timeout=SLOW).stdout)


def services(machine: Machine) -> dict[str, str]:
    """Return what each service has found of what it had left, once it is up."""
    must(machine, "systemctl start stored owner")
    return {name: must(machine, f"cat /run/found-{name}") for name in ("stored", "owner")}


def stores(machine: Machine) -> dict[str, Any]:
    """Return what the check says of the descriptors that systemd keeps."""
    results = as_json(machine, "luo-tui check --json")["results"]
    (found,) = [one for one in results if one["code"] == "LUO-C-030"]
    return dict(found)


def kexec(machine: Machine, target: str, option: str = "") -> dict[str, Any]:
    """Load, agree to what is shown, and jump; return what was shown once the target is up."""
    before = machine.boot_id()
    must(machine, f"luo-tui load {target}")
    shown = as_json(machine, f"luo-tui kexec {option} --show --json")
    assert shown["possible"], shown["blocked"]
    command = f"luo-tui kexec {option} --yes-to {HOST_NAME} --agree {shown['digest']}"
    jump(machine, command, before, target, SLOW)
    return dict(shown)


def verdict(machine: Machine) -> list[str]:
    """Have the update judged; return the reasons that are about what systemd keeps."""
    done = machine.ssh("luo-tui arrive", timeout=SLOW)
    assert done.returncode in (0, 15), done
    reasons: list[str] = as_json(machine, "luo-tui report --format json")["verdict"]["reasons"]
    return [one for one in reasons if ": stores: " in one or ": participant: " in one]


@pytest.mark.extra
def test_what_units_left_with_systemd_goes_along_through_it_alone(
    host: Machine, built: lab.Built
) -> None:
    first = host.boot_id()
    assert services(host) == {"stored": "", "owner": ""}
    status = as_json(host, "luo-tui status --json")
    (session,) = status["participants"]
    assert session["name"].startswith("owner.service-")
    assert "systemd [1]" in session["state"]
    told = stores(host)
    assert told["result"] == "warning"
    assert "1 descriptor of owner.service, 1 descriptor of stored.service" in told["text"]

    shown = kexec(host, built.kernels["new"].release, "--through-init")
    assert any("1 descriptor of stored.service: systemd gives" in one for one in shown["survives"])
    assert any("1 descriptor of owner.service: systemd gives" in one for one in shown["survives"])
    assert any("1 descriptor of stored.service: neither" in one for one in shown["lost"])
    assert any("COLD REBOOT" in one for one in shown["does"])
    assert services(host) == {"stored": first, "owner": first}
    assert must(host, "systemctl show -P KExecCount").strip() == "1"
    kept = verdict(host)
    assert "GOOD: stores: kept: 1 descriptor of stored.service" in kept
    assert "GOOD: stores: kept: 1 descriptor of owner.service" in kept
    assert f"GOOD: participant: kept: session {session['name']}" in kept
    took = as_json(host, "luo-tui report --format json")["by_systemd_ms"]
    print(took)
    assert len(took["phases"]) == 4
    assert 0 < took["total"] < SLOW * 1000


@pytest.mark.extra
def test_what_units_left_with_systemd_is_lost_by_a_direct_kexec(
    host: Machine, built: lab.Built
) -> None:
    assert services(host) == {"stored": "", "owner": ""}
    told = stores(host)["text"]
    assert "Gone after a direct kexec: 1 descriptor of owner.service" in told
    assert "systemd makes anew after one: ram of owner.service" in told
    kexec(host, built.kernels["new"].release)
    assert services(host) == {"stored": "", "owner": ""}
    lost = verdict(host)
    assert any("LOST, for the jump went past systemd: 1 descriptor of stored" in r for r in lost)
    assert any("LOST: session owner.service-" in r for r in lost), lost
    assert as_json(host, "luo-tui report --format json")["by_systemd_ms"] is None
