# SPDX-License-Identifier: MIT
"""The kernel's own live-update selftests beside a console: neither is in the other's way.

They are built from the source that the lab's kernels are, and nothing of them is copied.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import machine as lab
import pytest
from machine import Machine

from tests.lab import driver
from tests.lab.test_holder import SESSIONS, SLOW, kexec, must, ssh, status
from tests.lab.test_mainline import sessions

pytestmark = pytest.mark.extra

_HELD = {f"multi-test-{what}-{n}" for what in ("empty", "files") for n in (1, 2)}
_STATE = "kexec_multi_state"


@pytest.fixture
def host(built: lab.Built, cold: Machine, tmp_path: Path) -> Machine:
    """A machine with mainline's sessions, and with two of the selftests."""
    cold.boot(extra=SESSIONS)
    source = (built.kernels["new"].build / "source").resolve()
    folder = source / "tools/testing/selftests/liveupdate"
    for name in ("liveupdate", "luo_multi_session"):
        subprocess.run(
            ["gcc", "-static", "-O2", "-D_GNU_SOURCE=", "-o", tmp_path / name,
             "-I", folder / "lib/include", "-I", folder.parent, "-I", source / "tools/include",
             "-idirafter", source / "include/uapi",
             folder / f"{name}.c", folder / "lib/lu_utils.c"],
            check=True,
        )  # fmt: skip
        cold.put((tmp_path / name).read_bytes(), f"/var/lib/luo-tui/{name}", mode="755")
    return cold


def test_every_call_is_as_ever_while_a_console_watches(host: Machine) -> None:
    with driver.over_ssh(host) as t:
        t.wait_for("Normal (derived)", timeout=SLOW)
        watched = t.meanwhile(lambda: ssh(host, "/var/lib/luo-tui/liveupdate"))
        assert watched.returncode == 0, watched.stdout
        # Opened, held and left by others so many times, it is known what there is at the end.
        t.wait_for("Normal (derived)", timeout=SLOW)
        driver.leave(t)
        t.wait_for_left()
    alone = ssh(host, "/var/lib/luo-tui/liveupdate")
    assert watched.stdout.splitlines()[-1] == alone.stdout.splitlines()[-1]
    assert " fail:0 " in watched.stdout.splitlines()[-1]
    assert " skip:0 " in watched.stdout.splitlines()[-1]


def test_sessions_of_a_third_party_cross_an_update(host: Machine, built: lab.Built) -> None:
    target = built.kernels["new"].release
    with driver.over_ssh(host) as t:
        t.wait_for("Normal (derived)", timeout=SLOW)
        t.meanwhile(lambda: must(host, "/var/lib/luo-tui/luo_multi_session -s 1"))
        screen = t.wait_for("Preserving (derived)", timeout=SLOW)
        assert f"session {_STATE}: held by luo_multi_" in screen, screen
        driver.leave(t)
        t.wait_for_left()
    assert set(sessions(status(host))) == {*_HELD, _STATE}
    shown = kexec(host, target)
    for name in _HELD:
        assert any(name in line for line in shown["survives"]), shown
    told = ssh(host, "luo-tui arrive").stdout
    assert status(host)["state"] == "updated", told
    # Finish would destroy what nobody has retrieved yet: they are not ours.
    passed = must(host, "/var/lib/luo-tui/luo_multi_session -s 2")
    assert "MULTI-SESSION KEXEC TEST PASSED" in passed
    must(host, "luo-tui finish --yes")
    assert status(host)["state"] == "normal"
