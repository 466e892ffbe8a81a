# SPDX-License-Identifier: MIT
"""What an errno means here, and what to do next: the one place for it.

The kernel's answers are few and each means something definite on our path.
:func:`explain` turns (operation, errno) into words for a person; the console
and the command line both show what it returns, the latter with its exit code.

Sources: the RFC of LUO v2 of May 2025, ``kernel/README.md``, kexec_file_load(2),
reboot(2), and ``kernel/liveupdate/kexec_handover.c`` of Linux 7.3. What a refused
signature is answered with: ``kernel/kexec_file.c``, ``certs/system_keyring.c``,
``crypto/asymmetric_keys/`` (verify_pefile.c, pkcs7_verify.c, pkcs7_trust.c).
"""

from __future__ import annotations

import errno as _errno
import os
from enum import IntEnum, StrEnum
from typing import NamedTuple

from luo_tui.model import State


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


class Explanation(NamedTuple):
    """A failure, told to a person."""

    op: Op
    errno: int
    meaning: str
    remedy: str
    code: Exit

    @property
    def errno_name(self) -> str:
        """``EBUSY`` and the like; the bare number where it has no name."""
        return _errno.errorcode.get(self.errno, str(self.errno))

    def lines(self, state: State | None = None) -> tuple[str, ...]:
        """Return sentences: what failed; the state of the machine now; what to do next."""
        now = (f"The state is now: {state}.",) if state is not None else ()
        return (
            f"Could not {self.op}: {self.meaning} ({self.errno_name}).",
            *now,
            self.remedy,
        )


_EHWPOISON = 133
"""asm-generic/errno.h; Python's errno module does not name it."""
_ENOTSUPP = 524
"""linux/errno.h: the kernel's own, which kexec_file_load lets out."""

_ROOT = "Run it as root: acting needs CAP_SYS_ADMIN and CAP_SYS_BOOT. Watching works as any user."
_LOG = "Read the kernel's own lines (dmesg | grep -E 'luo|KHO|kexec'), then try again."
_SHOW = "See `luo-tui status` for the state and for the way back."

_NO_LUO = (
    "there is no orchestrator on this kernel",
    "See `luo-tui status`, which says what is missing: luo.ko, kho=on, or the scratch memory.",
    Exit.UNAVAILABLE,
)
_NOT_PERMITTED = ("this process lacks the privilege", _ROOT, Exit.NOT_PERMITTED)
_SIGNED_ANEW = "Install an image signed for this host. Nothing was loaded."
_WHOLE = "Install the image anew, whole and as it was signed. Nothing was loaded."
_NO_MEMORY = (
    "the kernel has not enough memory for it",
    "Free memory, or preserve less; direct I/O in flight on a preserved page can also cause it: "
    "let it end, then try again.",
    Exit.REFUSED,
)
_BROKEN_PAGE = (
    "a preserved page is broken (hardware memory error)",
    "Unpreserve the resource that the kernel's lines name; its memory must not be carried on.",
    Exit.REFUSED,
)

