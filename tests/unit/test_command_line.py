# SPDX-License-Identifier: MIT
"""The kernel's command line. Every answer here was given by the kernel's own functions.

next_arg(), parameq() and kstrtobool() of Linux 7.3 were compiled out of their
files and asked.
"""

from __future__ import annotations

import os
import random

import pytest

from luo_tui.uapi.command_line import deciding, parameters, switch, truth, without

LINES: list[tuple[bytes, bool | None, list[tuple[bytes, bytes | None]]]] = [
    (b"kho=OFF", False, [(b"kho", b"OFF")]),
    (b"kho=disable", False, [(b"kho", b"disable")]),
    (b"kho=enable", True, [(b"kho", b"enable")]),
    (b'kho="off"', False, [(b"kho", b"off")]),
    (b'"kho=off"', False, [(b"kho", b"off")]),
    (b"kho=off kho=banana", False, [(b"kho", b"off"), (b"kho", b"banana")]),
    (b"kho=on kho", True, [(b"kho", b"on"), (b"kho", None)]),
    (b" kho=1 kho=0", False, [(b"kho", b"1"), (b"kho", b"0")]),
    (b"-- kho=on", None, []),
    (b'"--" kho=on', None, []),
    (b"--=x kho=on", True, [(b"--", b"x"), (b"kho", b"on")]),
    (b"kho=on -- kho=off", True, [(b"kho", b"on")]),
    (b'dyndbg="file x kho=on +p"', None, [(b"dyndbg", b"file x kho=on +p")]),
    (b'kho=on a="b kho=off c"', True, [(b"kho", b"on"), (b"a", b"b kho=off c")]),
    (b'a" kho=on "b kho=off', False, [(b'a" kho', b'on "b'), (b"kho", b"off")]),
    (b"kho=", None, [(b"kho", b"")]),
    (b"kho", None, [(b"kho", None)]),
    (b"kho=o", None, [(b"kho", b"o")]),
    (b"kho==on", None, [(b"kho", b"=on")]),
    (b"=kho=on", None, [(b"=kho", b"on")]),
    (b'kho="on', True, [(b"kho", b"on")]),
    (b'kho=on" quiet', True, [(b"kho", b'on" quiet')]),
    (b'"kho="on"', True, [(b"kho", b"on")]),
    (b'"kho="on" x"', True, [(b"kho", b'on" x')]),
    (b'"kho"=on', None, [(b'kho"', b"on")]),
    (b'" kho=on', None, [(b" kho", b"on")]),
    (b'"" kho=on', True, [(b"", None), (b"kho", b"on")]),
    (b'x="" kho=on', True, [(b"x", b""), (b"kho", b"on")]),
    (b"KHO=on", None, [(b"KHO", b"on")]),
    (b"xkho=on kho_scratch=16M", None, [(b"xkho", b"on"), (b"kho_scratch", b"16M")]),
    (b"kho=\ton", None, [(b"kho", b""), (b"on", None)]),
    (b"a\nkho=t", True, [(b"a", None), (b"kho", b"t")]),
    # The byte 0xA0 is white space to the kernel, also as the half of a character.
    (b"a\xa0kho=n", False, [(b"a", None), (b"kho", b"n")]),
    (b"\xc3\xa0kho=n", False, [(b"\xc3", None), (b"kho", b"n")]),
    (b'a="\xc3\xa0 kho=n', None, [(b"a", b"\xc3\xa0 kho=n")]),
    (b"", None, []),
    (b"  ", None, []),
]


@pytest.mark.parametrize(("raw", "on", "expected"), LINES, ids=[repr(line[0]) for line in LINES])
def test_a_line_is_read_as_the_kernel_reads_it(
    raw: bytes, on: bool | None, expected: list[tuple[bytes, bytes | None]]
) -> None:
    line = os.fsdecode(raw)
    found = [(os.fsencode(n), v if v is None else os.fsencode(v)) for n, v in parameters(line)]
    assert found == expected
    assert switch(line, "kho") is on


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("on", True), ("1", True), ("y", True), ("Yes", True), ("true", True), ("ON", True),
        ("enable", True), ("E", True), ("1nonsense", True), ("onwards", True),
        ("off", False), ("0", False), ("n", False), ("No", False), ("false", False),
        ("oF", False), ("disable", False), ("D", False), ("00", False),
        ("maybe", None), ("", None), ("o", None), ("oo", None), ("-1", None), (" on", None),
        (None, None),
    ],
)  # fmt: skip
def test_a_switch_is_read_as_the_kernel_reads_it(value: str | None, expected: bool | None) -> None:
    assert truth(value) is expected


def test_the_value_that_decides_is_told() -> None:
    assert deciding("kho=on kho=OFF kho=banana kho", "kho") == "OFF"
    assert deciding("kho=banana", "kho") is None
    # A dash is an underscore, in the line and in the question.
    assert deciding("kho-x=1 kho_x=0", "kho_x") == "0"
    assert deciding("kho-x=1", "kho-x") == "1"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("BOOT_IMAGE=/vmlinuz root=/dev/vda kho=on", "root=/dev/vda kho=on"),
        ("root=/dev/vda  kho=on   initrd=/i.img", "root=/dev/vda  kho=on"),
        ("initrd=a BOOT_IMAGE=b", ""),
        ("BOOT-IMAGE=x a", "a"),
        ('a "initrd=b c" d', "a d"),
        ('x="initrd=1 BOOT_IMAGE=2"  y ', 'x="initrd=1 BOOT_IMAGE=2"  y '),
        ("initrdmem=4 x=BOOT_IMAGE= BOOT_IMAGE", "initrdmem=4 x=BOOT_IMAGE="),
        ("a initrd=1 -- initrd=2  BOOT_IMAGE=3 ", "a -- initrd=2  BOOT_IMAGE=3 "),
        ("a\t'b  c' \udcff\n", "a\t'b  c' \udcff\n"),
    ],
)
def test_what_is_taken_off_leaves_the_rest_as_it_was(line: str, left: str) -> None:
    assert without(line, "BOOT_IMAGE", "initrd") == left


def test_whatever_is_taken_off_the_kernel_reads_all_else_as_before() -> None:
    chance = random.Random(7)
    parts = (" ", "  ", '"', "=", "-", "a", " -- ", "\t", "\udca0", "à", "initrd=", " initrd", "x")
    taken = 0
    for _ in range(20_000):
        line = "".join(chance.choices(parts, k=chance.randrange(1, 12)))
        left = without(line, "initrd")
        assert list(parameters(left)) == [p for p in parameters(line) if p[0] != "initrd"], line
        taken += left != line
    assert taken > 1000
