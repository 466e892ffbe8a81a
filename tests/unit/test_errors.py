# SPDX-License-Identifier: MIT
"""Every errno on our path has a text, and no errno at all can make it fail."""

from __future__ import annotations

import errno
import os
import sys

import pytest

import luo_tui
from luo_tui.errors import ActFailed, Exit, Op, explain
from luo_tui.model import State

# operators.md's table, and kexec_file_load(2): what this slice can meet.
FORESEEN = [
    (Op.OPEN, errno.ENOENT, Exit.UNAVAILABLE),
    (Op.OPEN, errno.EACCES, Exit.NOT_PERMITTED),
    (Op.OPEN, errno.EPERM, Exit.NOT_PERMITTED),
    (Op.OPEN, errno.EBUSY, Exit.BUSY),
    (Op.PREPARE, errno.EINVAL, Exit.WRONG_STATE),
    (Op.PREPARE, errno.EEXIST, Exit.WRONG_STATE),
    (Op.PREPARE, errno.EOPNOTSUPP, Exit.UNAVAILABLE),
    (Op.PREPARE, errno.ENOMEM, Exit.REFUSED),
    (Op.PREPARE, errno.ENOSPC, Exit.REFUSED),
    (Op.PREPARE, errno.EIO, Exit.REFUSED),
    (Op.PRESERVE, errno.EBADF, Exit.FAILED),
    (Op.PRESERVE, errno.ENOENT, Exit.REFUSED),
    (Op.PRESERVE, errno.EBUSY, Exit.WRONG_STATE),
    (Op.PRESERVE, errno.EEXIST, Exit.REFUSED),
    (Op.UNPRESERVE, errno.ENOENT, Exit.NOT_FOUND),
    (Op.UNPRESERVE, errno.EBUSY, Exit.WRONG_STATE),
    (Op.FREEZE, errno.EINVAL, Exit.WRONG_STATE),
    (Op.FREEZE, errno.EIO, Exit.REFUSED),
    (Op.KEXEC, errno.EINVAL, Exit.REFUSED),
    (Op.KEXEC, errno.EBUSY, Exit.REFUSED),
    (Op.KEXEC, errno.EPERM, Exit.NOT_PERMITTED),
    (Op.KEXEC, errno.EIO, Exit.REFUSED),
    (Op.CANCEL, errno.EINVAL, Exit.WRONG_STATE),
    (Op.CANCEL, errno.ENOENT, Exit.WRONG_STATE),
    (Op.RESTORE, errno.ENOENT, Exit.NOT_FOUND),
    (Op.RESTORE, errno.EINVAL, Exit.REFUSED),
    (Op.RESTORE, errno.EBUSY, Exit.WRONG_STATE),
    (Op.RESTORE, errno.ENOMEM, Exit.REFUSED),
    (Op.FINISH, errno.EINVAL, Exit.WRONG_STATE),
    (Op.LOAD, errno.EADDRNOTAVAIL, Exit.BAD_IMAGE),
    (Op.LOAD, errno.EPERM, Exit.NOT_PERMITTED),
    (Op.LOAD, errno.EKEYREJECTED, Exit.BAD_IMAGE),
    (Op.LOAD, errno.ENODATA, Exit.BAD_IMAGE),
    (Op.LOAD, errno.ENOKEY, Exit.BAD_IMAGE),
    (Op.LOAD, errno.EBADMSG, Exit.BAD_IMAGE),
    (Op.LOAD, errno.EMSGSIZE, Exit.BAD_IMAGE),
    (Op.LOAD, errno.ENOPKG, Exit.BAD_IMAGE),
    (Op.LOAD, errno.ELIBBAD, Exit.BAD_IMAGE),
    (Op.LOAD, errno.EACCES, Exit.NOT_PERMITTED),
    (Op.LOAD, errno.ETXTBSY, Exit.BUSY),
    (Op.VERIFY, errno.ENOENT, Exit.UNAVAILABLE),
    (Op.VERIFY, errno.EBUSY, Exit.BUSY),
    (Op.LOAD, errno.ENOEXEC, Exit.BAD_IMAGE),
    (Op.LOAD, errno.EBUSY, Exit.BUSY),
    (Op.JOURNAL, errno.ENOSPC, Exit.NO_SPACE),
    (Op.WINDOW, errno.EAGAIN, Exit.BUSY),
]


@pytest.mark.parametrize(("op", "number", "code"), FORESEEN)
def test_what_the_kernel_can_answer_has_its_own_words(op: Op, number: int, code: Exit) -> None:
    told = explain(op, number)
    assert told.code is code
    assert told.meaning != os.strerror(number).lower()
    assert told.remedy.endswith(".")
    first, state, *_ = told.lines(State.PREPARED)
    assert str(op) in first
    assert errno.errorcode[number] in first
    assert "prepared" in state


# verify_pefile_signature(), pkcs7_verify() and pkcs7_validate_trust() of Linux 7.3.
@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (errno.ENODATA, "is not signed"),
        (errno.ENOKEY, "not by a key that this kernel trusts"),
        (errno.EKEYREJECTED, "is not what was signed"),
        (errno.EBADMSG, "signature is damaged"),
        (errno.EMSGSIZE, "signature is damaged"),
        (errno.ENOPKG, "a method that this kernel has no code for"),
        (524, "a method that this kernel has no code for"),
        (errno.ELIBBAD, "is torn"),
        (errno.EPERM, "under lockdown an image without a good signature"),
    ],
)
def test_a_refused_signature_is_told_by_what_was_refused(number: int, meaning: str) -> None:
    told = explain(Op.LOAD, number)
    assert meaning in told.meaning
    assert "Nothing was loaded." in told.remedy


@pytest.mark.parametrize("op", list(Op))
def test_no_errno_is_without_words(op: Op) -> None:
    for number in range(200):
        told = explain(op, number)
        assert told.meaning
        assert told.remedy
        assert all(told.lines())
    assert explain(op, OSError("no errno at all")).meaning


def test_exit_codes_are_fixed() -> None:
    assert {e.name: int(e) for e in Exit} == {
        "OK": 0, "FAILED": 1, "USAGE": 2, "NOT_PERMITTED": 3, "UNAVAILABLE": 4, "WRONG_STATE": 5,
        "REFUSED": 6, "BUSY": 7, "NOT_FOUND": 8, "MISMATCH": 9, "NO_SPACE": 10, "BAD_IMAGE": 11,
        "NO_TERMINAL": 12,
        "TIMED_OUT": 13, "BLOCKED": 14, "DOUBTFUL": 15, "BAD_VERDICT": 16,
        "HUNG_UP": 129, "INTERRUPTED": 130, "QUIT": 131, "TERMINATED": 143,
    }  # fmt: skip


def test_a_failed_act_says_what_how_and_what_next() -> None:
    failed = ActFailed.of(Op.KEXEC, errno.EINVAL, State.NORMAL, "The freeze was cancelled.")
    text = str(failed)
    assert "Could not kexec" in text
    assert "The state is now: normal." in text
    assert text.endswith("The freeze was cancelled.")


def test_where_the_texts_cannot_be_loaded_the_errno_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No descriptor is left to read them by, or the package is being replaced."""
    monkeypatch.delitem(sys.modules, "luo_tui.error_table", raising=False)
    monkeypatch.delattr(luo_tui, "error_table", raising=False)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(luo_tui, "__path__", [])
    told = explain(Op.STATE, errno.EMFILE)
    assert told.meaning == os.strerror(errno.EMFILE).lower()
    assert told.remedy
