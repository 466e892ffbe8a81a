# SPDX-License-Identifier: MIT
"""What an offer allows the act allows, and what was agreed to is what is done."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from luo_tui.console.widgets.presenter import KEY
from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import Device, SourceHealth, State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.orchestrator.simulated.boot import image as image_bytes
from luo_tui.sources.changes import SourceFailed
from luo_tui.update.consent import Consent, objection
from luo_tui.update.facts import Act, Facts, handover_lost
from luo_tui.update.offers import DISCARD
from luo_tui.update.plan import parse_plan
from luo_tui.update.rules import STATES, not_now, refusal
from luo_tui.update.target import Target, read_target
from luo_tui.update.walk import walk
from tests.opened import load_files
from tests.unit.test_acts import Console, host


def prepared(tmp_path: Path, scenario: str = "default") -> Console:
    console = Console(host(tmp_path, scenario))
    console.load()
    console.prepare()
    return console


def jump(console: Console, consent: Consent) -> None:
    console.window.kexec(consent, console.target, lambda: None)


def yes(console: Console) -> Consent:
    return console.yes(Act.KEXEC, HOST_NAME)


# The target.


def test_a_blocker_that_appears_after_prepare_stops_the_kexec(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    release = console.target.image.release
    (console.host.boot_folder / f"config-{release}").write_text("# CONFIG_KEXEC_HANDOVER is off\n")
    with pytest.raises(NotDone, match="without CONFIG_KEXEC_HANDOVER"):
        jump(console, consent)
    offer = walk(console.window.facts(console.target)).action(Act.KEXEC)
    assert offer is not None
    assert "without CONFIG_KEXEC_HANDOVER" in offer.blocked
    assert console.host.state is State.PREPARED
    assert "jump" not in console.events()


def test_another_luo_ko_stops_prepare_and_kexec(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    console.load()
    module = console.host.modules_folder / console.target.image.release / "extra" / "luo.ko"
    was = module.read_bytes()
    other = b"\0luo_compatible=luo-ko-v0\0"
    consent = console.yes(Act.PREPARE)
    module.write_bytes(other)
    with pytest.raises(NotDone, match="reads luo-ko-v0"):
        console.window.prepare(consent, console.target)
    assert console.host.state is State.NORMAL
    module.write_bytes(was)
    console.prepare()
    consent = yes(console)
    module.write_bytes(other)
    with pytest.raises(NotDone, match="reads luo-ko-v0"):
        jump(console, consent)
    assert console.host.state is State.PREPARED


def test_another_file_under_the_same_name_stops_the_kexec(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    path = Path(console.target.image.path)
    times = path.stat()
    # In place, with the same size and the same times: only the content and the ctime differ.
    path.write_bytes(path.read_bytes().replace(b"(demo)", b"(domo)"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(NotDone, match="changed"):
        jump(console, consent)
    with pytest.raises(NotDone, match="changed"):
        jump(console, yes(console))
    assert console.host.state is State.PREPARED
    # The same content again is what was agreed to, whatever its inode.
    path.unlink()
    path.write_bytes(image_bytes(console.target.image.release))
    with pytest.raises(SimulatedJump):
        jump(console, consent)


def test_another_initrd_stops_the_kexec(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    Path(console.target.image.initrd).write_bytes(b"another")
    with pytest.raises(NotDone, match=r"initrd.*changed"):
        jump(console, consent)
    assert console.host.state is State.PREPARED


def test_what_is_loaded_is_the_copy_and_not_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(host(tmp_path))
    path = Path(console.target.image.path)
    content = path.read_bytes()
    loaded: list[bytes] = []
    load = SimulatedHost.load

    def watched(self: SimulatedHost, image: int, initrd: int) -> None:
        path.write_bytes(image_bytes("9.9.9"))
        loaded.append(os.pread(image, 1 << 20, 0))
        with pytest.raises(PermissionError):
            os.pwrite(image, b"x", 0)
        load(self, image, initrd)

    monkeypatch.setattr(SimulatedHost, "load", watched)
    console.load()
    assert loaded == [content]
    assert console.host.image == console.target.image.release


def test_a_resumed_window_compares_the_digest(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    console.window.release()  # killed
    path = Path(console.target.image.path)
    path.write_bytes(image_bytes(console.target.image.release) + b"more")
    following = Console(console.host)
    again = read_target(path, console.host.modules_folder, console.target.command_line)
    assert isinstance(again, Target)
    following.target = again
    with pytest.raises(NotDone, match="changed"):
        following.kexec()
    assert console.host.state is State.PREPARED


def test_another_command_line_than_was_loaded_stops_the_kexec(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    other = replace(console.target, command_line="kho=on init=/bin/sh")
    consent = Consent.to(Act.KEXEC, console.window.facts(other), typed=HOST_NAME)
    with pytest.raises(NotDone, match="command line changed"):
        console.window.kexec(consent, other, lambda: None)


# The state.


@pytest.mark.parametrize("planned", ['target = "6.1.0-other"', '[command_line]\nadd = ["mem=1G"]'])
def test_another_target_than_the_plan_names_is_not_loaded(tmp_path: Path, planned: str) -> None:
    console = Console(host(tmp_path))
    text = f"format = 1\n{planned}\n"
    console.window.go_by(parse_plan(text), text)
    said = refusal(Act.LOAD, console.window.facts(console.target))
    assert said is not None
    with pytest.raises(NotDone, match="goes by a plan, and this is not its target"):
        console.load()
    assert not console.host.image


def test_a_plan_that_cannot_be_read_any_more_allows_nothing(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    text = 'format = 1\nchange = "CHG-1"\n'
    console.window.go_by(parse_plan(text), text)
    console.load()
    console.window.release()
    (copy,) = console.host.folder.rglob("*.toml")
    copy.unlink()
    later = Console(console.host)
    said = refusal(Act.PREPARE, later.window.facts(later.target))
    assert said is not None
    assert "cannot be read any more" in said.reason
    with pytest.raises(NotDone, match="cannot be read any more"):
        later.prepare()
    assert console.host.state is State.NORMAL


def test_a_consent_given_in_normal_jumps_from_nowhere(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    console.load()
    with pytest.raises(NotDone, match=r"this host is NORMAL\. Prepare first\."):
        jump(console, yes(console))
    assert console.host.boots == 1
    assert "jump" not in console.events()


@pytest.mark.parametrize("found", [State.PREPARED, State.FROZEN])
def test_a_host_that_another_tool_cancels_during_the_sync_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: State
) -> None:
    console = prepared(tmp_path)
    if found is State.FROZEN:
        console.host.move(Move.FREEZE)
    consent = yes(console)
    monkeypatch.setattr(
        type(console.orchestrator.kexec), "sync", lambda self: console.host.move(Move.CANCEL)
    )
    with pytest.raises(NotDone, match=f"was {found} and is now normal"):
        jump(console, consent)
    assert console.host.boots == 1
    assert console.events()[-1] == "returned"
    window_state = console.window.window_state()
    assert window_state is not None
    assert not window_state.jumped_from


def test_an_act_is_refused_when_the_state_changes_after_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(host(tmp_path))
    console.load()
    write = console.window.write

    def watched(event: str, **data: object) -> None:
        write(event, **data)
        if event == "begin":
            console.host.move(Move.PREPARE)

    monkeypatch.setattr(console.window, "write", watched)
    with pytest.raises(NotDone, match="was normal and is now prepared"):
        console.prepare()
    assert console.events()[-2:] == ["begin", "failed"]


def test_every_act_is_refused_in_every_other_state(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    shown = console.window.facts(console.target)
    for act, states in STATES.items():
        for state in State:
            luo = shown.snapshot.luo._replace(state=state)
            now = shown._replace(snapshot=shown.snapshot._replace(luo=luo))
            found = refusal(act, now)
            if act is Act.TAKE_OVER:
                continue
            if state not in states:
                said = not_now(act, luo)
                assert said.startswith("Not now: ")
                assert state.upper() in said
                # What comes first is named by a key that is not dead in this state.
                for key in re.findall(r"\((.)\)", said):
                    first = next(a for a, k in KEY.items() if k == key)
                    assert state in STATES[first], said
            if state not in states:
                assert found is not None, (act, state)
                assert found.code in (Exit.WRONG_STATE, Exit.UNAVAILABLE)


# The picture.


@pytest.mark.parametrize(
    ("name", "acts"),
    [
        ("resources", {Act.PREPARE, Act.KEXEC, Act.FINISH}),
        ("monitor", {Act.PREPARE, Act.KEXEC, Act.FINISH}),
        ("devices", {Act.KEXEC}),
        ("host activity", set()),
    ],
)
def test_what_was_not_read_whole_carries_no_consent(
    tmp_path: Path, name: str, acts: set[Act]
) -> None:
    console = prepared(tmp_path)
    shown = console.window.facts(console.target)
    for health in (
        SourceHealth(name, "Too many open files"),
        SourceHealth(name, missing=("token 3 was not understood",)),
    ):
        for act in (Act.PREPARE, Act.KEXEC, Act.FINISH, Act.CANCEL):
            state = next(s for s in State if s in STATES[act])
            snapshot = shown.snapshot._replace(
                luo=shown.snapshot.luo._replace(state=state), health={name: health}
            )
            found = refusal(act, shown._replace(snapshot=snapshot))
            assert (found is not None) == (act in acts), (act, found)
            if found is not None:
                assert f"{name}: " in found.reason


def test_a_source_that_fails_in_the_act_stops_it(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    sources = type(console.orchestrator).surroundings

    class Dead:
        name = "devices"
        events = 0

        def enumerate(self) -> tuple[SourceFailed, ...]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    console.orchestrator.surroundings = lambda: (Dead(), *sources(console.orchestrator)[1:])  # type: ignore[method-assign]
    console.window._look = reader(console.orchestrator, console.orchestrator.surroundings())
    with pytest.raises(NotDone, match="devices: Too many open files"):
        jump(console, consent)
    assert console.host.state is State.PREPARED


# What was agreed to.


def test_a_device_that_comes_into_use_makes_the_consent_void(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    assert consent.endangered
    new = Device("0000:99:00.0", "pci", "storage", "nvme", users=("nvme9n1 on /srv",))
    console.host.plug(new)
    with pytest.raises(NotDone, match=r"0000:99:00\.0 would be taken from somebody"):
        jump(console, consent)
    consent = yes(console)
    console.host.plug(new._replace(users=(*new.users, "qemu [77]")))
    with pytest.raises(NotDone, match=r"0000:99:00\.0 is now used by qemu \[77\], too"):
        jump(console, consent)
    consent = yes(console)
    console.host.plug(new._replace(users=()))
    with pytest.raises(SimulatedJump):
        jump(console, consent)


def test_a_device_that_no_longer_runs_on_makes_the_consent_void(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    assert consent.carried
    now = console.window.facts(console.target)
    gone = now._replace(snapshot=now.snapshot._replace(participants={}))
    found = objection(consent, gone)
    assert found is not None
    assert "was shown as running on" in found.reason


def test_more_that_survives_is_no_reason_to_ask_again(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    console.load()
    consent = console.yes(Act.PREPARE)
    console.host.start_process("newcomer", 4096, 4711, "vmm")
    console.window.prepare(consent, console.target)
    assert console.host.state is State.PREPARED


@pytest.mark.parametrize("change", [{"bytes": 1}, {"name": "another"}, {"pid": 1}])
def test_a_resource_that_is_another_one_makes_the_consent_void(
    tmp_path: Path, change: dict[str, object]
) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    now = console.window.facts(console.target)
    first = now.snapshot.outgoing[0]
    resources = now.snapshot.resources.changed({first.token: first._replace(**change)})  # type: ignore[arg-type]
    other = now._replace(snapshot=now.snapshot._replace(resources=resources))
    assert objection(consent, other) is not None
    assert objection(consent, now) is None


def test_the_acts_of_others_make_the_consent_void(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    consent = yes(console)
    now = console.window.facts(console.target)._replace(acts_seen=consent.acts_seen + 1)
    found = objection(consent, now)
    assert found is not None
    assert "held, restored or unpreserved" in found.reason


def test_a_consent_of_another_boot_or_host_is_void(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    for other in (
        replace(yes(console), boot_id="another"),
        replace(yes(console), host="another"),
    ):
        with pytest.raises(NotDone, match="another host, or another boot"):
            jump(console, other)
    assert console.host.state is State.PREPARED


# Images of others.


def test_an_image_that_somebody_else_loaded_is_asked_for(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    image = console.target.image.path
    unaware = console.yes(Act.LOAD)
    load_files(console.orchestrator.kexec.load, image, "", "")
    with pytest.raises(NotDone, match="somebody else loaded is there now"):
        console.window.load(unaware, console.target)
    facts = console.window.facts(console.target)
    for act in (Act.LOAD, Act.UNLOAD):
        offer = walk(facts).action(act)
        assert offer is not None
        assert (offer.ask, offer.typed) == ("type", DISCARD)
        assert offer.lost
        assert offer.possible
    shown = Consent.to(Act.LOAD, facts, label="Load")
    with pytest.raises(NotDone, match="something would be lost"):
        console.window.load(shown, console.target)
    console.window.load(replace(shown, typed=DISCARD), console.target)
    offer = walk(console.window.facts(console.target)).action(Act.UNLOAD)
    assert offer is not None
    assert offer.ask == "nothing"


# The jump that does not happen.


class Broken:
    """A kernel whose reboot ends in whatever way."""

    def __init__(self, console: Console, error: BaseException) -> None:
        self.order: list[str] = []
        self.held: list[bool] = []
        self._console = console
        self._error = error

    def reboot(self) -> NoReturn:
        self.order.append("reboot")
        raise self._error

    def move(self, host_: SimulatedHost, move: Move) -> None:
        self.order.append(str(move))
        self.held.append(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        MOVE(host_, move)


MOVE = SimulatedHost.move


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EBUSY, "busy"), MemoryError(), RuntimeError("a fault"), KeyboardInterrupt()],
    ids=repr,
)
def test_whatever_ends_the_reboot_the_host_is_not_left_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    console = prepared(tmp_path)
    broken = Broken(console, error)
    look = console.window._look

    def looked() -> object:
        broken.order.append("look")
        return look()

    monkeypatch.setattr(console.window, "_look", looked)
    monkeypatch.setattr(SimulatedHost, "reboot", lambda self: broken.reboot())
    monkeypatch.setattr(SimulatedHost, "move", lambda self, move: broken.move(self, move))
    with pytest.raises(ActFailed) as failed:
        jump(console, yes(console))
    assert console.host.state is State.NORMAL
    began = broken.order.index("freeze")
    # Cancel comes first and with the signals held; who refused is looked up afterwards.
    assert broken.order[began : began + 3] == ["freeze", "reboot", "cancel"]
    assert broken.held == [True, True]
    assert "The freeze was cancelled at once: the state is normal again." in failed.value.lines()
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert console.events()[-2:] == ["returned", "closed"]


def test_a_host_found_frozen_is_taken_back_when_the_reboot_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = prepared(tmp_path)
    console.host.move(Move.FREEZE)
    broken = Broken(console, OSError(errno.EBUSY, "busy"))
    monkeypatch.setattr(SimulatedHost, "reboot", lambda self: broken.reboot())
    with pytest.raises(ActFailed):
        jump(console, yes(console))
    assert console.host.state is State.NORMAL


@pytest.mark.parametrize("step", ["sync", "load", "hand back"])
def test_what_fails_before_the_freeze_leaves_the_host_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    console = prepared(tmp_path)
    consent = yes(console)

    def fails(*_: object) -> None:
        raise OSError(errno.ENOMEM, "no memory") if step != "load" else MemoryError

    kexec = type(console.orchestrator.kexec)
    hand_back: Callable[[], None] = fails if step == "hand back" else lambda: None
    if step != "hand back":
        monkeypatch.setattr(kexec, step, fails)
    moves: list[Move] = []
    monkeypatch.setattr(SimulatedHost, "move", lambda self, move: moves.append(move))
    with pytest.raises(ActFailed):
        console.window.kexec(consent, console.target, hand_back)
    assert moves == []
    assert console.host.state is State.PREPARED
    window_state = console.window.window_state()
    assert window_state is not None
    assert window_state.prepared
    assert not window_state.jumped_from


def test_a_cancel_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = prepared(tmp_path)
    broken = Broken(console, OSError(errno.EBUSY, "busy"))

    def stuck(self: SimulatedHost, move: Move) -> None:
        if move is Move.CANCEL:
            raise OSError(errno.EIO, "broken")
        MOVE(self, move)

    monkeypatch.setattr(SimulatedHost, "reboot", lambda self: broken.reboot())
    monkeypatch.setattr(SimulatedHost, "move", stuck)
    with pytest.raises(ActFailed) as failed:
        jump(console, yes(console))
    assert failed.value.state is State.FROZEN
    assert any("Could not cancel" in line for line in failed.value.lines())
    assert any("The state is now: frozen" in line for line in failed.value.lines())


# Reading back, and arriving.


@pytest.mark.parametrize("act", [Act.PREPARE, Act.CANCEL])
def test_an_error_when_reading_back_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Act
) -> None:
    console = Console(host(tmp_path))
    console.load()
    if act is Act.CANCEL:
        console.prepare()
    consent = console.yes(act)

    def unreadable(_: object) -> State:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(type(console.orchestrator), "state", unreadable)
    acts: dict[Act, Callable[[], object]] = {
        Act.PREPARE: lambda: console.window.prepare(consent, console.target),
        Act.CANCEL: lambda: console.window.cancel(consent),
    }
    with pytest.raises(ActFailed) as failed:
        acts[act]()
    text = " ".join(failed.value.lines())
    assert f"The kernel accepted {act}" in text
    assert "could not be read back" in text
    assert "refused" not in text
    assert console.events()[-1] == "done"


def jumped(tmp_path: Path) -> Console:
    console = prepared(tmp_path)
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    return Console(console.host)


def test_an_update_that_something_else_finished_is_not_lost(tmp_path: Path) -> None:
    after = jumped(tmp_path)
    after.host.move(Move.FINISH)
    assert after.host.from_release
    now = after.window.facts()
    assert not handover_lost(now.snapshot, now.window_state)
    assert not any("LOST" in note for note in walk(now).notes)
    after.window.arrive()
    assert after.events()[-2:] == ["arrived", "closed"]
    window_state = after.window.window_state()
    assert window_state is not None
    assert window_state.closed == "finished by something else"


def test_a_handover_from_another_kernel_proves_nothing(tmp_path: Path) -> None:
    after = jumped(tmp_path)
    after.host.move(Move.FINISH)
    after.host.from_release = "9.9.9"
    after.window.arrive()
    window_state = after.window.window_state()
    assert window_state is not None
    assert window_state.closed == "not known: this kernel took over from 9.9.9"
    assert not window_state.arrived
    assert not window_state.lost_in


def test_offer_and_act_agree(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    facts: Facts = console.window.facts(console.target)
    for action in walk(facts).actions:
        found = refusal(action.act, facts)
        assert action.blocked == (found.reason if found else "")


def test_a_sealed_copy_needs_a_regular_file_that_nobody_writes(tmp_path: Path) -> None:
    fifo = tmp_path / "vmlinuz-fifo"
    os.mkfifo(fifo)
    modules = tmp_path / "modules"
    for path in (fifo, tmp_path, Path("/dev/null")):
        found = read_target(path, modules, "")
        assert not isinstance(found, Target)
        assert found.fault
    shutil.copy("/bin/true", tmp_path / "vmlinuz-true")
    found = read_target(tmp_path / "vmlinuz-true", modules, "")
    assert not isinstance(found, Target)
