# SPDX-License-Identifier: MIT
"""What a reset would start: EFI's variables, GRUB's files, and what the check makes of it."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luo_tui.model import FirmwareBoot, KernelImage
from luo_tui.sources.firmware import read_firmware
from luo_tui.update.checks.machine import ResetStartsWhatRuns
from luo_tui.update.facts import Level
from luo_tui.update.fallback import Fallback, read_fallback
from luo_tui.update.grub import NotUnderstood, default, entries, environment, find
from tests.unit.test_host_checks import GOOD
from tests.unit.test_images import bzimage

RUNNING = GOOD.snapshot.host.release
EFI = FirmwareBoot(efi=True, first="debian (Boot0003)")
CFG = """\
set default="{default}"
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="{default}"
fi
function load_video {{
  insmod all_video
}}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {{
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	linux	/vmlinuz-7.3.4-hv root=UUID=1 ro  quiet
	initrd	/initrd.img-7.3.4-hv
}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {{
	menuentry 'Debian, with Linux 7.3.4-hv' --class debian $menuentry_id_option 'gnulinux-new-1' {{
		linux	/vmlinuz-7.3.4-hv root=UUID=1 ro
	}}
	menuentry "Debian, with Linux 7.3.3-hv" --class debian $menuentry_id_option 'gnulinux-old-1' {{
		linux	/boot/vmlinuz-7.3.3-hv root=UUID=1 ro
	}}
}}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {{
	fwsetup
}}
"""


def grub(boot: Path, value: str, env: str = "", folder: str = "grub") -> None:
    (boot / folder).mkdir(parents=True)
    (boot / folder / "grub.cfg").write_text(CFG.format(default=value))
    if env:
        (boot / folder / "grubenv").write_text(f"# GRUB Environment Block\n{env}\n######")


@pytest.mark.parametrize(
    ("value", "env", "release"),
    [
        ("0", "", "7.3.4-hv"),
        ("1>1", "", "7.3.3-hv"),
        ("1", "", "7.3.4-hv"),
        ("gnulinux-advanced-1>gnulinux-old-1", "", "7.3.3-hv"),
        ("Debian GNU/Linux", "", "7.3.4-hv"),
        ("${saved_entry}", "saved_entry=gnulinux-advanced-1>gnulinux-old-1", "7.3.3-hv"),
        ("${saved_entry}", "", "7.3.4-hv"),
    ],
)
def test_the_kernel_that_grub_starts(tmp_path: Path, value: str, env: str, release: str) -> None:
    grub(tmp_path, value, env, "grub2")
    found = read_fallback(tmp_path, EFI)
    assert (found.release, found.fault, found.once) == (release, "", "")
    assert found.read == f"{tmp_path}/grub2/grub.cfg"
    assert not found.is_there
    (tmp_path / f"vmlinuz-{release}").touch()
    assert read_fallback(tmp_path, EFI).is_there


def test_the_image_itself_says_its_release(tmp_path: Path) -> None:
    grub(tmp_path, "0")
    (tmp_path / "vmlinuz-7.3.4-hv").write_bytes(bzimage("7.3.9-other"))
    assert read_fallback(tmp_path, EFI).release == "7.3.9-other"


def test_what_is_ordered_for_the_next_start_alone(tmp_path: Path) -> None:
    grub(tmp_path, "1>1", "next_entry=gnulinux-simple-1")
    found = read_fallback(tmp_path, EFI)
    assert (found.release, found.once) == ("7.3.3-hv", "gnulinux-simple-1")


def test_grub_may_go_by_boot_entries(tmp_path: Path) -> None:
    grub(tmp_path, "${saved_entry}", "saved_entry=abc-7.3.3-hv")
    (tmp_path / "loader/entries").mkdir(parents=True)
    text = "title Fedora\nlinux /abc/linux\noptions ro\n"
    (tmp_path / "loader/entries/abc-7.3.3-hv.conf").write_text(text)
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc/linux").write_bytes(bzimage("7.3.3-hv"))
    found = read_fallback(tmp_path, EFI)
    assert (found.release, found.kernel) == ("7.3.3-hv", f"{tmp_path}/abc/linux")


@pytest.mark.parametrize(
    ("value", "env", "why"),
    [
        ("nothing-like-it", "", "its menu has no entry 'nothing-like-it'"),
        ("7", "", "its menu has no entry '7'"),
        ("1>9", "", "its menu has no entry '9'"),
        ("${something}", "", "its default is that of the variable something"),
        ("uefi-firmware", "", "starts no Linux kernel"),
    ],
)
def test_what_is_not_understood_is_not_guessed(
    tmp_path: Path, value: str, env: str, why: str
) -> None:
    grub(tmp_path, value, env)
    found = read_fallback(tmp_path, EFI)
    assert why in found.fault
    assert not found.release


def test_without_a_boot_loader_it_is_not_known(tmp_path: Path) -> None:
    assert "no configuration of a boot loader" in read_fallback(tmp_path, EFI).fault
    (tmp_path / "loader").mkdir()
    (tmp_path / "loader/loader.conf").touch()
    assert "it has no entries" in read_fallback(tmp_path, EFI).fault
    (tmp_path / "grub/grub.cfg").mkdir(parents=True)
    assert "is a directory" in read_fallback(tmp_path, EFI).fault


@given(st.text(alphabet="menutrysb{}'\" \n>0sdfl=$vx/", max_size=300), st.text(max_size=10))
def test_no_file_makes_the_reader_fail(text: str, name: str) -> None:
    menu = entries(text)
    for wanted in (lambda: find(menu, default(text, environment(text))), lambda: find(menu, name)):
        with contextlib.suppress(NotUnderstood):
            assert wanted().title is not None


def variable(folder: Path, name: str, data: bytes) -> None:
    path = folder / "efivars" / f"{name}-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\7\0\0\0" + data)


def option(name: str, *, active: bool = True) -> bytes:
    return struct.pack("<IH", int(active), 4) + f"{name}\0".encode("utf-16-le") + b"\x7f\xff\4\0"


def test_the_entry_that_firmware_starts(tmp_path: Path) -> None:
    variable(tmp_path, "BootOrder", struct.pack("<3H", 2, 7, 0x1A))
    variable(tmp_path, "Boot0002", option("switched off", active=False))
    variable(tmp_path, "Boot001A", option("debian\x1b[2J"))
    found = read_firmware(tmp_path)
    assert (found.efi, found.once, found.fault) == (True, "", "")
    assert "\x1b" not in found.first
    assert found.first.startswith("debian")
    assert found.first.endswith(" (Boot001A)")
    variable(tmp_path, "Boot0005", option("from the network"))
    variable(tmp_path, "BootNext", struct.pack("<H", 5))
    assert read_firmware(tmp_path).once == "from the network (Boot0005)"


def test_firmware_that_tells_nothing_is_not_known(tmp_path: Path) -> None:
    assert read_firmware(tmp_path / "none") == FirmwareBoot(efi=False)
    assert "names no entry" in read_firmware(tmp_path).fault
    variable(tmp_path, "BootOrder", b"\2")
    variable(tmp_path, "Boot0002", b"\1\0")
    assert "names no entry" in read_firmware(tmp_path).fault
    (tmp_path / "efivars/BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c").mkdir()
    assert "could not be read" in read_firmware(tmp_path).fault


WELL = Fallback(EFI, RUNNING, f"/boot/vmlinuz-{RUNNING}", True, read="/boot/grub/grub.cfg")
TARGET = GOOD._replace(image=KernelImage("/boot/vmlinuz-new", "new"))


@pytest.mark.parametrize(
    ("fallback", "level", "text"),
    [
        (WELL, Level.OK, f"Firmware starts debian (Boot0003). A reset starts {RUNNING}, by /boot"),
        (WELL._replace(firmware=FirmwareBoot(efi=False)), Level.OK, f"A reset starts {RUNNING}"),
        (WELL._replace(release="new"), Level.WARNING, "it is the target itself"),
        (WELL._replace(release="6.1"), Level.WARNING, "another one than what runs now"),
        (WELL._replace(is_there=False), Level.WARNING, "is not there"),
        (WELL._replace(once="1>0"), Level.WARNING, "the next one alone starts 1>0"),
        (
            WELL._replace(firmware=EFI._replace(once="net (Boot0005)")),
            Level.WARNING,
            "the next one alone starts net (Boot0005)",
        ),
        (WELL._replace(fault="x does not tell"), Level.UNKNOWN, "not known: x does not tell."),
        (WELL._replace(firmware=EFI._replace(fault="no")), Level.UNKNOWN, "not known: no."),
        (None, Level.UNKNOWN, "Nobody has looked."),
    ],
)
def test_what_the_check_says(fallback: Fallback | None, level: Level, text: str) -> None:
    finding = ResetStartsWhatRuns(fallback).run(TARGET)
    assert finding.level is level
    assert text in finding.text
    assert (finding.remedy == "") == (level is Level.OK)
