# SPDX-License-Identifier: MIT
"""The walk by command line: the console's acts, agreed to by options, and nothing without them."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luo_tui.cli import main as cli
from luo_tui.cli.window import COMMANDS
from luo_tui.errors import Exit, NotDone
from luo_tui.model import FileIdentity, Guest, Resource, ResourceState, State, Work
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    HOST_NAME,
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.update.acts import Window
from luo_tui.update.consent import AgreedTarget, Consent, digest
from luo_tui.update.facts import Act
from luo_tui.update.images import scan
from luo_tui.update.journal import read
from luo_tui.update.lock import Lock
from luo_tui.update.person import Person
from luo_tui.update.target import Target, read_target
from tests.opened import load_files

TARGET = "7.3.4-hv"
ANN = Person("ann", "pts/1", "", 11)
AFTERWARDS = "This login ends. Afterwards: sudo luo-tui status"


class Shell:
    """A command line on a simulated host; each command is a process of its own, in effect."""

    def __init__(self, host: SimulatedHost, capsys: pytest.CaptureFixture[str]) -> None:
        self.host, self._capsys = host, capsys
        self.out = self.err = ""
        self.may_act = True

    def __call__(self, *arguments: str) -> int:
        try:
            return cli.run(["--folder", str(self.host.folder), *arguments])
        finally:
            self.out, self.err = self._capsys.readouterr()

    def must(self, *arguments: str) -> str:
        assert self(*arguments) == Exit.OK, self.err
        return self.out

    def json(self, *arguments: str) -> dict[str, Any]:
        found = json.loads(self.must(*arguments, "--json"))
        assert isinstance(found, dict)
        return found

    def digest(self, *arguments: str) -> str:
        found = self.json(*arguments, "--show")["digest"]
        assert isinstance(found, str)
        return found

    def kexec(self, *arguments: str) -> None:
        with pytest.raises(SimulatedJump):
            self("kexec", "--yes-to", HOST_NAME, *arguments)

    def prepared(self) -> None:
        self.must("load", TARGET)
        self.must("prepare", "--yes")

    def updated(self) -> None:
        """Go into the new kernel, where nobody restores what is his."""
        self.host.scenario = "nothing-restored"
        self.prepared()
        self.kexec("--agree", self.digest("kexec"))

    def records(self) -> list[dict[str, Any]]:
        found = [r for p in self.windows() for r in read(p)]
        return [{"event": r.event, **r.data} for r in found]

    def events(self) -> list[str]:
        return [r["event"] for r in self.records()]

    def windows(self) -> list[Path]:
        return sorted((self.host.folder / "windows").glob("*.jsonl"))

    def refused(self, code: Exit, *arguments: str) -> str:
        """Run a command that is to be refused; nothing may come of it."""
        before = self.standing()
        assert self(*arguments) == code, self.err
        assert self.standing() == before, "something was done"
        assert self.out == ""
        assert all(line.startswith("luo-tui: ") for line in self.err.splitlines())
        return self.err

    def standing(self) -> tuple[object, ...]:
        host = self.host
        kept = tuple((r.token, r.state) for r in host.resources())
        return host.state, host.image, host.boot_id, kept, self.events(), self.holder()

    def holder(self) -> Person | None:
        return Lock(self.host.lock_folder).holder()


@pytest.fixture
def host(tmp_path: Path) -> SimulatedHost:
    made = SimulatedHost.create(tmp_path / "host")
    made.jump = None
    return made


@pytest.fixture
def shell(
    host: SimulatedHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    made = Shell(host, capsys)
    monkeypatch.setattr(
        cli, "open_orchestrator", lambda: SimulatedOrchestrator(host, may_act=made.may_act)
    )
    return made


class Console:
    """A console's window on the host."""

    def __init__(self, host: SimulatedHost, me: Person | None = None) -> None:
        orchestrator = SimulatedOrchestrator(host)
        look = reader(orchestrator, orchestrator.surroundings())
        self.window = Window(orchestrator, host.folder, look, me)
        kexec = orchestrator.kexec
        image = scan(kexec.boot_folder, kexec.modules_folder, host.release)[0]
        target = read_target(Path(image.path), kexec.modules_folder, kexec.command_line())
        assert isinstance(target, Target)
        self.target = target

    def yes(self, act: Act, typed: str = "") -> Consent:
        return Consent.to(act, self.window.facts(self.target), typed=typed)

    def load(self) -> None:
        self.window.load(self.yes(Act.LOAD), self.target)

    def prepare(self) -> None:
        self.window.prepare(self.yes(Act.PREPARE), self.target)

    def gone(self) -> None:
        """Let its process end without a word."""
        self.window.release()


