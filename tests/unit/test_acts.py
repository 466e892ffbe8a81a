# SPDX-License-Identifier: MIT
"""The acts: consent, facts read again, journal before and after, undo when it does not happen."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import Stamps, State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    HOST_NAME,
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.update.acts import Window
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act, handover_lost
from luo_tui.update.images import scan
from luo_tui.update.journal import Journal, read
from luo_tui.update.lock import Lock
from luo_tui.update.offers import DISCARD
from luo_tui.update.person import Person
from luo_tui.update.target import Target, read_target
from luo_tui.update.walk import walk
from tests.opened import load_files


class Console:
    """One console's window on a simulated host, with the consent that its screen would give."""

    def __init__(self, host: SimulatedHost, me: Person | None = None) -> None:
        self.host = host
        self.orchestrator = SimulatedOrchestrator(host)
        self.look = reader(self.orchestrator, self.orchestrator.surroundings())
        self.window = Window(self.orchestrator, host.folder, self.look, me)
        kexec = self.orchestrator.kexec
        image = scan(kexec.boot_folder, kexec.modules_folder, host.release)[0]
        target = read_target(Path(image.path), kexec.modules_folder, kexec.command_line())
        assert isinstance(target, Target)
        self.target = target

    def yes(self, act: Act, typed: str = "", label: str = "") -> Consent:
        return Consent.to(act, self.window.facts(self.target), typed=typed, label=label)

    def load(self) -> None:
        self.window.load(self.yes(Act.LOAD), self.target)

    def prepare(self) -> None:
        self.window.prepare(self.yes(Act.PREPARE), self.target)

    def kexec(self, typed: str = HOST_NAME) -> None:
        self.window.kexec(self.yes(Act.KEXEC, typed), self.target, lambda: None)

    def events(self) -> list[str]:
        (path,) = sorted((self.host.folder / "windows").glob("*.jsonl"))[-1:]
        return [r.event for r in read(path)]


def host(tmp_path: Path, scenario: str = "default") -> SimulatedHost:
    made = SimulatedHost.create(tmp_path, scenario)
    made.jump = None
    return made


def test_a_whole_update_and_its_journal(tmp_path: Path) -> None:
    machine = host(tmp_path)
    before = Console(machine)
    before.load()
    before.prepare()
    with pytest.raises(SimulatedJump):
        before.kexec()
    before.window.release()  # the process is gone, and its lock with it
    after = Console(machine)
    after.window.arrive()
    after.window.arrive()
    assert after.look().luo.state is State.UPDATED
    after.window.finish(after.yes(Act.FINISH))
    assert machine.state is State.NORMAL
    assert after.events() == [
        "opened", "begin", "done", "begin", "done", "jump",
        "opened", "arrived", "begin", "done", "closed",
    ]  # fmt: skip
    assert not after.window.mine


