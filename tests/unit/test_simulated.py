# SPDX-License-Identifier: MIT
"""The demo's host: its scenarios, its kexec into a new process, and its threads.

What it has in common with luo.ko is held by ``tests/contract``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from luo_tui.model import Resource, Snapshot, State
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    COMPATIBLE,
    RUNNING,
    SCENARIOS,
    TARGET,
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.orchestrator.simulated.kept import Kept
from luo_tui.orchestrator.simulated.kernel import LINES
from luo_tui.orchestrator.simulated.machinery import DEVICES, PARTICIPANTS, REFUSED
from luo_tui.sources.changes import KernelSaid
from luo_tui.update.images import read_image, scan
from tests.opened import load_files

ROOT = Path(__file__).parents[2]


def host(folder: Path, scenario: str = "default") -> SimulatedHost:
    made = SimulatedHost.create(folder, scenario)
    made.jump = None
    return made


def see(made: SimulatedHost) -> Snapshot:
    return Hub(SimulatedOrchestrator(made), lambda: None).read_now()


def load(made: SimulatedHost) -> None:
    kexec = SimulatedOrchestrator(made).kexec
    load_files(
        kexec.load,
        kexec.boot_folder / f"vmlinuz-{TARGET}",
        kexec.boot_folder / f"initrd.img-{TARGET}",
        kexec.command_line(),
    )


def refused(made: SimulatedHost, *moves: Move) -> int | None:
    for move in moves[:-1]:
        made.move(move)
    with pytest.raises(OSError) as error:
        made.move(moves[-1])
    return error.value.errno


def test_there_is_something_to_lose_and_it_costs_nothing(tmp_path: Path) -> None:
    made = host(tmp_path)
    seen = see(made)
    assert seen.luo.state is State.NORMAL
    assert {r.name: r.bytes >> 30 for r in seen.outgoing if r.bytes >= 1 << 30} == {
        "guest-web1": 8,
        "guest-db1": 32,
        "guest-ci": 4,
    }
    assert sum(os.fstat(k.fd).st_blocks for k in made._kept.values()) == 0
    assert seen.host.name == "demo-hv"
    assert SimulatedOrchestrator(made).demo


def test_its_boot_folder_reads_like_a_real_one(tmp_path: Path) -> None:
    made = host(tmp_path)
    found = scan(made.boot_folder, made.modules_folder, RUNNING)
    images = {Path(i.path).name: i for i in found}
    target = images[f"vmlinuz-{TARGET}"]
    assert (target.fault, target.orchestrator, target.kexec_handover) == ("", COMPATIBLE, True)
    assert Path(target.initrd).name == f"initrd.img-{TARGET}"
    assert images["vmlinuz-7.4.0-rc1"].fault
    other = host(tmp_path / "other", "target-incompatible")
    target = read_image(other.boot_folder / f"vmlinuz-{TARGET}", other.modules_folder)
    assert target.orchestrator not in ("", COMPATIBLE)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_every_scenario_begins_alike(tmp_path: Path, scenario: str) -> None:
    made = host(tmp_path, scenario)
    seen = see(made)
    made.close()
    known = [r for r in seen.outgoing if r.comm != "blkd"]
    assert (seen.luo.state, len(known)) == (State.NORMAL, 4)


def test_the_default_goes_well(tmp_path: Path) -> None:
    made = host(tmp_path)
    before = see(made)
    load(made)
    made.move(Move.PREPARE)
    with pytest.raises(SimulatedJump):
        made.reboot()
    after = see(made)
    assert (after.luo.state, after.host.release) == (State.UPDATED, TARGET)
    assert after.from_release == RUNNING
    assert after.host.boot_id != before.host.boot_id
    assert len(after.restored) == 4
    assert not after.kexec.loaded
    made.move(Move.FINISH)
    assert see(made).resources == {}


def test_a_refused_prepare_leaves_normal(tmp_path: Path) -> None:
    made = host(tmp_path, "prepare-refused")
    assert refused(made, Move.PREPARE) == errno.EIO
    assert (see(made).luo.state, len(see(made).outgoing)) == (State.NORMAL, 4)


def test_a_refused_freeze_cancels_also_inside_the_kexec(tmp_path: Path) -> None:
    made = host(tmp_path, "freeze-refused")
    assert refused(made, Move.PREPARE, Move.FREEZE) == errno.EIO
    assert see(made).luo.state is State.NORMAL
    load(made)
    made.move(Move.PREPARE)
    boot = made.boot_id
    with pytest.raises(OSError) as error:
        made.reboot()
    assert error.value.errno == errno.EIO
    seen = see(made)
    assert (seen.luo.state, seen.host.boot_id, seen.kexec.loaded) == (State.NORMAL, boot, True)
    assert len(seen.outgoing) == 4


@pytest.mark.parametrize("moves", [(Move.PREPARE,), (Move.PREPARE, Move.FREEZE)])
def test_a_lost_image_changes_no_state(tmp_path: Path, moves: tuple[Move, ...]) -> None:
    made = host(tmp_path, "kexec-no-image")
    load(made)
    for move in moves:
        made.move(move)
    before = see(made)
    assert before.kexec.loaded
    with pytest.raises(OSError) as error:
        made.reboot()
    assert error.value.errno == errno.EINVAL
    after = see(made)
    assert after.luo == before.luo
    assert after.host == before.host
    assert not after.kexec.loaded
    made.move(Move.CANCEL)
    assert len(see(made).outgoing) == 4


def test_nothing_restored_is_to_be_lost(tmp_path: Path) -> None:
    made = host(tmp_path, "nothing-restored")
    load(made)
    made.move(Move.PREPARE)
    with pytest.raises(SimulatedJump):
        made.reboot()
    assert len(see(made).incoming) == 4
    token = see(made).incoming[0].token
    fd = made.restore(token)
    assert (len(see(made).incoming), len(see(made).restored)) == (3, 1)
    assert token not in {r.token for r in see(made).discarded}
    os.close(fd)
    # Whoever restored it is gone; the kernel has it, and gives it out again.
    assert [r.token for r in see(made).discarded if r.abandoned] == [token]
    assert len(see(made).discarded) == 4
    os.close(made.restore(token))


def test_an_image_without_a_release_is_none(tmp_path: Path) -> None:
    made = host(tmp_path)
    image = bytearray((made.boot_folder / f"vmlinuz-{TARGET}").read_bytes())
    image[0x300:0x340] = bytes(0x40)
    (tmp_path / "odd").write_bytes(image)
    for path in (tmp_path / "odd", tmp_path / "host.json"):
        path.touch()
        with pytest.raises(OSError) as error:
            load_files(SimulatedOrchestrator(made).kexec.load, path, "", "")
        assert error.value.errno == errno.ENOEXEC


def test_a_command_line_is_refused_from_the_length_on_where_the_kernel_refuses_it(
    tmp_path: Path,
) -> None:
    made = host(tmp_path)
    kexec, image = SimulatedOrchestrator(made).kexec, made.boot_folder / f"vmlinuz-{TARGET}"
    load_files(kexec.load, image, "", "x" * 2016)
    for line in ("x" * 2017, "à" * 1009):
        with pytest.raises(OSError) as error:
            load_files(kexec.load, image, "", line)
        assert error.value.errno == errno.EINVAL


def test_a_move_takes_its_time_and_nobody_who_looks_waits(tmp_path: Path) -> None:
    made = host(tmp_path)
    made.delay = 0.4
    began = time.monotonic()
    moving = threading.Thread(target=made.move, args=(Move.PREPARE,))
    moving.start()
    time.sleep(0.1)
    assert see(made).luo.state is State.NORMAL
    assert time.monotonic() - began < 0.35
    # Person acts waits for the move under way, and then meets its outcome.
    fd = os.memfd_create("late")
    with pytest.raises(OSError) as error:
        made.preserve(fd)
    os.close(fd)
    assert error.value.errno == errno.EBUSY
    assert time.monotonic() - began >= 0.4
    moving.join()
    assert made.stamps.prepare_end - made.stamps.prepare_begin >= 0.4e9


def test_nobody_looks_at_what_is_being_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(tmp_path)
    looking = threading.Event()
    seen: list[int] = []
    read = Kept.resource

    def slowly(kept: Kept) -> Resource:
        looking.set()
        time.sleep(0.05)
        return read(kept)

    monkeypatch.setattr(Kept, "resource", slowly)
    thread = threading.Thread(target=lambda: seen.append(len(made.resources())))
    thread.start()
    assert looking.wait(5)
    for token in list(made._kept):
        made.unpreserve(token)
    thread.join()
    assert seen == [4]


def test_privilege_can_be_taken_away(tmp_path: Path) -> None:
    assert not SimulatedOrchestrator(host(tmp_path), may_act=False).may_act()


def test_a_kexec_starts_the_process_anew_with_the_bytes(tmp_path: Path) -> None:
    """The real thing: exec, and the memory comes over in descriptors alone."""
    (tmp_path / "luo_tui_next.py").write_text(
        textwrap.dedent(
            """
            import json, os, signal, sys
            from pathlib import Path
            from luo_tui.monitor.hub import Hub
            from luo_tui.orchestrator import simulated
            host = simulated.SimulatedHost.resume(Path(sys.argv[-1]))
            seen = Hub(simulated.SimulatedOrchestrator(host), lambda: None).read_now()
            fds = {t: k.fd for t, k in host._kept.items()}
            mine = next(r for r in seen.resources.values() if r.name == "mine")
            fd = host.restore(mine.token)
            new = host.preserve(os.memfd_create("new"))
            print(json.dumps({
                "argv": sys.argv[1:], "pid": os.getpid(), "state": seen.luo.state,
                "release": seen.host.release, "boot": seen.host.boot_id,
                "from": seen.from_release, "bytes": os.pread(fd, 99, 0).decode(),
                "inheritable": [f for f in fds.values() if os.get_inheritable(f)],
                "highest": max(fds), "new": new,
                "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
                "open": len(os.listdir("/proc/self/fd")),
            }))
            """
        )
    )
    code = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from luo_tui.orchestrator import Move, simulated
        folder = Path(sys.argv[1])
        host = simulated.SimulatedHost.create(folder / "host")
        fd = os.memfd_create("mine")
        os.write(fd, b"still here")
        host.preserve(fd)
        image = os.open(host.boot_folder / ("vmlinuz-" + simulated.TARGET), os.O_RDONLY)
        host.load(image, -1)
        host.move(Move.PREPARE)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGTSTP})
        print(os.getpid(), host.boot_id, flush=True)
        execve = os.execve
        os.execve = lambda path, words, environment: execve(
            path, [path, str(folder / "luo_tui_next.py"), *words[4:]], environment
        )
        host.reboot()
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    pid, boot = first.split()
    after = json.loads(second)
    assert after["argv"] == ["demo", "--resume", str(tmp_path / "host")]
    assert (after["pid"], after["state"], after["release"]) == (int(pid), "updated", TARGET)
    assert after["from"] == RUNNING
    assert after["boot"] != boot
    assert after["bytes"] == "still here"
    assert after["inheritable"] == []
    assert after["new"] == after["highest"] + 1
    assert after["blocked"] == 0
    # Standard streams, five kept, one restored, one new with its copy, and the listing itself:
    # nothing else of the old boot came along.
    assert after["open"] == 3 + 5 + 1 + 2 + 1


def printed_by_the_module() -> list[re.Pattern[str]]:
    """Return what luo.ko's print calls can print, as patterns."""
    found = []
    for path in (ROOT / "kernel").glob("*.c"):
        for text in re.findall(r'\bpr_\w+\("((?:[^"\\]|\\.)*)\\n"', path.read_text()):
            words = re.split(r"%(?:[-0-9*]*)(?:ll|l)?(?:p[A-Za-z]*|[a-z])", text)
            found.append(re.compile("luo: " + ".+".join(re.escape(w) for w in words)))
    return found


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"crowd"}))
def test_it_prints_what_the_module_prints(tmp_path: Path, scenario: str) -> None:
    made = host(tmp_path, scenario)
    ear = made.news.listen(LINES)
    for jumps in range(3):
        load(made)
        for move in (Move.PREPARE, Move.CANCEL, Move.PREPARE)[: 3 - jumps]:
            with contextlib.suppress(OSError):
                made.move(move)
        with contextlib.suppress(OSError, SimulatedJump):
            made.reboot()
        with contextlib.suppress(OSError):
            made.move(Move.FINISH)
    said = [c.text for c in ear.take() or () if isinstance(c, KernelSaid)]
    made.news.unlisten(ear)
    made.close()
    ours = {line for line in said if line.startswith("luo: ")}
    ours.discard("luo: loading out-of-tree module taints kernel.")
    known = printed_by_the_module()
    assert len(known) > 20
    assert [line for line in ours if not any(k.fullmatch(line) for k in known)] == []
    assert len(ours) >= 2


def test_its_devices_are_refused_and_lost_for_the_reasons_of_the_module() -> None:
    module = "".join(p.read_text() for p in (ROOT / "kernel").glob("luo_pci*.c"))
    for participant in (*PARTICIPANTS, REFUSED):
        assert f'"{participant.reason}"' in module or not participant.reason
    assert '"it was switched off on the way"' in module
    # Whatever takes part as a device is one of the machine's.
    devices = {d.id: d for d in DEVICES}
    for participant in (*PARTICIPANTS, REFUSED):
        if participant.kind == "pci":
            assert devices[participant.name].driver == participant.driver
    assert len(devices) == len(DEVICES) >= 25
