# SPDX-License-Identifier: MIT
"""The manual pages, from what says the same elsewhere: the parser, the settings, the READMEs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from luo_tui import __version__
from luo_tui.arrival import __main__ as arrival
from luo_tui.arrival.names import FOLDER
from luo_tui.arrival.protocol import SOCKET
from luo_tui.cli.parser import CODES, command_line
from luo_tui.cli.settings import SETTINGS
from luo_tui.packaging import roff
from luo_tui.packaging.runbook import runbook
from luo_tui.update.folder import DEFAULT_FOLDER
from luo_tui.update.plan import plan_text

CONSOLE, HOLDER, SETTINGS_FILE, PLAN, RUNBOOK, DEVICE = (
    "luo-tui.8",
    "luo-tui-holder.8",
    "luo-tui.toml.5",
    "luo-tui-plan.5",
    "luo-tui-runbook.7",
    "liveupdate.4",
)
ABOUT = {
    CONSOLE: "operator console for the Linux Live Update Orchestrator",
    HOLDER: "holder of live-update sessions for luo-tui",
    SETTINGS_FILE: "settings of luo-tui",
    PLAN: "plan of a maintenance window for luo-tui",
    RUNBOOK: "the steps of a live update, what can go wrong, and the way back",
    DEVICE: "live update orchestrator, as luo.ko has it",
}
"""The pages, by their files' names, and what each is about."""
_FILES = (
    (f"{DEFAULT_FOLDER}/windows/", "the journal: a file of JSON lines for each window"),
    ("/run/luo-tui/", "the lock of the host's window, and who holds it"),
    ("/etc/luo-tui.toml", "the host's settings"),
    ("~/.config/luo-tui/config.toml", "a user's settings"),
    ("/sys/kernel/liveupdate/state", "the kernel's state; liveupdate(4)"),
)


def pages(checkout: Path, date: str) -> Mapping[str, str]:
    """Return each page's text by its file's name. OSError, KeyError: a README lacks its part."""
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    kernel = (checkout / "kernel/README.md").read_text(encoding="utf-8")
    bodies: Mapping[str, Callable[[], Iterator[str]]] = {
        CONSOLE: _console,
        HOLDER: _holder,
        SETTINGS_FILE: _settings,
        PLAN: lambda: _plan(readme),
        RUNBOOK: runbook,
        DEVICE: lambda: _device(kernel),
    }
    return {file: _page(file, date, body()) for file, body in bodies.items()}


def _page(file: str, date: str, body: Iterator[str]) -> str:
    name, _, section = file.rpartition(".")
    source = f"luo-tui {__version__}"
    return roff.page(name, int(section), date, source, [*_name(name, file), *body, *_see(file)])


def _name(name: str, file: str) -> Iterator[str]:
    yield from roff.heading("name")
    yield f"{roff.plain(name)} \\- {roff.plain(ABOUT[file])}"


def _see(file: str) -> Iterator[str]:
    others = [one for one in ABOUT if one != file]
    named = (f"\\fB{roff.plain(n)}\\fR({s})" for n, _, s in (o.rpartition(".") for o in others))
    yield from roff.heading("see also")
    yield ", ".join(named)


def _console() -> Iterator[str]:
    parser = command_line()
    yield from roff.heading("synopsis")
    yield from _synopsis(parser)
    yield from roff.heading("description")
    yield from _prose(parser.description or "")
    yield from roff.heading("options")
    yield from _options(parser)
    yield from roff.heading("commands")
    for name, about, command in commands(parser):
        yield from _command(name, about, command)
    yield from roff.heading("exit status")
    for code, text in CODES.items():
        yield from roff.entry(f"`{code:d}`", text)
    yield from roff.heading("files")
    for path, text in _FILES:
        yield from roff.entry(f"`{path}`", text)
    examples, _, _ = (parser.epilog or "").partition("exit codes:")
    yield from roff.heading("examples")
    yield from roff.block(examples.partition("examples:\n")[2])


