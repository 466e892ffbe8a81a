# SPDX-License-Identifier: MIT
"""Each check can pass, and can stop the walk or warn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from luo_tui.model import (
    Host,
    KernelImage,
    KexecState,
    LuoState,
    Resource,
    Resources,
    ResourceState,
    RunningKernel,
    Snapshot,
    State,
)
from luo_tui.update.checks.handover import Present
from luo_tui.update.checks.target import run_checks
from luo_tui.update.facts import Level
from luo_tui.update.kernel_abi import KernelAbi

GOOD_IMAGE = KernelImage(
    "/boot/vmlinuz-new",
    "new",
    9,
    "/boot/initrd.img-new",
    "",
    True,
    "luo-ko-v3",
    abi=("kho-v4", "luo-v5"),
)
GOOD = Snapshot(
    Host("hv", "old", "b"),
    LuoState(State.NORMAL),
    Resources((Resource(0, "memfd", ResourceState.PRESERVED),)),
    compatible="luo-ko-v3",
)
LINE = "console=ttyS0 kho=on"
ABI = KernelAbi(("kho-v4", "luo-v5"), "its image")
KERNEL = RunningKernel((), (64 << 20, 256 << 20), "none", signatures_only=False)
RUNNING = Present(KERNEL, ABI, LINE)


def levels(
    snapshot: Snapshot = GOOD, image: KernelImage = GOOD_IMAGE, line: str = LINE
) -> dict[str, Level]:
    present = replace(RUNNING, command_line=line)
    return {f.check: f.level for f in run_checks(snapshot, image, line, present)}


def test_a_good_target_passes_everything() -> None:
    assert set(levels().values()) == {Level.OK}
    assert len(levels()) == 12


def both_abi(ours: str, theirs: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"abi": ours}, {"orchestrator_abi": theirs}


@pytest.mark.parametrize(
    ("check", "level", "snapshot", "image", "line"),
    [
        ("image", Level.BLOCKER, {}, {"fault": "is no kernel"}, LINE),
        ("image", Level.WARNING, {}, {"release": "old"}, LINE),
        ("initrd", Level.WARNING, {}, {"initrd": ""}, LINE),
        ("initrd", Level.BLOCKER, {}, {"initrd_fault": "is empty"}, LINE),
        ("target KHO", Level.BLOCKER, {}, {"kexec_handover": False}, LINE),
        ("target KHO", Level.UNKNOWN, {}, {"kexec_handover": None}, LINE),
        ("target LUO", Level.BLOCKER, {}, {"orchestrator": ""}, LINE),
        ("target LUO", Level.BLOCKER, {}, {"orchestrator": "luo-ko-v1"}, LINE),
        ("target LUO", Level.BLOCKER, {}, {"orchestrator": "", "orchestrator_fault": "x."}, LINE),
        ("target LUO", Level.UNKNOWN, {}, {"orchestrator": "", "orchestrator_unread": "x."}, LINE),
        ("target LUO", Level.UNKNOWN, {"compatible": ""}, {}, LINE),
        ("target LUO", Level.OK, *both_abi("memfd:2/1/1", "memfd:1/1/1"), LINE),
        ("target LUO", Level.BLOCKER, *both_abi("memfd:2/2/1", "memfd:1/1/1"), LINE),
        ("target LUO", Level.UNKNOWN, *both_abi("memfd:1/1/1", ""), LINE),
        ("target LUO", Level.UNKNOWN, *both_abi("", "memfd:1/1/1"), LINE),
        ("target LUO", Level.UNKNOWN, *both_abi("memfd:1/1/1", "nonsense"), LINE),
        ("command line", Level.BLOCKER, {}, {}, "kho=on kho=off"),
        ("command line", Level.UNKNOWN, {}, {}, "quiet"),
        ("command line", Level.BLOCKER, {}, {}, ""),
        ("command line", Level.BLOCKER, {}, {"handover_default": False}, "quiet"),
        ("command line", Level.BLOCKER, {}, {"handover_default": True}, "kho=off"),
        ("command line", Level.BLOCKER, {}, {"command_line_max": 12}, "kho=on quiet."),
        ("command line", Level.BLOCKER, {}, {}, "kho=on " + "x" * 2010),
        ("kexec", Level.BLOCKER, {"kexec": KexecState(load_disabled=True)}, {}, LINE),
        ("kexec", Level.WARNING, {"kexec": KexecState(crash_loaded=True)}, {}, LINE),
        ("resources", Level.WARNING, {"resources": Resources()}, {}, LINE),
        ("state", Level.BLOCKER, {"luo": LuoState(State.UPDATED)}, {}, LINE),
        ("state", Level.BLOCKER, {"luo": LuoState(State.UNAVAILABLE, "no module")}, {}, LINE),
    ],
)
def test_each_fault_is_found_by_its_check(
    check: str, level: Level, snapshot: dict[str, object], image: dict[str, object], line: str
) -> None:
    found = levels(
        GOOD._replace(**snapshot),  # type: ignore[arg-type]
        GOOD_IMAGE._replace(**image),  # type: ignore[arg-type]
        line,
    )
    assert found.pop(check) is level
    assert set(found.values()) == {Level.OK}


def test_whatever_is_not_good_has_words_and_a_reason() -> None:
    bare = KernelImage("/boot/vmlinuz-x", "x")
    for image in (bare, bare._replace(fault="is no kernel"), bare._replace(release="old")):
        snapshot = Snapshot(GOOD.host, GOOD.luo, kexec=KexecState(crash_loaded=True))
        findings = run_checks(snapshot, image, "", RUNNING)
        assert sum(f.level is not Level.OK for f in findings) >= 2
        for finding in findings:
            assert finding.text.endswith(".")
            assert (finding.why == "") is (finding.level is Level.OK)
            assert finding.why[-1:] in (".", "")


def test_a_reason_belongs_to_what_was_found() -> None:
    """kdump's loss is not explained by a sysctl that is not set."""
    armed = GOOD._replace(kexec=KexecState(crash_loaded=True))
    (kexec,) = (f for f in run_checks(armed, GOOD_IMAGE, LINE, RUNNING) if f.check == "kexec")
    assert "dump" in kexec.why


