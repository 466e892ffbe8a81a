# SPDX-License-Identifier: MIT
"""The kernel that was chosen as the target: what was read of it, and the copies that are loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luo_tui.errors import Exit, NotDone
from luo_tui.model import FileIdentity, KernelImage, Snapshot
from luo_tui.orchestrator import Kexec
from luo_tui.update.facts import ours_is_loaded
from luo_tui.update.images import read_image, scan
from luo_tui.update.regular_file import why_unreadable
from luo_tui.update.sealed import SealedCopy, identify, seal
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import few

_FAULTS = 3
"""Files that are named with what is the matter with them."""


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
        return found._replace(fault=f"cannot be read: {_why(error)}")
    # What was read first may have been another file than what was copied.
    image = read_image(path, modules, initrd, content=image_copy.fd)
    image = image._replace(
        identity=image_copy.identity,
        initrd_identity=initrd_copy.identity if initrd_copy is not None else None,
    )
    return Target(image, command_line, image_copy, initrd_copy)


def read_loaded(
    snapshot: Snapshot, window_state: WindowState | None, modules: Path, command_line: str
) -> Target | KernelImage | None:
    """Copy and read again what the window has loaded; None where it has nothing loaded.

    ``command_line`` is for a record of an older version, which has none. Never raises.
    """
    if window_state is None or not window_state.image:
        return None
    if not ours_is_loaded(snapshot, window_state):
        return None
    initrd = Path(window_state.initrd) if window_state.initrd else None
    line = window_state.command_line or command_line
    return read_target(Path(window_state.image), modules, line, initrd)


def named(images: Sequence[KernelImage], name: str, running: str) -> KernelImage:
    """Return the image whose release, file or boot entry is ``name``; NotDone where it is not one.

    Without a name it is the only one that could be loaded and is not ``running``. Of one
    that cannot be read its file's name tells the release. Pure.
    """
    if name:
        found = [i for i in images if is_called(i, name)]
        where = f"{name}: there is no such kernel; a path has a slash in it."
    else:
        found = [i for i in images if not i.fault and i.release != running]
        where = "There is no kernel but the running one: name its file by a path."
    if len(found) == 1:
        return found[0]
    those = found or [i for i in images if not i.fault]
    listed = f" There are: {few([Path(i.path).name for i in those], 8)}." if those else ""
    if found:
        raise NotDone(f"Which kernel? Name one.{listed}", Exit.USAGE)
    raise NotDone(f"{where}{listed}{faults_of(images)}", Exit.NOT_FOUND)


def is_called(image: KernelImage, name: str) -> bool:
    """Whether ``name`` is an image's release, file or boot entry. Pure."""
    file = Path(image.path).name
    release = image.release or file.partition("-")[2]
    return name in (release, file, Path(image.entry).stem)


def faults_of(images: Sequence[KernelImage]) -> str:
    """Name what could not be read, or be loaded, in sentences with a blank before each. Pure."""
    faulty = [f"{i.path} {i.fault}." for i in images if i.fault]
    return "".join(f" {sentence}" for sentence in faulty[:_FAULTS])


def target_named(
    kexec: Kexec, wanted: str, running: str, command_line: str, initrd: Path | None = None
) -> Target | KernelImage:
    """Copy and read the kernel that is meant: by release, file name, boot entry, or path.

    A path has a slash in it. ``initrd`` overrides its own. NotDone where it is
    not there, where more than one could be meant, or where its boot entry
    cannot be followed; other faults stand in the image that is returned.
    """
    modules = kexec.modules_folder
    if os.sep in wanted:
        return read_target(whole_path(Path(wanted)), modules, command_line, initrd)
    listed = named(scan(kexec.boot_folder, modules, running), wanted, running)
    if listed.fault and listed.entry == listed.path:
        raise NotDone(f"{listed.path} {listed.fault}.", Exit.BAD_IMAGE)
    if initrd is None and listed.entry and listed.initrd:
        initrd = Path(listed.initrd)
    found = read_target(Path(listed.path), modules, command_line, initrd)
    image = (found.image if isinstance(found, Target) else found)._replace(
        entry=listed.entry,
        title=listed.title,
        entry_options=listed.entry_options,
    )
    return replace(found, image=image) if isinstance(found, Target) else image


def whole_path(path: Path) -> Path:
    """Return the whole path of a file that is there; NotDone where it is not, or none can tell."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotDone(f"{path}: there is no such file.", Exit.NOT_FOUND) from None
    except OSError as error:
        code = Exit.NOT_PERMITTED if isinstance(error, PermissionError) else Exit.NOT_FOUND
        raise NotDone(f"{path} {why_unreadable(error)}.", code) from None
    return path.absolute()


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
        return image._replace(fault=image.fault or f"cannot be read again ({what}: {_why(error)})")
    return image._replace(identity=identity, initrd_identity=initrd_identity)


def _why(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "too little memory"
    return error.strerror or str(error)
