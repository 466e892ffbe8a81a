# SPDX-License-Identifier: MIT
"""Memory limits, failed units and the way in: read for what they are, and checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from luo_tui.model import (
    Condition,
    DescriptorStore,
    DescriptorStores,
    FirmwareBoot,
    InitTimes,
    KernelImage,
    MemoryLimit,
    MemoryLimits,
    Resource,
    Resources,
    ResourceState,
)
from luo_tui.orchestrator import this_host
from luo_tui.sources.descriptor_stores import read_stores
from luo_tui.sources.init_times import read_init_times
from luo_tui.sources.memory_limits import read_limits
from luo_tui.update.checks.surroundings import Surroundings, surrounding_checks
from luo_tui.update.facts import Facts, Level
from luo_tui.update.fallback import Fallback
from luo_tui.update.kernel_modules import TargetDrivers
from tests.unit.test_host_checks import GOOD

GIB = 1 << 30
KEPT = tuple(
    Resource(n, "memfd", ResourceState.PRESERVED, f"g{n}", 2 * GIB, 40 + n // 2, "vmm")
    for n in range(3)
)
FACTS: Facts = GOOD._replace(
    snapshot=GOOD.snapshot._replace(resources=Resources(KEPT)),
    image=KernelImage("/boot/vmlinuz-new", "new"),
)
ENOUGH = MemoryLimits((MemoryLimit(40, "/a", 4 * GIB), MemoryLimit(41, "/b", None)))
WELL = Surroundings(
    ENOUGH,
    Condition(failed_units=()),
    "",
    "the serial console",
    (),
    TargetDrivers(3),
    (),
    Fallback(FirmwareBoot(efi=False), GOOD.snapshot.host.release, "/boot/vmlinuz", True),
)


def told(about: Surroundings) -> dict[str, tuple[Level, str]]:
    found = (check.run(FACTS) for check in surrounding_checks(about))
    return {f.check: (f.level, f.text) for f in found}


def test_a_host_around_which_all_is_well() -> None:
    assert {level for level, _ in told(WELL).values()} == {Level.OK}


@pytest.mark.parametrize(
    ("limits", "level", "text"),
    [
        (
            MemoryLimits((MemoryLimit(40, "/a", 4 * GIB - 1), MemoryLimit(41, "/b", 2 * GIB))),
            Level.WARNING,
            "/a has 4 GiB for 4 GiB",
        ),
        # Two processes in one group restore into one limit.
        (
            MemoryLimits((MemoryLimit(40, "/a", 5 * GIB), MemoryLimit(41, "/a", 5 * GIB))),
            Level.WARNING,
            "/a has 5 GiB for 6 GiB",
        ),
        (MemoryLimits((MemoryLimit(40, "/a", 4 * GIB),)), Level.UNKNOWN, "1 owner of what is"),
        (MemoryLimits((), ("who knows",)), Level.UNKNOWN, "Not all are known: who knows."),
    ],
)
def test_a_limit_below_what_is_preserved_is_named(
    limits: MemoryLimits, level: Level, text: str
) -> None:
    found = told(replace(WELL, limits=limits))["memory limits"]
    assert found[0] is level
    assert text in found[1]


def test_failed_units_are_named_and_silence_is_no_answer() -> None:
    for condition, fault, level, text in (
        (Condition(failed_units=("a.service",)), "", Level.WARNING, "1 unit failed: a.service."),
        (Condition(missing=("which units have failed: no",)), "", Level.UNKNOWN, "units have"),
        (None, "Too many open files", Level.UNKNOWN, "Too many open files"),
    ):
        about = replace(WELL, condition=condition, condition_fault=fault)
        found = told(about)["failed units"]
        assert found[0] is level
        assert text in found[1]


def test_a_way_in_is_said_by_somebody() -> None:
    found = told(replace(WELL, way_in="", consoles=("ttyS0", "tty0")))["way in"]
    assert found[0] is Level.WARNING
    assert "The kernel's consoles are ttyS0, tty0." in found[1]


def test_a_shutdown_that_nobody_holds_back_is_told() -> None:
    found = told(replace(WELL, shutdown_fault="there is no systemd-inhibit"))["shutdown"]
    assert found[0] is Level.WARNING
    assert "Nothing holds an ordinary shutdown back: there is no systemd-inhibit." in found[1]


def test_what_units_left_with_systemd_for_another_kernel_is_named() -> None:
    given_back = DescriptorStore("systemd-logind.service", 9, "restart")
    for stores, level, text in (
        (DescriptorStores((given_back,)), Level.OK, "No unit counts on"),
        (DescriptorStores((), ("not asked: no bus",)), Level.UNKNOWN, "Not known: not asked: no b"),
        (
            DescriptorStores((DescriptorStore("db.service", 1, "yes"), given_back)),
            Level.WARNING,
            "Gone after a direct kexec: 1 descriptor of db.service.",
        ),
        (
            DescriptorStores(
                (
                    DescriptorStore("db.service", 3, "on-success", ("cache", "log")),
                    DescriptorStore("vm.service", 0, "no", ("ram",)),
                )
            ),
            Level.WARNING,
            "Gone after a direct kexec: 3 descriptors of db.service. Its sessions systemd makes "
            "anew after one: cache, log of db.service; ram of vm.service.",
        ),
    ):
        condition = Condition(failed_units=(), stores=stores)
        found = told(replace(WELL, condition=condition))["descriptor stores"]
        assert found[0] is level
        assert text in found[1], found
    unseen = replace(WELL, condition=None, condition_fault="Too many open files")
    assert told(unseen)["descriptor stores"] == (Level.UNKNOWN, "Not known: Too many open files.")


# As systemd 262 prints it, and 252, which does not know the two newer properties.
NEW = """Id=db.service
NFileDescriptorStore=2
FileDescriptorStorePreserve=yes
LUOSession=cache log

