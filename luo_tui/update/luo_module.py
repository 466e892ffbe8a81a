# SPDX-License-Identifier: MIT
"""The luo.ko that is installed for a kernel: what it writes and reads across a kexec.

The compatible string stands in the module's own information (``modinfo``), as
``luo_compatible=``, and the versions of each part as ``luo_abi=``
(``kernel/luo_core.c``).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from luo_tui.update.regular_file import NotRegular, open_regular, why_unreadable
from luo_tui.update.unpack import CannotUnpack, Part, Torn, unpacked

_FOLDERS = ("updates/dkms", "updates", "extra", "kernel/extra", "misc")
"""Where packages lay modules that are not the kernel's own; depmod looks into ``updates`` first."""
_NAMES = ("luo.ko", "luo.ko.zst", "luo.ko.xz", "luo.ko.gz")
_COMPATIBLE = re.compile(rb"luo_compatible=([\x21-\x7e]+)\0")
_ABI = re.compile(rb"luo_abi=([\x20-\x7e]+)\0")
_LARGEST = 64 << 20
"""Bytes of an unpacked module; a debug build has a few millions."""
_LARGEST_INDEX = 16 << 20


class LuoModule(NamedTuple):
    """What was found; nothing at all: there is none."""

    compatible: str = ""
    abi: str = ""
    """Each part with its versions; empty where the module does not say."""
    fault: str = ""
    """Why the module that is there is of no use; a sentence."""
    unread: str = ""
    """Why it is not known what the module is; a sentence."""


def find_module(folder: Path) -> LuoModule:
    """Read the luo.ko under ``folder``, the modules of one release. Never raises."""
    try:
        indexed = list(_indexed(folder))
    except OSError as error:
        indexed, doubt = [], f"{folder}/modules.dep {why_unreadable(error)}."
    else:
        doubt = ""
    for path in (*indexed, *_usual(folder)):
        try:
            return _read(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except NotRegular as error:
            return LuoModule(fault=f"{path} {why_unreadable(error)}.")
        except Torn as error:
            return LuoModule(fault=f"{path} is torn: {error}.")
        except OSError as error:
            return LuoModule(unread=f"{path} {why_unreadable(error)}.")
        except CannotUnpack as error:
            return LuoModule(unread=f"{path} lies there and cannot be read: {error}.")
    return LuoModule(unread=doubt)


def module_content(folder: Path) -> bytes:
    """Return the luo.ko under ``folder``, unpacked, as the kernel would be given it.

    FileNotFoundError where there is none, else OSError, Torn, CannotUnpack.
    """
    for path in (*_indexed(folder), *_usual(folder)):
        try:
            return _content(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder / _NAMES[0]))


def _usual(folder: Path) -> Iterator[Path]:
    return (folder / place / name for place in _FOLDERS for name in _NAMES)


def _content(path: Path) -> bytes:
    with open_regular(path) as fd:
        return b"".join(unpacked(Part(fd), _LARGEST))


def _read(path: Path) -> LuoModule:
    content = _content(path)
    if match := _COMPATIBLE.search(content):
        parts = _ABI.search(content)
        return LuoModule(match[1].decode("ascii"), parts[1].decode("ascii") if parts else "")
    return LuoModule(fault=f"{path} does not say what it carries across (luo_compatible).")


def _indexed(folder: Path) -> Iterator[Path]:
    """Yield where depmod has found it, which is where modprobe looks. OSError."""
    try:
        with open_regular(folder / "modules.dep") as fd:
            text = os.fsdecode(os.pread(fd, _LARGEST_INDEX, 0))
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in text.splitlines():
        name = line.partition(":")[0]
        if name.rpartition("/")[2] in _NAMES:
            yield folder / name
