# SPDX-License-Identifier: MIT
"""A rehearsal on this host does all that can be undone, tells what it saw, and undoes it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from luo_tui.errors import Exit
from luo_tui.model import Guest, State, Work
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import SimulatedOrchestrator
from luo_tui.sources.memory import Memory
from luo_tui.update import guest_facts
from luo_tui.update.blackout import Blackout, Phase
from luo_tui.update.rehearsal import run
from luo_tui.update.rehearsal.kernels import Folders, not_read, read_kernel
from luo_tui.update.rehearsal.record import RehearsalReader
from luo_tui.update.rehearsal.run import Order, Outcome
from luo_tui.update.rehearsal.sizes import Scaled
from luo_tui.update.rehearsal.verdict import Verdict
from tests.permissions import modes_count
from tests.unit.test_images import bzimage
from tests.unit.test_window_commands import TARGET, Shell, host, shell

__all__ = ["host", "shell"]  # fixtures
ON = ("rehearse", "--here", "--yes")


def rehearsed(shell: Shell) -> bool:
    """Whether the host is as it was, and its window closed."""
    window = shell.json("history")["windows"][0] if shell.windows() else {"open": False}
    assert shell.holder() is None
    return (shell.host.state, shell.host.image, window["open"]) == (State.NORMAL, "", False)


def test_all_that_can_be_undone_is_done_and_undone(shell: Shell) -> None:
    before = [(r.token, r.state) for r in shell.host.resources()]
    code = shell(*ON, TARGET)
    out = shell.out
    assert code in (Exit.OK, Exit.DOUBTFUL), shell.err
    assert f"-> {TARGET} on " in out
    assert "took        load " in out
    assert f"preserved   {len(before):,} resources" in out
    assert "kexec       it would be done as things stand now" in out
    assert rehearsed(shell)
    assert [(r.token, r.state) for r in shell.host.resources()] == before
    assert shell.events() == [
        "opened", "begin", "done",  # load
        "opened", "begin", "done",  # prepare
        "opened", "begin", "done", "done", "closed",  # cancel, and its unload
    ]  # fmt: skip


def test_programs_are_told_of_each_participant(shell: Shell) -> None:
    shell(*ON, TARGET, "--json")
    told = json.loads(shell.out)
    assert (told["target"], told["state"]) == (TARGET, "prepared")
    assert set(told["seconds"]) == {"load", "prepare", "cancel"}
    assert told["participants"]
    assert all(p["state"] and p["prepare_ms"] >= 0 for p in told["participants"])
    assert told["kexec_refused"] == ""
    assert told["bytes"] > 0


def test_without_a_yes_nothing_is_done(shell: Shell) -> None:
    assert "say --yes" in shell.refused(Exit.USAGE, "rehearse", "--here", TARGET)
    with pytest.raises(SystemExit):
        shell("rehearse", "--yes", TARGET)


def test_without_privilege_nothing_is_done(shell: Shell) -> None:
    shell.may_act = False
    assert "root" in shell.refused(Exit.NOT_PERMITTED, *ON, TARGET)


def test_an_open_window_is_left_alone(shell: Shell) -> None:
    shell.must("load", TARGET)
    assert "end it first" in shell.refused(Exit.BUSY, *ON, TARGET)
    assert shell.host.image == TARGET


def test_an_image_of_somebody_else_is_not_replaced(shell: Shell) -> None:
    shell.host.image = "7.3.3-hv"
    said = shell.refused(Exit.USAGE, *ON, TARGET)
    assert "--agree" in said


def test_a_host_that_is_prepared_is_left_so(shell: Shell) -> None:
    shell.must("load", TARGET)
    shell.must("prepare", "--yes")
    shell.refused(Exit.BUSY, *ON, TARGET)
    assert shell.host.state is State.PREPARED


def test_a_refused_prepare_is_told_and_undone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: SimulatedOrchestrator, move: Move) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(SimulatedOrchestrator, "move", refuse)
    assert shell(*ON, TARGET) == Exit.REFUSED
    assert "memory" in shell.err
    assert shell.out == ""
    assert rehearsed(shell)


def test_a_prepare_that_could_not_be_verified_is_undone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was done all the same: what is prepared is cancelled."""
    state = SimulatedOrchestrator.state
    asked: list[State] = []

    def read_back(self: SimulatedOrchestrator) -> State:
        now = state(self)
        if now is State.PREPARED and not asked:
            asked.append(now)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return now

    monkeypatch.setattr(SimulatedOrchestrator, "state", read_back)
    assert shell(*ON, TARGET) != Exit.OK
    assert asked
    assert rehearsed(shell)


