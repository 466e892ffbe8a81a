# SPDX-License-Identifier: MIT
"""On a real pty: bytes that no key sent, the mouse's reports, and what is left behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from luo_tui.console.input import PASTE_WAIT
from luo_tui.console.shutdown import RESET
from tests.console.test_terminal import CRASH, assert_clean, console, to_jump, to_prepared
from tests.terminal import PATIENCE, Terminal
from tests.unit.test_input import REPLIES

MOUSE = {"mouse clicks", "mouse motion", "mouse reports (SGR)"}


def sends(t: Terminal, raw: bytes) -> None:
    os.write(t._fd, raw)


@contextlib.contextmanager
def ready_to_load() -> Iterator[Terminal]:
    """A console where the key `l` loads the kernel image without another question."""
    with console() as t:
        t.wait_for("Nothing is prepared")
        t.send("w")
        t.press("t", "runs now")
        t.press("enter", "[>] load next")
        yield t


def assert_nothing_happens(t: Terminal, raw: bytes, before: str) -> None:
    t.pump(0.2)
    assert t.process.poll() is None, raw
    assert t.text() == before, raw


def to_the_walk(t: Terminal) -> None:
    """Go to the walk from wherever garbage led; a busy machine takes more keys for a part of it."""
    end = time.monotonic() + PATIENCE
    while True:
        t.send("escape", "escape", "escape", "escape")
        t.pump_all(1)
        t.send("w")
        t.pump_all(1)
        if "[>] load next" in t.flat() or time.monotonic() > end:
            break
    t.wait_for("[>] load next")


def test_replies_to_what_nobody_asked_do_nothing() -> None:
    with ready_to_load() as t:
        t.pump(0.5)
        before = t.text()
        for raw in REPLIES.values():
            sends(t, raw)
            assert_nothing_happens(t, raw, before)
            # Late, and in two pieces, as through ssh and tmux.
            half = len(raw) // 2
            sends(t, raw[:half])
            t.pump(0.03)
            sends(t, raw[half:])
            assert_nothing_happens(t, raw, before)
        sends(t, b"".join(REPLIES.values()))
        assert_nothing_happens(t, b"all", before)
        t.press("l", "[>] prepare next")
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b">|Konsole 24.08\x1b\\", marks=pytest.mark.extra),
        pytest.param(b"1$r2 q\x1b\\", marks=pytest.mark.extra),
        pytest.param(b";rgb:1414/1919/1f1f\x1b\\", marks=pytest.mark.extra),
        pytest.param(b"8;30;100t", marks=pytest.mark.extra),
        pytest.param(b"?62;1c", marks=pytest.mark.extra),
        b"lq\x03\x11\x1c\r",
        pytest.param(b":leave\r\r", marks=pytest.mark.extra),
        pytest.param(b"ql" * 40, marks=pytest.mark.extra),
    ],
)
def test_what_lost_its_head_acts_on_nothing(raw: bytes) -> None:
    with ready_to_load() as t:
        sends(t, raw)
        t.pump(0.5)
        assert t.process.poll() is None
        assert "image is loaded" not in t.flat()
        # Back to where a key that is pressed alone does what it says.
        to_the_walk(t)
        t.press("l", "[>] prepare next")


def test_a_key_that_was_dropped_says_so() -> None:
    with ready_to_load() as t:
        sends(t, b"xl")
        t.wait_for("Key l was ignored: it came within a burst of other input. Press it alone.")
        sends(t, b"l")
        t.wait_for("[>] prepare next")


@pytest.mark.parametrize("pieces", [1, pytest.param(2, marks=pytest.mark.extra), 3])
def test_what_follows_in_one_burst_goes_where_the_first_key_leads(pieces: int) -> None:
    """The filter has the keys from the byte after ``/``, the palette from that after ``:``."""
    typed = "lpqctk15u"
    with ready_to_load() as t:
        t.send("2")
        t.wait_for("[2 resources]")
        in_pieces(t, f"/{typed}", pieces)
        t.wait_for(typed)
        assert "[2 resources]" in t.flat()
        assert "image is loaded" not in t.flat()
        t.send("escape")
        t.wait_until_gone(typed)
        # An escape directly before `:` would be Alt with it, which is no key of ours.
        t.send("escape")
        t.wait_for("[1 overview]")
        in_pieces(t, f":{typed}", pieces)
        t.wait_for(typed)
        t.send("escape", "w")
        t.wait_for("[>] load next")
        assert "ignored" not in t.flat()


def in_pieces(t: Terminal, keys: str, pieces: int) -> None:
    """Send keys in one write, or in several that follow one another at once."""
    size = -(-len(keys) // pieces)
    for at in range(0, len(keys), size):
        sends(t, keys[at : at + size].encode())


def test_while_the_terminal_is_too_small_no_key_acts() -> None:
    with ready_to_load() as t:
        t.resize(10, 40)
        t.wait_for("Terminal is 40x10; 60x18 is needed")
        for key in ("l", "p", "u", "enter", "2", "q", "ctrl+q", ":", "?"):
            t.send(key)
            t.pump(0.2)
        assert "Terminal is 40x10" in t.flat()
        t.resize(24, 80)
        t.wait_for("[>] load next")
        t.resize(10, 40)
        t.wait_for("which leaves")
        t.send("ctrl+backslash")
        assert t.wait_ended() == 128 + signal.SIGQUIT
        assert_clean(t)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xc3\x28\x9b\x80",
        pytest.param(bytes(range(256)), marks=pytest.mark.extra),
        pytest.param(random.Random(7).randbytes(4000), marks=pytest.mark.extra),
    ],
)
def test_any_bytes_leave_the_console_running(garbage: bytes) -> None:
    with ready_to_load() as t:
        half = len(garbage) // 2
        sends(t, garbage[:half])
        t.pump(0.5)
        sends(t, garbage[half:])
        # All that may be unfinished is over after this.
        t.pump(PASTE_WAIT + 0.5)
        assert t.process.poll() is None
        to_the_walk(t)
        os.kill(t.process.pid, signal.SIGTERM)
        assert t.wait_ended() == 128 + signal.SIGTERM
        assert_clean(t)


@pytest.mark.parametrize(
    ("key", "wanted"), [(b"\x1b[119;;119u", "[>] check"), (b"\x1b[119;1:1u", "[>] check")]
)
def test_keys_of_the_kitty_protocol(key: bytes, wanted: str) -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        sends(t, key + b"\x1b[119;1:3u")
        t.wait_for(wanted)


def test_the_hosts_name_may_come_in_one_burst() -> None:
    with console() as t:
        to_prepared(t)
        t.send("k")
        t.wait_for("> [ Stay prepared ]")
        t.send("tab")
        sends(t, b"demo-hv\t\r")
        t.wait_for("Key Enter was ignored")
        t.wait_for("> [ End this kernel: kexec into 7.3.4-hv ]")
        t.send("enter")
        t.wait_for("This kernel took over from 7.3.3-hv.")


def test_the_hosts_name_cannot_be_pasted() -> None:
    with console() as t:
        to_prepared(t)
        t.send("k")
        t.wait_for("> [ Stay prepared ]")
        t.send("tab")
        for pasted in (b"\x1b[200~demo-hv\x1b[201~", b"\x1b[200~demo-hv\r\x1b[201~"):
            sends(t, pasted)
            t.wait_for("Pasting proves nothing: type it.")
            t.send("left")
            t.wait_until_gone("Pasting proves nothing")
            assert "[ demo-hv" not in t.flat()
        # Without an end: dropped after a while, and then keys are keys again.
        sends(t, b"\x1b[200~demo-hv")
        t.wait_for("Pasting proves nothing: type it.")
        t.send("\x16")
        t.wait_for("Pasting proves nothing: type it.")
        t.send(*"demo-h")
        t.wait_for("demo-h")
        t.send("tab")
        t.wait_for("'demo-h' is not 'demo-hv'")


@pytest.mark.parametrize(
    ("env", "flag", "on"),
    [
        ({}, (), True),
        ({"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.8 22"}, (), False),
        pytest.param({"SSH_TTY": "/dev/pts/7"}, (), False, marks=pytest.mark.extra),
        ({"TMUX": "/tmp/tmux-0/default,1,0"}, (), False),
        ({"SSH_TTY": "/dev/pts/7"}, ("--mouse",), True),
        pytest.param(
            {"SSH_TTY": "/dev/pts/7", "LUO_TUI_MOUSE": "1"}, (), True, marks=pytest.mark.extra
        ),
        pytest.param({}, ("--no-mouse",), False, marks=pytest.mark.extra),
        ({"LUO_TUI_MOUSE": "1"}, ("--no-mouse",), False),
    ],
)
def test_where_the_mouse_is_used(env: dict[str, str], flag: tuple[str, ...], on: bool) -> None:
    unset = dict.fromkeys(("SSH_CONNECTION", "SSH_TTY", "TMUX", "STY", "LUO_TUI_MOUSE"), "")
    code = "import sys; from luo_tui.__main__ import main; sys.exit(main())"
    with console(*flag, "demo", "--delay", "0", code=code, **{**unset, **env}) as t:
        t.wait_for("Nothing is prepared")
        assert MOUSE.isdisjoint(t.left_on()) is not on
        t.send("w")
        t.wait_for("[>] check")
        sends(t, b"\x1b[<0;4;22M\x1b[<0;4;22m")
        t.pump(0.5)
        assert t.process.poll() is None
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)
        assert RESET in t.flat()


def test_a_mouse_left_on_by_an_earlier_program_is_switched_off() -> None:
    code = (
        r"import sys; sys.stderr.write('\x1b[?1000h\x1b[?1002h\x1b[?1006h'); sys.stderr.flush();"
        "from luo_tui.__main__ import main; sys.exit(main())"
    )
    with console("--no-mouse", "demo", "--delay", "0", code=code) as t:
        t.wait_for("Nothing is prepared")
        assert not any(name.startswith("mouse") for name in t.left_on())


def test_the_size_may_be_told_in_the_input_and_by_signal() -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        sends(t, b"\x1b[48;10;40;100;400t")
        t.pump(0.5)
        assert "Nothing is prepared" in t.flat(), "nobody asked for sizes"
        sends(t, b"\x1b[?2048;2$y")
        t.pump(0.5)
        assert "resize reports" in t.left_on()
        sends(t, b"\x1b[48;10;40;100;400t")
        t.wait_for("is needed")
        t.resize(30, 100)
        t.wait_for("Nothing is prepared")
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


def test_the_line_that_resets_a_terminal_is_printed_before_the_jump_and_at_the_end() -> None:
    with console() as t:
        t.record = bytearray()
        to_jump(t)
        t.wait_for("This kernel took over from 7.3.3-hv.")
        printed = bytes(t.record).decode()
        assert RESET in printed
        assert printed.index(RESET) < printed.index("Jumping from 7.3.3-hv into 7.3.4-hv")
        os.kill(t.process.pid, signal.SIGTERM)
        assert t.wait_ended() == 128 + signal.SIGTERM
        assert RESET in t.flat()


def test_after_a_crash_too(tmp_path: Path) -> None:
    with console(code=CRASH, XDG_STATE_HOME=str(tmp_path)) as t:
        t.wait_for("Nothing is prepared")
        t.send("?")
        assert t.wait_ended() == 1
        assert RESET in t.flat()


def test_where_the_console_does_not_end_by_itself_too() -> None:
    code = (
        "import sys; from luo_tui.console.console import Console;"
        "Console._end = lambda self, lines: None;"
        "from luo_tui.__main__ import main; sys.exit(main())"
    )
    with console("demo", "--delay", "0", code=code) as t:
        to_prepared(t)
        os.kill(t.process.pid, signal.SIGTERM)
        assert t.wait_ended() == 128 + signal.SIGTERM
        assert_clean(t)
        assert "This host stays prepared." in t.flat()
        assert RESET in t.flat()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("~nosuchuser/x", "there is no such user, or it has no home directory."),
        pytest.param("/no/such/folder/x", "No such file or directory", marks=pytest.mark.extra),
        ("/dev/null", "it exists already"),
        pytest.param(
            "/proc/x", "Permission denied|No such file or directory", marks=pytest.mark.extra
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_told(path: str, why: str) -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        t.send("4")
        t.wait_for("what happened")
        t.send("e")
        t.wait_for("to a new file")
        t.send("\x15")
        sends(t, path.encode())
        t.pump(0.3)
        t.send("enter")
        screen = t.wait_for(f"{path}: ")
        assert any(w in screen for w in why.split("|"))
        t.send("escape")
        t.wait_for("what happened")