@pytest.mark.parametrize(
    ("line", "level", "words"),
    [
        ("kho=OFF", Level.BLOCKER, "kho=OFF"),
        ('"kho=disable"', Level.BLOCKER, "kho=disable"),
        ("kho=off kho=banana", Level.BLOCKER, "kho=off"),
        ("kho=of\033[2J", Level.BLOCKER, "kho=of\\x1b[2J,"),
        ("kho=on -- kho=off", Level.OK, "kho=on"),
        ('kho=on a="b kho=off c"', Level.OK, "kho=on"),
        ("kho=y", Level.OK, "kho=y"),
        ("kho=on " + "x" * 2009, Level.OK, "kho=on"),
        ("kho=on " + "à" * 1005, Level.BLOCKER, "2,017 bytes"),
        ("-- kho=on", Level.UNKNOWN, "before --"),
        ('dyndbg="file x kho=on +p"', Level.UNKNOWN, "outside quotes"),
        ("kho=banana", Level.UNKNOWN, "cannot read"),
        ("kho", Level.UNKNOWN, "cannot read"),
        ("xkho", Level.UNKNOWN, "It does not say kho=on."),
    ],
)
def test_the_command_line_is_read_as_the_next_kernel_will(
    line: str, level: Level, words: str
) -> None:
    (found,) = (f for f in run_checks(GOOD, GOOD_IMAGE, line, RUNNING) if f.check == "command line")
    assert found.level is level
    assert words in found.text


def told(check: str, image: KernelImage) -> str:
    (found,) = (f for f in run_checks(GOOD, image, LINE, RUNNING) if f.check == check)
    return f"{found.text} {found.remedy}".rstrip()


