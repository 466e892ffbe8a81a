# SPDX-License-Identifier: MIT
"""Which versions of its parts the luo.ko of another kernel can read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luo_tui.update.luo_abi import unreadable_part

OURS = "root:1/1/1 memfd:3/2/1"


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (OURS, ""),
        ("root:1/1/1 memfd:2/2/1", ""),
        ("root:1/1/1 memfd:9/9/3", ""),
        ("memfd:3/1/1", ""),
        ("", ""),
        ("root:1/1/1 memfd:1/1/1", "memfd is of version 1; what this kernel writes of it needs 2"),
        ("root:1/1/1 memfd:9/9/4", "memfd reads from version 4 on; this kernel writes 3"),
    ],
)
def test_each_part_is_held_against_theirs(theirs: str, why: str) -> None:
    said = unreadable_part(OURS, theirs)
    assert bool(said) == bool(why)
    assert why in said


@pytest.mark.parametrize("text", ["memfd", "memfd:1", "memfd:1/2", "memfd:a/1/1", "MEMFD:1/1/1"])
def test_what_is_no_list_of_parts_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match="is no part with versions"):
        unreadable_part(OURS, text)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_everybody_reads_what_he_writes(version: int, needs: int, reads: int) -> None:
    needs, reads = min(needs, version), min(reads, version)
    own = f"part:{version}/{needs}/{reads}"
    assert unreadable_part(own, own) == ""
