# SPDX-License-Identifier: MIT
"""Starts a program in the context of another one, with descriptors of ours.

By fork and exec alone: ``subprocess`` would have to be imported while guests stand
still, and it cannot join a control group.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from luo_tui.guests.context import CGROUPS, Context


def make_folders(context: Context) -> None:
    """Make the folders of sockets that are not there, as they were. OSError."""
    for folder in context.folders:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder.path)  # noqa: PTH102
            if os.geteuid() == 0:
                os.chown(folder.path, folder.uid, folder.gid)
            os.chmod(folder.path, folder.mode)  # noqa: PTH101


def start(
    exe: str, argv: Sequence[str], cwd: str, context: Context, fds: Sequence[int], log: Path
) -> int:
    """Start it and return its process id; ``fds`` keep their numbers, ``log`` takes its output.

    OSError, with words: something of the context could not be had, or there is no
    such program. Nothing runs then.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.fork()
        if not child:
            _become(exe, argv, cwd, context, fds, (nothing, output, output), write)
        os.close(write)
        write = -1
        with os.fdopen(read, "rb") as said:
            read = -1
            fault = said.read()
        if fault:
            os.waitpid(child, 0)
            number, _, what = fault.decode(errors="replace").partition(" ")
            raise OSError(int(number), what)
        return child
    finally:
        for fd in (output, nothing, read, write):
            if fd >= 0:
                os.close(fd)


def _become(
    exe: str,
    argv: Sequence[str],
    cwd: str,
    context: Context,
    fds: Sequence[int],
    streams: tuple[int, int, int],
    fault: int,
) -> None:
    """Be the other program; its end is this process's."""
    try:
        what = "its control group"
        join(context)
        # Python ignores this one, and what is ignored stays so.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        what = "its limits and priority"
        os.setsid()
        _limits(context)
        what = "its user and groups"
        _identity(context)
        what = f"its folder {cwd}"
        os.chdir(cwd)
        os.umask(context.umask)
        what = "its descriptors"
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for fd in fds:
            os.set_inheritable(fd, True)
        environment = dict(word.partition("=")[::2] for word in context.environ)
        what = exe
        os.execve(exe, list(argv), environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(fault, f"{error.errno or errno.EIO} {what}: {error.strerror or error}".encode())
    except BaseException:
        import traceback

        os.write(fault, f"{errno.EINVAL} {traceback.format_exc(limit=1)}".encode())
    finally:
        os._exit(127)


def belongs(context: Context) -> bool:
    """Whether this process is in the control group of ``context``, or there is none to be in."""
    own = Path("/proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    return not context.cgroup or f"0::{context.cgroup}" in own


def join(context: Context) -> None:
    """Move this process into the control group of ``context``, made as it was. OSError."""
    # Also out of the group of whoever starts it, which ends with that one's unit.
    if belongs(context):
        return
    folder = CGROUPS / context.cgroup.strip("/")
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if fresh:
        _let_it_limit(folder, {name.partition(".")[0] for name in context.cgroup_files})
        for name, text in context.cgroup_files.items():
            with contextlib.suppress(FileNotFoundError):
                _write(folder / name, text)
    _write(folder / "cgroup.procs", "0")


def _let_it_limit(folder: Path, controllers: Iterable[str]) -> None:
    """Have a group's parents give it controllers, as far as they have them themselves."""
    above = [p for p in folder.parents if p.is_relative_to(CGROUPS)]
    for parent in reversed(above):
        for controller in sorted(controllers):
            with contextlib.suppress(OSError):
                _write(parent / "cgroup.subtree_control", f"+{controller}")


def _write(path: Path, text: str) -> None:
    """Write a file of the kernel's, which to create would be another failure than ENOENT."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _limits(context: Context) -> None:
    for number, soft, hard in context.limits:
        if resource.getrlimit(number) != (soft, hard):
            resource.setrlimit(number, (soft, hard))
    if os.getpriority(os.PRIO_PROCESS, 0) != context.nice:
        os.setpriority(os.PRIO_PROCESS, 0, context.nice)
    own = Path("/proc/self/oom_score_adj")
    if int(own.read_text()) != context.oom_score_adj:
        own.write_text(str(context.oom_score_adj))
    there = os.sched_getaffinity(0)
    if there != set(context.cpus) and not there <= set(context.cpus):
        os.sched_setaffinity(0, context.cpus)


def _identity(context: Context) -> None:
    if os.geteuid() == 0:
        os.setgroups(context.groups)
        os.setresgid(context.gid, context.gid, context.gid)
        os.setresuid(context.uid, context.uid, context.uid)
    elif (os.geteuid(), os.getegid()) != (context.uid, context.gid):
        raise PermissionError(errno.EPERM, "only root may start it as another user")
