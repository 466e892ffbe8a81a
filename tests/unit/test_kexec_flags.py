# SPDX-License-Identifier: MIT
"""Whether an image is loaded: a flag that cannot be read is not one that is not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from luo_tui.uapi import kexec


def test_a_flag_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "kexec_loaded"
    monkeypatch.setattr(kexec, "_LOADED", flag)
    assert not kexec.loaded(), "a kernel without kexec has nothing loaded"
    flag.write_text("1\n")
    assert kexec.loaded()
    flag.unlink()
    flag.mkdir()
    with pytest.raises(IsADirectoryError):
        kexec.loaded()
