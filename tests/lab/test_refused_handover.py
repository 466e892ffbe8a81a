# SPDX-License-Identifier: MIT
"""Handovers that a kernel must not take: from another version, and one that was never frozen.

And one that it cannot take now, for want of memory. All come from luo.ko itself, built
with one line changed.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import cache
import machine as lab
import pytest

from tests.contract.machines import LabMachine
from tests.contract.test_across import refused

SIZE = 64 << 20
NOISE_KIB = 24 << 10
"""What programs that start meanwhile may take."""
GOOD = "/lib/modules/$(uname -r)/extra/luo.ko"


@pytest.fixture
def host(cold: lab.Machine) -> LabMachine:
    """A machine on which no luo.ko is loaded by itself, in either kernel."""
    assert cold.built is not None
    cold.boot(extra="luo.noload")
    kernels = cold.built.kernels
    return LabMachine(cold, (kernels["old"].release, kernels["new"].release))


def variant(cold: lab.Machine, folder: Path, kernel: str, file: str, line: str, new: str) -> bytes:
    """Build luo.ko for a kernel with one line of one file replaced."""
    assert cold.built is not None
    tree = folder / f"luo-{kernel}"
    shutil.copytree(cache.KERNEL, tree, ignore=shutil.ignore_patterns("lab", "*.o", "*.cmd"))
    text = (tree / file).read_text()
    assert text.count(line) == 1, f"{file} has no longer exactly one: {line}"
    (tree / file).write_text(text.replace(line, new))
    build = cold.built.kernels[kernel].build
    cache.run(["make", "-C", build, f"M={tree}", "-j2", "modules"], "building a changed luo.ko")
    return (tree / "luo.ko").read_bytes()


def hand_over(host: LabMachine) -> tuple[int, str]:
    """Preserve a file and update into the other kernel, where nothing is loaded yet."""
    host.restart_agent()
    fd = host.call("memfd", name="goods", size=SIZE)
    digest = host.call("fill", fd=fd, at=0, size=SIZE, seed="goods")
    token = host.call("preserve", fd=fd)
    host.call("load", which=host.kernels[1])
    host.call("move", move="prepare")
    host.kexec()
    assert host.shell("uname -r").strip() == host.kernels[1]
    return token, digest


def test_what_cannot_be_taken_is_still_there_for_who_can(
    host: LabMachine, cold: lab.Machine, tmp_path: Path
) -> None:
    other = variant(cold, tmp_path, "new", "luo_internal.h", '"luo-ko-v2"', '"luo-ko-v0"')
    mapping = "vmap(area->pages, area->nr_pages, VM_MAP, PAGE_KERNEL)"
    short = variant(cold, tmp_path / "short", "new", "luo_area.c", mapping, "NULL")
    # The table of files is mapped, the list of pages at the second try.
    second = f"({{ static int nth; nth++ == 1 ? NULL : {mapping}; }})"
    scarce = variant(cold, tmp_path / "scarce", "new", "luo_area.c", mapping, second)
    host.shell(f"insmod {GOOD}")
    token, digest = hand_over(host)
    cold.put(other, "/tmp/other.ko")
    host.shell("insmod /tmp/other.ko")
    host.restart_agent()
    shown = host.call("picture")
    assert (shown["state"], shown["resources"], shown["from_release"]) == ("normal", [], "")
    refusal = "handover refused: it is 'luo-ko-v2', this module reads only 'luo-ko-v0'"
    assert refusal in host.log()
    host.shell("rmmod luo")
    cold.put(short, "/tmp/short.ko")
    host.shell("! insmod /tmp/short.ko 2>/dev/null && test ! -e /dev/liveupdate")
    assert "luo: not loaded (-12)" in host.log()
    # Nothing of it was touched.
    cold.put(scarce, "/tmp/scarce.ko")
    host.shell("insmod /tmp/scarce.ko")
    host.restart_agent()
    assert host.call("state") == "updated"
    assert refused(host, "restore", token=token) == errno.ENOMEM
    assert host.call("digest", fd=host.call("restore", token=token)) == digest
    host.call("move", move="finish")


@pytest.mark.extra
def test_what_was_never_frozen_is_refused_and_its_memory_is_free_again(
    host: LabMachine, cold: lab.Machine, tmp_path: Path
) -> None:
    unmarked = variant(
        cold, tmp_path, "old", "luo_kho.c", "	WRITE_ONCE(luo_out->mark, LUO_SER_MARK);\n", ""
    )
    cold.put(unmarked, "/tmp/unmarked.ko")
    host.shell("insmod /tmp/unmarked.ko")
    hand_over(host)
    before = host.call("free")
    host.shell(f"insmod {GOOD}")
    host.restart_agent()
    shown = host.call("picture")
    assert (shown["state"], shown["resources"]) == ("normal", [])
    assert (
        "handover refused: it was never frozen; 1 of its 1 resources were whole"
        " and their memory is free again"
    ) in host.log()
    assert host.call("free") - before > (SIZE >> 10) - NOISE_KIB
    # Once is enough: loading it again finds nothing any more.
    host.shell("rmmod luo")
    host.shell(f"insmod {GOOD}")
    assert host.log().count("handover refused") == 1
