# SPDX-License-Identifier: MIT
"""Settings: which count, where they are said, and what is wrong with one in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from luo_tui.cli import main as cli
from luo_tui.cli import settings_files
from luo_tui.cli.settings import MOUSE, SERVED, THEME, BadSettings, parse
from luo_tui.cli.settings_files import own_file, read_settings
from luo_tui.errors import Exit

Files = Callable[..., tuple[dict[str, str], Path]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write both files; return the environment and /etc's."""

    def write(own: str = "", etc: str = "") -> tuple[dict[str, str], Path]:
        environ = {"HOME": str(tmp_path)}
        mine = own_file(environ)
        assert mine is not None
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.write_text(own)
        (tmp_path / "etc.toml").write_text(etc)
        return environ, tmp_path / "etc.toml"

    return write


def test_flags_outrank_variables_and_those_outrank_files(files: Files) -> None:
    environ, etc = files(own='theme = "plain"', etc='theme = "light"\nplace = "devices"')
    said = read_settings({}, environ, root=False, etc=etc)
    assert (said["theme"], said["place"]) == ("plain", "devices")
    environ["LUO_TUI_THEME"] = "mono"
    said = read_settings({}, environ, root=False, etc=etc)
    assert (said["theme"], said.chosen["theme"].where) == ("mono", "LUO_TUI_THEME")
    said = read_settings({"theme": "dark"}, environ, root=False, etc=etc)
    assert (said["theme"], said.chosen["theme"].where) == ("dark", "flag")
    environ, etc = files(etc='theme = "light"')
    assert read_settings({}, environ, root=False, etc=etc)["theme"] == "light"
    environ, etc = files()
    said = read_settings({}, environ, root=False, etc=etc)
    assert (said["theme"], said["mouse"], said["bell"]) == ("", None, False)
    assert said["folder"] == Path("/var/lib/luo-tui")


def test_no_variable_of_who_runs_the_tests_counts_in_them() -> None:
    assert not {THEME, MOUSE, SERVED} & os.environ.keys()


def test_without_any_file_the_defaults_count(tmp_path: Path) -> None:
    said = read_settings({}, {}, root=True, etc=tmp_path / "none")
    assert {c.where for c in said.chosen.values()} == {"default"}
    assert own_file({"XDG_CONFIG_HOME": "here", "HOME": "/h"}) == Path(
        "/h/.config/luo-tui/config.toml"
    )
    assert own_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/luo-tui/config.toml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('colour = "red"', "F: there is no setting 'colour', but theme, place, mouse, bell"),
        ("[console]\nbell = true", "F: there is no setting 'console', but"),
        ('theme = "pink"', "F: theme: must be one of dark, light, plain, mono, not 'pink'"),
        ("place = []", "F: place: must be one of overview, resources,"),
        ('mouse = "yes"', "F: mouse: must be true or false, not 'yes'"),
        ("bell = 1", "F: bell: must be true or false, not 1"),
        ('folder = "here"', "F: folder: must be a path that begins with /, not 'here'"),
        ('log = "/a\\u0000b"', "F: log: must be a path that begins with /, not"),
        ("theme = ", "F: Invalid value (at "),
        ("theme = 'dark'\nbell", "F: Expected '=' after a key in a key/value pair (at "),
    ],
)
def test_what_is_wrong_is_one_line(text: str, line: str) -> None:
    with pytest.raises(BadSettings) as found:
        parse(text, "F")
    assert str(found.value).startswith(line)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("LUO_TUI_THEME", "pink", "LUO_TUI_THEME: must be one of dark, light, plain, mono, not"),
        ("LUO_TUI_MOUSE", "yes", "LUO_TUI_MOUSE: must be 1 or 0, not 'yes'"),
    ],
)
def test_a_variable_is_held_to_the_same(files: Files, name: str, value: str, line: str) -> None:
    environ, etc = files()
    with pytest.raises(BadSettings, match=line):
        read_settings({}, {**environ, name: value}, root=False, etc=etc)


