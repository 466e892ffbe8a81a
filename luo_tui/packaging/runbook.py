# SPDX-License-Identifier: MIT
"""One page for the night: steps, keys, commands, what can go wrong, and the way back.

Nothing in it is written here but how the parts follow each other: what an act
does and its way back are the offers that the console makes, on the demo's host,
and what can go wrong is the program's own list of errors.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from luo_tui.console.widgets.presenter import KEY
from luo_tui.error_table import CATALOGUE
from luo_tui.errors import Explanation, Op, explain
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedOrchestrator
from luo_tui.packaging import roff
from luo_tui.update.acts import Window
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act, Facts
from luo_tui.update.images import scan
from luo_tui.update.offers import Action, planned
from luo_tui.update.target import Target, read_target

FORWARD = (Act.LOAD, Act.PREPARE, Act.KEXEC, Act.FINISH)
BACK = (Act.CANCEL, Act.UNLOAD, Act.TAKE_OVER)
COMMAND = {
    Act.LOAD: "luo-tui load TARGET",
    Act.PREPARE: "luo-tui prepare --yes",
    Act.KEXEC: "luo-tui kexec --yes-to HOSTNAME",
    Act.FINISH: "luo-tui finish --yes",
    Act.CANCEL: "luo-tui cancel --yes",
    Act.UNLOAD: "luo-tui unload --yes",
    Act.TAKE_OVER: "luo-tui take-over --yes",
}
_FAILS = {
    Act.LOAD: (Op.LOAD,),
    Act.PREPARE: (Op.PREPARE,),
    Act.KEXEC: (Op.FREEZE, Op.KEXEC),
    Act.FINISH: (Op.FINISH,),
    Act.CANCEL: (Op.CANCEL,),
    Act.UNLOAD: (Op.UNLOAD,),
}
_BY_DAY = (
    ("luo-tui check TARGET", "Nothing is changed: each finding says what to do."),
    (
        "luo-tui rehearse --here TARGET --yes",
        "All of it that can be undone: load, prepare, cancel, unload.",
    ),
    ("luo-tui plan check PLAN", "Whether the plan would be done now."),
)


def runbook() -> Iterator[str]:
    """Yield the page's body. OSError: the simulated host could not be set up."""
    offered = offers_of_a_demo()
    yield from roff.heading("by day")
    for command, text in _BY_DAY:
        yield from roff.entry(f"`{command}`", text)
    yield from roff.heading("the steps")
    yield from roff.paragraph(
        "As the console says it, here on the host of the demo. Afterwards: `luo-tui arrive` "
        "gives the verdict in the new kernel, `luo-tui report` tells the whole window."
    )
    for number, act in enumerate(FORWARD, 1):
        yield from _step(f"{number}. {act}", act, offered[act])
    yield from roff.heading("the way back")
    for act in BACK:
        yield from _step(f"{act}", act, offered[act])
    yield from roff.heading("what can go wrong")
    for act in (*FORWARD, *BACK):
        for op in _FAILS.get(act, ()):
            known = list(failures(op))
            if known:
                yield from roff.subheading(f"it could not {op}")
            for one in known:
                yield from roff.entry(f"{one.errno_name}: {one.meaning}", one.remedy)


def failures(op: Op) -> Iterator[Explanation]:
    """Yield what can be told of an operation's failures, each errno once."""
    for known, number in CATALOGUE:
        if known is op:
            yield explain(op, number)


def _step(title: str, act: Act, action: Action) -> Iterator[str]:
    yield from roff.subheading(title)
    yield from roff.paragraph(f"Key `{KEY[act]}`, or `{COMMAND[act]}`.")
    if act is not Act.TAKE_OVER:  # It tells of the moment: whose window, and since when.
        yield from roff.entry("Does", " ".join(action.does))
    if act is Act.KEXEC:
        yield from roff.entry("Lost", " ".join(action.always))
    if action.way_back:
        yield from roff.entry("Way back", action.way_back)


def offers_of_a_demo() -> Mapping[Act, Action]:
    """Return what is offered of each act, on a simulated host that is where the act belongs."""
    with tempfile.TemporaryDirectory() as name:
        host = SimulatedHost.create(Path(name))
        host.jump = None
        try:
            offered = dict(_offered(host))
        finally:
            host.close()
    # Its /boot lies in a folder of the moment.
    return {
        act: action._replace(does=tuple(line.replace(f"{name}/", "/") for line in action.does))
        for act, action in offered.items()
    }


def _offered(host: SimulatedHost) -> Iterator[tuple[Act, Action]]:
    orchestrator = SimulatedOrchestrator(host)
    look = reader(orchestrator, orchestrator.surroundings())
    window = Window(orchestrator, host.folder, look)
    kexec = orchestrator.kexec
    image = scan(kexec.boot_folder, kexec.modules_folder, host.release)[0]
    target = read_target(Path(image.path), kexec.modules_folder, kexec.command_line())
    if not isinstance(target, Target):
        raise OSError(f"{image.path}: {target.fault}")

    def now() -> Facts:
        return window.facts(target)

    yield Act.LOAD, planned(Act.LOAD, now())
    window.load(Consent.to(Act.LOAD, now()), target)
    for act in (Act.PREPARE, Act.UNLOAD):
        yield act, planned(act, now())
    window.prepare(Consent.to(Act.PREPARE, now()), target)
    for act in (Act.KEXEC, Act.CANCEL, Act.TAKE_OVER, Act.FINISH):
        yield act, planned(act, now())
    window.cancel(Consent.to(Act.CANCEL, now(), typed=HOST_NAME))
