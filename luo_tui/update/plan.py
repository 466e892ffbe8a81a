# SPDX-License-Identifier: MIT
"""The plan of a maintenance window: its file's format, and what it says. Pure.

A plan says beforehand what the window's acts are given: the kernel, changes to
its command line, the hooks, and what may be lost. It allows nothing that the
rule of an act refuses; it only stands in for answers.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luo_tui.model import KernelImage
from luo_tui.sources.clean import clean
from luo_tui.uapi.command_line import parameters, with_added, without
from luo_tui.update.hook import SECONDS, Hook, HookPoint

FORMAT = 1
LONGEST = 64 << 10
"""Bytes of a plan's file: one that is longer is none."""
MOST_SECONDS = 3600
"""How long a hook may take at most."""
WAIT = 600
"""Seconds that the new kernel waits for restores where a plan says nothing of it."""
_MOST_WAIT = 86_400
_LINE = 200
"""Characters of a text that is shown in one line."""


_Take = Callable[[Any], Any]
"""Turns what a file has into the value; ValueError with what it must be."""


class BadPlan(Exception):
    """What is wrong with a plan: one line that begins with the key, or the line of the file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a window is to do."""

    target: str = ""
    """The kernel: its release, its file's name in /boot, or a path; empty: the only other one."""
    initrd: str = ""
    """A whole path; empty: the one that lies beside the kernel."""
    add: tuple[str, ...] = ()
    """Parameters that the command line gets."""
    remove: tuple[str, ...] = ()
    """Names of parameters that it loses."""
    change: str = ""
    """Number of the change in the operator's own records."""
    reason: str = ""
    approved_by: str = ""
    losses: tuple[str, ...] = ()
    """What may be lost, each as ``--show`` says it; nothing else is agreed to."""
    finish: bool = False
    """Whether the update is ended without an operator, once nothing is missing."""
    wait: int = WAIT
    """Seconds after which the new kernel waits for that no longer."""
    hooks: Mapping[HookPoint, Hook] = field(default_factory=dict)
    digest: str = ""
    """SHA-256 of the file's text."""

    def command_line(self, present: str) -> str:
        """Return what the target is started with, in place of ``present``.

        What is added stands before a bare ``--``, behind which the kernel reads nothing.
        BadPlan: the kernel would not read it as it is meant.
        """
        line = without(present, *self.remove) if self.remove else present
        changed = with_added(line, self.add)
        meant = [*parameters(line), *(p for one in self.add for p in parameters(one))]
        if list(parameters(changed)) != meant:
            raise BadPlan("command_line.add: a quote is open, and the kernel would read another")
        return changed

    def departure(self, image: KernelImage, command_line: str) -> str:
        """Say in what a target is another one than is planned; empty where it is as planned.

        A plan that names no kernel leaves the choice to the operator.
        """
        if self.target and self.target not in (image.release, Path(image.path).name, image.path):
            return f"it names {clean(self.target)}, and this is {clean(image.path)}"
        if self.initrd and self.initrd != image.initrd:
            return (
                f"its initrd is {clean(self.initrd)}, and this is {clean(image.initrd) or 'none'}"
            )
        given = list(parameters(command_line))
        left = list(parameters(without(command_line, *self.remove))) if self.remove else given
        if left != given:
            return "the command line has what the plan takes off it"
        missing = [one for one in self.add if not set(parameters(one)) <= set(given)]
        return f"the command line lacks {clean(missing[0])}" if missing else ""


def parse_plan(text: str) -> Plan:
    """Read a plan's text. BadPlan says what is wrong, and where."""
    try:
        said = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadPlan(str(error) or "it is nested too deep") from None
    if (format_ := said.pop("format", None)) != FORMAT or isinstance(format_, bool):
        raise BadPlan(f"format: must be {FORMAT}")
    values = _taken(said, _KEYS, "")
    return Plan(**values, digest=hashlib.sha256(text.encode()).hexdigest())


