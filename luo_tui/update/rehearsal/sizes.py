# SPDX-License-Identifier: MIT
"""How large a rehearsal's machine is, and which memfds in it stand for what is preserved. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from luo_tui.update.rehearsal.protocol import PAGE

MIB = 1 << 20
MOST_FILES = 2000
"""Each has a descriptor, and is told of to the next kernel."""
STAND_IN = (16 * MIB,) * 4
"""What is preserved where nothing is on this host, or nothing is known of it."""
LEAST = 1024
"""MiB of a machine: KHO's scratch memory is missing without a word in much smaller ones."""
_PROGRAMS = 160 * MIB
"""What kernel and program take besides."""
_SCRATCH_BESIDE = 32 * MIB
_PAGES_OF = 32
"""A kernel's table of pages takes this part of memory, and has to find place in scratch memory."""
_LOW = 16
"""MiB of scratch memory below 4 GiB, for those who need it there."""


class Scaled(NamedTuple):
    """Memfds that stand for what is preserved on this host."""

    sizes: tuple[int, ...]
    """Bytes, each a whole number of pages."""
    factor: float = 1.0
    """By which they are smaller; 1 where they are not."""
    left_out: int = 0
    """Of what is preserved on this host, how many have none."""


class Machine(NamedTuple):
    """The machine that is to be started."""

    memory: int
    """MiB."""
    scratch: str
    """As ``kho_scratch=`` has it."""
    room: int
    """Bytes that may be preserved in it."""


class Loads(NamedTuple):
    """What has to find its place in it, in bytes."""

    first_initrd: int
    second_initrd: int
    kernel: int
    """What the target's kernel takes where it is unpacked (``init_size``)."""


def scaled(sizes: Sequence[int], room: int) -> Scaled:
    """Fit what is preserved into ``room`` bytes: all of them smaller by one factor, none missing.

    Too many are made fewer, by leaving out every so often one.
    """
    wanted = list(sizes)
    if len(wanted) > MOST_FILES:
        wanted = [sizes[n * len(sizes) // MOST_FILES] for n in range(MOST_FILES)]
    room = max(room, PAGE * len(wanted))
    total = sum(_pages(size) for size in wanted) * PAGE
    if total <= room:
        return Scaled(tuple(_pages(s) * PAGE for s in wanted), 1.0, len(sizes) - len(wanted))
    # A page of each is always there; the rest is shared out.
    free = room - PAGE * sum(1 for s in wanted if s)
    factor = max(0, free) / total
    fitted = tuple(PAGE * (1 + int(_pages(s) * factor)) if s else 0 for s in wanted)
    return Scaled(fitted, factor, len(sizes) - len(wanted))


def machine(
    loads: Loads, wanted: int, *, memory: int, most: int, available: int, scratch: str
) -> Machine:
    """Say how large the machine is.

    ``wanted`` is what is preserved on this host, ``most`` what of it a machine takes that
    is not slow for it, both in bytes, ``memory`` what the user asks for in MiB (0: nothing),
    ``available`` what this host has left in bytes (0: not known), and ``scratch`` the
    scratch memory that is asked for; empty: as much as is needed. ValueError, with a
    sentence, where it is too little.
    """
    room = min(wanted, most)
    # The first initrd lies there packed and unpacked, what is loaded as file and in buffers.
    bare = 2 * loads.first_initrd + loads.second_initrd + loads.kernel + _PROGRAMS
    mib = memory or max(LEAST, _with_pages(_LOW + _mib(bare + room) + _fixed_scratch(loads)))
    has = _fixed_scratch(loads) + mib // _PAGES_OF
    needed = _LOW + has + _mib(bare)
    if mib <= needed:
        raise ValueError(
            f"A machine for these kernels needs more than {needed:,} MiB, and would have {mib:,}."
        )
    if available and mib * MIB > available:
        raise ValueError(
            f"The machine takes {mib:,} MiB, and this host has {available // MIB:,} left."
        )
    return Machine(mib, scratch or f"{_LOW}M,{has}M,0M", min(room, (mib - needed) * MIB))


def _fixed_scratch(loads: Loads) -> int:
    """Return the MiB of scratch memory that take the target, whatever the machine's size is."""
    return _mib(loads.kernel + loads.second_initrd + _SCRATCH_BESIDE)


def _with_pages(mib: int) -> int:
    """Return the machine's MiB in which so many are left beside the table of its pages."""
    return -(-mib * _PAGES_OF // (_PAGES_OF - 1))


def _pages(size: int) -> int:
    return -(-size // PAGE)


def _mib(size: int) -> int:
    return -(-size // MIB)
