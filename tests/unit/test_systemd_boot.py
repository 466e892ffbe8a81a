# SPDX-License-Identifier: MIT
"""What a reset starts by systemd-boot: the order of its entries, its file, its variables."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luo_tui.model import FirmwareBoot, LoaderVariables
from luo_tui.sources.firmware import read_firmware
from luo_tui.update.checks.machine import ResetStartsWhatRuns
from luo_tui.update.facts import Level
from luo_tui.update.fallback import read_fallback
from luo_tui.update.systemd_boot import (
    MenuEntry,
    NotUnderstood,
    compare_versions,
    keys,
    menu_entry,
    once,
    ordered,
    starts,
    unified_entry,
)
from tests.unit.test_fallback import EFI, TARGET
from tests.unit.test_images import bzimage

VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
OURS = EFI._replace(loader=LoaderVariables("systemd-boot 257.4"))


def listed(name: str, **more: str) -> MenuEntry:
    text = "\n".join(f"{k.replace('_', '-')} {v}" for k, v in {"linux": "/k", **more}.items())
    found = menu_entry(name, text)
    assert found is not None
    return found


def ids(*menu: MenuEntry) -> list[str]:
    return [one.id for one in ordered(menu)]


OLDER_FIRST = (
    "", "~", "122.1~rc1", "122.1", "122.1-2", "122.1^20230101", "122.1.1",
    "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1",
    "123a-1", "124-1",
)  # fmt: skip


def test_versions_are_ordered_as_their_format_says() -> None:
    for a, b in pairwise(OLDER_FIRST[1:]):
        assert compare_versions(a, b) < 0, (a, b)
        assert compare_versions(b, a) > 0, (b, a)
    assert compare_versions("~", "") < 0
    for same in (("1_2", "1+2"), ("007", "7"), ("", "__"), ("1.0", "1.00")):
        assert compare_versions(*same) == 0, same
    assert compare_versions("9" * 9000, "8" * 9000) > 0


@given(*[st.text(alphabet="01a~^.-_Z", max_size=8)] * 3)
def test_that_is_an_order(a: str, b: str, c: str) -> None:
    assert compare_versions(a, b) == -compare_versions(b, a)
    if compare_versions(a, b) <= 0 and compare_versions(b, c) <= 0:
        assert compare_versions(a, c) <= 0


def test_the_order_of_the_menu() -> None:
    assert ids(listed("a-7.3.9.conf"), listed("a-7.3.10.conf")) == ["a-7.3.10.conf", "a-7.3.9.conf"]
    keyed = [
        listed("1.conf", sort_key="debian", machine_id="a", version="6.12"),
        listed("2.conf", sort_key="debian", machine_id="a", version="6.9"),
        listed("3.conf", sort_key="debian", machine_id="b", version="7.0"),
        listed("4.conf", sort_key="arch"),
        listed("9.conf"),
    ]
    assert ids(*reversed(keyed)) == ["4.conf", "1.conf", "2.conf", "3.conf", "9.conf"]
    # Tried to the end comes last; of two of one name, which is tried more often still.
    bad, good = listed("Z+0-3.conf"), listed("a+2-1.conf")
    assert (bad.id, bad.tries_left, bad.tries_done) == ("z.conf", 0, 3)
    assert ids(bad, good) == ["a.conf", "z.conf"]
    assert [e.tries_left for e in ordered([listed("a+1.conf"), listed("a+3.conf")])] == [3, 1]


def test_what_is_no_entry_here() -> None:
    assert menu_entry("a.conf", "linux /k\narchitecture AA64\n") is None
    assert menu_entry("a.conf", "title nothing\n#linux /k\n") is None
    efi = menu_entry("a.conf", "efi /EFI/x.efi\narchitecture X64\n")
    assert efi is not None
    assert efi.linux == ""


MENU = (listed("new-7.3.4.conf"), listed("old-7.3.3.conf"), listed("bad-7.3.2+0-3.conf"))


@pytest.mark.parametrize(
    ("conf", "variables", "first"),
    [
        ("", {}, "old-7.3.3.conf"),
        ("default new-*", {}, "new-7.3.4.conf"),
        ("default NEW-7.3.4.conf\n", {}, "new-7.3.4.conf"),
        ("default nothing-like-it", {}, "old-7.3.3.conf"),
        ("default @saved", {"saved": "new-7.3.4.conf"}, "new-7.3.4.conf"),
        ("default @saved", {}, "old-7.3.3.conf"),
        ("default old-*", {"default": "new-7.3.4.conf"}, "new-7.3.4.conf"),
        ("default old-*", {"default": "@saved", "saved": "new-*"}, "new-7.3.4.conf"),
        ("default old-*", {"default": "@saved"}, "old-7.3.3.conf"),
        ("default bad-*", {}, "bad-7.3.2.conf"),
        ("preferred bad-*\ndefault new-*", {}, "new-7.3.4.conf"),
        ("preferred new-*\ndefault old-*", {"default": "old-*"}, "new-7.3.4.conf"),
        ("default new-*", {"preferred": "old-*", "default": "new-*"}, "old-7.3.3.conf"),
        # What is ordered for the next start alone changes nothing of what starts ever after.
        ("", {"once": "new-7.3.4.conf"}, "old-7.3.3.conf"),
    ],
)
def test_the_entry_that_starts(conf: str, variables: dict[str, str], first: str) -> None:
    assert starts(MENU, keys(conf), LoaderVariables(**variables)).id == first


def test_the_entry_that_starts_once() -> None:
    assert once(MENU, LoaderVariables(once="NEW-7.3.4.conf")) == "new-7.3.4.conf"
    assert once(MENU, LoaderVariables(once="auto-reboot-to-firmware-setup")) == ""
    assert once(MENU, LoaderVariables()) == ""


def test_a_unified_image_may_come_first_and_nobody_knows() -> None:
    menu = (*MENU, unified_entry("Debian-7.3.5+3.efi"))
    with pytest.raises(NotUnderstood, match="unified kernel images"):
        starts(menu, {}, LoaderVariables())
    with pytest.raises(NotUnderstood):
        starts(menu, keys("default *"), LoaderVariables())
    assert starts(menu, keys("default new-*"), LoaderVariables()).id == "new-7.3.4.conf"
    assert starts(menu, keys("default debian-*"), LoaderVariables()).unified
    with pytest.raises(NotUnderstood, match="no entries"):
        starts((), {}, LoaderVariables())


# -- on files -------------------------------------------------------------------------------


def entry(root: Path, name: str, release: str, text: str = "") -> Path:
    folder = root / "loader/entries"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.conf").write_text(f"title x\nlinux /abc/{release}/linux\n{text}")
    kernel = root / "abc" / release / "linux"
    kernel.parent.mkdir(parents=True, exist_ok=True)
    kernel.write_bytes(bzimage(release))
    return kernel


def test_what_a_reset_starts(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    kernel = entry(boot, "abc-7.3.4-hv", "7.3.4-hv")
    entry(boot, "abc-7.3.3-hv", "7.3.3-hv")
    found = read_fallback(boot, OURS)
    assert (found.release, found.kernel, found.is_there) == ("7.3.4-hv", str(kernel), True)
    assert (found.fault, found.once) == ("", "")
    # loader.conf lies on the EFI system partition, which may be another one.
    (boot / "efi/loader").mkdir(parents=True)
    (boot / "efi/loader/loader.conf").write_text("timeout 3\ndefault abc-7.3.3-*\n")
    found = read_fallback(boot, OURS)
    assert found.release == "7.3.3-hv"
    assert found.read == f"{boot}/efi/loader/loader.conf and its entry abc-7.3.3-hv.conf"
    # Its file tells of systemd-boot where no variable does.
    assert read_fallback(boot, FirmwareBoot(efi=False)).release == "7.3.3-hv"
    variables = OURS.loader._replace(default="abc-7.3.4-hv.conf", once="abc-7.3.3-hv.conf")
    found = read_fallback(boot, OURS._replace(loader=variables))
    assert (found.release, found.once) == ("7.3.4-hv", "abc-7.3.3-hv.conf")
    # An entry whose kernel is gone is not listed.
    kernel.unlink()
    assert read_fallback(boot, OURS._replace(loader=variables)).release == "7.3.3-hv"

    finding = ResetStartsWhatRuns(read_fallback(boot, OURS)).run(TARGET)
    assert finding.level is Level.WARNING
    assert "bootctl(1) set-default" in finding.remedy


def test_which_boot_loader_it_is_says_a_variable(tmp_path: Path) -> None:
    """Both may be installed."""
    entry(tmp_path, "abc-7.3.4-hv", "7.3.4-hv")
    (tmp_path / "grub").mkdir()
    (tmp_path / "grub/grub.cfg").write_text(
        'set default="0"\nmenuentry x {\n linux /vmlinuz-6.1\n}\n'
    )
    assert read_fallback(tmp_path, OURS).release == "7.3.4-hv"
    by_grub = OURS._replace(loader=LoaderVariables("GRUB 2.12"))
    assert read_fallback(tmp_path, by_grub).release == "6.1"
    assert read_fallback(tmp_path, EFI).release == "6.1"


def test_what_cannot_be_read_is_not_guessed(tmp_path: Path) -> None:
    fault = OURS._replace(loader=OURS.loader._replace(fault="LoaderEntryDefault: no"))
    assert "LoaderEntryDefault: no" in read_fallback(tmp_path, fault).fault
    assert "it has no entries" in read_fallback(tmp_path, OURS).fault
    entry(tmp_path, "a", "7.3.4-hv")
    (tmp_path / "loader/entries/b.conf").mkdir()
    found = read_fallback(tmp_path, OURS)
    assert found.fault == f"{tmp_path}/loader/entries/b.conf is a directory, not a regular file"
    (tmp_path / "loader/entries/b.conf").rmdir()
    (tmp_path / "loader/entries/b.conf").write_text("efi /abc/tool.efi\n")
    assert "what its entry b.conf starts was not read" in read_fallback(tmp_path, OURS).fault


def test_the_variables_of_the_boot_loader(tmp_path: Path) -> None:
    folder = tmp_path / "efivars"
    folder.mkdir()
    for name, text in (
        ("LoaderInfo", "systemd-boot 257.4\x1b[2J"),
        ("LoaderEntryDefault", "a.conf"),
        ("LoaderEntryOneShot", "b.conf"),
        ("LoaderEntryLastBooted", "c.conf"),
    ):
        data = b"\7\0\0\0" + f"{text}\0".encode("utf-16-le")
        (folder / f"{name}-{VENDOR}").write_bytes(data)
    loader = read_firmware(tmp_path).loader
    assert loader.name.startswith("systemd-boot 257.4")
    assert "\x1b" not in loader.name
    assert loader[1:] == ("", "a.conf", "b.conf", "c.conf", "")
    (folder / f"LoaderEntryPreferred-{VENDOR}").mkdir()
    assert "LoaderEntryPreferred" in read_firmware(tmp_path).loader.fault


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=20))
def test_no_file_makes_the_reader_fail(text: str, conf: str, pattern: str) -> None:
    menu = [e for e in (menu_entry("a+1.conf", text), *MENU) if e is not None]
    with contextlib.suppress(NotUnderstood):
        assert starts(menu, keys(conf), LoaderVariables(default=pattern, once=pattern)) in menu
