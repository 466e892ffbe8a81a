# SPDX-License-Identifier: MIT
"""Real kernels, as the kernel's own build makes them, read without being started."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kernels import kernels

from luo_tui.uapi.kho import built_with
from luo_tui.update.images import read_image
from luo_tui.update.kernel_config import INSIDE


def test_a_kernel_tells_its_config_where_no_file_does(tmp_path: Path) -> None:
    for name, kernel in kernels().items():
        image = tmp_path / f"vmlinuz-{name}"
        shutil.copy(kernel.image, image)
        found = read_image(image, tmp_path)
        assert (found.fault, found.release) == ("", kernel.release)
        assert (found.config_source, found.config_fault) == (INSIDE, "")
        config = kernel.config.read_text()
        assert found.kexec_handover is built_with(config, "CONFIG_KEXEC_HANDOVER") is True
        assert found.handover_default is False
        assert found.command_line_max == 2016
        assert found.abi == ("kho-v4", "luo-v5", "memfd-v2")


def test_a_kernel_that_is_cut_short_is_no_kernel(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz-short"
    shutil.copy(kernels()["old"].image, image)
    whole = image.stat().st_size
    # The last sectors hold the signature's room and the checksum: all of it counts.
    for size in (whole - 4096, whole // 2, 0x206):
        os.truncate(image, size)
        assert "cut short" in read_image(image, tmp_path).fault