def test_no_act_without_its_own_consent(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    with pytest.raises(NotDone, match="not to load"):
        console.window.load(console.yes(Act.PREPARE), console.target)
    assert not (tmp_path / "windows").exists()


def test_nothing_is_done_when_the_facts_have_changed(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    consent = console.yes(Act.PREPARE)
    machine.unpreserve(consent.outgoing[0].token)
    with pytest.raises(NotDone, match="shown as preserved and is no longer") as refused:
        console.window.prepare(consent, console.target)
    assert refused.value.code is Exit.WRONG_STATE
    stale = console.yes(Act.PREPARE)
    machine.move(Move.PREPARE)
    with pytest.raises(NotDone, match="was normal and is now prepared"):
        console.window.prepare(stale, console.target)
    assert machine.state is State.PREPARED


def test_finish_is_not_done_when_more_would_be_lost_than_was_shown(tmp_path: Path) -> None:
    machine = host(tmp_path, "nothing-restored")
    console = Console(machine)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    shown = Console(machine).yes(Act.FINISH)
    fewer = replace(shown, incoming=shown.incoming[:-1])
    with pytest.raises(NotDone, match="More is unrestored"):
        Console(machine).window.finish(fewer)
    assert machine.state is State.UPDATED
    # A discard is as hard as it is heavy: without its word the act refuses, too.
    for wrong in ("", "Discard", HOST_NAME):
        with pytest.raises(NotDone, match="is not 'discard', and something would be lost"):
            Console(machine).window.finish(replace(shown, typed=wrong))
        assert machine.state is State.UPDATED
    shown = replace(shown, typed=DISCARD)
    # Less is fine: somebody restored one meanwhile.
    os.close(machine.restore(shown.incoming[0].token))
    Console(machine).window.finish(shown)
    assert machine.state is State.NORMAL


@pytest.mark.parametrize("typed", ["", "demo", "DEMO-HV", "demo-hv ", "7.3.4-hv"])
def test_the_host_name_has_to_be_right(tmp_path: Path, typed: str) -> None:
    console = Console(host(tmp_path))
    console.load()
    console.prepare()
    with pytest.raises(NotDone, match="nothing was done"):
        console.kexec(typed)
    assert console.host.state is State.PREPARED


def test_prepare_wants_our_image_loaded(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    with pytest.raises(NotDone, match="Load the target kernel first"):
        console.prepare()
    assert console.host.state is State.NORMAL
    assert not console.window.mine


def test_a_refused_prepare_is_told_and_the_state_is_normal(tmp_path: Path) -> None:
    console = Console(host(tmp_path, "prepare-refused"))
    console.load()
    with pytest.raises(ActFailed, match="participant refused to prepare") as failed:
        console.prepare()
    assert failed.value.state is State.NORMAL
    assert console.events()[-1] == "failed"
    assert "Refused by subsystem vfio-v1." in failed.value.lines()


def test_a_refusal_stays_in_sight_until_the_step_succeeds(tmp_path: Path) -> None:
    console = Console(host(tmp_path, "prepare-refused"))
    console.load()
    assert not failures(console)
    with pytest.raises(ActFailed):
        console.prepare()
    (said,) = failures(console)
    assert said.startswith("Prepare failed at ")
    assert said.endswith("Refused by subsystem vfio-v1.")
    # A console that comes later tells it, too.
    assert failures(Console(console.host)) == [said]
    console.host.scenario = "default"
    console.prepare()
    assert not failures(console)


def test_a_refused_jump_stays_in_sight_after_its_window_has_ended(tmp_path: Path) -> None:
    console = Console(host(tmp_path, "freeze-refused"))
    console.load()
    console.prepare()
    with pytest.raises(ActFailed):
        console.kexec()
    (said,) = failures(console)
    assert said.startswith("Kexec failed at ")
    assert "EIO" in said


def failures(console: Console) -> list[str]:
    """Return what the walk says of acts that failed."""
    return [note for note in walk(console.window.facts()).notes if " failed at " in note]


@pytest.mark.parametrize(
    ("scenario", "code"), [("freeze-refused", errno.EIO), ("kexec-no-image", errno.EINVAL)]
)
def test_a_jump_that_does_not_happen_is_undone_and_told(
    tmp_path: Path, scenario: str, code: int
) -> None:
    console = Console(host(tmp_path, scenario))
    console.load()
    console.prepare()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(ActFailed) as failed:
        console.kexec()
    assert failed.value.explanation.errno == code
    assert failed.value.state is State.NORMAL
    assert "The state is now: normal." in failed.value.lines()
    assert not console.look().kexec.loaded
    assert console.events()[-2:] == ["returned", "closed"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert not console.window.mine


def test_the_terminal_is_handed_back_before_the_freeze_and_signals_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(host(tmp_path))
    console.load()
    console.prepare()
    order: list[str] = []
    freeze = console.host.move

    def watched(move: Move) -> None:
        order.append(str(move))
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert {
            signal.SIGHUP,
            signal.SIGINT,
            signal.SIGQUIT,
            signal.SIGTERM,
            signal.SIGTSTP,
        } <= held
        freeze(move)

    monkeypatch.setattr(SimulatedHost, "move", lambda self, move: watched(move))
    with pytest.raises(SimulatedJump):
        console.window.kexec(
            console.yes(Act.KEXEC, HOST_NAME), console.target, lambda: order.append("terminal")
        )
    assert order == ["terminal", "freeze"]


def test_a_lost_terminal_stops_the_jump(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    console.load()
    console.prepare()

    def lost() -> None:
        raise OSError(errno.EIO, "gone")

    with pytest.raises(ActFailed, match="terminal"):
        console.window.kexec(console.yes(Act.KEXEC, HOST_NAME), console.target, lost)
    assert console.host.state is State.PREPARED


def test_an_image_that_has_gone_stops_the_jump_before_the_freeze(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    console.load()
    console.prepare()
    consent = console.yes(Act.KEXEC, HOST_NAME)
    Path(console.target.image.path).unlink()
    with pytest.raises(NotDone, match="cannot be read"):
        console.window.kexec(consent, console.target, lambda: None)
    assert console.host.state is State.PREPARED
    window_state = console.window.window_state()
    assert window_state is not None
    assert window_state.prepared
    assert not window_state.jumped_from


def test_cancel_unloads_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    console.load()
    console.prepare()
    assert console.window.cancel(console.yes(Act.CANCEL)) == ("The kernel image was unloaded.",)
    assert not console.look().kexec.loaded
    # A foreign tool's image and prepare: the state is taken back, the image is not ours to drop.
    load_files(console.orchestrator.kexec.load, console.target.image.path, "", "")
    console.host.move(Move.PREPARE)
    assert console.window.cancel(console.yes(Act.CANCEL)) == ()
    assert console.look().kexec.loaded


def test_a_host_found_frozen_can_be_taken_back(tmp_path: Path) -> None:
    machine = host(tmp_path)
    machine.move(Move.PREPARE)
    machine.move(Move.FREEZE)
    console = Console(machine)
    console.window.cancel(console.yes(Act.CANCEL))
    assert machine.state is State.NORMAL


def test_leaving_unloads_and_says_what_stays(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    assert console.window.leave("quit") == ()
    console.load()
    assert console.window.leave("quit") == ("The kernel image was unloaded.",)
    assert console.events()[-1] == "closed"
    console.load()
    console.prepare()
    said = console.window.leave("lost the terminal")
    assert "This host stays prepared. Run luo-tui to go on or to go back." in said
    assert console.events()[-1] == "left"
    # The next console goes on in the same window.
    following = Console(console.host)
    window_state = following.window.window_state()
    assert window_state is not None
    assert not window_state.closed
    following.window.cancel(following.yes(Act.CANCEL))
    assert following.events()[-1] == "closed"


def test_one_console_acts_at_a_time(tmp_path: Path) -> None:
    machine = host(tmp_path)
    first, second = Console(machine), Console(machine)
    first.load()
    assert second.window.holder() is not None
    with pytest.raises(NotDone, match="open in another console") as refused:
        second.window.unload(second.yes(Act.UNLOAD))
    assert refused.value.code is Exit.BUSY
    first.window.unload(first.yes(Act.UNLOAD))
    second.load()


def test_a_lost_handover_is_written_down_once(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    # As if the new kernel had refused what came.
    machine.state = State.NORMAL
    machine.from_release = ""
    machine.stamps = Stamps()
    after = Console(machine)
    after.window.arrive()
    assert after.events()[-2:] == ["lost", "closed"]
    assert handover_lost(after.look(), after.window.window_state())
    following = Console(machine)
    following.window.arrive()
    assert handover_lost(following.look(), following.window.window_state())


def test_a_journal_that_cannot_be_opened_stops_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, end: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("luo_tui.update.journal._reserve", full)
    console = Console(host(tmp_path))
    with pytest.raises(ActFailed, match="disk is full") as failed:
        console.load()
    assert failed.value.explanation.code is Exit.NO_SPACE
    assert not console.look().kexec.loaded
    assert not console.window.mine
    assert console.window.holder() is None


@pytest.mark.parametrize("at", ["opened", "begin", "done", "closed"])
def test_a_disk_that_is_full_at_unload_tells_what_became_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    if at == "opened":
        console.window.release()
        console = Console(machine)
    write = Journal.write

    def full(self: Journal, event: str, **data: Any) -> None:
        if event == at or at == "opened":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, event, **data)

    monkeypatch.setattr(Journal, "write", full)
    with pytest.raises(ActFailed, match="disk is full") as failed:
        console.window.unload(console.yes(Act.UNLOAD))
    stays = at in ("opened", "begin")
    assert console.look().kexec.loaded is stays
    assert failed.value.lines()[-1] == (
        "The image stays loaded: an ordinary reboot may kexec into it."
        if stays
        else "The kernel image was unloaded."
    )


def test_a_disk_that_is_full_at_the_jump_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    monkeypatch.setattr("luo_tui.update.journal.Journal.write_promised", full)
    with pytest.raises(ActFailed, match="disk is full") as failed:
        console.window.kexec(console.yes(Act.KEXEC, HOST_NAME), console.target, lambda: None)
    assert f"The journal lies in {machine.folder}." in failed.value.lines()
    assert machine.state is State.PREPARED


def test_without_privilege_nothing_is_touched(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.orchestrator._may_act = False
    with pytest.raises(NotDone, match="sudo luo-tui") as refused:
        console.load()
    assert refused.value.code is Exit.NOT_PERMITTED
    assert not machine.lock_folder.exists()


def test_the_target_can_be_read_back_from_the_journal(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    console.window.release()  # killed
    following = Console(machine)
    window_state = following.window.window_state()
    assert window_state is not None
    target = read_target(
        Path(window_state.image),
        machine.modules_folder,
        window_state.command_line,
        Path(window_state.initrd),
    )
    assert isinstance(target, Target)
    assert target.image.release == window_state.target
    facts = following.window.facts(target)
    with pytest.raises(SimulatedJump):
        following.window.kexec(Consent.to(Act.KEXEC, facts, typed=HOST_NAME), target, lambda: None)


ANN, BOB = Person("ann", "pts/1", "", 11), Person("bob", "pts/2", "", 12)


def take_over(console: Console, gone: Person) -> None:
    console.window.take_over(replace(console.yes(Act.TAKE_OVER), gone=str(gone)))


def test_a_gone_owners_window_has_to_be_taken_over(tmp_path: Path) -> None:
    machine = host(tmp_path)
    ann, bob = Console(machine, ANN), Console(machine, BOB)
    ann.load()
    with pytest.raises(NotDone, match="open in another console: ann") as refused:
        take_over(bob, ANN)
    assert refused.value.code is Exit.BUSY
    ann.prepare()
    ann.window.release()  # killed
    before = ann.events()
    with pytest.raises(NotDone, match=r"left open by ann on pts/1.*take it over first"):
        bob.window.cancel(bob.yes(Act.CANCEL))
    with pytest.raises(NotDone, match="left open by ann"):
        take_over(bob, Person("eve"))
    assert machine.state is State.PREPARED
    assert bob.window.holder() is None
    assert ann.events() == before
    take_over(bob, ANN)
    assert bob.window.mine
    seen = ann.window.holder()
    assert seen is not None
    assert seen.user == "bob"
    with pytest.raises(NotDone, match="open in another console: bob"):
        ann.window.cancel(ann.yes(Act.CANCEL))
    window_state = ann.window.window_state()
    assert window_state is not None
    assert (window_state.holder, window_state.taken_from) == (BOB, ANN)
    bob.window.cancel(bob.yes(Act.CANCEL))
    assert machine.state is State.NORMAL
    assert bob.events().count("taken") == 1
    with pytest.raises(NotDone, match="nothing to take over"):
        take_over(ann, BOB)
    assert ann.window.holder() is None


def test_after_the_jump_the_same_person_goes_on_and_another_takes_over(tmp_path: Path) -> None:
    machine = host(tmp_path)
    ann = Console(machine, ANN)
    ann.load()
    ann.prepare()
    with pytest.raises(SimulatedJump):
        ann.kexec()
    ann.window.release()
    bob = Console(machine, BOB)
    bob.window.arrive()
    assert "arrived" not in bob.events(), "another person's console takes nothing by itself"
    assert bob.window.holder() is None
    elsewhere = Console(machine, Person("ann", "pts/9", "192.0.2.8", 44))
    elsewhere.window.arrive()
    assert "arrived" in elsewhere.events()
    elsewhere.window.release()
    take_over(bob, elsewhere.window.me)
    bob.window.finish(bob.yes(Act.FINISH))
    assert machine.state is State.NORMAL


def test_what_was_confirmed_is_written_down(tmp_path: Path) -> None:
    console = Console(host(tmp_path), ANN)
    console.load()
    label = "Prepare: normal -> prepared"
    console.window.prepare(console.yes(Act.PREPARE, label=label), console.target)
    window_state = console.window.window_state()
    assert window_state is not None
    last = window_state.acts[-1]
    assert (last.what, last.confirmed, last.by) == ("prepare", label, str(ANN))
    assert last.result == "done, prepared"
    assert last.ended >= last.at


def test_others_see_an_act_begin_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = host(tmp_path, "prepare-refused")
    console = Console(machine, ANN)
    console.load()
    seen: list[str] = []
    ordinary = SimulatedHost.move

    def watched(self: SimulatedHost, move: Move) -> None:
        owner = Lock(machine.lock_folder).holder()
        seen.append(owner.doing if owner else "nobody")
        ordinary(self, move)

    monkeypatch.setattr(SimulatedHost, "move", watched)
    with pytest.raises(ActFailed):
        console.prepare()
    assert seen == ["under way: prepare"]
    owner = Lock(machine.lock_folder).holder()
    assert owner is not None
    assert owner.doing == ""


def test_a_console_whose_lock_file_was_taken_away_has_lost_the_window(tmp_path: Path) -> None:
    machine = host(tmp_path)
    ann, bob = Console(machine, ANN), Console(machine, BOB)
    ann.load()
    (machine.lock_folder / "window.lock").unlink()
    take_over(bob, ANN)
    assert not ann.window.mine
    with pytest.raises(NotDone, match="open in another console: bob"):
        ann.prepare()
    assert machine.state is State.NORMAL