# -- the walk -----------------------------------------------------------------------------


def test_a_whole_update_by_commands(shell: Shell) -> None:
    host = shell.host
    assert f"done        Load {TARGET}" in shell.must("load", TARGET)
    assert host.image == TARGET
    assert shell.holder() is None, "between commands the lock is free"
    out = shell.must("prepare", "--yes")
    assert "state       prepared" in out
    assert "window      1, open" in out
    assert "way back    Cancel the update" in out
    assert host.state is State.PREPARED
    shell.kexec("--agree", shell.digest("kexec"))
    assert shell.out.splitlines()[-1] == AFTERWARDS
    assert f"into {TARGET} ..." in shell.out
    assert (host.state, host.release) == (State.UPDATED, TARGET)
    shell.must("finish", "--yes")
    assert host.state is State.NORMAL
    assert shell.events() == [
        "opened", "begin", "done", "opened", "begin", "done", "opened", "jump",
        "opened", "arrived", "begin", "done", "closed",
    ]  # fmt: skip
    assert len(shell.windows()) == 1
    assert shell.holder() is None


def test_back_before_the_jump(shell: Shell) -> None:
    shell.prepared()
    out = shell.must("cancel", "--yes")
    assert "note        The kernel image was unloaded." in out
    assert "window      1, closed" in out
    assert (shell.host.state, shell.host.image) == (State.NORMAL, "")
    shell.must("load")  # the only one that does not run
    assert shell.host.image == TARGET
    assert "window      2, closed" in shell.must("unload")
    assert shell.host.image == ""


def test_json_says_what_was_done(shell: Shell) -> None:
    told = shell.json("load", TARGET)
    assert (told["schema"], told["act"], told["result"]) == (1, "load", "done")
    assert (told["host"], told["release"], told["target"]) == (HOST_NAME, "7.3.3-hv", TARGET)
    told = shell.json("prepare", "--yes")
    assert (told["state_before"], told["state_after"]) == ("normal", "prepared")
    assert (told["window"], told["window_open"]) == (1, True)
    assert told["label"] == "Prepare: normal -> prepared"
    shell.kexec("--agree", shell.digest("kexec"), "--json")
    told = json.loads(shell.out)
    assert (told["act"], told["result"], told["state_after"]) == ("kexec", "jumping", None)
    assert told["said"][-1] == AFTERWARDS
    told = shell.json("finish", "--agree", shell.digest("finish"))
    assert (told["release"], told["window_open"]) == (TARGET, False)


def test_what_was_agreed_to_is_written_down(shell: Shell) -> None:
    shell.host.scenario = "nothing-restored"
    shell.prepared()
    agreed = shell.digest("kexec")
    shell.kexec("--agree", agreed)
    began = [r for r in shell.records() if r["event"] in ("begin", "jump")]
    assert [r["confirmed"] for r in began] == [
        "",
        "Prepare: normal -> prepared, by --yes",
        f"End this kernel: kexec into {TARGET}, by --yes-to {HOST_NAME}, by --agree {agreed[:12]}",
    ]
    assert (began[-1]["typed"], began[-1]["agreed"]) == (HOST_NAME, agreed)
    agreed = shell.digest("finish")
    shell.must("finish", "--agree", agreed)
    last = [r for r in shell.records() if r["event"] == "begin"][-1]
    assert last["agreed"] == agreed
    assert "typed" not in last, "nobody typed a word"


