# SPDX-License-Identifier: MIT
"""Debian's own kernels are found in whatever packages they come: layouts of three suites."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import source
import stock

_BASE = "linux-base"
OLD = {
    "linux-headers-cloud-amd64": ["linux-headers-6.1.0-50-cloud-amd64"],
    "linux-headers-6.1.0-50-cloud-amd64": [
        "linux-headers-6.1.0-50-common", "linux-kbuild-6.1", "linux-compiler-gcc-12-x86",
    ],
    "linux-image-6.1.0-50-cloud-amd64": ["kmod", _BASE, "initramfs-tools"],
}  # fmt: skip
IMAGE_NEEDED = {
    "linux-headers-cloud-amd64": ["linux-headers-6.12.1+deb13-cloud-amd64"],
    "linux-headers-6.12.1+deb13-cloud-amd64": [
        _BASE, "linux-headers-6.12.1+deb13-common", "linux-image-6.12.1+deb13-cloud-amd64",
        "linux-kbuild-6.12.1+deb13", "gcc-14",
    ],
    "linux-image-6.12.1+deb13-cloud-amd64": ["kmod", "initramfs-tools"],
}  # fmt: skip
SPLIT = {
    "linux-headers-cloud-amd64": [
        "linux-base-cloud-amd64", "linux-headers-7.3.4+deb13-cloud-amd64",
    ],
    "linux-headers-7.3.4+deb13-cloud-amd64": [
        "gcc-14-for-host", _BASE, "linux-base-7.3.4+deb13-cloud-amd64",
        "linux-headers-7.3.4+deb13-common", "linux-kbuild-7.3.4+deb13",
    ],
    "linux-image-7.3.4+deb13-cloud-amd64": [
        "dracut", "linux-base-7.3.4+deb13-cloud-amd64", "linux-binary-7.3.4+deb13-cloud-amd64",
        "linux-modules-7.3.4+deb13-cloud-amd64",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "release", "image"),
    [
        (OLD, "6.1.0-50-cloud-amd64", "boot/vmlinuz-6.1.0-50-cloud-amd64"),
        (IMAGE_NEEDED, "6.12.1+deb13-cloud-amd64", "boot/vmlinuz-6.12.1+deb13-cloud-amd64"),
        (SPLIT, "7.3.4+deb13-cloud-amd64", "usr/lib/modules/7.3.4+deb13-cloud-amd64/vmlinuz"),
    ],
    ids=["bookworm", "trixie", "trixie-backports"],
)
def test_a_kernel_is_found_in_its_packages(
    needs: dict[str, list[str]],
    release: str,
    image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = f"usr/src/linux-headers-{release}"
    # By the start of a package's name, what it brings; most bring nothing that is wanted.
    brings = {
        f"linux-headers-{release}": {
            f"{headers}/.config": "CONFIG_X=y\n",
            f"{headers}/Makefile": f"include /usr/src/linux-headers-{release}/more\n",
        },
        f"linux-{'binary' if image.startswith('usr') else 'image'}-{release}": {
            image: "the kernel",
            f"lib/modules/{release}/kernel/fs/large.ko.xz": "x",
            "usr/share/doc/x": "x",
        },
    }
    fetched = []

    def download(package: str, wanted: str, folder: Path, suite: str) -> Path:
        assert (wanted, suite) == ("1", "any")
        fetched.append(package)
        return packed(package, brings.get(package, {}), tmp_path / "made", folder)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(source, "version", lambda package, suite: "1")
    monkeypatch.setattr(source, "needs", lambda package, wanted, suite: needs.get(package, []))
    monkeypatch.setattr(source, "download", download)
    kernel = stock.stock("any")
    assert kernel.release == release
    assert kernel.image.read_text() == "the kernel"
    assert kernel.config.read_text() == "CONFIG_X=y\n"
    root = kernel.build.parents[2]
    assert str(kernel.image.relative_to(root)) == image
    assert (kernel.build / "Makefile").read_text() == f"include {root}/{headers}/more\n"
    files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert files == {image, f"{headers}/.config", f"{headers}/Makefile", ".complete"}
    assert len(fetched) == len(set(fetched))
    assert f"linux-modules-{release}" not in fetched
    assert "linux-compiler-gcc-12-x86" not in fetched
    assert any("kbuild" in name for name in fetched)


def packed(name: str, files: dict[str, str], made: Path, folder: Path) -> Path:
    """Make a package of these files, as dpkg has it."""
    tree = made / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    )
    for path, text in files.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    package = folder / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", tree, package], check=True, capture_output=True
    )
    return package
