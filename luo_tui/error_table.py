# SPDX-License-Identifier: MIT
"""The texts of :func:`luo_tui.errors.explain`: for an operation and an errno, what it means here.

Each row is the meaning, to stand behind the operation's name; what to do next, in
sentences; and the exit code.

Sources: the RFC of LUO v2 of May 2025, ``kernel/README.md``, kexec_file_load(2),
reboot(2), and ``kernel/liveupdate/kexec_handover.c`` of Linux 7.3. What a refused
signature is answered with: ``kernel/kexec_file.c``, ``certs/system_keyring.c``,
``crypto/asymmetric_keys/`` (verify_pefile.c, pkcs7_verify.c, pkcs7_trust.c).
"""

from __future__ import annotations

import errno

from luo_tui.operations import Exit, Op

_EHWPOISON = 133
"""asm-generic/errno.h; Python's errno module does not name it."""
_ENOTSUPP = 524
"""linux/errno.h: the kernel's own, which kexec_file_load lets out."""

_ROOT = "Run it as root: acting needs CAP_SYS_ADMIN and CAP_SYS_BOOT. Watching works as any user."
LOG = "Read the kernel's own lines (dmesg | grep -E 'luo|KHO|kexec'), then try again."
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
TABLE: dict[tuple[Op, int], _Row] = {
    (Op.OPEN, errno.ENOENT): _NO_LUO,
    (Op.OPEN, errno.ENXIO): _NO_LUO,
    (Op.OPEN, errno.ENODEV): _NO_LUO,
    (Op.OPEN, errno.EACCES): _NOT_PERMITTED,
    (Op.OPEN, errno.EPERM): _NOT_PERMITTED,
    (Op.OPEN, errno.EBUSY): (
        "another process owns the device",
        "That is the way of the mainline interface; find the owner with `fuser /dev/liveupdate`.",
        Exit.BUSY,
    ),
    (Op.OPEN, errno.EINVAL): (
        "the device speaks another interface than LUO v2",
        "This version drives LUO v2 (luo.ko). Boot with liveupdate=off and load luo.ko.",
        Exit.UNAVAILABLE,
    ),
    (Op.OPEN, errno.ENOTTY): (
        "the device speaks another interface than LUO v2",
        "This version drives LUO v2 (luo.ko). Boot with liveupdate=off and load luo.ko.",
        Exit.UNAVAILABLE,
    ),
    (Op.STATE, errno.ENOENT): _NO_LUO,
    (Op.PREPARE, errno.EINVAL): (
        "prepare is possible in state normal only",
        "Cancel from prepared or frozen, or finish from updated, and prepare again.",
        Exit.WRONG_STATE,
    ),
    (Op.PREPARE, errno.EOPNOTSUPP): (
        "Kexec HandOver (KHO) is off",
        "Boot this kernel with kho=on; nothing was changed.",
        Exit.UNAVAILABLE,
    ),
    (Op.PREPARE, errno.ENOMEM): _NO_MEMORY,
    (Op.PREPARE, errno.ENOSPC): (
        "the table of what is handed over is full",
        "Unpreserve what need not survive, then prepare again.",
        Exit.REFUSED,
    ),
    (Op.PREPARE, errno.EBUSY): (
        "something that takes part is busy, such as a file with pages under direct I/O",
        "Let it come to rest, then prepare again; the kernel's lines name it.",
        Exit.REFUSED,
    ),
    (Op.PREPARE, _EHWPOISON): _BROKEN_PAGE,
    (Op.FREEZE, errno.EINVAL): (
        "freeze is possible in state prepared only",
        "Prepare first; no kexec happened.",
        Exit.WRONG_STATE,
    ),
    (Op.FREEZE, errno.ENOMEM): _NO_MEMORY,
    (Op.FREEZE, _EHWPOISON): _BROKEN_PAGE,
    (Op.CANCEL, errno.EINVAL): (
        "there is nothing to cancel: cancel works in prepared and frozen",
        _SHOW,
        Exit.WRONG_STATE,
    ),
    (Op.FINISH, errno.EINVAL): (
        "finish is possible in state updated only: no handover reached this kernel",
        _SHOW,
        Exit.WRONG_STATE,
    ),
    (Op.PRESERVE, errno.EBADF): (
        "that is not an open file descriptor",
        "Nothing was preserved.",
        Exit.FAILED,
    ),
    (Op.PRESERVE, errno.ENOENT): (
        "the kernel has no handler for this kind of file",
        "luo.ko preserves memfds, but not those of hugetlbfs. Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.PRESERVE, errno.EBUSY): (
        "nothing can be preserved between prepare and kexec",
        "Cancel the update, preserve, and prepare again; or wait until it is through.",
        Exit.WRONG_STATE,
    ),
    (Op.PRESERVE, errno.EEXIST): (
        "this file is preserved already",
        "It has a token; see `luo-tui status`.",
        Exit.REFUSED,
    ),
    (Op.PRESERVE, errno.EINVAL): (
        "the kernel does not know this request",
        "The running luo.ko and this program differ; install the same version of both.",
        Exit.FAILED,
    ),
    (Op.PRESERVE, errno.ENOMEM): _NO_MEMORY,
    (Op.UNPRESERVE, errno.ENOENT): (
        "the kernel knows no such token among what it preserves",
        _SHOW,
        Exit.NOT_FOUND,
    ),
    (Op.UNPRESERVE, errno.EBUSY): (
        "nothing can be unpreserved between prepare and kexec",
        "Cancel the update first.",
        Exit.WRONG_STATE,
    ),
    (Op.RESTORE, errno.ENOENT): (
        "no resource came over under this token",
        _SHOW,
        Exit.NOT_FOUND,
    ),
    (Op.RESTORE, errno.EINVAL): (
        "it was restored already and is not given out again",
        "The process that restored it has it; see `luo-tui status`.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, errno.EBUSY): (
        "restore is possible in state updated only: after a kexec and before finish",
        _SHOW,
        Exit.WRONG_STATE,
    ),
    (Op.RESTORE, errno.ENOMEM): (
        "there is not enough memory, or too little of it is left in this memory cgroup",
        "Nothing was lost: raise the limit or restore from a larger cgroup, then try again.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, errno.EOPNOTSUPP): (
        "the module that handles this kind of file is not loaded",
        "Nothing was lost: load the module that the resource's handler names, then try again.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, errno.EMFILE): (
        "this process has too many open files",
        "Nothing was lost: raise the limit (ulimit -n), then try again.",
        Exit.REFUSED,
    ),
    (Op.RESTORE, errno.EIO): (
        "its contents did not arrive whole",
        "The kernel's lines (dmesg | grep luo) name what is missing; finish discards the rest.",
        Exit.FAILED,
    ),
    (Op.CREATE, errno.EINVAL): (
        "a session's name has 1 to 63 bytes",
        "Choose another name. Nothing was held.",
        Exit.USAGE,
    ),
    (Op.CREATE, errno.EEXIST): (
        "there is a session of this name, here or with another process",
        "Choose another name, or give that one up; `luo-tui status` names its holder.",
        Exit.REFUSED,
    ),
    (Op.CREATE, errno.EPERM): (
        "the name is reserved",
        "Choose another name. Nothing was held.",
        Exit.USAGE,
    ),
    (Op.CREATE, errno.ENOMEM): _NO_MEMORY,
    (Op.KEEP, errno.EBADF): (
        "that is not an open file descriptor",
        "Nothing was preserved.",
        Exit.FAILED,
    ),
    (Op.KEEP, errno.ENOENT): (
        "the kernel has no handler for this kind of file",
        "This kernel preserves memfds, but not those of hugetlbfs. Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.KEEP, errno.EBUSY): (
        "the file is in a session already",
        "Nothing was preserved anew: it is kept by the session that has it.",
        Exit.REFUSED,
    ),
    (Op.KEEP, errno.EEXIST): (
        "the session has a file under this token already",
        "This is an error of luo-tui's own; nothing was preserved.",
        Exit.FAILED,
    ),
    (Op.KEEP, errno.EOPNOTSUPP): (
        "the file has seals that this kernel cannot hand over",
        "Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.KEEP, errno.EFBIG): (
        "the file is larger than this kernel can hand over",
        "Nothing was preserved.",
        Exit.REFUSED,
    ),
    (Op.KEEP, errno.ENOMEM): _NO_MEMORY,
    (Op.TAKE, errno.ENOENT): (
        "nothing is there under this token, or it did not come over",
        _SHOW,
        Exit.NOT_FOUND,
    ),
    (Op.TAKE, errno.ENOMEM): (
        "there is too little memory, or too little of it is left in the holder's memory cgroup",
        "Raise the limit of luo-tui-holder's cgroup, then try again.",
        Exit.REFUSED,
    ),
    (Op.END, errno.EBUSY): (
        "its file was not restored, or is in use by the kernel",
        "Restore it first, or let finish discard it.",
        Exit.WRONG_STATE,
    ),
    (Op.HOLDER, errno.ENOENT): (
        "luo-tui-holder does not run",
        "It is started when it is needed; see why it was not (journalctl -u luo-tui-holder).",
        Exit.UNAVAILABLE,
    ),
    (Op.HOLDER, errno.EPROTO): (
        "it and this program differ",
        "Install the same version of both; a holder that has sessions must not be ended.",
        Exit.FAILED,
    ),
    (Op.HOLDER, errno.ECONNRESET): (
        "luo-tui-holder has ended, and with it what it held",
        "See `luo-tui status` for what is left; hold it again before an update.",
        Exit.FAILED,
    ),
    (Op.HOLDER, errno.ETIMEDOUT): (
        "luo-tui-holder does not answer",
        "It may be busy with large files: look again. Do not end it, or what it holds is lost.",
        Exit.BUSY,
    ),
    (Op.LOAD, errno.ENOEXEC): (
        "the file is not a kernel image that can be booted",
        "Choose a bzImage. A unified kernel image must be unpacked first. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.EADDRNOTAVAIL): (
        "the image and its initrd do not fit into the KHO scratch memory",
        "Use a smaller initrd, or boot with a larger kho_scratch=. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.ENOENT): (
        "the kernel image or its initrd is no longer there",
        "Choose another image. Nothing was loaded.",
        Exit.NOT_FOUND,
    ),
    (Op.LOAD, errno.EPERM): (
        "the kernel forbids it: privilege, kernel.kexec_load_disabled, or under lockdown an image "
        "without a good signature",
        "Run it as root (CAP_SYS_BOOT); under lockdown (see /sys/kernel/security/lockdown) install "
        "an image signed for this host. Nothing was loaded.",
        Exit.NOT_PERMITTED,
    ),
    (Op.LOAD, errno.EACCES): (
        "the kernel's integrity policy (IMA) refuses the image or its initrd, or they may not be "
        "read",
        "See `dmesg | grep -i ima` and the audit log for the rule. Nothing was loaded.",
        Exit.NOT_PERMITTED,
    ),
    (Op.LOAD, errno.ENOKEY): (
        "the image is signed, but not by a key that this kernel trusts",
        _SIGNED_ANEW,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.EKEYREJECTED): (
        "the image is not what was signed, or the key of its signature is revoked",
        "Do not trust this image: it was changed after it was signed, or its signer is barred. "
        + _SIGNED_ANEW,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.ENODATA): (
        "the image is not signed, and this kernel wants a signature",
        _SIGNED_ANEW,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.EBADMSG): (
        "the image's signature is damaged: it cannot be read as one",
        _WHOLE,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.ENOPKG): (
        "the image is signed by a method that this kernel has no code for",
        "Install an image signed by another method (hash, kind of key), or boot a kernel that has "
        "this one. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.ELIBBAD): (
        "the image is torn: the parts of a signed image (PE) that its header names are not all "
        "there",
        _WHOLE,
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.ETXTBSY): (
        "somebody has the image or its initrd open for writing",
        "Wait until it is written, look at it again, then load it. Nothing was loaded.",
        Exit.BUSY,
    ),
    (Op.LOAD, errno.EBUSY): (
        "another process is loading or starting a kernel right now",
        "Find out who it is (ps ax | grep kexec), then try again.",
        Exit.BUSY,
    ),
    (Op.LOAD, errno.EINVAL): (
        "the kernel refused the image or its command line (2,016 bytes at most on x86)",
        "Check the command line, then load again. Nothing was loaded.",
        Exit.BAD_IMAGE,
    ),
    (Op.LOAD, errno.ENOMEM): _NO_MEMORY,
    (Op.LOAD, errno.ENOSYS): (
        "this kernel was built without kexec_file_load (CONFIG_KEXEC_FILE)",
        "A live update needs it; boot a kernel that has it.",
        Exit.UNAVAILABLE,
    ),
    (Op.KEXEC, errno.EINVAL): (
        "no kernel image is loaded, or this is not the initial PID namespace",
        "Load the image again, or cancel the update. The machine lives.",
        Exit.REFUSED,
    ),
    (Op.KEXEC, errno.EBUSY): (
        "the kernel's kexec lock is held, or a participant refused to freeze",
        LOG + " The machine lives.",
        Exit.REFUSED,
    ),
    (Op.KEXEC, errno.EPERM): (
        "the kernel forbids it: privilege or lockdown",
        _ROOT + " The machine lives.",
        Exit.NOT_PERMITTED,
    ),
    (Op.KEXEC, errno.ENOSYS): (
        "this kernel was built without kexec",
        "The machine lives. Boot a kernel that has CONFIG_KEXEC_FILE.",
        Exit.UNAVAILABLE,
    ),
    (Op.ORDER, errno.ECANCELED): (
        "systemd did not take the order",
        "Nothing was stopped. See who holds a shutdown back: systemd-inhibit --list.",
        Exit.REFUSED,
    ),
    (Op.ORDER, errno.ETIMEDOUT): (
        "systemd did not answer",
        "Whether it shuts down is not known: see systemctl list-jobs before you go on.",
        Exit.FAILED,
    ),
    (Op.WINDOW, errno.EAGAIN): (
        "another console has the window open",
        "Watch it here, or take over when its owner has left.",
        Exit.BUSY,
    ),
    (Op.WINDOW, errno.EACCES): _NOT_PERMITTED,
}

