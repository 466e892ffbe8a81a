# SPDX-License-Identifier: MIT
"""Settings: which there are, what each may be, and which of several counts. Pure.

What stands first among the sources counts: flags, then variables, then the
user's file, then /etc's, then the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luo_tui.update.folder import DEFAULT_FOLDER

THEMES = ("dark", "light", "plain", "mono")
THEME = "LUO_TUI_THEME"
"""Variable that names a theme; it is there again after the demo's jump."""
MOUSE = "LUO_TUI_MOUSE"
"""Variable that is 1 to use the mouse, 0 not to; unset, it depends on the terminal."""
SERVED = "LUO_TUI_DEMO"
"""Variable that names the folder of a served simulated host."""
PLACES = ("overview", "resources", "devices", "events", "window", "guests", "history")


class BadSettings(Exception):
    """What is wrong with a setting, in one line that begins with where it stands."""


class Setting(NamedTuple):
    """One setting."""

    name: str
    about: str
    take: Callable[[Any], object]
    """Turns what a file has into the value; ValueError with what it must be."""
    default: object
    unsaid: str
    """The default, in words."""
    variable: str = ""
    """Of the environment; empty: there is none."""
    of_the_host: bool = False
    """Whether it decides what root writes where: for root, only /etc says it."""


class Source(NamedTuple):
    """Where settings are said, and which are."""

    where: str
    values: Mapping[str, object]


class Chosen(NamedTuple):
    """What counts for one setting, and where it is said."""

    value: object
    text: str
    where: str


def _one_of(*names: str) -> Callable[[Any], object]:
    def take(value: Any) -> object:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return value

    return take


def _yes_or_no(value: Any) -> object:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _line(value: Any) -> object:
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 200:
        raise ValueError("one line of text, of at most 200 characters")
    return value


def _path(value: Any) -> object:
    # A relative one would depend on where the program was started.
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError("a path that begins with /")
    return Path(value)


SETTINGS: tuple[Setting, ...] = (
    Setting("theme", "colours of the console", _one_of(*THEMES), "", "by the terminal", THEME),
    Setting("place", "where the console opens", _one_of(*PLACES), "overview", "overview"),
    Setting(
        "mouse",
        "use the mouse",
        _yes_or_no,
        None,
        "not over ssh and not on a serial line",
        MOUSE,
    ),
    Setting(
        "bell",
        "ring when an act ends or fails, and when all is restored",
        _yes_or_no,
        False,
        "false",
    ),
    Setting(
        "way_in",
        "how this host is reached without its network, for `check`",
        _line,
        "",
        "not said",
        of_the_host=True,
    ),
    Setting(
        "guests",
        "have guests of QEMU go along with an update",
        _yes_or_no,
        False,
        "false",
        of_the_host=True,
    ),
    Setting(
        "folder",
        "where journal and records lie",
        _path,
        DEFAULT_FOLDER,
        str(DEFAULT_FOLDER),
        of_the_host=True,
    ),
    Setting(
        "log",
        "file that console and watch append every event to",
        _path,
        None,
        "none",
        of_the_host=True,
    ),
)
_BY_NAME = {s.name: s for s in SETTINGS}


def parse(text: str, where: str) -> Source:
    """Read a file's text. Raises BadSettings with the file, and the key or the line."""
    if not text:
        return Source(where, {})
    import tomllib  # Most hosts and users have no such file, and the command line is to start fast.

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{where}: {error}") from None
    return Source(where, {name: _taken(name, value, where) for name, value in found.items()})


def of_variables(environ: Mapping[str, str]) -> Sequence[Source]:
    """Return a source for each variable that is set. Raises BadSettings."""
    found = []
    for setting in SETTINGS:
        said = environ.get(setting.variable, "") if setting.variable else ""
        if not said:
            continue
        value: object = said
        if setting.take is _yes_or_no:
            if said not in ("0", "1"):
                raise BadSettings(f"{setting.variable}: must be 1 or 0, not {said!r}")
            value = said == "1"
        where = setting.variable
        found.append(Source(where, {setting.name: _taken(setting.name, value, where)}))
    return found


def without_the_hosts(source: Source) -> tuple[Source, tuple[str, ...]]:
    """Drop what a user's own file may not say for root; return that it was dropped, too."""
    dropped = [name for name in source.values if _BY_NAME[name].of_the_host]
    kept = {name: v for name, v in source.values.items() if name not in dropped}
    why = "for root it comes from /etc/luo-tui.toml alone"
    return (
        Source(source.where, kept),
        tuple(f"{source.where}: {name} does not count: {why}" for name in dropped),
    )


def choose(sources: Sequence[Source]) -> Mapping[str, Chosen]:
    """Return what counts for each setting, by name; the first source that says it does."""
    return {s.name: _chosen(s, sources) for s in SETTINGS}


def _chosen(setting: Setting, sources: Sequence[Source]) -> Chosen:
    for source in sources:
        if setting.name in source.values:
            value = source.values[setting.name]
            text = str(value).lower() if isinstance(value, bool) else str(value)
            return Chosen(value, text, source.where)
    return Chosen(setting.default, setting.unsaid, "default")


def _taken(name: str, value: object, where: str) -> object:
    setting = _BY_NAME.get(name)
    if setting is None:
        raise BadSettings(f"{where}: there is no setting {name!r}, but {', '.join(_BY_NAME)}")
    said = where if where == setting.variable else f"{where}: {name}"
    try:
        return setting.take(value)
    except ValueError as error:
        raise BadSettings(f"{said}: must be {error}, not {value!r}") from None