def test_an_unknown_module_is_not_called_missing() -> None:
    bare = GOOD_IMAGE._replace(orchestrator="")
    assert told("target LUO", bare) == (
        "No luo.ko is installed for new. Install the module for that release."
    )
    unread = bare._replace(orchestrator_unread="/m/luo.ko.zst lies there and cannot be read: why.")
    assert told("target LUO", unread) == (
        "Whether the target reads what this kernel writes is unknown: /m/luo.ko.zst lies there and "
        "cannot be read: why. Go on only if you know that it reads luo-ko-v3."
    )
    torn = bare._replace(orchestrator_fault="/m/luo.ko.zst is torn: it ends too early.")
    assert told("target LUO", torn).startswith("/m/luo.ko.zst is torn: it ends too early. Install")


def test_the_source_of_an_answer_is_told() -> None:
    inside = GOOD_IMAGE._replace(config_source="the image itself (IKCONFIG)")
    assert told("target KHO", inside).endswith("so says the image itself (IKCONFIG).")
    unknown = GOOD_IMAGE._replace(kexec_handover=None, config_fault="it is packed with lz4")
    assert "unknown: it is packed with lz4." in told("target KHO", unknown)
    bad = GOOD_IMAGE._replace(initrd_fault="is a named pipe, not a regular file")
    assert told("initrd", bad).startswith("/boot/initrd.img-new is a named pipe")


def test_the_targets_default_counts_where_the_line_says_nothing() -> None:
    on = GOOD_IMAGE._replace(handover_default=True)
    (found,) = (f for f in run_checks(GOOD, on, "quiet", RUNNING) if f.check == "command line")
    assert found.level is Level.OK
    assert "by default" in found.text


V1 = ("kho-v1", "luo-v1", "memfd-v1")
DERIVED = GOOD._replace(luo=LuoState(State.NORMAL, evidence=("no session is seen",)))


@pytest.mark.parametrize(
    ("ours", "theirs", "snapshot", "level", "text"),
    [
        (("kho-v4",), ("kho-v4", "luo-v9"), GOOD, Level.OK, "Both speak kho-v4."),
        (("kho-v4",), V1, GOOD, Level.BLOCKER, "The target speaks kho-v1, this kernel kho-v4."),
        (("kho-v4",), ("luo-v5",), GOOD, Level.UNKNOWN, "names no version of kho."),
        ((), ("kho-v4",), GOOD, Level.UNKNOWN, "This kernel's code names no version of kho."),
        # Several in one kernel: one that both have is enough.
        (("kho-v4",), ("kho-v3", "kho-v4"), GOOD, Level.OK, "Both speak kho-v4."),
        # luo.ko hands over nothing of mainline's own; its sessions do.
        (("kho-v4", "luo-v5"), ("kho-v4", "luo-v1"), GOOD, Level.OK, "Both speak kho-v4."),
        (("kho-v4", "luo-v5"), ("kho-v4", "luo-v1"), DERIVED, Level.BLOCKER, "speaks luo-v1"),
        (("kho-v4", "luo-v5"), ("kho-v4",), DERIVED, Level.UNKNOWN, "no version of luo."),
        (("kho-v4", "luo-v5"), ("kho-v4", "luo-v5"), DERIVED, Level.OK, "kho-v4, luo-v5."),
    ],
)
def test_formats_that_differ_block_where_they_are_handed_over(
    ours: tuple[str, ...], theirs: tuple[str, ...], snapshot: Snapshot, level: Level, text: str
) -> None:
    image = GOOD_IMAGE._replace(abi=theirs)
    found = run_checks(snapshot, image, LINE, replace(RUNNING, abi=KernelAbi(ours)))
    (formats,) = (f for f in found if f.check == "target formats")
    assert (formats.level, formats.code) == (level, "LUO-C-020")
    assert text in formats.text