# -- what is refused ----------------------------------------------------------------------


def test_what_was_not_agreed_to_is_not_done(shell: Shell) -> None:
    shell.host.scenario = "nothing-restored"
    shell.must("load", TARGET)
    assert "it needs --yes." in shell.refused(Exit.USAGE, "prepare")
    shell.must("prepare", "--yes")
    assert "it needs --yes." in shell.refused(Exit.USAGE, "cancel")
    said = shell.refused(Exit.USAGE, "kexec", "--yes")
    assert "it needs --yes-to HOSTNAME and --agree DIGEST" in said
    assert "This would be lost: pci 0000:3b:00.2: cloud-hyperviso [2101] loses it" in said
    assert " and 6 more. Nothing was done" in said
    assert "it needs --agree DIGEST" in shell.refused(Exit.USAGE, "kexec", "--yes-to", HOST_NAME)
    agreed = shell.digest("kexec")
    assert "needs --yes-to HOSTNAME." in shell.refused(Exit.USAGE, "kexec", "--agree", agreed)
    shell.kexec("--agree", agreed)
    said = shell.refused(Exit.USAGE, "finish", "--yes")
    assert "needs --agree DIGEST" in said
    assert "guest-web1" in said


@pytest.mark.parametrize("name", ["demo", "DEMO-HV", "demo-hv ", TARGET])
def test_another_hosts_name_agrees_to_nothing(shell: Shell, name: str) -> None:
    shell.prepared()
    agreed = shell.digest("kexec")
    said = shell.refused(Exit.REFUSED, "kexec", "--yes-to", name, "--agree", agreed)
    assert f"is not '{HOST_NAME}': nothing was done" in said
    shell.refused(Exit.REFUSED, "cancel", "--yes", "--yes-to", name)
    shell.must("cancel", "--yes-to", HOST_NAME)


def test_a_digest_is_void_when_more_would_be_lost(shell: Shell) -> None:
    shell.prepared()
    agreed = shell.digest("kexec")
    yes = ("kexec", "--yes-to", HOST_NAME, "--agree")
    shell.refused(Exit.WRONG_STATE, *yes, "0" * 64)
    shell.refused(Exit.WRONG_STATE, *yes, shell.digest("cancel"))
    shell.host.guests["late"] = Guest(4711, "qemu", ("pc.ram",), 1 << 30)
    said = shell.refused(Exit.WRONG_STATE, *yes, agreed)
    assert "not the digest of what would be done, kept and lost now" in said
    del shell.host.guests["late"]
    shell.kexec("--agree", agreed)


