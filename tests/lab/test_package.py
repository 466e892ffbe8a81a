# SPDX-License-Identifier: MIT
"""The Debian package in place of the source tree: a whole update, on real kernels."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from cache import CHECKOUT, LabError
from machine import HOST_NAME, Built, Machine

from luo_tui import __version__
from luo_tui.packaging import build

pytestmark = pytest.mark.extra

KEPT = "/var/lib/luo-tui/package.tar"
"""On the disk that outlives a kexec."""
TUI = "/usr/bin/luo-tui"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The package's files as a tar."""
    out = tmp_path_factory.mktemp("dist")
    build.build(CHECKOUT, out)
    (deb,) = out.glob("luo-tui_*.deb")
    return subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=True
    ).stdout


def unpack(machine: Machine) -> None:
    """Put the package where the lab's own tree was; nothing of that is left."""
    machine.must(
        "rm -rf /usr/lib/python3/dist-packages/luo_tui /usr/local/bin/luo-tui /usr/bin/luo-tui && "
        f"tar -C / -xf {KEPT}",
        timeout=180,
    )


def test_an_update_by_the_package(built: Built, machine: Machine, package: bytes) -> None:
    done = machine.ssh(f"cat >{KEPT}", stdin=package, timeout=180)
    assert done.returncode == 0, done.stderr
    unpack(machine)
    assert machine.must(f"{TUI} --version", timeout=120) == f"luo-tui {__version__}\n"
    assert machine.ssh("python3 -c 'import luo_tui'").returncode != 0, "only the package is there"

    target = built.kernels["new"].release
    status = json.loads(machine.must(f"{TUI} status --json", timeout=120))
    assert status["state"] == "normal"
    found = json.loads(machine.ssh(f"{TUI} check {target} --json", timeout=180).stdout)
    assert not [r for r in found["results"] if r["result"] == "blocker"]
    machine.must(f"echo precious >/dev/shm/f; {TUI} hold /dev/shm/f --name cache", timeout=120)
    machine.must(f"{TUI} load {target} --json", timeout=120)
    machine.must(f"{TUI} prepare --yes --json", timeout=120)
    shown = json.loads(machine.must(f"{TUI} kexec --show --json", timeout=120))
    give = " ".join(n.replace("DIGEST", shown["digest"]) for n in shown["needs"])
    assert f"--yes-to {HOST_NAME}" in give
    before = machine.boot_id()
    with contextlib.suppress(LabError):
        done = machine.ssh(f"{TUI} kexec {give}", timeout=60)
        assert "Jumping" in done.stdout, done.stderr
    machine.wait_ready(before, 90)
    assert machine.must("uname -r").strip() == target

    unpack(machine)
    arrived = json.loads(machine.ssh(f"{TUI} arrive --json", timeout=120).stdout)
    assert (arrived["verdict"], arrived["written"]) == ("not yet", True)
    machine.must(f"{TUI} restore cache -o /root/back", timeout=120)
    assert machine.must("cat /root/back") == "precious\n"
    assert json.loads(machine.ssh(f"{TUI} arrive --json", timeout=120).stdout)["verdict"] == "good"
    machine.must(f"{TUI} finish --yes --json", timeout=120)
    html = machine.must(f"{TUI} report --format html", timeout=120)
    assert "<svg" in html
    assert Path(f"/boot/vmlinuz-{target}").name in html
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