def test_formats_that_could_not_be_read_are_not_known() -> None:
    torn = GOOD_IMAGE._replace(abi=(), abi_fault="vmlinuz-new could not be searched: xz: torn")
    for image, abi in ((torn, ABI), (GOOD_IMAGE, KernelAbi(fault="/boot/x is not there"))):
        found = run_checks(GOOD, image, LINE, replace(RUNNING, abi=abi))
        (formats,) = (f for f in found if f.check == "target formats")
        assert formats.level is Level.UNKNOWN
        assert (image.abi_fault or abi.fault) in formats.text


def asked(check: str, image: KernelImage, line: str = LINE, **kernel: object) -> tuple[Level, str]:
    present = replace(RUNNING, running=KERNEL._replace(**kernel))  # type: ignore[arg-type]
    (found,) = (f for f in run_checks(GOOD, image, line, present) if f.check == check)
    return found.level, found.text


MIB = 1 << 20


@pytest.mark.parametrize(
    ("kernel", "initrd", "scratch", "level", "text"),
    [
        (60, 90, (64, 256), Level.OK, "The kernel takes 60 MiB, its initrd 90 MiB; the largest"),
        (60, 90, (64, 256), Level.OK, "keeps 320 MiB of this host to itself"),
        (60, 300, (64, 256), Level.BLOCKER, "the largest area of scratch memory has 256 MiB."),
        (300, 1, (64, 256), Level.BLOCKER, "The kernel takes 300 MiB"),
        (160, 100, (64, 256), Level.WARNING, "together more than one area"),
        (60, 90, None, Level.UNKNOWN, "only root sees"),
        (60, 90, (), Level.UNKNOWN, "only root sees"),
    ],
)
def test_scratch_is_held_against_what_is_loaded(
    kernel: int, initrd: int, scratch: tuple[int, ...] | None, level: Level, text: str
) -> None:
    image = GOOD_IMAGE._replace(memory=kernel * MIB, initrd_bytes=initrd * MIB)
    areas = None if scratch is None else tuple(n * MIB for n in scratch)
    found = asked("scratch", image, scratch=areas)
    assert found[0] is level
    assert text in found[1]


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("console=ttyS0 kho=on", Level.OK, "None: it is this kernel's."),
        ("kho=on   console=ttyS0", Level.OK, "None: it is this kernel's."),
        ("console=ttyS0 kho=on quiet", Level.OK, "Other than this kernel's: with quiet."),
        ("console=tty1 kho=on", Level.OK, "without console=ttyS0, with console=tty1."),
        ("kho=on", Level.WARNING, "without console=ttyS0. It has no console."),
    ],
)
def test_what_the_command_line_has_otherwise_is_asked(line: str, level: Level, text: str) -> None:
    found = asked("command line change", GOOD_IMAGE, line)
    assert found[0] is level
    assert text in found[1]


SIGNED = GOOD_IMAGE._replace(signed=True)


@pytest.mark.parametrize(
    ("image", "lockdown", "forced", "level", "text"),
    [
        (GOOD_IMAGE, "none", False, Level.OK, "asks for none"),
        (GOOD_IMAGE, "integrity", False, Level.BLOCKER, "lockdown is integrity"),
        (GOOD_IMAGE, "none", True, Level.BLOCKER, "CONFIG_KEXEC_SIG_FORCE is set"),
        (GOOD_IMAGE, None, False, Level.UNKNOWN, "its lockdown could not be read"),
        (GOOD_IMAGE, "none", None, Level.UNKNOWN, "its config could not be read"),
        (GOOD_IMAGE, "confidentiality", None, Level.BLOCKER, "lockdown is confidentiality"),
        (SIGNED, "integrity", None, Level.UNKNOWN, "shows when it is loaded"),
    ],
)
def test_a_signature_is_asked_for_by_lockdown_and_config(
    image: KernelImage, lockdown: str | None, forced: bool | None, level: Level, text: str
) -> None:
    found = asked("signature", image, lockdown=lockdown, signatures_only=forced)
    assert found[0] is level
    assert text in found[1]
