# SPDX-License-Identifier: MIT
"""Reads the settings' files: /etc/luo-tui.toml, and the user's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from luo_tui.cli.settings import (
    SETTINGS,
    BadSettings,
    Chosen,
    Source,
    choose,
    of_variables,
    parse,
    without_the_hosts,
)

ETC = Path("/etc/luo-tui.toml")
_MOST = 64 << 10
"""Bytes: a file that is longer is none of ours."""


class Settings:
    """What counts, and which files or parts of files do not."""

    def __init__(self, chosen: Mapping[str, Chosen], passed_over: tuple[str, ...]) -> None:
        """Both as they were read."""
        self.chosen, self.passed_over = chosen, passed_over

    def __getitem__(self, name: str) -> object:
        """Return the value that counts."""
        return self.chosen[name].value

    def lines(self) -> Iterator[str]:
        """Yield a line a setting: its name, its value, and where that is said."""
        wide = max(len(s.name) for s in SETTINGS)
        value = max(len(c.text) for c in self.chosen.values())
        for name, chosen in self.chosen.items():
            yield f"{name:{wide}}  {chosen.text:{value}}  {chosen.where}"


def own_file(environ: Mapping[str, str]) -> Path | None:
    """Return where a user's own file lies; None where there is no home.

    By the XDG Base Directory Specification, which has relative paths ignored.
    """
    base = environ.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):
        return Path(base) / "luo-tui/config.toml"
    home = environ.get("HOME", "")
    return Path(home) / ".config/luo-tui/config.toml" if home.startswith("/") else None


def read_settings(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    root: bool,
    etc: Path = ETC,
) -> Settings:
    """Read all there is. Raises BadSettings with the line to print.

    For ``root`` a file counts only if root owns it and nobody else may write to it.
    """
    sources = [Source("flag", flags), *of_variables(environ)]
    passed_over: list[str] = []
    for path in filter(None, (own_file(environ), etc)):
        text, why_not = _read(path, root=root)
        if why_not:
            passed_over.append(f"{path} does not count: {why_not}")
            continue
        source = parse(text, str(path))
        if root and path != etc:
            source, dropped = without_the_hosts(source)
            passed_over += dropped
        sources.append(source)
    return Settings(choose(sources), tuple(passed_over))


def _read(path: Path, *, root: bool) -> tuple[str, str]:
    """Return a file's text, nothing if there is none; or why it does not count."""
    try:
        # A pipe would wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read: {error.strerror}") from None
    try:
        there = os.fstat(fd)
        if not stat.S_ISREG(there.st_mode):
            raise BadSettings(f"{path}: is no regular file")
        if root and there.st_uid != 0:
            return "", f"for root only files of root do, and its owner is uid {there.st_uid}"
        if root and there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "", "others than root may write to it (chmod go-w)"
        with open(fd, "rb", closefd=False) as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)
    if len(data) > _MOST:
        raise BadSettings(f"{path}: is longer than {_MOST >> 10} KiB")
    try:
        return data.decode(), ""
    except UnicodeDecodeError as error:
        raise BadSettings(f"{path}: byte {error.start + 1} is not UTF-8") from None