def test_a_digest_is_void_when_something_was_held_since(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    shell.must("load", TARGET)
    agreed = shell.digest("prepare")
    shell.must("hold", str(tmp_path / "f"), "--name", "warm")
    shell.refused(Exit.WRONG_STATE, "prepare", "--agree", agreed)
    shell.must("prepare", "--agree", shell.digest("prepare"))


def test_a_digest_is_held_against_the_facts_under_the_lock_too(shell: Shell) -> None:
    shell.updated()
    console = Console(shell.host)
    facts = console.window.facts()
    agreed = digest(Consent.to(Act.FINISH, facts))
    os.close(shell.host.restore(facts.discarded[0].token))
    with pytest.raises(NotDone, match="no longer what the digest was given for"):
        console.window.finish(Consent.to(Act.FINISH, facts, agreed=agreed))
    assert shell.host.state is State.UPDATED


def test_an_image_of_somebody_else_needs_a_digest(shell: Shell) -> None:
    host = shell.host
    load_files(host.load, host.boot_folder / f"vmlinuz-{TARGET}")
    for command in (("load", TARGET), ("unload",)):
        assert "needs --agree DIGEST" in shell.refused(Exit.USAGE, *command, "--yes")
    agreed = shell.digest("unload")
    shell.must("unload", "--agree", agreed)
    assert host.image == ""
    agreed = shell.digest("load", TARGET)
    load_files(host.load, host.boot_folder / f"vmlinuz-{TARGET}")
    shell.refused(Exit.WRONG_STATE, "load", TARGET, "--agree", agreed)
    shell.must("load", TARGET, "--agree", shell.digest("load", TARGET))


def test_another_file_than_was_shown_is_not_loaded(shell: Shell) -> None:
    agreed = shell.digest("load", TARGET)
    initrd = shell.host.boot_folder / f"initrd.img-{TARGET}"
    initrd.write_bytes(initrd.read_bytes() + b"more")
    shell.refused(Exit.WRONG_STATE, "load", TARGET, "--agree", agreed)
    shell.must("load", TARGET)
    initrd.write_bytes(b"other")
    assert "changed" in shell.refused(Exit.REFUSED, "prepare", "--yes")


def test_in_the_wrong_state_nothing_is_done(shell: Shell) -> None:
    for command in ("cancel", "kexec", "finish"):
        assert "this host is NORMAL" in shell.refused(Exit.WRONG_STATE, command, "--yes")
        assert "this host is NORMAL" in shell.refused(Exit.WRONG_STATE, command, "--show")
    shell.refused(Exit.WRONG_STATE, "unload")
    assert "Load the target kernel first" in shell.refused(Exit.REFUSED, "prepare", "--yes")
    shell.prepared()
    said = shell.refused(Exit.WRONG_STATE, "load", shell.host.release)
    assert f"The update into {TARGET} is under way" in said
    shell.refused(Exit.WRONG_STATE, "unload")
    shell.refused(Exit.WRONG_STATE, "prepare", "--yes")


def test_a_refusal_names_no_key_of_the_console(shell: Shell) -> None:
    said = shell.refused(Exit.WRONG_STATE, "kexec", "--yes-to", HOST_NAME)
    assert said == "luo-tui: Not now: this host is NORMAL. Prepare first.\n"
    shell.prepared()
    said = shell.refused(Exit.WRONG_STATE, "prepare", "--yes")
    assert said.endswith("It is done: go on with the kexec, or cancel.\n")


def test_who_may_not_act_may_look(shell: Shell) -> None:
    shell.prepared()
    shell.may_act = False
    for command in COMMANDS:
        said = shell.refused(Exit.NOT_PERMITTED, command, "--yes", "--yes-to", HOST_NAME)
        assert "Acting needs root: run the same command with sudo." in said
    shown = shell.json("cancel", "--show")
    assert (shown["possible"], shown["digest"]) == (False, "")
    assert "Acting needs root" in shown["blocked"]
    assert "not now     Acting needs root" in shell.must("kexec", "--show")


def test_what_blocks_is_told_apart_from_a_file_that_is_no_kernel(shell: Shell) -> None:
    boot = shell.host.boot_folder
    config, initrd = boot / f"config-{TARGET}", boot / f"initrd.img-{TARGET}"
    was = config.read_text(), initrd.read_bytes()
    config.write_text("# CONFIG_KEXEC_HANDOVER is not set\n")
    assert "without CONFIG_KEXEC_HANDOVER" in shell.refused(Exit.BLOCKED, "load", TARGET)
    assert "CONFIG_KEXEC_HANDOVER" in shell.refused(
        Exit.BLOCKED, "rehearse", "--here", TARGET, "--yes"
    )
    config.write_text(was[0])
    initrd.write_bytes(b"")
    assert "initrd" in shell.refused(Exit.BAD_IMAGE, "load", TARGET)
    initrd.write_bytes(was[1])
    shell.must("load", TARGET)
    config.write_text("# CONFIG_KEXEC_HANDOVER is not set\n")
    shell.refused(Exit.BLOCKED, "prepare", "--yes")


def test_the_target_has_to_be_one(shell: Shell, tmp_path: Path) -> None:
    boot = shell.host.boot_folder
    assert "no such file" in shell.refused(Exit.NOT_FOUND, "load", str(tmp_path / "none"))
    said = shell.refused(Exit.NOT_FOUND, "load", "9.9")
    assert f"vmlinuz-{TARGET}" in said
    shell.refused(Exit.NOT_FOUND, "load", TARGET, "--initrd", str(tmp_path / "none"))
    shell.refused(Exit.BAD_IMAGE, "load", "vmlinuz-7.4.0-rc1")
    (boot / "vmlinuz-copy").write_bytes((boot / f"vmlinuz-{TARGET}").read_bytes())
    assert "Which kernel? Name one." in shell.refused(Exit.USAGE, "load")
    assert "Which kernel? Name one." in shell.refused(Exit.USAGE, "load", TARGET)
    (tmp_path / "initrd").write_bytes(b"another")
    shell.must("load", str(boot / f"vmlinuz-{TARGET}"), "--initrd", str(tmp_path / "initrd"))
    begun = next(r for r in shell.records() if r["event"] == "begin")
    assert begun["initrd"] == str(tmp_path / "initrd")
    shell.must("prepare", "--yes")
    shell.kexec("--agree", shell.digest("kexec"))


# -- one window, many hands ---------------------------------------------------------------


def test_a_window_of_the_console_is_ended_by_commands(shell: Shell) -> None:
    console = Console(shell.host)
    console.load()
    said = shell.refused(Exit.BUSY, "prepare", "--yes")
    assert "open in another console" in said
    assert "not now     The window is open in another console" in shell.must("prepare", "--show")
    console.prepare()
    console.gone()
    shell.kexec("--agree", shell.digest("kexec"))
    shell.must("finish", "--agree", shell.digest("finish"))
    assert shell.host.state is State.NORMAL
    assert len(shell.windows()) == 1


def test_a_window_of_commands_is_ended_by_the_console(shell: Shell) -> None:
    shell.prepared()
    console = Console(shell.host)
    with pytest.raises(SimulatedJump):
        console.window.kexec(console.yes(Act.KEXEC, HOST_NAME), console.target, lambda: None)
    console.gone()
    after = Console(shell.host)
    after.window.arrive()
    after.window.finish(after.yes(Act.FINISH, "discard"))
    assert shell.host.state is State.NORMAL
    assert len(shell.windows()) == 1


def test_somebody_elses_window_has_to_be_taken_over(shell: Shell) -> None:
    said = shell.refused(Exit.WRONG_STATE, "take-over", "--yes")
    assert "no window was left open by somebody else" in said
    ann = Console(shell.host, ANN)
    ann.load()
    assert "open in another console" in shell.refused(Exit.BUSY, "take-over", "--yes")
    ann.gone()
    said = shell.refused(Exit.BUSY, "prepare", "--yes")
    assert "left open by ann on pts/1" in said
    assert "take it over first" in said
    assert "it needs --yes." in shell.refused(Exit.USAGE, "take-over")
    assert "last held by ann on pts/1" in shell.must("take-over", "--show")
    told = shell.json("take-over", "--yes")
    assert (told["act"], told["window"], told["window_open"]) == ("take-over", 1, True)
    shell.must("prepare", "--yes")
    shell.must("cancel", "--yes")
    assert shell.events().count("taken") == 1


def test_after_the_jump_another_persons_window_is_taken_over_and_accounted_for(
    shell: Shell,
) -> None:
    ann = Console(shell.host, ANN)
    ann.load()
    ann.prepare()
    with pytest.raises(SimulatedJump):
        ann.window.kexec(ann.yes(Act.KEXEC, HOST_NAME), ann.target, lambda: None)
    ann.gone()
    shell.refused(Exit.BUSY, "finish", "--yes")
    shell.must("take-over", "--yes")
    assert shell.events()[-2:] == ["taken", "arrived"]
    shell.must("finish", "--agree", shell.digest("finish"))


def test_a_lost_handover_is_accounted_for_before_the_next_load(shell: Shell) -> None:
    host = shell.host
    shell.updated()
    host.state, host.from_release = State.NORMAL, ""
    host.stamps = host.stamps._replace(arrived=0)
    shell.must("load", host.release)
    assert shell.events()[-6:] == ["opened", "lost", "closed", "opened", "begin", "done"]
    assert len(shell.windows()) == 2


# -- show ---------------------------------------------------------------------------------


def test_show_says_all_and_does_nothing(shell: Shell) -> None:
    shell.host.scenario = "nothing-restored"
    shell.prepared()
    before = shell.standing()
    shown = shell.json("kexec", "--show")
    assert shown["needs"] == [f"--yes-to {HOST_NAME}", f"--agree {shown['digest']}"]
    assert any("guest-web1" in line for line in shown["survives"])
    assert set(shown["lost_always"]) < set(shown["lost"])
    assert shown["way_back"].startswith("None after the jump.")
    out = shell.must("kexec", "--show")
    assert f"digest      {shown['digest']}" in out
    for line in shown["lost"]:
        word = "lost" if line in shown["lost_always"] else "LOST HERE"
        assert f"\n{word:11} {line}\n" in out
    shown = shell.json("cancel", "--show")
    assert (shown["needs"], shown["lost"]) == (["--yes"], [])
    assert shell.standing() == before
    shell.kexec("--agree", shell.digest("kexec"))
    before = shell.standing()
    shown = shell.json("finish", "--show")
    assert shown["needs"] == [f"--agree {shown['digest']}"]
    assert shell.standing() == before, "the jump is accounted for by who acts"


def test_what_nothing_is_lost_by_needs_no_digest(shell: Shell) -> None:
    shell.host.devices.clear()
    shell.host.guests.clear()
    shell.prepared()
    assert shell.json("kexec", "--show")["needs"] == [f"--yes-to {HOST_NAME}"]
    shell.kexec()
    back = [shell.host.restore(r.token) for r in shell.host.resources()]
    try:
        assert shell.json("finish", "--show")["needs"] == ["--yes"]
        shell.must("finish", "--yes")
    finally:
        for fd in back:
            os.close(fd)


def test_a_digest_tells_whatever_a_consent_rests_on() -> None:
    file = FileIdentity("/boot/vmlinuz", sha256="1")
    kept = Resource(1, "memfd", ResourceState.PRESERVED, "guest", 4096, 7)
    one = Consent(
        Act.KEXEC, "hv", "boot", State.PREPARED, outgoing=(kept,), incoming=(kept,),
        target=AgreedTarget("7.3", file, file, "ro"),
    )  # fmt: skip
    assert digest(one) == digest(replace(one, typed="hv", label="x", who="ann", agreed="y"))
    target = one.target
    assert target is not None
    others = [
        replace(one, act=Act.FINISH), replace(one, host="vh"), replace(one, boot_id="x"),
        replace(one, state=State.FROZEN), replace(one, outgoing=()), replace(one, incoming=()),
        replace(one, outgoing=(kept._replace(bytes=1),)), replace(one, carried=("a",)),
        replace(one, lost=("a",)), replace(one, uncarried=(1,)), replace(one, unknown=("a",)),
        replace(one, endangered=(("a", ()),)), replace(one, endangered=(("a", ("b",)),)),
        replace(one, doubts=("a",)), replace(one, target=None), replace(one, foreign_image=True),
        replace(one, target=replace(target, command_line="rw")), replace(one, acts_seen=1),
        replace(one, target=replace(target, initrd=file._replace(sha256="2"))),
        replace(one, gone="ann"),
    ]  # fmt: skip
    assert len({digest(c) for c in (one, *others)}) == len(others) + 1


# -- what goes wrong ----------------------------------------------------------------------


def test_a_jump_that_does_not_happen_is_undone_and_told(shell: Shell) -> None:
    shell.prepared()
    shell.host.scenario = "freeze-refused"
    agreed = shell.digest("kexec")
    code = shell("kexec", "--yes-to", HOST_NAME, "--agree", agreed)
    assert code == Exit.REFUSED
    assert "The state is now: normal." in shell.err
    assert "Refused by subsystem vfio-v1." in shell.err
    assert shell.events()[-2:] == ["returned", "closed"]
    assert shell.holder() is None


def test_a_prepare_that_is_refused_is_told(shell: Shell) -> None:
    shell.must("load", TARGET)
    shell.host.scenario = "prepare-refused"
    assert shell("prepare", "--yes", "--json") == Exit.REFUSED
    assert shell.out == ""
    assert "The state is now: normal." in shell.err
    assert shell.events()[-1] == "failed"
    shell.host.scenario = "default"
    shell.must("prepare", "--yes")


def test_who_takes_no_output_any_more_does_not_jump(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.prepared()
    agreed = shell.digest("kexec")

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    with monkeypatch.context() as patch:
        patch.setattr("luo_tui.cli.printing.print", broken, raising=False)
        assert shell("kexec", "--yes-to", HOST_NAME, "--agree", agreed) == Exit.FAILED
    assert "The state is now: prepared." in shell.err
    assert shell.events()[-1] == "returned"
    shell.kexec("--agree", shell.digest("kexec"))


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(params=SIGNALS, ids=lambda n: n.name)
def interrupt(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Send this process a signal. Nothing may be left of it, and no mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield lambda: os.kill(os.getpid(), request.param)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_signal_waits_until_the_act_is_through_and_told(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[], None]
) -> None:
    shell.must("load", TARGET)
    ordinary = SimulatedHost.move

    def interrupted(self: SimulatedHost, move: Move) -> None:
        interrupt()
        ordinary(self, move)

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedHost, "move", interrupted)
        assert shell("prepare", "--yes") == Exit.INTERRUPTED
        assert "done        Prepare: normal -> prepared" in shell.out
        assert shell.events()[-1] == "done"
        shell.host.scenario = "prepare-refused"
        shell("cancel", "--yes")
        shell.host.scenario = "default"
        shell.must("load", TARGET)
        shell.host.scenario = "prepare-refused"
        assert shell("prepare", "--yes") == Exit.REFUSED, "why it failed is told all the same"
        assert "The state is now: normal." in shell.err
    assert shell.holder() is None


def test_a_signal_before_the_freeze_stops_the_jump(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[], None]
) -> None:
    shell.prepared()
    agreed = shell.digest("kexec")
    with monkeypatch.context() as patch:
        patch.setattr(
            "luo_tui.orchestrator.simulated.orchestrator.SimulatedKexec.sync",
            lambda self: interrupt(),
        )
        assert shell("kexec", "--yes-to", HOST_NAME, "--agree", agreed) == Exit.INTERRUPTED
    assert "no kexec happened. This host stays prepared." in shell.err
    assert shell.host.state is State.PREPARED
    assert shell.events()[-1] == "returned"


