# SPDX-License-Identifier: MIT
"""Memory file descriptors through a real update, in all the shapes that they have."""

from __future__ import annotations

import errno
import fcntl
from typing import Any

import pytest

from tests.contract.machines import LabMachine, Machine
from tests.contract.test_across import other, refused, update

pytestmark = [pytest.mark.lab, pytest.mark.parametrize("running", ["lab"], indirect=True)]

NOEXEC, EXEC = 8, 16  # MFD_NOEXEC_SEAL, MFD_EXEC
PAGE = 4096
TIB = 1 << 40
SEAL_FUTURE_WRITE, SEAL_EXEC = 16, 32
EHWPOISON = 133  # of asm-generic/errno.h; Python has no name for it


def finished(machine: Machine) -> None:
    machine.call("move", move="finish")
    assert machine.call("state") == "normal"


def swap_on(machine: LabMachine) -> None:
    """Give it a swap file, which needs blocks of its own on a disk: its second is an ext4."""
    machine.shell(
        "dd if=/dev/zero of=/var/lib/luo-tui/swap bs=1M count=40 2>/dev/null"
        " && chmod 600 /var/lib/luo-tui/swap && mkswap /var/lib/luo-tui/swap >/dev/null"
        " && swapon /var/lib/luo-tui/swap"
    )


def test_every_size_and_every_hole(machine: Machine) -> None:
    files: list[tuple[int, dict[str, Any], str, Any]] = []
    for size in (0, 1, PAGE - 1, PAGE, PAGE + 1, 2 << 20, (32 << 20) + 17):
        fd = machine.call("memfd", name=f"size {size}", size=size)
        if size:
            machine.call("write", fd=fd, at=size - 1, text="e")
        if size > 1 << 20:
            machine.call("fill", fd=fd, at=16 * PAGE, size=5 * PAGE, seed=str(size))
        token = machine.call("preserve", fd=fd)
        runs = machine.call("data", fd=fd)
        # Reading a hole of shared memory does not fill it.
        digest = machine.call("digest", fd=fd)
        files.append((token, machine.call("about", fd=fd), digest, runs))
    update(machine)
    for token, about, digest, runs in files:
        back = machine.call("restore", token=token)
        assert machine.call("data", fd=back) == runs
        assert machine.call("digest", fd=back) == digest
        assert machine.call("about", fd=back) == about
    finished(machine)