def test_for_root_only_files_of_root_count(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    environ, etc = files(own='theme = "plain"', etc='theme = "light"')
    mine = own_file(environ)
    assert mine is not None
    for path in (mine, etc):
        if os.geteuid() == 0:
            os.chown(path, 0, 0)
        path.chmod(0o644)
    ordinary = os.fstat

    def owned_by(uid: int) -> Callable[[int], os.stat_result]:
        def fstat(fd: int) -> os.stat_result:
            real = list(ordinary(fd))
            real[4] = uid
            return os.stat_result(real)

        return fstat

    monkeypatch.setattr(settings_files.os, "fstat", owned_by(0))
    said = read_settings({}, environ, root=True, etc=etc)
    assert (said["theme"], said.passed_over) == ("plain", ())
    mine.chmod(0o664)
    said = read_settings({}, environ, root=True, etc=etc)
    assert said["theme"] == "light"
    assert said.passed_over == (
        f"{mine} does not count: others than root may write to it (chmod go-w)",
    )
    monkeypatch.setattr(settings_files.os, "fstat", owned_by(1000))
    said = read_settings({}, environ, root=True, etc=etc)
    assert said["theme"] == ""
    assert len(said.passed_over) == 2
    assert "its owner is uid 1000" in said.passed_over[0]
    # For anybody else they count, whoever owns them.
    assert read_settings({}, environ, root=False, etc=etc)["theme"] == "plain"


def test_where_root_writes_is_said_in_etc_alone(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_files, "_read", lambda path, *, root: (path.read_text(), ""))
    environ, etc = files(own='folder = "/tmp/x"\nlog = "/tmp/l"\nbell = true', etc="")
    said = read_settings({}, environ, root=True, etc=etc)
    assert (said["folder"], said["log"]) == (Path("/var/lib/luo-tui"), None)
    assert said["bell"] is True
    assert [line.partition(": ")[2] for line in said.passed_over] == [
        "folder does not count: for root it comes from /etc/luo-tui.toml alone",
        "log does not count: for root it comes from /etc/luo-tui.toml alone",
    ]
    assert read_settings({}, environ, root=False, etc=etc)["folder"] == Path("/tmp/x")
    environ, etc = files(etc='folder = "/srv/luo"')
    assert read_settings({}, environ, root=True, etc=etc)["folder"] == Path("/srv/luo")


@pytest.mark.parametrize("kind", ["folder", "pipe", "long", "bytes"])
def test_what_is_no_file_of_settings_is_said(files: Files, kind: str) -> None:
    environ, etc = files()
    etc.unlink()
    match kind:
        case "folder":
            etc.mkdir()
        case "pipe":
            os.mkfifo(etc)
        case "long":
            etc.write_text("#" * (65 << 10))
        case "bytes":
            etc.write_bytes(b"theme = '\xff'")
    with pytest.raises(BadSettings, match=f"^{etc}: "):
        read_settings({}, environ, root=False, etc=etc)


def test_config_prints_what_counts_and_where_it_is_said(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ, etc = files(etc='place = "window"')
    monkeypatch.setattr(settings_files, "ETC", etc)
    monkeypatch.setattr(read_settings, "__kwdefaults__", {"etc": etc})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("HOME", "XDG_CONFIG_HOME", "LUO_TUI_THEME", "LUO_TUI_MOUSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", environ["HOME"])
    monkeypatch.setenv("LUO_TUI_MOUSE", "0")
    assert cli.run(["--theme", "mono", "config"]) == Exit.OK
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    said = {name: rest.split("  ")[0] + "|" + rest.split()[-1] for name, rest in lines}
    assert said["theme"] == "mono|flag"
    assert said["mouse"] == "false|LUO_TUI_MOUSE"
    assert said["place"] == f"window|{etc}"
    assert said["folder"] == "/var/lib/luo-tui|default"
    etc.write_text("plase = 1")
    assert cli.run(["config"]) == Exit.USAGE
    assert capsys.readouterr().err.startswith(f"luo-tui: {etc}: there is no setting 'plase'")


def test_a_folder_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(["--folder", str(tmp_path / "file"), "status"]) == Exit.USAGE
    assert capsys.readouterr().err == f"luo-tui: {tmp_path / 'file'} is no folder.\n"


def test_a_log_where_one_may_not_write_hinders_nobody(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ, etc = files(etc='log = "/var/log/luo-tui"')
    said = read_settings({}, environ, root=False, etc=etc)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cli._log(said) is None
    assert "/var/log/luo-tui: events are not appended to it" in capsys.readouterr().err
    # Who asks for it by name is told that it fails.
    said = read_settings({"log": Path("/var/log/luo-tui")}, environ, root=False, etc=etc)
    assert cli._log(said) == Path("/var/log/luo-tui")
    assert capsys.readouterr().err == ""
