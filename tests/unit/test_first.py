# SPDX-License-Identifier: MIT
"""Guests go on before the command line is read, where nothing is to be decided first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from luo_tui.arrival.protocol import SOCKET
from luo_tui.cli import first
from luo_tui.guests import arrival, sessions

ASKED = ("arrive", "--wall")


class Host:
    """Where a host would have what is looked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal, self.settings = folder / "luo-tui", folder / "luo-tui.toml"
        (self.journal / "guests").mkdir(parents=True)
        self.settings.write_text("guests = true\n")
        self.state = folder / "state"
        self.state.touch()
        self.loaded: list[Path] = []
        monkeypatch.setattr(first, "DEFAULT_FOLDER", self.journal)
        monkeypatch.setattr(first, "_LUO_KO", self.state)
        self.holder = folder / "holder.sock"
        monkeypatch.setattr(first, "_HOLDER", self.holder)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(arrival, "go_on", self._go_on)

    def _go_on(self, folder: Path, kernel: object) -> tuple[str, ...]:
        self.loaded.append(folder)
        return ("web1 could not be loaded.",)

    def asked(self, words: Sequence[str] = ASKED, **environ: str) -> tuple[str, ...] | None:
        return first.guests_go_on(list(words), environ, self.settings)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_as_the_unit_has_it(host: Host) -> None:
    assert host.asked() == ("web1 could not be loaded.",)
    assert host.loaded == [host.journal]
    host.settings.unlink()
    assert host.asked(["arrive"]) == ("web1 could not be loaded.",)


@pytest.mark.parametrize(
    "words",
    [[], ["status"], ["prepare", "--json"], ["arrive", "--help"], ["arrive", "--wait", "9"],
     ["--folder", "/mnt", "arrive"], ["arrive", "--folder", "/mnt"]],
)  # fmt: skip
def test_any_other_command_line_is_read_first(host: Host, words: list[str]) -> None:
    assert host.asked(words) is None
    assert host.loaded == []


def test_where_something_has_to_be_decided_the_command_does_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.asked(LUO_TUI_DEMO="/tmp/demo") is None
    host.settings.write_text('guests = true\nfolder = "/mnt"\n')
    assert host.asked() is None
    host.settings.unlink()
    host.settings.mkdir()
    assert host.asked() is None, "it cannot be read"
    host.settings.rmdir()
    assert host.asked() is not None
    with monkeypatch.context() as once:
        once.setattr(os, "geteuid", lambda: 1000)
        assert host.asked() is None
    host.state.unlink()
    assert host.asked() is None, "another kind of kernel, and no holder"
    host.holder.touch()
    assert host.asked() is None, "the holder has to be started"
    host.holder.unlink()
    host.state.touch()
    (host.journal / "guests").rmdir()
    assert host.asked() is None, "no guest was ever armed here"


def test_a_holder_that_runs_is_asked_where_there_are_sessions(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.state.unlink()
    assert first._HOLDER.name == SOCKET.name
    monkeypatch.setattr(sessions, "answers", lambda path: path == host.holder)
    host.holder.touch()
    assert host.asked() == ("web1 could not be loaded.",)
    assert host.loaded == [host.journal]