def test_an_interrupt_is_followed_by_the_way_back(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = SimulatedOrchestrator.move

    def interrupted(self: SimulatedOrchestrator, which: Move) -> None:
        if which is Move.PREPARE:
            os.kill(os.getpid(), signal.SIGINT)
        move(self, which)

    monkeypatch.setattr(SimulatedOrchestrator, "move", interrupted)
    assert shell(*ON, TARGET) == Exit.INTERRUPTED
    assert "Interrupted after prepare" in shell.err
    assert rehearsed(shell)


def test_a_way_back_that_fails_is_said_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(self: object, move: Move) -> None:
        if move is Move.CANCEL:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(self, move)  # type: ignore[arg-type]

    real = SimulatedOrchestrator.move
    monkeypatch.setattr(SimulatedOrchestrator, "move", stuck)
    assert shell(*ON, TARGET) not in (Exit.OK, Exit.DOUBTFUL)
    assert shell.err
    assert shell.host.state is State.PREPARED
    # Nothing is left unsaid: the window is open in the journal, and a cancel goes on in it.
    monkeypatch.setattr(SimulatedOrchestrator, "move", real)
    shell.must("cancel", "--yes")
    assert rehearsed(shell)


BOOTS = "".join(
    f"CONFIG_{name}=y\n"
    for name in ("BLK_DEV_INITRD", "BINFMT_SCRIPT", "DEVTMPFS", "SERIAL_8250_CONSOLE", "PRINTK")
)
UPDATES = "CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\n"
DENIED = os.strerror(errno.EACCES)
LUO = b"\0luo_compatible=luo-ko-v3\0"


class InMachine:
    """Two kernels in files, and the command that would rehearse with them."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell, self.modules = shell, folder / "modules"
        self.files = {name: self.kernel(folder, name) for name in ("old", "new")}

    def kernel(self, folder: Path, name: str) -> Path:
        path = folder / name / f"vmlinuz-{name}"
        path.parent.mkdir()
        path.write_bytes(bzimage(name))
        self.config(path, BOOTS + UPDATES)
        self.module(name)
        return path

    def config(self, path: Path, text: str) -> None:
        path.with_name(f"config-{path.parent.name}").write_text(text)

    def module(self, name: str, content: bytes = LUO) -> None:
        path = self.modules / name / "extra/luo.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @property
    def words(self) -> list[str]:
        return [
            "rehearse", "--machine", "--kernel", str(self.files["old"]), str(self.files["new"]),
            "--modules", str(self.modules), "--accel", "tcg",
        ]  # fmt: skip

    def refused(self, code: Exit, *more: str) -> str:
        """Run it; nothing may come of it but words, some of which say how far it came."""
        before = self.shell.standing()
        done = self.shell(*self.words, *more)
        assert done == code, self.shell.err
        assert self.shell.out == ""
        assert self.shell.standing() == before
        assert not (self.shell.host.folder / "rehearsals.jsonl").exists()
        return self.shell.err


@pytest.fixture
def machine(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InMachine:
    # Whatever is not refused would find no QEMU.
    monkeypatch.setenv("PATH", str(tmp_path))
    return InMachine(shell, tmp_path)


def test_a_machine_needs_qemu(machine: InMachine) -> None:
    assert "QEMU (qemu-system-x86_64) is not installed" in machine.refused(Exit.NOT_FOUND)


@pytest.mark.parametrize(
    ("which", "config", "code", "said"),
    [
        ("new", BOOTS, Exit.BLOCKED, "FAIL: the target new was built without Kexec HandOver"),
        ("old", BOOTS, Exit.UNAVAILABLE, "there is no live update to rehearse"),
        ("old", UPDATES, Exit.BAD_IMAGE, "old cannot be rehearsed: it takes no initial RAM disk"),
        (
            "new",
            UPDATES + BOOTS.replace("CONFIG_SERIAL_8250_CONSOLE=y", "CONFIG_SERIAL_8250_CONSOLE=m"),
            Exit.BAD_IMAGE,
            "it has no serial console (CONFIG_SERIAL_8250_CONSOLE)",
        ),
    ],
)
def test_a_kernel_that_is_known_to_be_unfit_is_not_started(
    machine: InMachine, which: str, config: str, code: Exit, said: str
) -> None:
    machine.config(machine.files[which], config)
    told = machine.refused(code)
    assert said in told
    assert "Nothing was started." in told


def test_both_kernels_need_the_same_orchestrator(machine: InMachine) -> None:
    shutil.rmtree(machine.modules / "new")
    assert "FAIL: the target new has no luo.ko" in machine.refused(Exit.BLOCKED)
    shutil.rmtree(machine.modules / "old")
    # By mainline's sessions, then: it comes as far as to look for QEMU.
    assert "QEMU" in machine.refused(Exit.NOT_FOUND)
    machine.config(machine.files["new"], BOOTS + "CONFIG_KEXEC_HANDOVER=y\n")
    assert "was built without sessions" in machine.refused(Exit.BLOCKED)
    machine.config(machine.files["old"], BOOTS + "CONFIG_KEXEC_HANDOVER=y\n")
    assert "old has no orchestrator" in machine.refused(Exit.UNAVAILABLE)


def test_a_file_that_is_no_kernel_is_not_started(machine: InMachine) -> None:
    machine.files["new"].write_bytes(b"x" * 4096)
    assert "is not a kernel image" in machine.refused(Exit.BAD_IMAGE)
    machine.module("new", b"x")
    machine.files["new"].write_bytes(bzimage("new"))
    assert "does not say what it carries across" in machine.refused(Exit.BAD_IMAGE)


def test_the_running_kernels_image_is_looked_for(shell: Shell, tmp_path: Path) -> None:
    shell.host.release = "9.9.9-gone"
    said = shell.refused(Exit.NOT_FOUND, "rehearse", "--machine", TARGET)
    assert "The image of the running kernel (9.9.9-gone) is not in " in said
    assert "--kernel FILE" in said


@pytest.mark.parametrize(
    ("unreadable", "code", "said"),
    [
        ("old/vmlinuz-old", Exit.NOT_PERMITTED, "old/vmlinuz-old cannot be read: Permission"),
        ("new/vmlinuz-new", Exit.NOT_PERMITTED, "new/vmlinuz-new cannot be read: Permission"),
        ("new", Exit.NOT_PERMITTED, "new/vmlinuz-new cannot be read: Permission"),
        ("modules/old/extra/luo.ko", Exit.NOT_PERMITTED, "luo.ko (luo.ko of old) cannot be read"),
        ("modules/new/extra", Exit.NOT_PERMITTED, "(luo.ko of new) cannot be read: Permission"),
        ("modules/new", Exit.NOT_PERMITTED, "(luo.ko of new) cannot be read: Permission"),
        ("modules", Exit.NOT_PERMITTED, "(luo.ko of old) cannot be read: Permission"),
        # Without it nothing is known of a kernel that speaks against it.
        ("new/config-new", Exit.NOT_FOUND, "QEMU"),
    ],
)
def test_what_may_not_be_read_is_named(
    machine: InMachine, tmp_path: Path, unreadable: str, code: Exit, said: str
) -> None:
    (tmp_path / unreadable).chmod(0)
    try:
        with modes_count():
            assert said in machine.refused(code)
    finally:
        (tmp_path / unreadable).chmod(0o700)


def test_kernels_that_may_not_be_read_are_no_lack_of_kernels(shell: Shell) -> None:
    boot = SimulatedOrchestrator(shell.host).kexec.boot_folder
    running, target = (boot / f"vmlinuz-{name}" for name in (shell.host.release, TARGET))
    asked = "rehearse", "--machine"
    for path in (running, target):
        path.chmod(0)
    with modes_count():
        for more in ((), ("--kernel", shell.host.release), ("--kernel", running.name)):
            said = shell.refused(Exit.NOT_PERMITTED, *asked, *more, TARGET)
            assert f"{running} cannot be read: Permission denied." in said
        running.chmod(0o600)
        for more in ((), ("--kernel", running.name)):
            said = shell.refused(Exit.NOT_PERMITTED, *asked, *more, TARGET)
            assert f"{target} cannot be read: Permission denied." in said
        said = shell.refused(Exit.NOT_FOUND, *asked, "--kernel", running.name, "9.9.9-none")
        assert "9.9.9-none: there is no such kernel" in said
        assert f"{target} cannot be read: Permission denied." in said
        boot.chmod(0)
        for more in ((), ("--kernel", shell.host.release)):
            said = shell.refused(Exit.NOT_FOUND, *asked, *more, TARGET)
            assert f"{boot} cannot be read: Permission denied." in said
            assert "There are" not in said
        boot.chmod(0o700)


def test_an_initrd_that_may_not_be_read_is_not_passed_over_in_silence(
    machine: InMachine, tmp_path: Path
) -> None:
    initrd = machine.files["new"].with_name("initrd.img-new")
    initrd.write_bytes(b"x")
    initrd.chmod(0)
    folders = Folders(tmp_path, machine.modules)
    with modes_count():
        said = machine.refused(Exit.NOT_PERMITTED, "--initrd", str(initrd))
        assert f"{initrd} (the initrd) cannot be read: Permission denied." in said
        kernel = read_kernel(folders, str(machine.files["new"]), "old")
    assert kernel.initrd == b""
    assert not_read(kernel) == f"the target's own initrd: {initrd} cannot be read: {DENIED}"
    initrd.chmod(0o600)
    assert not_read(read_kernel(folders, str(machine.files["new"]), "old")) == ""


def test_options_of_the_one_way_are_refused_beside_the_other(shell: Shell) -> None:
    assert "for --machine alone" in shell.refused(Exit.USAGE, *ON, TARGET, "--memory", "512")
    said = shell.refused(Exit.USAGE, "rehearse", "--machine", "--yes", TARGET)
    assert "for --here alone" in said


@pytest.mark.parametrize("more", [("--here", "--machine"), ("--machine", "--memory", "0"), ()])
def test_what_makes_no_sense_is_not_begun(shell: Shell, more: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        shell("rehearse", TARGET, *more)


def test_too_little_memory_is_said_before_anything_starts(
    machine: InMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text("#!/bin/sh\necho it was started >&2; exit 1\n")
    qemu.chmod(0o755)
    assert "needs more than" in machine.refused(Exit.NO_SPACE, "--memory", "64")
    monkeypatch.setattr(run, "read_memory", lambda _: Memory(2 << 20, 1 << 20))
    assert "this host has 1 left" in machine.refused(Exit.NO_SPACE)


@pytest.mark.parametrize("full", [True, False])
def test_a_disk_without_room_is_said_before_anything_starts(
    machine: InMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text("#!/bin/sh\necho it was started >&2; exit 1\n")
    qemu.chmod(0o755)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    if full:
        real = shutil.disk_usage(temporary)._replace(free=3 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: real)
        said = machine.refused(Exit.NO_SPACE)
        assert f"{temporary} has 3 MiB left, and " in said
    else:
        temporary.chmod(0o500)
        with modes_count():
            said = machine.refused(Exit.FAILED)
        assert "The machine's files cannot be written: Permission denied" in said
    assert "TMPDIR" in said
    assert "started" not in said
    assert list(temporary.iterdir()) == []


def test_what_is_rehearsed_and_what_not_is_told_by_name(
    machine: InMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, orders = machine.shell, []

    def rehearse(order: Order, tell: object) -> Outcome:
        del tell
        orders.append(order)
        done = Verdict(False, "In the target: it gave up.", Exit.BLOCKED, ("KHO: x",), {"boot": 1})
        return Outcome(done, "tcg", 1024, 5, Scaled((4096,)), 2.0)

    monkeypatch.setattr(run, "rehearse", rehearse)
    monkeypatch.setattr(guest_facts, "arms_guests", lambda _: True)
    guest = Guest(7, "qemu-system-x86", ("ram",), 2 << 30, name="web1", is_qemu=True)
    monkeypatch.setattr(SimulatedOrchestrator, "work", lambda _: Work(guests=(guest,)))
    initrd = machine.files["new"].with_name("initrd.img-new")
    initrd.write_bytes(b"")
    assert shell(*machine.words) == Exit.BLOCKED, shell.err
    (order,) = orders
    assert (order.guests, order.preserved[-1]) == (1, 2 << 30)
    assert "guests      memfds stand for the state of 1: written after prepare" in shell.out
    assert f"not tried   1 guest ({guest.label}): no QEMU is started in the machine" in shell.out
    assert f"not tried   the target's own initrd: {initrd} is empty" in shell.out
    assert "result      FAIL: In the target: it gave up." in shell.out
    history = shell.json("history")
    assert [(r["passed"], r["why"]) for r in history["rehearsals"]] == [
        (False, "In the target: it gave up.")
    ]
    assert "rehearsal FAILED in a machine (TCG): In the target" in shell.must("history")
    # By sessions no guest is carried.
    shutil.rmtree(machine.modules)
    shell(*machine.words)
    assert orders[1].guests == 0


@pytest.mark.parametrize(
    ("accel", "said"),
    [("kvm", "the window's, until an update was measured here: "), ("tcg", "none is made of it: ")],
)
def test_whether_it_is_the_windows_prediction_is_told(
    machine: InMachine, monkeypatch: pytest.MonkeyPatch, accel: str, said: str
) -> None:
    dark = Blackout(1512.0, (Phase("jump", 1512.0),))
    outcome = Outcome(Verdict(True, blackout=dark), accel, 1024, 5, Scaled((4096,)), 2.0)
    monkeypatch.setattr(run, "rehearse", lambda order, tell: outcome)
    assert machine.shell(*machine.words) == Exit.OK, machine.shell.err
    assert f"prediction  {said}" in machine.shell.out
    recorded = RehearsalReader(machine.shell.host.folder).read()
    assert [one.blackout is not None for one in recorded] == [True]


def test_a_qemu_that_does_not_start_is_told_in_its_own_words(
    machine: InMachine, tmp_path: Path
) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text("#!/bin/sh\necho it says why >&2; exit 1\n")
    qemu.chmod(0o755)
    said = machine.refused(Exit.FAILED)
    assert "it says why" in said
    assert "Nothing was rehearsed." in said
