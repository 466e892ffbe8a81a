# SPDX-License-Identifier: MIT
"""The files of kernel/ know of each other in one direction, and what Kconfig asks is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

KERNEL = Path(__file__).parents[2] / "kernel"
DEFINED = re.compile(r"^(?!static\b)\w[\w \t*]*?\b(luo_\w+)\([^;]*?\)\n\{", re.M)
LAYERS = (
    ("luo_handlers.c",),
    ("luo_resource.c",),
    ("luo_files.c", "luo_incoming.c"),
    ("luo_file.c",),
)
"""What is known of files, from below: none uses what stands beside or above it."""
PARTS = ("luo_handlers.c", "luo_resource.c", "luo_files.c", "luo_incoming.c", "luo_file.c",
         "luo_subsystems.c", "luo_subsystem_node.c", "luo_pci.c", "luo_pci_incoming.c",
         "luo_sysfs.c", "luo_ioctl.c", "luo_memfd.c")  # fmt: skip


def code(file: str) -> str:
    """Return a file without its comments."""
    return re.sub(r"/\*.*?\*/", "", (KERNEL / file).read_text(), flags=re.S)


def defined(file: str) -> set[str]:
    found = set(DEFINED.findall(code(file)))
    assert found, f"{file} offers nothing to others"
    return found


def used(text: str) -> set[str]:
    return set(re.findall(r"\bluo_\w+", text))


@pytest.mark.parametrize("height", range(len(LAYERS)))
def test_what_is_known_of_files_has_one_direction(height: int) -> None:
    for file in LAYERS[height]:
        others = [f for layer in LAYERS[height:] for f in layer if f != file]
        for other in others:
            up = used(code(file)) & defined(other)
            assert not up, f"{file} uses {', '.join(sorted(up))} of {other}"


def test_the_moves_know_nobody_who_takes_part() -> None:
    moves = used(code("luo_core.c"))
    for file in PARTS:
        known = moves & defined(file)
        assert not known, f"luo_core.c uses {', '.join(sorted(known))} of {file}"


def test_what_crosses_is_led_to_those_it_is_for_from_above() -> None:
    kho = used(code("luo_kho.c"))
    for file in (*PARTS, "luo_core.c", "luo_arrival.c"):
        up = (kho & defined(file)) - {"luo_cycles"}
        assert not up, f"luo_kho.c uses {', '.join(sorted(up))} of {file}"


def test_each_entry_of_kconfig_is_read() -> None:
    entries = re.findall(r"^config (\w+)$", (KERNEL / "Kconfig").read_text(), re.M)
    assert "LUO" in entries
    kbuild = (KERNEL / "Kbuild").read_text()
    for entry in entries:
        assert f"CONFIG_{entry})" in kbuild, f"nothing reads CONFIG_{entry}"


def test_each_file_is_built() -> None:
    kbuild = (KERNEL / "Kbuild").read_text()
    for file in KERNEL.glob("*.c"):
        assert f"{file.stem}.o" in kbuild, f"{file.name} is part of nothing"
