# SPDX-License-Identifier: MIT
"""An operator at the console: keys, and what has to be on the screen after each."""

from __future__ import annotations

from machine import HOST_NAME, Machine

from tests.terminal import Terminal

OPEN = "luo-tui"


def over_ssh(machine: Machine, command: str = OPEN, user: str = "root") -> Terminal:
    """Open the console in a terminal over ssh."""
    return Terminal.run(
        [*machine.ssh_command(user, terminal=True), f"TERM=xterm-256color {command}"]
    )


def over_serial(machine: Machine, number: int, command: str = OPEN) -> Terminal:
    """Open the console from the shell of a serial line; 0 is the kernel's own console."""
    line = Terminal.serial(machine.serial[number])
    line.send("enter")
    line.wait_for("root@lab-hv")
    line.send("stty rows 30 cols 100; clear\r")
    line.wait_for("root@lab-hv")
    line.send(f"TERM=xterm-256color {command}\r")
    return line


def load(t: Terminal, target: str) -> None:
    """From the overview: choose the target, see its checks, load it."""
    t.wait_for("Nothing is prepared.")
    t.send("w")
    t.wait_for("Choose a target kernel first.")
    t.press("t", f"vmlinuz-{target}")
    # Three consoles that look inside a kernel take their time in one virtual machine.
    t.press("enter", f"Load {target}", 180)
    t.wait_for("[x] check")
    t.wait_until_gone("Under way")
    t.press("l", f"Done: Load {target}.")
    t.wait_for("kexec image loaded by this window")


def prepare(t: Terminal) -> None:
    """On the walk, with our image loaded: prepare, on consent."""
    screen = t.press("p", "> [ Stay normal ]")
    assert "Way back Cancel the update: prepared -> normal." in screen
    t.send("tab")
    t.wait_for("> [ Prepare: normal -> prepared ]")
    t.press("enter", "Done: Prepare: normal -> prepared.")
    t.wait_for("[x] prepare")


def ask_kexec(t: Terminal, target: str, typed: str = HOST_NAME) -> None:
    """On the walk, prepared: go up to the last key before the jump."""
    screen = t.press("k", "> [ Stay prepared ]")
    assert screen.index(f"Every process on {HOST_NAME} ends") < screen.index("Survives")
    assert "Services are not stopped first" in screen
    assert f"End this kernel: kexec into {target}" in screen
    t.send("tab")
    t.wait_until_gone("> [ Stay prepared ]")
    for letter in typed:
        t.send(letter)
    t.wait_for(f"[{typed} ")
    t.send("tab")


def jump(t: Terminal, target: str) -> None:
    """Give consent to the jump."""
    ask_kexec(t, target)
    t.wait_for(f"> [ End this kernel: kexec into {target} ]")
    t.press("enter", f"into {target} ...")


def into(machine: Machine, target: str) -> None:
    """Walk a console over ssh from normal into ``target``; wait until that has booted."""
    before = machine.boot_id()
    with over_ssh(machine) as t:
        load(t, target)
        prepare(t)
        jump(t, target)
        t.meanwhile(lambda: machine.wait_ready(before, 90))
    assert machine.must("uname -r").strip() == target


def cancel(t: Terminal, state: str = "prepared") -> None:
    """On the walk: cancel the update."""
    t.press("c", f"> [ Stay {state} ]")
    t.send("tab")
    t.wait_for(f"> [ Cancel the update: {state} -> normal ]")
    t.press("enter", f"Done: Cancel the update: {state} -> normal.")
    t.wait_for("Nothing is prepared.")


def take_over(t: Terminal) -> None:
    """Where the window's owner is gone: become its owner, on consent."""
    t.press("o", "> [ Take nothing over ]")
    t.send("tab")
    t.wait_for("> [ Take over the window of ")
    t.press("enter", "Done: Take over the window of ")
    t.wait_until_gone("key o")


def take_over_if_asked(t: Terminal) -> None:
    """Take over, if this is not the terminal that the window was left on."""
    if "take it over: key o" in t.flat():
        take_over(t)


def finish(t: Terminal, *, lost: str = "") -> None:
    """From the overview of an updated host: finish, and see what that discards.

    ``lost`` is part of what is named as lost; then the word is typed.
    """
    t.wait_for("This kernel took over from")
    screen = t.press("f", "> [ Stay updated ]")
    assert (lost in screen) if lost else ("Lost Nothing." in screen)
    t.send("tab")
    t.wait_until_gone("> [ Stay updated ]")
    if lost:
        t.send(*"discard")
        t.wait_for("[discard ")
        t.send("tab")
        t.wait_for("> [ Finish")
    t.press("enter", "Done: Finish")
    t.wait_for("Nothing is prepared.")


def leave(t: Terminal) -> None:
    """Quit the console."""
    t.send("q")
