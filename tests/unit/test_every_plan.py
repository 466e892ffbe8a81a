# SPDX-License-Identifier: MIT
"""However a plan is written, it stands in for answers alone: no rule of an act is passed by it.

Plans that hypothesis writes are run on hosts in every condition. A jump is held
against what lies in the host's files; where there was none, nothing is left of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luo_tui.cli import main as cli
from luo_tui.model import Device, State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    HOST_NAME,
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.orchestrator.simulated.boot import TARGET
from luo_tui.uapi.command_line import parameters, switch
from luo_tui.update.facts import Act
from luo_tui.update.hook import HookPoint
from luo_tui.update.journal import read, window_files
from luo_tui.update.lock import Lock
from luo_tui.update.offers import planned
from luo_tui.update.person import Person
from luo_tui.update.plan import BadPlan, Plan, parse_plan
from luo_tui.update.window_state import Record
from tests.opened import load_files
from tests.unit.test_acts import Console

BOB = Person("bob", "pts/9", "", 999_999)
CONDITIONS = st.sampled_from(
    ["no KHO", "other luo.ko", "no initrd", "bad image",
     "others hold it", "left by another", "prepared by another", "loaded by another",
     "finish is due", "prepare refused", "freeze refused", "more is lost"]
)  # fmt: skip
PARAMETERS = st.sampled_from(
    [
        [],
        [],
        ["quiet"],
        ["kho=on", 'y="a b"'],
        ["x=1"],
        ["kho=off"],
        ["kho=off", "kho=on"],
        ["a --"],
    ]
)
NAMES = st.sampled_from([[], [], ["quiet"], ["console", "root"], ["kho"]])
TARGETS = st.sampled_from([TARGET, TARGET, "", f"vmlinuz-{TARGET}", "7.4.0-rc1", "@running", "9.9"])
WELL = st.lists(st.sampled_from(list(HookPoint)), max_size=3, unique=True)
HOOKS = WELL.map(lambda points: dict.fromkeys(points, "does well")) | st.dictionaries(
    st.sampled_from(list(HookPoint)), st.sampled_from(["fails", "does well", "is not there"])
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.text("=\"'[]\n# ax1", max_size=3)), max_size=2)
PLANS = st.fixed_dictionaries(
    {
        "target": TARGETS,
        "add": PARAMETERS,
        "remove": NAMES,
        "hooks": HOOKS,
        "losses": st.sampled_from(["all", "all", "all", "all but one", "none", "others"]),
        "restored": st.booleans(),
        "host": st.sampled_from([HOST_NAME] * 6 + ["other", ""]),
        "edits": st.just([]) | st.just([]) | EDITS,
    }
)
AS_IT_WAS = st.just("as it was")
USUAL = st.fixed_dictionaries(
    {
        "target": st.sampled_from([TARGET, "", f"vmlinuz-{TARGET}"]),
        "add": st.sampled_from([[], ["quiet"], ['y="a b"']]),
        "remove": st.sampled_from([[], ["quiet"]]),
        "hooks": WELL.map(lambda points: dict.fromkeys(points, "does well")),
        "losses": st.just("all"),
        "restored": st.booleans(),
        "host": st.just(HOST_NAME),
        "edits": st.just([]),
    }
)
"""Plans that come to the jump on a host that is as it was."""


class World:
    """A host in some condition, and a plan that is run on it."""

    def __init__(self, folder: Path, condition: str) -> None:
        self.folder, self.condition = folder, condition
        self.host = SimulatedHost.create(folder / "host")
        self.host.jump = None
        self.ran = folder / "ran"
        self.bad: list[AssertionError] = []
        boot = self.host.boot_folder
        self.config, self.initrd = boot / f"config-{TARGET}", boot / f"initrd.img-{TARGET}"
        self.module = self.host.modules_folder / TARGET / "extra" / "luo.ko"
        self.lock = Lock(self.host.lock_folder)

    def come_about(self) -> None:
        """Bring the host into its condition."""
        host = self.host
        match self.condition:
            case "no KHO":
                self.config.write_text("# CONFIG_KEXEC_HANDOVER is not set\n")
            case "other luo.ko":
                self.module.write_bytes(b"\0luo_compatible=luo-ko-v0\0")
            case "no initrd":
                self.initrd.write_bytes(b"")
            case "bad image":
                (host.boot_folder / f"vmlinuz-{TARGET}").write_bytes(b"no kernel")
            case "others hold it":
                self.lock.take(BOB)
            case "left by another":
                console = Console(host, BOB)
                console.load()
                console.window.release()
            case "prepared by another":
                host.move(Move.PREPARE)
            case "loaded by another":
                load_files(host.load, host.boot_folder / f"vmlinuz-{TARGET}")
            case "finish is due":
                host.scenario = "nothing-restored"
                console = Console(host)
                console.load()
                console.prepare()
                with contextlib.suppress(SimulatedJump):
                    console.kexec()
                console.window.release()
            case "prepare refused" | "freeze refused":
                host.scenario = self.condition.replace(" ", "-")
            case "more is lost":
                users = ("nvme9n1 on /srv",)
                host.plug(Device("0000:99:00.0", "pci", "storage", "nvme", users=users))

    def losses(self, act: Act = Act.KEXEC) -> frozenset[str]:
        """Return what an act would lose now, as the console would say it."""
        console = Console(self.host)
        return frozenset(planned(act, console.window.facts(console.target)).beyond)

    def text(self, said: dict[str, Any]) -> str:
        """Write the plan."""
        lost = sorted(self.losses())
        losses = {
            "all": lost,
            "all but one": lost[1:],
            "none": [],
            "others": ["whatever there is", *lost[:1]],
        }[said["losses"]]
        target = said["target"].replace("@running", self.host.release)
        lines = [
            "format = 1",
            *([f"target = {json.dumps(target)}"] if target else []),
            f"losses = {json.dumps(losses)}",
            "[command_line]",
            f"add = {json.dumps(said['add'])}",
            f"remove = {json.dumps(said['remove'])}",
        ]
        for point, deed in said["hooks"].items():
            lines += [f"[hooks.{point}]", f"run = [{json.dumps(str(self.hook(deed)))}]"]
        text = "\n".join(lines)
        for share, more in said["edits"]:
            at = int(share * len(text))
            text = text[:at] + more + text[at:]
        return text

    def hook(self, deed: str) -> Path:
        path = self.folder / deed.replace(" ", "-")
        if deed != "is not there":
            code = 1 if deed == "fails" else 0
            path.write_text(f'#!/bin/sh\necho "$LUO_TUI_HOOK" >>{self.ran}\nexit {code}\n')
            path.chmod(0o755)
        return path

    def has_run(self) -> list[str]:
        return self.ran.read_text().split() if self.ran.exists() else []

    def records(self) -> list[Record]:
        return [r for path in window_files(self.host.folder)[:1] for r in read(path)]

    def hold_against(self, plan: Plan, said: dict[str, Any], lost: frozenset[str]) -> None:
        """At the jump: by what lies on the host, not by what the product says of it."""
        assert self.condition in ("as it was", "more is lost", "loaded by another")
        assert said["host"] == HOST_NAME, "it was meant for another host"
        assert lost <= set(plan.losses), "something is lost that the plan does not list"
        assert self.host.state is State.FROZEN, "nothing would be handed over"
        assert self.host.image == TARGET
        assert plan.target in ("", TARGET, f"vmlinuz-{TARGET}")
        assert "CONFIG_KEXEC_HANDOVER=y" in self.config.read_text()
        assert b"luo-ko-v3" in self.module.read_bytes()
        jump = self.records()[-1 - 2 * (HookPoint.BEFORE_FREEZE in plan.hooks)]
        assert jump.event == "jump", "there is no record of it"
        line = jump.data["command_line"]
        assert switch(line, "kho") is True, "the next kernel ignores what it is handed"
        given = list(parameters(line))
        added = [p for one in plan.add for p in parameters(one)]
        assert set(added) <= set(given)
        assert not [p for p in given if p[0] in plan.remove and p not in added]
        before = [p for p in (HookPoint.BEFORE_PREPARE, HookPoint.BEFORE_FREEZE) if p in plan.hooks]
        assert self.has_run() == before, "its hooks did not run"
        assert not [p for p in before if said["hooks"].get(p) != "does well"]

    def run(self, path: Path, plan: Plan | None, said: dict[str, Any]) -> bool:
        """Run the plan; return whether the machine jumped."""
        reboot, lost = SimulatedHost.reboot, self.losses()

        def watched(host: SimulatedHost) -> NoReturn:
            try:
                assert plan is not None, "it is no plan"
                self.hold_against(plan, said, lost)
            except AssertionError as breach:
                # The run would take whatever is raised here for a refusal.
                self.bad.append(breach)
            reboot(host)

        arguments = ["--folder", str(self.host.folder), "run", str(path), "--yes-to", said["host"]]
        with contextlib.ExitStack() as stack:
            for out in (contextlib.redirect_stdout, contextlib.redirect_stderr):
                stack.enter_context(out(io.StringIO()))
            opened = SimulatedOrchestrator(self.host)
            stack.enter_context(patch.object(cli, "open_orchestrator", lambda: opened))
            stack.enter_context(patch.object(SimulatedHost, "reboot", watched))
            try:
                cli.run(arguments)
            except SimulatedJump:
                return True
        return False


jumped = finished = 0


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(AS_IT_WAS | CONDITIONS, USUAL | PLANS)
def test_no_plan_passes_a_rule(condition: str, said: dict[str, Any]) -> None:
    global jumped, finished
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        world = World(Path(folder), condition)
        if condition == "more is lost":
            text = world.text(said)
            world.come_about()
        else:
            world.come_about()
            text = world.text(said)
        path = Path(folder) / "plan.toml"
        path.write_text(text)
        path.chmod(0o644)
        plan = None
        with contextlib.suppress(BadPlan):
            plan = parse_plan(text)
        host, before = world.host, (world.host.state, world.host.image, world.records())
        if condition == "as it was" and not said["restored"]:
            host.scenario = "nothing-restored"
        went = world.run(path, plan, said)
        for breach in world.bad:
            raise breach
        after = (host.state, host.image, world.records())
        jumped += went
        if went:
            assert host.state is State.UPDATED
            # In the new kernel, by the same plan: the finish.
            discards = world.losses(Act.FINISH)
            assert not world.run(path, plan, said)
            assert host.state is State.UPDATED or discards <= set(plan.losses if plan else ())
            finished += host.state is State.NORMAL
        elif plan is None or condition == "others hold it":
            assert after == before, "something was done"
        elif condition == "finish is due":
            assert host.state is State.UPDATED, "its window was begun without the plan"
        elif condition == "left by another":
            assert after[:2] == before[:2], "it was another one's to act"
        else:
            # Nobody looks at it: nothing stays prepared or loaded that was not so before.
            assert host.state is State.NORMAL or after == before
            assert host.image in ("", before[1])
            window = Console(host).window.window_state()
            assert window is None or window.closed
        world.lock.release()
        host.close()


def test_some_of_them_did_jump_and_finish() -> None:
    """Else the test above would prove nothing."""
    assert jumped >= 10
    assert 1 <= finished < jumped