SAME: dict[tuple[Op, int], tuple[Op, int]] = {
    (Op.STATE, errno.EBUSY): (Op.OPEN, errno.EBUSY),
    (Op.VERIFY, errno.EBUSY): (Op.OPEN, errno.EBUSY),
    (Op.HOLDER, errno.ECONNREFUSED): (Op.HOLDER, errno.ENOENT),
    (Op.HOLDER, errno.EPIPE): (Op.HOLDER, errno.ECONNRESET),
    (Op.VERIFY, errno.ENOENT): (Op.STATE, errno.ENOENT),
    # A signature of another length than it says, and one that is no PKCS#7 at all.
    (Op.LOAD, errno.EMSGSIZE): (Op.LOAD, errno.EBADMSG),
    (Op.LOAD, _ENOTSUPP): (Op.LOAD, errno.ENOPKG),
    # The RFC's own code answers these where its text says EINVAL.
    (Op.PREPARE, errno.EEXIST): (Op.PREPARE, errno.EINVAL),
    (Op.CANCEL, errno.ENOENT): (Op.CANCEL, errno.EINVAL),
    (Op.WINDOW, errno.EPERM): (Op.WINDOW, errno.EACCES),
}

ANYWHERE: dict[int, _Row] = {
    errno.EINTR: (
        "it was interrupted before it began",
        "Nothing was changed; try again.",
        Exit.FAILED,
    ),
    errno.EPERM: _NOT_PERMITTED,
    errno.EACCES: _NOT_PERMITTED,
    errno.ENOMEM: _NO_MEMORY,
    errno.ENOSPC: ("the disk is full", "Free some space, then try again.", Exit.NO_SPACE),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, then try again.", Exit.NO_SPACE),
    errno.EROFS: (
        "the file system is read-only",
        "Make it writable, then try again.",
        Exit.NO_SPACE,
    ),
    errno.ENOENT: ("there is no such file", "Check the name, then try again.", Exit.NOT_FOUND),
    errno.EIO: ("input or output failed", LOG, Exit.FAILED),
    errno.ENOTTY: (
        "the device does not know this request",
        "It speaks another interface than LUO v2; see `luo-tui status`.",
        Exit.UNAVAILABLE,
    ),
}

ON_DEVICE = frozenset(
    {Op.PREPARE, Op.FREEZE, Op.CANCEL, Op.FINISH, Op.PRESERVE, Op.UNPRESERVE, Op.RESTORE}
)

REFUSED_BY_PARTICIPANT = {
    Op.PREPARE: "a participant refused to prepare; everything already prepared was cancelled",
    Op.FREEZE: "a participant refused to freeze; the update was cancelled and no kexec happens",
    Op.KEXEC: "a participant refused to freeze inside reboot; no kexec happened",
}


CATALOGUE: tuple[tuple[Op, int], ...] = (*TABLE, *SAME)
"""Each operation with each errno that has a text of its own."""