def test_what_is_not_known_of_the_loss_has_to_be_agreed_to(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.host.devices.clear()
    shell.prepared()
    console = Console(shell.host)
    shown = console.yes(Act.KEXEC, HOST_NAME)
    blind = Work(missing=("which guests run is not known",))
    monkeypatch.setattr(SimulatedHost, "work", lambda self: blind)
    with pytest.raises(NotDone, match="What would be lost is not known any more"):
        console.window.kexec(shown, console.target, lambda: None)
    console.gone()
    assert "--agree DIGEST" in shell.refused(Exit.USAGE, "kexec", "--yes-to", HOST_NAME)
    shell.kexec("--agree", shell.digest("kexec"))


# -- the command itself -------------------------------------------------------------------


def test_every_command_tells_what_it_needs_and_loads_no_textual() -> None:
    for command in COMMANDS:
        code = (
            "import sys\n"
            "from luo_tui.cli.main import run\n"
            f"code = run(['--folder', '/nonexistent', {command!r}, '--show'])\n"
            "print(code, 'textual' in sys.modules, 'luo_tui.update.acts' in sys.modules)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.split()[1:] == ["False", "True"]
        assert int(done.stdout.split()[0]) in (
            Exit.NOT_PERMITTED, Exit.UNAVAILABLE, Exit.WRONG_STATE,
        )  # fmt: skip
        told = subprocess.run(
            [sys.executable, "-m", "luo_tui", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "eeds " in " ".join(told.split())
        assert max(len(line) for line in told.splitlines()) <= 80


def test_a_device_that_comes_into_use_makes_a_digest_void(shell: Shell) -> None:
    (used,) = (d for d in shell.host.devices.values() if d.id == "0000:5e:00.0")
    shell.host.devices = {used.id: used._replace(users=())}
    shell.prepared()
    agreed = shell.digest("kexec")
    shell.host.devices = {used.id: used}
    shell.refused(Exit.WRONG_STATE, "kexec", "--yes-to", HOST_NAME, "--agree", agreed)
    assert "0000:5e:00.0" in shell.refused(Exit.USAGE, "kexec", "--yes-to", HOST_NAME)
    # Less would be lost than was agreed to, and yet it is another consent.
    agreed = shell.digest("kexec")
    shell.host.devices = {}
    shell.refused(Exit.WRONG_STATE, "kexec", "--yes-to", HOST_NAME, "--agree", agreed)
    shell.kexec()


def test_a_window_says_what_it_is_for(shell: Shell) -> None:
    shell.must("load", TARGET, "--change", "CHG-17", "--reason", "kernel CVE fix")
    assert shell.records()[0]["change"] == "CHG-17"
    shell.must("prepare", "--yes")
    window = shell.json("status")["window"]
    assert (window["change"], window["reason"]) == ("CHG-17", "kernel CVE fix")
    assert "The window is for CHG-17: kernel CVE fix." in shell.must("status")
    shell.must("cancel", "--yes")
    out = shell.must("report")
    assert "  change: CHG-17\n  reason: kernel CVE fix\n" in out
    # The next one is another's.
    shell.must("load", TARGET)
    assert shell.json("status")["window"]["change"] == ""


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "x" * 201])
def test_a_purpose_is_one_line(shell: Shell, text: str) -> None:
    with pytest.raises(SystemExit) as refused:
        shell("load", TARGET, "--reason", text)
    assert refused.value.code == Exit.USAGE
    assert "of one line" in shell.err
    assert not shell.windows()


@pytest.mark.parametrize("hostile", ["\x1b[2Jred", "two\nlines", "\u202egnp", "\udc9b31m"])
def test_no_name_of_a_kernel_moves_the_cursor(shell: Shell, hostile: str) -> None:
    boot = shell.host.boot_folder
    (boot / f"vmlinuz-{hostile}").write_bytes((boot / f"vmlinuz-{TARGET}").read_bytes())
    path = str(boot / f"vmlinuz-{hostile}")
    printed = [shell.must("status"), shell.must("load", path, "--show")]
    assert shell("load") == Exit.USAGE
    printed.append(shell.err)
    shell.must("load", path)
    printed.append(shell.must("report"))
    for text in printed:
        assert "vmlinuz-" in text
        assert text.replace("\n", "").isprintable(), text
        assert "two\nlines" not in text
