# SPDX-License-Identifier: MIT
"""The kernel that was chosen as the target: what was read of it, and the copies that are loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from luo_tui.model import FileIdentity, KernelImage
from luo_tui.update.images import read_image
from luo_tui.update.sealed import SealedCopy, identify, seal


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A kernel with its initrd and command line, as they are agreed to and loaded."""

    image: KernelImage
    """As it was read from the copies; its identities are those of the copies."""
    command_line: str
    image_copy: SealedCopy
    initrd_copy: SealedCopy | None = None

    @property
    def initrd_fd(self) -> int:
        """The initrd's copy; -1 where there is none."""
        return self.initrd_copy.fd if self.initrd_copy is not None else -1


def read_target(
    path: Path, modules: Path, command_line: str, initrd: Path | None = None
) -> Target | KernelImage:
    """Copy and read a kernel and its initrd; where that cannot be, the image with its fault.

    ``initrd`` overrides the one that lies beside the image. Never raises.
    """
    found = read_image(path, modules, initrd, look_inside=False)
    if found.fault:
        return found
    try:
        image_copy = seal(path)
        initrd_copy = seal(Path(found.initrd)) if found.initrd else None
    except (OSError, MemoryError) as error:
        return replace(found, fault=f"cannot be read: {_why(error)}")
    # What was read first may have been another file than what was copied.
    image = read_image(path, modules, initrd, content=image_copy.fd)
    image = replace(
        image,
        identity=image_copy.identity,
        initrd_identity=initrd_copy.identity if initrd_copy is not None else None,
    )
    return Target(image, command_line, image_copy, initrd_copy)


def look_again(target: Target, modules: Path) -> KernelImage:
    """Read what the target's files are now: their identity, its config, its luo.ko. Never raises.

    Release and header are the copies', since it is the copies that are loaded.
    """
    known = target.image
    initrd = Path(known.initrd) if known.initrd else None
    image = read_image(Path(known.path), modules, initrd, content=target.image_copy.fd)
    try:
        identity = identify(Path(known.path), known.identity)
        initrd_identity: FileIdentity | None = None
        if initrd is not None:
            initrd_identity = identify(initrd, known.initrd_identity)
    except (OSError, MemoryError) as error:
        name = getattr(error, "filename", None)
        what = "its initrd" if name and name == known.initrd else "the file"
        return replace(image, fault=image.fault or f"cannot be read again ({what}: {_why(error)})")
    return replace(image, identity=identity, initrd_identity=initrd_identity)


def _why(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "too little memory"
    return error.strerror or str(error)
