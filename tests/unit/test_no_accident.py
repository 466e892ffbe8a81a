# SPDX-License-Identifier: MIT
"""Whatever happens in whatever order: nothing is lost without a typed word, rules, and a record.

Two consoles, another tool, faults, replaced files, kills, power cuts and clock steps, in
sequences that hypothesis makes up. Each jump is held against what was agreed to, and
every journal that comes of it is read back whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luo_tui.errors import ActFailed, NotDone
from luo_tui.model import Device, ResourceState, State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.orchestrator.simulated.boot import TARGET, image
from luo_tui.update import journal
from luo_tui.update.consent import Consent
from luo_tui.update.device_outcome import device_outcomes
from luo_tui.update.facts import Act
from luo_tui.update.history import read_history
from luo_tui.update.journal import read
from luo_tui.update.offers import DISCARD
from luo_tui.update.person import Person
from luo_tui.update.report import report_text
from tests.opened import load_files
from tests.unit.test_acts import Console
from tests.unit.test_history import held_to_schema, lines
from tests.unit.test_interrupted import power_cut

ACTS = (Act.LOAD, Act.UNLOAD, Act.PREPARE, Act.CANCEL, Act.KEXEC, Act.FINISH, Act.TAKE_OVER)
WHO = st.sampled_from([0, 1])
STEPS = st.one_of(
    st.tuples(
        st.just("agree"), WHO, st.sampled_from(ACTS), st.sampled_from([HOST_NAME, DISCARD, "", "x"])
    ),
    st.tuples(st.just("act"), WHO),
    st.tuples(st.just("agree and act"), WHO, st.sampled_from(ACTS)),
    st.tuples(st.just("foreign move"), st.sampled_from(list(Move))),
    st.tuples(st.just("foreign load")),
    st.tuples(st.just("foreign unload")),
    st.tuples(st.just("preserve")),
    st.tuples(st.just("unpreserve")),
    st.tuples(st.just("restore")),
    st.tuples(st.just("replace image"), st.sampled_from([TARGET, "9.9.9"])),
    st.tuples(st.just("replace luo.ko"), st.sampled_from(["luo-ko-v3", "luo-ko-v0"])),
    st.tuples(st.just("kill"), WHO),
    st.tuples(st.just("leave"), WHO),
    st.tuples(st.just("power cut")),
    st.tuples(st.just("clock"), st.integers(-7200, 7200)),
    st.tuples(st.just("fault"), st.sampled_from(["state", "sync", "look", "reboot", "none"])),
)
BETWEEN = st.one_of(
    st.tuples(st.just("fault"), st.sampled_from(["state", "sync", "look", "reboot"])),
    st.tuples(st.just("replace image"), st.sampled_from([TARGET, "9.9.9"])),
    st.tuples(st.just("replace luo.ko"), st.sampled_from(["luo-ko-v3", "luo-ko-v0"])),
    st.tuples(st.just("plug"), st.integers(0, 9)),
    st.tuples(st.just("others prepare less")),
    st.tuples(st.just("foreign move"), st.sampled_from(list(Move))),
    st.tuples(st.just("during the sync"), st.sampled_from(list(Move))),
)
"""What may come between the yes to a kexec and the act."""
HURRIED = (
    ("agree and act", 0, Act.LOAD),
    ("agree and act", 0, Act.PREPARE),
    ("agree", 0, Act.KEXEC, HOST_NAME),
)
"""With these before it a short sequence gets as far as the jump."""
ARRIVED = (("nobody restores",), *HURRIED, ("act", 0))
"""With these before it a sequence begins where a finish discards something."""


class World:
    """A host with two consoles on it, and what may befall them."""

    def __init__(self, folder: Path) -> None:
        self.host = SimulatedHost.create(folder)
        self.host.jump = None
        people = (Person("ann", "pts/1", "", 11), Person("bob", "pts/2", "", 12))
        self.consoles = [Console(self.host, person) for person in people]
        self.agreed: list[Consent | None] = [None, None]
        self.acting: Consent | None = None
        self.fault = "none"
        self.meanwhile: Move | None = None
        self.jumps = self.discards = 0
        self.breaches: list[AssertionError] = []
        self.late = timedelta()

    def run(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        with contextlib.suppress(OSError):
            getattr(self, name.replace(" ", "_").replace(".", "_"))(*arguments)

    def agree(self, who: int, act: Act, typed: str) -> None:
        with self.faults():
            self.agreed[who] = self.consoles[who].yes(act, typed)

    def act(self, who: int) -> None:
        consent, console = self.agreed[who], self.consoles[who]
        if consent is None:
            return
        window, target = console.window, console.target
        unrestored = any(r.state is ResourceState.INCOMING for r in self.host.resources())
        foreign = self.host.image and not console.window.facts().ours_is_loaded
        acts: dict[Act, Any] = {
            Act.LOAD: lambda: window.load(consent, target),
            Act.UNLOAD: lambda: window.unload(consent),
            Act.PREPARE: lambda: window.prepare(consent, target),
            Act.CANCEL: lambda: window.cancel(consent),
            Act.KEXEC: lambda: window.kexec(consent, target, lambda: None),
            Act.FINISH: lambda: window.finish(consent),
            Act.TAKE_OVER: lambda: window.take_over(consent),
        }
        self.acting = consent
        try:
            with self.faults():
                acts[consent.act]()
            takes = unrestored if consent.act is Act.FINISH else foreign
            if takes and consent.act in (Act.FINISH, Act.LOAD, Act.UNLOAD):
                assert consent.typed == DISCARD, f"{consent.act} lost something without its word"
                self.discards += 1
        except (NotDone, ActFailed):
            pass
        except SimulatedJump:
            for each in self.consoles:
                each.window.release()
        finally:
            self.acting = None
        for breach in self.breaches:
            raise breach
        assert self.host.state is not State.FROZEN or self.frozen_by_another, "left frozen"

    def agree_and_act(self, who: int, act: Act) -> None:
        self.agree(who, act, HOST_NAME if act is Act.KEXEC else DISCARD)
        self.act(who)

    def nobody_restores(self) -> None:
        self.host.scenario = "nothing-restored"

    def restore(self) -> None:
        for one in self.host.resources()[:1]:
            os.close(self.host.restore(one.token))

    frozen_by_another = False

    def foreign_move(self, move: Move) -> None:
        self.host.move(move)
        self.frozen_by_another = self.host.state is State.FROZEN

    def try_to(self, move: Move) -> None:
        with contextlib.suppress(OSError):
            self.foreign_move(move)

    def foreign_load(self) -> None:
        load_files(self.host.load, self.host.boot_folder / f"vmlinuz-{TARGET}")

    def foreign_unload(self) -> None:
        self.host.image = ""

    def preserve(self) -> None:
        self.host.start_process("newcomer", 4096, 4711, "vmm")

    def unpreserve(self) -> None:
        for one in self.host.resources()[:1]:
            self.host.unpreserve(one.token)

    def plug(self, number: int) -> None:
        users = (f"nvme{number}n1 on /srv",)
        self.host.plug(Device(f"0000:99:00.{number % 8}", "pci", "storage", "nvme", users=users))

    def others_prepare_less(self) -> None:
        self.host.move(Move.CANCEL)
        self.unpreserve()
        self.host.move(Move.PREPARE)

    def during_the_sync(self, move: Move) -> None:
        self.meanwhile = move

    def replace_image(self, release: str) -> None:
        (self.host.boot_folder / f"vmlinuz-{TARGET}").write_bytes(image(release))

    def replace_luo_ko(self, compatible: str) -> None:
        module = self.host.modules_folder / TARGET / "extra" / "luo.ko"
        module.write_bytes(f"\0luo_compatible={compatible}\0".encode())

    def kill(self, who: int) -> None:
        me = self.consoles[who].window.me
        self.consoles[who].window.release()
        self.consoles[who] = Console(self.host, me)
        self.agreed[who] = None

    def power_cut(self) -> None:
        """End everything; the next kernel's first console accounts for what was."""
        for each in self.consoles:
            each.window.release()
        power_cut(self.consoles[0])
        self.frozen_by_another = False
        self.consoles[0].window.arrive()

    def leave(self, who: int) -> None:
        self.consoles[who].window.leave("quit")

    def clock(self, seconds: int) -> None:
        self.late = timedelta(seconds=seconds)

    def set_fault(self, name: str) -> None:
        self.fault = name

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """Let the chosen call fail, and the clock be wrong."""
        world = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz or UTC) + world.late

        def fails(*_: object) -> NoReturn:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        reboot = SimulatedHost.reboot

        def watched(host: SimulatedHost) -> NoReturn:
            # The act undoes whatever is raised here: it is looked at afterwards.
            try:
                self.hold_against(host)
            except AssertionError as breach:
                self.breaches.append(breach)
            if self.fault == "reboot":
                fails()
            reboot(host)

        orchestrator = type(self.consoles[0].orchestrator)
        with contextlib.ExitStack() as stack:
            stack.enter_context(patch.object(journal, "datetime", Clock))
            stack.enter_context(patch.object(SimulatedHost, "reboot", watched))
            if self.fault == "state":
                stack.enter_context(patch.object(orchestrator, "state", fails))
            kexec = type(self.consoles[0].orchestrator.kexec)
            if self.fault == "sync":
                stack.enter_context(patch.object(kexec, "sync", fails))
            elif self.meanwhile is not None:
                move = self.meanwhile
                stack.enter_context(patch.object(kexec, "sync", lambda _: self.try_to(move)))
            if self.fault == "look":
                stack.enter_context(patch.object(SimulatedHost, "resources", fails))
            yield

    def hold_against(self, host: SimulatedHost) -> None:
        """At the jump: everything that was agreed to, and nothing else."""
        consent = self.acting
        assert consent is not None
        assert consent.act is Act.KEXEC
        assert consent.typed == HOST_NAME
        assert consent.boot_id == host.boot_id
        assert host.state is State.FROZEN, "nothing would be handed over"
        assert not consent.doubts
        there = {(r.token, r.name) for r in host.resources()}
        assert {(r.token, r.name) for r in consent.outgoing} <= there, "fewer would survive"
        assert consent.target is not None
        assert consent.target.image is not None
        assert host.image == consent.target.release == TARGET
        assert self.frozen_by_another == (consent.state is State.FROZEN)
        shown = dict(consent.endangered)
        (console,) = (c for c in self.consoles if str(c.window.me) == consent.who)
        for one in device_outcomes(console.look()):
            assert not one.dangerous or set(one.device.users) <= set(shown[one.device.id])
        window_state = console.window.window_state()
        assert window_state is not None
        newest = read(host.folder / "windows" / f"{window_state.window}.jsonl")[-1]
        assert newest.event == "jump", "there is no record of it"
        assert newest.data["image_digest"] == consent.target.image.sha256
        module = host.modules_folder / TARGET / "extra" / "luo.ko"
        assert b"luo-ko-v3" in module.read_bytes(), "the target could not read it"
        self.jumps += 1