def changes(present: str, line: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a plan adds to ``present``, and the names that it removes, to come to ``line``.

    Both are read as the kernel reads them; the order of parameters is not kept.
    """
    now, then = list(parameters(present)), list(parameters(line))
    remove = tuple(dict.fromkeys(name for name, value in now if (name, value) not in then))
    left = [p for p in now if p[0] not in remove]
    add = tuple(_written(*p) for p in then if p not in left)
    return add, remove


def _written(name: str, value: str | None) -> str:
    if value is None:
        return name
    return f'{name}="{value}"' if any(c.isspace() for c in value) else f"{name}={value}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """Say what a plan does, in the order in which it happens."""
    for what, text in (
        ("change", plan.change),
        ("reason", plan.reason),
        ("approved", plan.approved_by),
        ("target", plan.target or "the only kernel that is not running"),
        ("initrd", plan.initrd or "the one that lies beside it"),
    ):
        if text:
            yield f"{what:<12}{text}"
    for name in plan.remove:
        yield f"{'without':<12}{name}"
    for one in plan.add:
        yield f"{'with':<12}{one}"
    for one in plan.losses:
        yield f"{'may lose':<12}{one}"
    steps: tuple[HookPoint | str, ...] = (
        "load",
        HookPoint.BEFORE_PREPARE,
        "prepare",
        HookPoint.BEFORE_FREEZE,
        "kexec",
        HookPoint.AFTER_RESTORE,
        f"finish, if all is restored within {plan.wait:,} s"
        if plan.finish
        else "finish, by an operator",
        HookPoint.AFTER_FINISH,
        HookPoint.ON_CANCEL,
        HookPoint.ON_FAILURE,
    )
    for step in steps:
        if not isinstance(step, HookPoint):
            yield f"{'step':<12}{step}"
        elif (hook := plan.hooks.get(step)) is not None:
            yield f"{'hook':<12}{step}: {clean(' '.join(hook.run))} (at most {hook.seconds} s)"


def plan_text(target: str, losses: Iterable[str], like: Plan | None = None) -> str:
    """Return a plan's text for an operator to edit: it agrees to no loss before he has said so.

    What a window was told is taken from ``like``: initrd, command line, change
    and reason, but no approval and no loss.
    """
    like = like or Plan()
    initrd = f"initrd = {_quoted(like.initrd)}" if like.initrd else '#initrd = "/boot/..."'
    lost = "\n".join(f"#  {_quoted(one)}," for one in losses)
    return f"""\
# The plan of a maintenance window; `luo-tui plan check` holds it against this host.
format = {FORMAT}
target = {_quoted(target)}
{initrd}
change = {_quoted(like.change)}
reason = {_quoted(like.reason)}
approved_by = ""

# Whether the update is finished without an operator, by `luo-tui arrive` in the new kernel, once
# nothing is missing; and the seconds that it waits for that.
finish = false
wait = {WAIT}

# What a kexec would lose on this host as it is now, beyond what always goes with one.
# A line that counts is what you agree to lose; one that changes has to be agreed to anew.
losses = [
{lost or "# nothing"}
]

[command_line]
add = [{", ".join(map(_quoted, like.add))}]
remove = [{", ".join(map(_quoted, like.remove))}]

# Hooks, each a program by its whole path, with its arguments, and the seconds it may take:
# {", ".join(HookPoint)}.
#[hooks.{HookPoint.BEFORE_FREEZE}]
#run = ["/usr/local/sbin/pause-guests"]
#seconds = {SECONDS}
#[hooks.{HookPoint.AFTER_RESTORE}]
#run = ["/usr/local/sbin/resume-guests"]
#[hooks.{HookPoint.ON_FAILURE}]
#run = ["/usr/local/sbin/resume-guests"]
"""


def _quoted(text: str) -> str:
    """Write a text without control characters as TOML has it: as JSON has it."""
    return json.dumps(text, ensure_ascii=False)


def _taken(
    said: Mapping[str, Any], keys: Mapping[str, tuple[str, _Take]], at: str
) -> dict[str, Any]:
    """Take each value by its key's rule. BadPlan: there is no such key, or no such value."""
    found: dict[str, Any] = {}
    for key, value in said.items():
        where = f"{at}{clean(key)[:_LINE]}"
        if key not in keys:
            raise BadPlan(f"{where}: there is no such key; there are {', '.join(keys)}")
        name, take = keys[key]
        try:
            taken = take(value)
        except ValueError as wrong:
            raise BadPlan(f"{where}: must be {wrong}") from None
        found |= taken if isinstance(taken, dict) and not name else {name: taken}
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or clean(value) != value or len(value) > _LINE:
        raise ValueError(f"a text of one line, of at most {_LINE} characters")
    return value


def _path_or_name(value: Any) -> str:
    # It is passed to the kernel as it is; only shown texts are cut.
    if not isinstance(value, str) or not value or "\0" in value or clean(value) != value:
        raise ValueError("a name or a path")
    return value


def _path(value: Any) -> str:
    if not _path_or_name(value).startswith("/"):
        raise ValueError("a path that begins with /")
    return str(value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _texts(what: str, take: _Take) -> _Take:
    def taken(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError(f"a list of {what}")
        try:
            return tuple(take(one) for one in value)
        except ValueError as wrong:
            raise ValueError(f"a list of {what}, each {wrong}") from None

    return taken


def _loss(value: Any) -> str:
    if not isinstance(value, str) or clean(value) != value:
        raise ValueError("a line as --show prints it behind 'LOST'")
    return value


def _parameter(value: Any) -> str:
    if not isinstance(value, str) or not value or clean(value) != value or value.strip() != value:
        raise ValueError("a parameter of the kernel, such as quiet or kho=on")
    if value == "--":
        raise ValueError("a parameter of the kernel, and no bare --")
    return value


def _name(value: Any) -> str:
    found = _parameter(value)
    if "=" in found[1:] or " " in found or '"' in found:
        raise ValueError("the name of a parameter, without its value")
    return found


def _program(value: Any) -> tuple[str, ...]:
    must = "a list: the program's whole path, then its arguments"
    if not isinstance(value, list) or not value:
        raise ValueError(must)
    if not all(isinstance(one, str) and "\0" not in one for one in value):
        raise ValueError(must)
    if not value[0].startswith("/"):
        raise ValueError(must)
    return tuple(value)


def _seconds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SECONDS:
        raise ValueError(f"a whole number from 1 to {MOST_SECONDS}")
    return value


def _wait(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_WAIT:
        raise ValueError(f"a whole number from 0 to {_MOST_WAIT}")
    return value


def _line_changes(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a table with add and remove")
    keys = {
        "add": ("add", _texts("parameters", _parameter)),
        "remove": ("remove", _texts("names of parameters", _name)),
    }
    return _taken(value, keys, "command_line.")


def _hooks(value: Any) -> dict[HookPoint, Hook]:
    if not isinstance(value, dict):
        raise ValueError("a table of hooks")
    found = {}
    for key, one in value.items():
        points = [p for p in HookPoint if p == key]
        where = f"hooks.{clean(key)[:_LINE]}"
        if not points:
            raise BadPlan(f"{where}: there is no such hook; there are {', '.join(HookPoint)}")
        if not isinstance(one, dict) or "run" not in one:
            raise BadPlan(f"{where}: must be a table with run, and seconds where it may be")
        keys = {"run": ("run", _program), "seconds": ("seconds", _seconds)}
        found[points[0]] = Hook(points[0], **_taken(one, keys, f"{where}."))
    return found


_KEYS: Mapping[str, tuple[str, _Take]] = {
    "target": ("target", _path_or_name),
    "initrd": ("initrd", _path),
    "command_line": ("", _line_changes),
    "change": ("change", _text),
    "reason": ("reason", _text),
    "approved_by": ("approved_by", _text),
    "losses": ("losses", _texts("lines", _loss)),
    "finish": ("finish", _yes_or_no),
    "wait": ("wait", _wait),
    "hooks": ("hooks", _hooks),
}