def _holder() -> Iterator[str]:
    parser = arrival.command_line()
    yield from roff.heading("synopsis")
    yield from _synopsis(parser)
    yield from roff.heading("description")
    yield from _prose(parser.description or "")
    yield from roff.heading("options")
    yield from _options(parser)
    yield from roff.heading("files")
    yield from roff.entry(f"`{SOCKET}`", "where root asks it; `luo-tui hold` and `restore` do")
    yield from roff.entry(f"`{FOLDER}/`", "the names of its sessions, which no kernel lists")


def commands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield name, help and parser of each command that a parser has, in its order."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {one.dest: one.help or "" for one in action._choices_actions}
            yield from ((name, about.get(name, ""), one) for name, one in action.choices.items())


def _command(name: str, about: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from roff.subheading(name)
    yield from _synopsis(parser)
    yield from _prose(parser.description or f"{about[:1].upper()}{about[1:]}.")
    yield from _options(parser)
    for below, said, one in commands(parser):
        yield from roff.paragraph(f"`{name} {below}`: {said}.")
        yield from _synopsis(one)
        yield from _options(one)
    yield from _prose(parser.epilog or "")


def _synopsis(parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage:")).strip()
    yield from roff.paragraph(f"`{usage}`")


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help in (None, argparse.SUPPRESS) or isinstance(
            action, (argparse._SubParsersAction, argparse._HelpAction)
        ):
            continue
        values = "" if action.nargs == 0 else _value(action)
        names = ", ".join(f"`{name}`" for name in action.option_strings)
        term = f"{names} {values}".strip()
        yield from roff.entry(term, (action.help or "").replace("%(default)s", str(action.default)))


def _value(action: argparse.Action) -> str:
    if isinstance(action, argparse.BooleanOptionalAction):
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return action.dest.upper()


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs; one that has indented lines is laid out by whoever wrote it."""
    for part in text.strip("\n").split("\n\n"):
        if re.search(r"^ ", part, re.MULTILINE):
            yield from roff.block(part)
        elif part.strip():
            yield from roff.paragraph(" ".join(part.split()))


def _settings() -> Iterator[str]:
    yield from roff.heading("description")
    _, about, parser = next(c for c in commands(command_line()) if c[0] == "config")
    yield from roff.paragraph(parser.description or about)
    yield from roff.heading("settings")
    for one in SETTINGS:
        variable = f" Also by the variable `{one.variable}`." if one.variable else ""
        host = " For root, only /etc says it." if one.of_the_host else ""
        yield from roff.entry(
            f"`{one.name}`", f"{one.about}; unsaid: {one.unsaid}.{variable}{host}"
        )
    yield from roff.heading("example")
    yield from roff.block('theme = "plain"\nplace = "window"\nmouse = false\nbell = true')


def _plan(readme: str) -> Iterator[str]:
    yield from roff.heading("description")
    yield from roff.from_markdown(part(readme, "### By a plan"))
    yield from roff.heading("format")
    yield from roff.paragraph("A file in TOML, as `luo-tui plan new` writes it:")
    yield from roff.block(plan_text("7.3.4", ["guest-web1: 9 GiB of memory"]))


def _device(kernel: str) -> Iterator[str]:
    yield from roff.heading("description")
    for title in ("An update", "The life of a preserved file"):
        yield from roff.subheading(title)
        yield from roff.from_markdown(part(kernel, f"## {title}"))
    yield from roff.heading("calls")
    yield from roff.from_markdown(part(kernel, "## /dev/liveupdate"))
    yield from roff.heading("files")
    yield from roff.from_markdown(part(kernel, "## /sys"))


def part(markdown: str, title: str) -> str:
    """Return what stands under a heading, up to the next of its rank. KeyError: there is none."""
    level = title.index(" ")
    lines = iter(markdown.split("\n"))
    if title not in lines:
        raise KeyError(title)
    found = []
    for line in lines:
        if re.match(rf"#{{1,{level}}} ", line):
            break
        found.append(line)
    return "\n".join(found)