_Row = tuple[str, str, Exit]
_TABLE: dict[tuple[Op, int], _Row] = {
    (Op.OPEN, _errno.ENOENT): _NO_LUO,
    (Op.OPEN, _errno.ENXIO): _NO_LUO,
    (Op.OPEN, _errno.ENODEV): _NO_LUO,
    (Op.OPEN, _errno.EACCES): _NOT_PERMITTED,
    (Op.OPEN, _errno.EPERM): _NOT_PERMITTED,
    (Op.OPEN, _errno.EBUSY): (
        "another process owns the device",
        "That is the way of the mainline interface; find the owner with `fuser /dev/liveupdate`.",
        Exit.BUSY,
    ),
    (Op.OPEN, _errno.EINVAL): (
        "the device speaks another interface than LUO v2",
        "This version drives LUO v2 (luo.ko). Boot with liveupdate=off and load luo.ko.",
        Exit.UNAVAILABLE,
    ),
    (Op.OPEN, _errno.ENOTTY): (
        "the device speaks another interface than LUO v2",
        "This version drives LUO v2 (luo.ko). Boot with liveupdate=off and load luo.ko.",
        Exit.UNAVAILABLE,
    ),
    (Op.STATE, _errno.ENOENT): _NO_LUO,
    (Op.PREPARE, _errno.EINVAL): (
        "prepare is possible in state normal only",
        "Cancel from prepared or frozen, or finish from updated, and prepare again.",
        Exit.WRONG_STATE,
    ),
    (Op.PREPARE, _errno.EOPNOTSUPP): (
        "Kexec HandOver (KHO) is off",
        "Boot this kernel with kho=on; nothing was changed.",
        Exit.UNAVAILABLE,
    ),
    (Op.PREPARE, _errno.ENOMEM): _NO_MEMORY,
    (Op.PREPARE, _errno.ENOSPC): (
        "the table of what is handed over is full",
        "Unpreserve what need not survive, then prepare again.",
        Exit.REFUSED,
    ),
    (Op.PREPARE, _errno.EBUSY): (
        "something that takes part is busy, such as a file with pages under direct I/O",
        "Let it come to rest, then prepare again; the kernel's lines name it.",
        Exit.REFUSED,
    ),
    (Op.PREPARE, _EHWPOISON): _BROKEN_PAGE,
    (Op.FREEZE, _errno.EINVAL): (
        "freeze is possible in state prepared only",
        "Prepare first; no kexec happened.",
        Exit.WRONG_STATE,
    ),
    (Op.FREEZE, _errno.ENOMEM): _NO_MEMORY,
    (Op.FREEZE, _EHWPOISON): _BROKEN_PAGE,
    (Op.CANCEL, _errno.EINVAL): (
        "there is nothing to cancel: cancel works in prepared and frozen",
        _SHOW,
        Exit.WRONG_STATE,
    ),
    (Op.FINISH, _errno.EINVAL): (
        "finish is possible in state updated only: no handover reached this kernel",
        _SHOW,
        Exit.WRONG_STATE,
    ),
    (Op.PRESERVE, _errno.EBADF): (
        "that is not an open file descriptor",
        "Nothing was preserved.",
        Exit.FAILED,
    ),
    (Op.PRESERVE, _errno.ENOENT): (
        "the kernel has no handler for this kind of file",
        "luo.ko preserves memfds, but not those of hugetlbfs. Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.PRESERVE, _errno.EBUSY): (
        "nothing can be preserved between prepare and kexec",
        "Cancel the update, preserve, and prepare again; or wait until it is through.",
        Exit.WRONG_STATE,
    ),
    (Op.PRESERVE, _errno.EEXIST): (
        "this file is preserved already",
        "It has a token; see `luo-tui status`.",
        Exit.REFUSED,
    ),
    (Op.PRESERVE, _errno.EINVAL): (
        "the kernel does not know this request",
        "The running luo.ko and this program differ; install the same version of both.",
        Exit.FAILED,
    ),
    (Op.PRESERVE, _errno.ENOMEM): _NO_MEMORY,
    (Op.UNPRESERVE, _errno.ENOENT): (
        "the kernel knows no such token among what it preserves",
        _SHOW,
        Exit.NOT_FOUND,
    ),
    (Op.UNPRESERVE, _errno.EBUSY): (
        "nothing can be unpreserved between prepare and kexec",
        "Cancel the update first.",
        Exit.WRONG_STATE,
    ),
    (Op.RESTORE, _errno.ENOENT): (
        "no resource came over under this token",
        _SHOW,
        Exit.NOT_FOUND,
    ),
    (Op.RESTORE, _errno.EINVAL): (
        "it was restored already and is not given out again",
        "The process that restored it has it; see `luo-tui status`.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, _errno.EBUSY): (
        "restore is possible in state updated only: after a kexec and before finish",
        _SHOW,
        Exit.WRONG_STATE,
    ),
    (Op.RESTORE, _errno.ENOMEM): (
        "there is not enough memory, or too little of it is left in this memory cgroup",
        "Nothing was lost: raise the limit or restore from a larger cgroup, then try again.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, _errno.EOPNOTSUPP): (
        "the module that handles this kind of file is not loaded",
        "Nothing was lost: load the module that the resource's handler names, then try again.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, _errno.EMFILE): (
        "this process has too many open files",
        "Nothing was lost: raise the limit (ulimit -n), then try again.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, _errno.EIO): (
        "its contents did not arrive whole",
        "The kernel's lines (dmesg | grep luo) name what is missing; finish discards the rest.",
        Exit.FAILED,
    ),
    (Op.CREATE, _errno.EINVAL): (
        "a session's name has 1 to 63 bytes",
        "Choose another name. Nothing was held.",
        Exit.USAGE,
    ),
    (Op.CREATE, _errno.EEXIST): (
        "there is a session of this name, here or with another process",
        "Choose another name, or give that one up; `luo-tui status` names its holder.",
        Exit.REFUSED,
    ),
    (Op.CREATE, _errno.EPERM): (
        "the name is reserved",
        "Choose another name. Nothing was held.",
        Exit.USAGE,
    ),
    (Op.CREATE, _errno.ENOMEM): _NO_MEMORY,
    (Op.KEEP, _errno.EBADF): (
        "that is not an open file descriptor",
        "Nothing was preserved.",
        Exit.FAILED,
    ),
    (Op.KEEP, _errno.ENOENT): (
        "the kernel has no handler for this kind of file",
        "This kernel preserves memfds, but not those of hugetlbfs. Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.KEEP, _errno.EBUSY): (
        "the file is in a session already",
        "Nothing was preserved anew: it is kept by the session that has it.",
        Exit.REFUSED,
    ),
    (Op.KEEP, _errno.EEXIST): (
        "the session has a file under this token already",
        "This is an error of luo-tui's own; nothing was preserved.",
        Exit.FAILED,
    ),
    (Op.KEEP, _errno.EOPNOTSUPP): (
        "the file has seals that this kernel cannot hand over",
        "Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.KEEP, _errno.EFBIG): (
        "the file is larger than this kernel can hand over",
        "Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.KEEP, _errno.ENOMEM): _NO_MEMORY,
    (Op.TAKE, _errno.ENOENT): (
        "nothing is there under this token, or it did not come over",
        _SHOW,
        Exit.NOT_FOUND,
    ),
    (Op.TAKE, _errno.ENOMEM): (
        "there is too little memory, or too little of it is left in the holder's memory cgroup",
        "Raise the limit of luo-tui-holder's cgroup, then try again.",
        Exit.REFUSED,
    ),
    (Op.END, _errno.EBUSY): (
        "its file was not restored, or is in use by the kernel",
        "Restore it first, or let finish discard it.",
        Exit.WRONG_STATE,
    ),
    (Op.HOLDER, _errno.ENOENT): (
        "luo-tui-holder does not run",
        "It is started when it is needed; see why it was not (journalctl -u luo-tui-holder).",
        Exit.UNAVAILABLE,
    ),
    (Op.HOLDER, _errno.EPROTO): (
        "it and this program differ",
        "Install the same version of both; a holder that has sessions must not be ended.",
        Exit.FAILED,
    ),
    (Op.HOLDER, _errno.ECONNRESET): (
        "luo-tui-holder has ended, and with it what it held",
        "See `luo-tui status` for what is left; hold it again before an update.",
        Exit.FAILED,
    ),
    (Op.HOLDER, _errno.ETIMEDOUT): (
        "luo-tui-holder does not answer",
        "It may be busy with large files: look again. Do not end it, or what it holds is lost.",
        Exit.BUSY,
    ),
    (Op.LOAD, _errno.ENOEXEC): (
        "the file is not a kernel image that can be booted",
        "Choose a bzImage. A unified kernel image must be unpacked first. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.EADDRNOTAVAIL): (
        "the image and its initrd do not fit into the KHO scratch memory",
        "Use a smaller initrd, or boot with a larger kho_scratch=. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.ENOENT): (
        "the kernel image or its initrd is no longer there",
        "Choose another image. Nothing was loaded.",
        Exit.NOT_FOUND,
    ),
    (Op.LOAD, _errno.EPERM): (
        "the kernel forbids it: privilege, kernel.kexec_load_disabled, or under lockdown an image "
        "without a good signature",
        "Run it as root (CAP_SYS_BOOT); under lockdown (see /sys/kernel/security/lockdown) install "
        "an image signed for this host. Nothing was loaded.",
        Exit.NOT_PERMITTED,
    ),
    (Op.LOAD, _errno.EACCES): (
        "the kernel's integrity policy (IMA) refuses the image or its initrd, or they may not be "
        "read",
        "See `dmesg | grep -i ima` and the audit log for the rule. Nothing was loaded.",
        Exit.NOT_PERMITTED,
    ),
    (Op.LOAD, _errno.ENOKEY): (
        "the image is signed, but not by a key that this kernel trusts",
        _SIGNED_ANEW,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.EKEYREJECTED): (
        "the image is not what was signed, or the key of its signature is revoked",
        "Do not trust this image: it was changed after it was signed, or its signer is barred. "
        + _SIGNED_ANEW,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.ENODATA): (
        "the image is not signed, and this kernel wants a signature",
        _SIGNED_ANEW,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.EBADMSG): (
        "the image's signature is damaged: it cannot be read as one",
        _WHOLE,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.ENOPKG): (
        "the image is signed by a method that this kernel has no code for",
        "Install an image signed by another method (hash, kind of key), or boot a kernel that has "
        "this one. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.ELIBBAD): (
        "the image is torn: the parts of a signed image (PE) that its header names are not all "
        "there",
        _WHOLE,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.ETXTBSY): (
        "somebody has the image or its initrd open for writing",
        "Wait until it is written, look at it again, then load it. Nothing was loaded.",
        Exit.BUSY,
    ),
    (Op.LOAD, _errno.EBUSY): (
        "another process is loading or starting a kernel right now",
        "Find out who it is (ps ax | grep kexec), then try again.",
        Exit.BUSY,
    ),
    (Op.LOAD, _errno.EINVAL): (
        "the kernel refused the image or its command line (2,016 bytes at most on x86)",
        "Check the command line, then load again. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, _errno.ENOMEM): _NO_MEMORY,
    (Op.LOAD, _errno.ENOSYS): (
        "this kernel was built without kexec_file_load (CONFIG_KEXEC_FILE)",
        "A live update needs it; boot a kernel that has it.",
        Exit.UNAVAILABLE,
    ),
    (Op.KEXEC, _errno.EINVAL): (
        "no kernel image is loaded, or this is not the initial PID namespace",
        "Load the image again, or cancel the update. The machine lives.",
        Exit.REFUSED,
    ),
    (Op.KEXEC, _errno.EBUSY): (
        "the kernel's kexec lock is held, or a participant refused to freeze",
        _LOG + " The machine lives.",
        Exit.REFUSED,
    ),
    (Op.KEXEC, _errno.EPERM): (
        "the kernel forbids it: privilege or lockdown",
        _ROOT + " The machine lives.",
        Exit.NOT_PERMITTED,
    ),
    (Op.KEXEC, _errno.ENOSYS): (
        "this kernel was built without kexec",
        "The machine lives. Boot a kernel that has CONFIG_KEXEC_FILE.",
        Exit.UNAVAILABLE,
    ),
    (Op.WINDOW, _errno.EAGAIN): (
        "another console has the window open",
        "Watch it here, or take over when its owner has left.",
        Exit.BUSY,
    ),
    (Op.WINDOW, _errno.EACCES): _NOT_PERMITTED,
}

_SAME: dict[tuple[Op, int], tuple[Op, int]] = {
    (Op.STATE, _errno.EBUSY): (Op.OPEN, _errno.EBUSY),
    (Op.VERIFY, _errno.EBUSY): (Op.OPEN, _errno.EBUSY),
    (Op.HOLDER, _errno.ECONNREFUSED): (Op.HOLDER, _errno.ENOENT),
    (Op.HOLDER, _errno.EPIPE): (Op.HOLDER, _errno.ECONNRESET),
    (Op.VERIFY, _errno.ENOENT): (Op.STATE, _errno.ENOENT),
    # A signature of another length than it says, and one that is no PKCS#7 at all.
    (Op.LOAD, _errno.EMSGSIZE): (Op.LOAD, _errno.EBADMSG),
    (Op.LOAD, _ENOTSUPP): (Op.LOAD, _errno.ENOPKG),
    # The RFC's own code answers these where its text says EINVAL.
    (Op.PREPARE, _errno.EEXIST): (Op.PREPARE, _errno.EINVAL),
    (Op.CANCEL, _errno.ENOENT): (Op.CANCEL, _errno.EINVAL),
    (Op.WINDOW, _errno.EPERM): (Op.WINDOW, _errno.EACCES),
}

_ANYWHERE: dict[int, _Row] = {
    _errno.EINTR: (
        "it was interrupted before it began",
        "Nothing was changed; try again.",
        Exit.FAILED,
    ),
    _errno.EPERM: _NOT_PERMITTED,
    _errno.EACCES: _NOT_PERMITTED,
    _errno.ENOMEM: _NO_MEMORY,
    _errno.ENOSPC: ("the disk is full", "Free some space, then try again.", Exit.NO_SPACE),
    _errno.EDQUOT: ("the disk quota is used up", "Free some space, then try again.", Exit.NO_SPACE),
    _errno.EROFS: (
        "the file system is read-only",
        "Make it writable, then try again.",
        Exit.NO_SPACE,
    ),
    _errno.ENOENT: ("there is no such file", "Check the name, then try again.", Exit.NOT_FOUND),
    _errno.EIO: ("input or output failed", _LOG, Exit.FAILED),
    _errno.ENOTTY: (
        "the device does not know this request",
        "It speaks another interface than LUO v2; see `luo-tui status`.",
        Exit.UNAVAILABLE,
    ),
}

_ON_DEVICE = frozenset(
    {Op.PREPARE, Op.FREEZE, Op.CANCEL, Op.FINISH, Op.PRESERVE, Op.UNPRESERVE, Op.RESTORE}
)

_REFUSED_BY_PARTICIPANT = {
    Op.PREPARE: "a participant refused to prepare; everything already prepared was cancelled",
    Op.FREEZE: "a participant refused to freeze; the update was cancelled and no kexec happens",
    Op.KEXEC: "a participant refused to freeze inside reboot; no kexec happened",
}


CATALOGUE: tuple[tuple[Op, int], ...] = (*_TABLE, *_SAME)
"""Each operation with each errno that has a text of its own."""


class HolderError(OSError):
    """A refusal of luo-tui-holder, or by it for the kernel: which of its steps, and in words."""

    def __init__(self, op: Op, code: int, said: str = "") -> None:
        """``said`` is a sentence where the errno alone does not tell all; else empty."""
        super().__init__(code, os.strerror(code))
        self.op, self.said = op, said


def explain(op: Op, error: int | OSError) -> Explanation:
    """Say what ``error`` means for ``op``; never fails, also for an errno nobody foresaw.

    An OSError that names a file came from opening the device, not from the
    call on it: ENOENT means another thing there.
    """
    said = ""
    if isinstance(error, HolderError):
        op, said = error.op, error.said
    elif op in _ON_DEVICE and isinstance(error, OSError) and error.filename:
        op = Op.OPEN
    number = error if isinstance(error, int) else (error.errno or 0)
    key = _SAME.get((op, number), (op, number))
    row = _TABLE.get(key)
    if row is None and op in _REFUSED_BY_PARTICIPANT and number not in (_errno.EPERM,):
        row = (_REFUSED_BY_PARTICIPANT[op], _LOG, Exit.REFUSED)
    if row is None:
        row = _ANYWHERE.get(number)
    if row is None:
        row = (os.strerror(number).lower() if number else str(error), _LOG, Exit.FAILED)
    meaning, remedy, code = row
    if said:
        remedy = f"{said} {remedy}"
    return Explanation(op, number, meaning, remedy, code)


class ActFailed(Exception):
    """An act did not happen, or not wholly; carries what to tell and what the state is now."""

    def __init__(self, explanation: Explanation, state: State | None, *more: str) -> None:
        """``more`` are further sentences, such as what was undone after the failure."""
        self.explanation = explanation
        self.state = state
        self.more = more
        super().__init__(" ".join(self.lines()))

    @classmethod
    def of(cls, op: Op, error: OSError | int, state: State | None, *more: str) -> ActFailed:
        """Build it from the kernel's answer."""
        return cls(explain(op, error), state, *more)

    def lines(self) -> tuple[str, ...]:
        """Sentences for a person: what failed, the state now, what to do next."""
        return (*self.explanation.lines(self.state), *self.more)


class NotDone(Exception):
    """An act was refused by the console's own rules before anything was touched."""

    def __init__(self, reason: str, code: Exit = Exit.REFUSED) -> None:
        """``reason`` is a whole sentence for a person."""
        self.reason = reason
        self.code = code
        super().__init__(reason)