@pytest.mark.extra
def test_a_tebibyte_with_a_few_pages(machine: Machine) -> None:
    assert isinstance(machine, LabMachine)
    fd = machine.call("memfd", name="tebibyte", size=TIB)
    places = (0, 5 << 30, TIB // 2, TIB - PAGE)
    for at in places:
        machine.call("write", fd=fd, at=at, text=f"at {at}")
    token = machine.call("preserve", fd=fd)
    assert machine.shell(f"cat /sys/class/liveupdate/token{token}/pages").strip() == "4"
    free = machine.call("free")
    update(machine)
    back = machine.call("restore", token=token)
    assert machine.call("data", fd=back) == [[at, at + PAGE] for at in places]
    for at in places:
        assert machine.call("read", fd=back, at=at, size=len(f"at {at}")) == f"at {at}"
    finished(machine)
    assert abs(machine.call("free") - free) < 64 << 10


@pytest.mark.lab_extra
@pytest.mark.parametrize(
    ("flags", "seals"),
    [
        pytest.param(NOEXEC, 0, marks=pytest.mark.extra),
        (NOEXEC, fcntl.F_SEAL_GROW),
        (EXEC, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW),
        pytest.param(0, SEAL_FUTURE_WRITE, marks=pytest.mark.extra),
        (0, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL),
        pytest.param(EXEC, SEAL_EXEC, marks=pytest.mark.extra),
    ],
)
def test_every_seal(machine: Machine, flags: int, seals: int) -> None:
    fd = machine.call("memfd", name="sealed", size=PAGE, flags=flags)
    machine.call("write", fd=fd, at=0, text="under seal")
    machine.call("mode", fd=fd, mode=0o600 if flags == NOEXEC else 0o711)
    if seals:
        machine.call("seal", fd=fd, seals=seals)
    about = machine.call("about", fd=fd)
    assert about["seals"] & seals == seals
    token = machine.call("preserve", fd=fd)
    update(machine)
    back = machine.call("restore", token=token)
    assert machine.call("about", fd=back) == about
    if about["seals"] & SEAL_EXEC:
        mode = 0o700 if flags == NOEXEC else 0o600
        assert refused(machine, "mode", fd=back, mode=mode) == errno.EPERM
    if seals & (fcntl.F_SEAL_WRITE | SEAL_FUTURE_WRITE):
        assert refused(machine, "write", fd=back, at=0, text="x") == errno.EPERM
    if seals & fcntl.F_SEAL_SEAL:
        assert refused(machine, "seal", fd=back, seals=fcntl.F_SEAL_GROW) == errno.EPERM
    finished(machine)


@pytest.mark.extra
def test_huge_pages_stay_huge(machine: Machine) -> None:
    assert isinstance(machine, LabMachine)
    machine.shell("echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    before = machine.call("huge_pages")
    fd = machine.call("huge", name="huge", size=16 << 20)
    assert machine.call("huge_pages") == before + (16 << 10)
    digest = machine.call("digest", fd=fd)
    token = machine.call("preserve", fd=fd)
    update(machine)
    before = machine.call("huge_pages")
    back = machine.call("restore", token=token)
    assert machine.call("huge_pages") == before + (16 << 10)
    assert machine.call("digest", fd=back) == digest
    finished(machine)


@pytest.mark.lab_extra
def test_from_prepare_on_the_size_is_fixed_and_writing_goes_on(machine: Machine) -> None:
    fd = machine.call("memfd", name="fixed", size=8 << 20)
    machine.call("write", fd=fd, at=0, text="early")
    token = machine.call("preserve", fd=fd)
    machine.call("load", which=other(machine))
    machine.call("move", move="prepare")
    assert refused(machine, "truncate", fd=fd, size=16 << 20) == errno.EPERM
    assert refused(machine, "truncate", fd=fd, size=PAGE) == errno.EPERM
    assert refused(machine, "punch", fd=fd, at=0, size=PAGE) == errno.EPERM
    assert refused(machine, "allocate", fd=fd, at=0, size=16 << 20) == errno.EPERM
    machine.call("write", fd=fd, at=2 << 20, text="into a hole")
    machine.call("fill", fd=fd, at=4 << 20, size=3 << 20, seed="late")
    digest = machine.call("digest", fd=fd)
    machine.kexec()
    back = machine.call("restore", token=token)
    assert machine.call("digest", fd=back) == digest
    # In the new kernel it is an ordinary file again.
    machine.call("punch", fd=back, at=0, size=PAGE)
    machine.call("truncate", fd=back, size=9 << 20)
    finished(machine)


@pytest.mark.lab_extra
def test_after_cancel_the_file_is_as_free_as_before(machine: Machine) -> None:
    fd = machine.call("memfd", name="free again", size=1 << 20)
    machine.call("write", fd=fd, at=0, text="x")
    machine.call("preserve", fd=fd)
    machine.call("move", move="prepare")
    machine.call("move", move="freeze")
    machine.call("move", move="cancel")
    machine.call("truncate", fd=fd, size=2 << 20)
    machine.call("punch", fd=fd, at=0, size=PAGE)
    assert machine.call("data", fd=fd) == []


@pytest.mark.extra
def test_memory_that_was_never_written_is_zero(machine: Machine) -> None:
    assert isinstance(machine, LabMachine)
    # Pages that others have used come back from the free lists.
    machine.shell("dd if=/dev/urandom of=/dev/shm/dirt bs=1M count=300 2>/dev/null")
    machine.shell("rm /dev/shm/dirt")
    fd = machine.call("memfd", name="reserved", size=64 << 20)
    machine.call("allocate", fd=fd, at=0, size=64 << 20)
    token = machine.call("preserve", fd=fd)
    update(machine)
    machine.shell("dd if=/dev/urandom of=/dev/shm/dirt bs=1M count=300 2>/dev/null")
    machine.shell("rm /dev/shm/dirt")
    back = machine.call("restore", token=token)
    zeros = machine.call("memfd", name="zeros", size=64 << 20)
    assert machine.call("digest", fd=back) == machine.call("digest", fd=zeros)
    finished(machine)


@pytest.mark.extra
def test_what_is_in_swap_comes_along(machine: Machine) -> None:
    assert isinstance(machine, LabMachine)
    swap_on(machine)
    fd = machine.call("memfd", name="swapped", size=24 << 20)
    digest = machine.call("fill", fd=fd, at=0, size=24 << 20, seed="swap")
    assert machine.call("push_out", fd=fd) > 8 << 10
    token = machine.call("preserve", fd=fd)
    update(machine)
    machine.shell("rm -f /var/lib/luo-tui/swap")
    back = machine.call("restore", token=token)
    assert machine.call("digest", fd=back) == digest
    finished(machine)


@pytest.mark.extra
def test_what_its_owner_has_no_room_for_is_refused_and_nobody_is_killed(machine: Machine) -> None:
    """What is in swap comes back into its owner's memory cgroup, whose limit holds."""
    assert isinstance(machine, LabMachine)
    swap_on(machine)
    fd = machine.call("memfd", name="owned", size=48 << 20)
    machine.call("fill_in_group", fd=fd, size=48 << 20, limit=24 << 20)
    token = machine.call("preserve", fd=fd)
    machine.call("load", which=other(machine))
    assert refused(machine, "move", move="prepare") == errno.ENOMEM
    events = machine.shell("cat /sys/fs/cgroup/owner/memory.events")
    assert "oom_kill 0" in events
    assert "oom 0" in events
    (shown,) = machine.call("picture")["resources"]
    assert shown["result"] == errno.ENOMEM
    # About as much as does not fit; what is pushed out meanwhile moves it.
    assert 8 << 20 < shown["shortage"] < 32 << 20
    assert "of it are in swap, there are" in machine.log()
    assert machine.call("state") == "normal"
    machine.shell("echo 64M > /sys/fs/cgroup/owner/memory.max")
    machine.call("move", move="prepare")
    assert machine.call("picture")["resources"][0]["shortage"] == 0
    digest = machine.call("digest", fd=fd)
    machine.kexec()
    machine.shell("rm -f /var/lib/luo-tui/swap")
    assert machine.call("digest", fd=machine.call("restore", token=token)) == digest
    finished(machine)


def test_what_is_written_between_freeze_and_kexec_arrives(machine: Machine) -> None:
    fd = machine.call("memfd", name="late", size=4 << 20)
    machine.call("write", fd=fd, at=0, text="first")
    token = machine.call("preserve", fd=fd)
    machine.call("load", which=other(machine))
    machine.call("move", move="prepare")
    machine.call("move", move="freeze")
    machine.call("write", fd=fd, at=3 << 20, text="into a hole")
    machine.kexec()
    back = machine.call("restore", token=token)
    assert machine.call("read", fd=back, at=3 << 20, size=11) == "into a hole"
    assert machine.call("picture")["resources"][0]["lost"] == 0
    finished(machine)


@pytest.mark.extra
def test_a_writer_that_never_stops_loses_nothing(machine: Machine) -> None:
    """Nothing that was acknowledged up to the moment at which the old kernel stood still."""
    fd = machine.call("memfd", name="writer", size=256 << 20)
    few = machine.call("memfd", name="few", size=16 << 20)
    tokens = [machine.call("preserve", fd=f) for f in (fd, few)]
    machine.call("load", which=other(machine))
    machine.call("write_on", fd=fd, pause=0.002)
    machine.call("write_on", fd=few, pause=0.02)
    machine.call("move", move="prepare")
    machine.kexec()
    for token in tokens:
        last, missing, *first = machine.call("written_on", fd=machine.call("restore", token=token))
        assert last > 0
        assert not missing, f"{missing} of {last} pages are not there: {first}"
    assert [r["lost"] for r in machine.call("picture")["resources"]] == [0, 0]
    finished(machine)


@pytest.mark.extra
def test_more_than_can_be_taken_in_at_the_last_moment_is_told(machine: Machine) -> None:
    assert isinstance(machine, LabMachine)
    fd = machine.call("memfd", name="flood", size=400 << 20)
    token = machine.call("preserve", fd=fd)
    machine.call("load", which=other(machine))
    machine.call("move", move="prepare")
    machine.call("write_on", fd=fd, pause=0)
    machine.kexec()
    last, missing, *_ = machine.call("written_on", fd=machine.call("restore", token=token))
    (shown,) = machine.call("picture")["resources"]
    assert last > 0
    # The page that was written last may not be acknowledged.
    assert missing * PAGE <= shown["lost"] <= (missing + 1) * PAGE
    if shown["lost"]:
        told = f"token {token}: {shown['lost']} bytes that were written after the freeze"
        assert told in machine.log()
    finished(machine)


@pytest.mark.lab_extra
def test_memory_that_fails_after_prepare_stops_the_update(machine: Machine) -> None:
    assert isinstance(machine, LabMachine)
    fd = machine.call("memfd", name="poisoned", size=1 << 20)
    machine.call("fill", fd=fd, at=0, size=1 << 20, seed="p")
    machine.call("preserve", fd=fd)
    machine.call("load", which=other(machine))
    machine.call("move", move="prepare")
    machine.call("poison", fd=fd, at=5 * PAGE)
    assert refused(machine, "move", move="freeze") == EHWPOISON
    assert machine.call("state") == "normal"
    assert refused(machine, "move", move="prepare") == EHWPOISON


@pytest.mark.lab_extra
def test_a_small_memory_cgroup_is_refused_before_anything_is_lost(machine: Machine) -> None:
    fd = machine.call("memfd", name="large", size=32 << 20)
    digest = machine.call("fill", fd=fd, at=0, size=32 << 20, seed="large")
    token = machine.call("preserve", fd=fd)
    update(machine)
    assert machine.call("restore_in_group", token=token, limit=16 << 20) == errno.ENOMEM
    (shown,) = machine.call("picture")["resources"]
    assert shown["state"] == "incoming"
    back = machine.call("restore", token=token)
    assert machine.call("digest", fd=back) == digest
    finished(machine)


def test_what_cannot_be_carried_is_refused(machine: Machine) -> None:
    assert refused(machine, "preserve", fd=machine.call("other", kind="hugetlb")) == errno.ENOENT
    fd = machine.call("memfd", name="once", size=PAGE)
    machine.call("preserve", fd=fd)
    assert refused(machine, "preserve", fd=fd) == errno.EEXIST


@pytest.mark.extra
def test_five_updates_of_the_same_file(machine: Machine) -> None:
    fd = machine.call("memfd", name="traveller", size=3 << 20)
    free = []
    for i in range(5):
        digest = machine.call("fill", fd=fd, at=i * PAGE, size=1 << 20, seed=str(i))
        token = machine.call("preserve", fd=fd)
        update(machine)
        fd = machine.call("restore", token=token)
        assert machine.call("digest", fd=fd) == digest
        finished(machine)
        free.append(machine.call("free"))
    assert max(free) - min(free) < 8 << 10, free


@pytest.mark.extra
@pytest.mark.parametrize("number", [1_000, 10_000])
def test_very_many_in_one_update(machine: Machine, number: int) -> None:
    first, last = machine.call("many", number=number)
    assert last - first == number - 1
    machine.call("load", which=other(machine))
    machine.call("move", move="prepare")
    machine.kexec()
    after = machine.call("picture")
    assert [r["token"] for r in after["resources"]] == list(range(first, last + 1))
    assert machine.call("restore_many", first=first, number=number) == number
    finished(machine)
    assert machine.call("picture")["resources"] == []
