# SPDX-License-Identifier: MIT
"""Handovers that a kernel must not take: from another version, and one that was never frozen.

One that it cannot take now, for want of memory; one in which a record is damaged; and
those of a version later and earlier, which it can read, or must not. All come from luo.ko
itself, built with a line changed.
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


def variant(
    cold: lab.Machine, folder: Path, kernel: str, file: str, *changes: tuple[str, str]
) -> bytes:
    """Build luo.ko for a kernel with some lines of one file replaced."""
    assert cold.built is not None
    return changed(cold.built.kernels[kernel].build, folder / f"luo-{kernel}", file, *changes)


def changed(build: Path, tree: Path, file: str, *changes: tuple[str, str]) -> bytes:
    """Build luo.ko in ``tree``, which is made, with some lines of one file replaced."""
    shutil.copytree(cache.KERNEL, tree, ignore=shutil.ignore_patterns("lab", "*.o", "*.cmd"))
    text = (tree / file).read_text()
    for line, new in changes:
        assert text.count(line) == 1, f"{file} has no longer exactly one: {line}"
        text = text.replace(line, new)
    (tree / file).write_text(text)
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


@pytest.mark.extra
def test_what_cannot_be_taken_is_still_there_for_who_can(
    host: LabMachine, cold: lab.Machine, tmp_path: Path
) -> None:
    other = variant(cold, tmp_path, "new", "luo_abi.h", ('"luo-ko-v3"', '"luo-ko-v0"'))
    listing = "	res = kzalloc_obj(*res, GFP_KERNEL);"
    no_list = (listing, "	res = NULL;")
    short = variant(cold, tmp_path / "short", "new", "luo_resource.c", no_list)
    taking = "	in = kzalloc_obj(*in, GFP_KERNEL);"
    second = "	in = ({ static int nth; nth++ ? kzalloc_obj(*in, GFP_KERNEL) : NULL; });"
    at_once = (taking, second)
    scarce = variant(cold, tmp_path / "scarce", "new", "luo_memfd_restore.c", at_once)
    host.shell(f"insmod {GOOD}")
    token, digest = hand_over(host)
    cold.put(other, "/tmp/other.ko")
    host.shell("insmod /tmp/other.ko")
    host.restart_agent()
    shown = host.call("picture")
    assert (shown["state"], shown["resources"], shown["from_release"]) == ("normal", [], "")
    refusal = "handover refused: it is 'luo-ko-v3', this module reads only 'luo-ko-v0'"
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
    no_mark = ("	WRITE_ONCE(luo_out->mark, LUO_SER_MARK);\n", "")
    unmarked = variant(cold, tmp_path, "old", "luo_kho.c", no_mark)
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


def preserved(host: LabMachine, *names: str) -> dict[str, tuple[int, str]]:
    """Preserve files, and tell of each its token and digest."""
    host.restart_agent()
    found = {}
    for name in names:
        fd = host.call("memfd", name=name, size=1 << 20)
        digest = host.call("fill", fd=fd, at=0, size=1 << 20, seed=name)
        found[name] = host.call("preserve", fd=fd), digest
    return found


def jump(host: LabMachine) -> None:
    """Update into the other kernel, where nothing is loaded yet."""
    here = host.shell("uname -r").strip()
    (there,) = set(host.kernels) - {here}
    host.call("load", which=there)
    host.call("move", move="prepare")
    host.kexec()
    assert host.shell("uname -r").strip() == there


@pytest.mark.extra
def test_a_damaged_record_takes_no_other_along(
    host: LabMachine, cold: lab.Machine, tmp_path: Path
) -> None:
    last = "	/* On its way to another kernel nothing may pass the mark. */"
    harm = """	((struct luo_ser_file *)((struct luo_ser_page *)
		phys_to_virt(luo_out->files))->entries)[1].name[0] ^= 4;
"""
    damaged = variant(cold, tmp_path, "old", "luo_kho.c", (last, harm + last))
    cold.put(damaged, "/tmp/damaged.ko")
    host.shell("insmod /tmp/damaged.ko")
    files = preserved(host, "first", "second", "third")
    jump(host)
    host.shell(f"insmod {GOOD}")
    host.restart_agent()
    told = "a file that came is lost, its record cannot be read: it is damaged"
    assert host.log().count(told) == 1
    assert [r["name"] for r in host.call("picture")["resources"]] == ["first", "third"]
    for name in ("first", "third"):
        token, digest = files[name]
        assert host.call("digest", fd=host.call("restore", token=token)) == digest
    assert refused(host, "restore", token=files["second"][0]) == errno.ENOENT
    host.call("move", move="finish")


FEW = "	struct luo_ser_folio few[LUO_MEMFD_FEW];"
LATER = (
    ("#define LUO_MEMFD_VERSION	1", "#define LUO_MEMFD_VERSION	2"),
    (FEW, FEW + " __u64 more;"),
)


@pytest.mark.extra
def test_one_version_forward_and_back(host: LabMachine, cold: lab.Machine, tmp_path: Path) -> None:
    """What only adds is passed over; what must not be is refused by name before it is used."""
    later = variant(cold, tmp_path, "old", "luo_abi.h", *LATER)
    needs = ("#define LUO_MEMFD_NEEDS		1", "#define LUO_MEMFD_NEEDS		2")
    strict = variant(cold, tmp_path / "strict", "old", "luo_abi.h", *LATER, needs)
    cold.put(later, "/tmp/later.ko")
    host.shell("insmod /tmp/later.ko")
    assert "memfd:2/1/1" in host.shell("cat /sys/kernel/liveupdate/abi")
    ((token, digest),) = preserved(host, "forward").values()
    jump(host)
    host.shell(f"insmod {GOOD}")
    host.restart_agent()
    assert "memfd:1/1/1" in host.shell("cat /sys/kernel/liveupdate/abi")
    assert host.call("digest", fd=host.call("restore", token=token)) == digest
    host.call("move", move="finish")

    # And back, from the version before: only the file in /tmp is gone with the old kernel.
    ((token, digest),) = preserved(host, "back").values()
    jump(host)
    cold.put(later, "/tmp/later.ko")
    host.shell("insmod /tmp/later.ko")
    host.restart_agent()
    assert host.call("digest", fd=host.call("restore", token=token)) == digest
    host.call("move", move="finish")
    host.shell("rmmod luo")

    cold.put(strict, "/tmp/strict.ko")
    host.shell("insmod /tmp/strict.ko")
    ((token, _),) = preserved(host, "refused").values()
    jump(host)
    host.shell(f"insmod {GOOD}")
    host.restart_agent()
    (shown,) = host.call("picture")["resources"]
    assert (shown["state"], shown["result"]) == ("incoming", errno.EIO)
    assert f"token {token} cannot be restored: it needs a newer reader" in host.log()
    assert refused(host, "restore", token=token) == errno.EIO
    host.call("move", move="finish")
    assert host.call("state") == "normal"
