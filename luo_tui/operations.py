# SPDX-License-Identifier: MIT
"""What is done to a host, as an operator would say it, and how a command may end."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Op(StrEnum):
    """What was being done when it failed, as an operator would say it."""

    OPEN = "open /dev/liveupdate"
    STATE = "read the LUO state"
    VERIFY = "read the state back"
    PREPARE = "prepare"
    FREEZE = "freeze"
    CANCEL = "cancel"
    FINISH = "finish"
    PRESERVE = "preserve"
    UNPRESERVE = "unpreserve"
    RESTORE = "restore"
    CREATE = "create the session"
    KEEP = "preserve the file in its session"
    TAKE = "retrieve the file from its session"
    END = "finish the session"
    HOLDER = "ask luo-tui-holder"
    LOAD = "load the kernel image"
    UNLOAD = "unload the kernel image"
    KEXEC = "kexec"
    ORDER = "order the kexec from systemd"
    SYNC = "sync the file systems"
    TERMINAL = "hand the terminal back"
    JOURNAL = "write the journal"
    WINDOW = "open the window"
    LOCK = "take the lock for the act"
    FILE = "read or write the file"
    HOOK = "run the hook"
    GUESTS = "save the guests"


class Exit(IntEnum):
    """Exit codes of the command line; they do not change between versions."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_PERMITTED = 3
    UNAVAILABLE = 4
    WRONG_STATE = 5
    REFUSED = 6
    BUSY = 7
    NOT_FOUND = 8
    MISMATCH = 9
    NO_SPACE = 10
    BAD_IMAGE = 11
    NO_TERMINAL = 12
    TIMED_OUT = 13
    BLOCKED = 14
    DOUBTFUL = 15
    BAD_VERDICT = 16
    HUNG_UP = 129
    INTERRUPTED = 130
    QUIT = 131
    TERMINATED = 143