Id=cron.service
NFileDescriptorStore=0
FileDescriptorStorePreserve=restart
LUOSession=

Id=a.service
NFileDescriptorStore=0
FileDescriptorStorePreserve=yes
LUOSession=ram
"""
OLD = "NFileDescriptorStore=4\nId=systemd-logind.service\n\nNFileDescriptorStore=0\nId=b.service\n"


@pytest.mark.parametrize(
    ("answer", "stores"),
    [
        (
            NEW,
            (
                DescriptorStore("a.service", 0, "yes", ("ram",)),
                DescriptorStore("db.service", 2, "yes", ("cache", "log")),
            ),
        ),
        (OLD, (DescriptorStore("systemd-logind.service", 4),)),
        ("", ()),
        ("Id=\x1b[2J.service\nNFileDescriptorStore=-1\nLUOSession=\x1b", None),
    ],
)
def test_systemd_tells_what_units_left(
    tmp_path: Path, answer: str, stores: tuple[DescriptorStore, ...] | None
) -> None:
    (tmp_path / "answer").write_text(answer)
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    program.chmod(0o755)
    found = read_stores(tmp_path, f"{tmp_path}:/usr/bin:/bin")
    assert found.missing == ()
    if stores is not None:
        assert found.stores == stores
    assert "\x1b" not in repr(found.stores)


def test_no_answer_of_systemds_is_not_nothing(tmp_path: Path) -> None:
    assert read_stores(tmp_path / "not booted", str(tmp_path)) == DescriptorStores()
    found = read_stores(tmp_path, str(tmp_path))
    assert found.stores == ()
    assert "what units keep with systemd could not be asked" in found.missing[0]


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ((10, 20, 30, 40, 50), InitTimes(1e-5, 2e-5, 3e-5, 4e-5, 5e-5)),
        # No kexec of systemd's led here: it says 0.
        ((0, 0, 0, 0, 50), None),
        ((10, 20, 30, 40), None),
        (("null", "true", '"x"', "[]", "{}"), None),
        ((), None),
    ],
)
def test_systemd_tells_when_it_ended_the_kernel_before(
    tmp_path: Path, numbers: tuple[object, ...], found: InitTimes | None
) -> None:
    answer = "".join(f'{{"type":"t","data":{number}}}\n' for number in numbers)
    program = tmp_path / "busctl"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{answer}'\n")
    program.chmod(0o755)
    assert read_init_times(tmp_path, f"{tmp_path}:/usr/bin:/bin") == found
    assert read_init_times(tmp_path / "not booted", f"{tmp_path}:/usr/bin:/bin") is None
    program.write_text("#!/bin/sh\nexit 1\n")
    assert read_init_times(tmp_path, f"{tmp_path}:/usr/bin:/bin") is None


def lay(proc: Path, cgroups: Path, pid: int, group: str, **limits: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cgroup").write_text(f"0::{group}\n")
    for name, limit in limits.items():
        folder = cgroups / name.replace("_", "/").strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")


def test_the_smallest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroups"
    lay(proc, cgroups, 1, "/a/b", a="4096", a_b="8192")
    lay(proc, cgroups, 2, "/c", c="max")
    lay(proc, cgroups, 3, "/../../escape")
    found = read_limits([1, 2, 3, 4, 1], proc, cgroups)
    assert found.limits == (
        MemoryLimit(1, "/a/b", 4096),
        MemoryLimit(2, "/c", None),
        MemoryLimit(3, "/escape", None),
    )
    # A process that is gone is no gap: it is missing among those that were found.
    assert found.missing == ()


def test_cgroups_of_version_1_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text("4:memory:/a\n")
    found = read_limits([7], tmp_path, tmp_path)
    assert found.limits == ()
    assert "no cgroup of version 2" in found.missing[0]


def test_the_kernels_consoles_are_read_as_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = tmp_path / "active"
    active.write_text("tty0 ttyS0\n")
    monkeypatch.setattr(this_host, "_CONSOLES", active)
    assert this_host.ThisHost().consoles() == ("tty0", "ttyS0")