jumped = discarded = 0


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.one_of(
        st.tuples(st.just(HURRIED), st.lists(BETWEEN, max_size=3)),
        st.tuples(st.just(ARRIVED), st.lists(STEPS, max_size=6)),
        st.tuples(st.just(()), st.lists(STEPS, max_size=14)),
    )
)
def test_no_sequence_reaches_a_kexec_that_was_not_agreed_to(
    how: tuple[tuple[tuple[Any, ...], ...], list[tuple[Any, ...]]],
) -> None:
    global jumped, discarded
    before, steps = how
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        world = World(Path(folder))
        last = {HURRIED: ("act", 0), ARRIVED: ("agree and act", 0, Act.FINISH)}.get(before)
        for step in (*before, *steps, *((last,) if last else ())):
            if step[0] == "fault":
                world.set_fault(step[1])
                continue
            world.run(step)
        jumped += world.jumps
        discarded += world.discards
        world.host.close()
        for one in read_history(world.host.folder):
            assert (one.unread, one.fault) == (0, ""), "what was written is not read back"
            assert all(line.isprintable() for line in report_text(one))
        held_to_schema(lines(world.host.folder))


def test_some_of_them_did_jump_and_discard() -> None:
    """Else the test above would prove nothing."""
    assert jumped >= 5
    assert discarded >= 5
