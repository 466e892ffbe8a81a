# SPDX-License-Identifier: MIT
"""Sessions of mainline's orchestrator, and the state that follows from them.

The kernel tells neither: there is no list of sessions, no state, no event. A
session shows as a descriptor of its holder, and only as long as that lives. The
device must be opened to create or retrieve one, so fanotify on the device says at
which process to look; where there is no fanotify, inotify says when to look at all.
A holder's end makes its pidfd readable, and then all are looked at, for it may have
passed on what it held. What needs none of that (a holder that keeps the device open)
is found by a rare look at all processes.

Nothing is ever done to a session here, nor is its descriptor copied: a copy keeps
a dead holder's session alive, and closing it would drop or finish what is in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from luo_tui.model import LuoState, Participant, State
from luo_tui.sources.changes import Change, LuoChanged, ParticipantsRead, ReadingDone
from luo_tui.sources.clean import clean
from luo_tui.sources.condition import read_records
from luo_tui.sources.inotify import OPENED, Watcher
from luo_tui.sources.processes import OpenFiles, Process, looked_again, open_files
from luo_tui.sources.reading import ABSENT, EXHAUSTED, Reading
from luo_tui.uapi import fanotify, kho, luo_sessions

KIND = "session"
FINISHED = Path("/run/luo-tui/finished")
"""Has the id of the boot whose update was finished by luo-tui; gone with it."""
RARELY = 100
"""How many times as long as it takes is waited between two looks without a reason."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SUBTREE = "LUO"
"""Under this name the orchestrator hands over (``kernel/liveupdate/luo_core.c``, Linux 7.3)."""
_RETRIEVED = re.compile(r"luo: Retrieved live update data, liveupdate number: (\d+)")
_FROM = re.compile(r"KHO: exec from: (\S+) \(count (\d+)\)")


@dataclass(frozen=True, slots=True)
class Arrival:
    """Whether this kernel took a live update over, as far as it tells."""

    came: bool | None
    """None: not known."""
    evidence: str
    """What tells so, or why nothing does; a sentence without its full stop."""
    release: str = ""
    """Of the kernel that handed over; empty where it is not known, or none did."""


def derived(held: OpenFiles, arrival: Arrival, *, finished: bool = False) -> LuoState:
    """Derive the state from who holds sessions and from how this kernel began. Pure.

    ``finished``: the update into this kernel was finished, which the kernel does not tell.
    """
    number = len(held.by_path)
    seen = f"{number:,} session{'' if number == 1 else 's'} held by processes here"
    if not held.complete:
        seen = f"{seen if number else 'no session seen'}; who else holds one is {held.missing}"
    evidence: tuple[str, ...] = (seen, arrival.evidence)
    if arrival.came and finished:
        evidence = (*evidence, f"and it was finished ({FINISHED})")
    elif arrival.came:
        detail = "the kernel does not tell which of its sessions were retrieved or finished"
        return LuoState(State.UPDATED, detail, evidence)
    if arrival.came is None:
        return LuoState(State.UNKNOWN, arrival.evidence, evidence)
    if number:
        return LuoState(State.PRESERVING, "", evidence)
    if not held.complete:
        return LuoState(State.UNKNOWN, f"who holds sessions is {held.missing}", evidence)
    return LuoState(State.NORMAL, "", evidence)


def is_finished(path: Path = FINISHED, boot: Path = _BOOT_ID) -> bool:
    """Whether the update into this kernel was finished by luo-tui; not, where nothing tells so."""
    try:
        return path.read_text().strip() == boot.read_text().strip()
    except (OSError, ValueError):
        return False


def write_finished(folder: Path, boot_id: str) -> None:
    """Write down that the update into the kernel of this boot is finished. OSError."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(folder / FINISHED.name, flags, 0o644)
    try:
        os.fchmod(fd, 0o644)
        os.write(fd, f"{boot_id}\n".encode())
    finally:
        os.close(fd)


def read_arrival(kmsg: str = "/dev/kmsg") -> Arrival:
    """Find out whether a live update led into this kernel: from KHO's debugfs, else from its log.

    OSError where this process has no descriptor left.
    """
    came_from = kho.exec_from()
    release = came_from[0] if came_from else ""
    trees = kho.handed_over()
    if trees is not None:
        what = "a live update" if _SUBTREE in trees else "no live update"
        told = f"{what} led into this kernel (debugfs, kho/in)"
        return Arrival(_SUBTREE in trees, told, clean(release) if _SUBTREE in trees else "")
    reading = Reading()
    records, whole, read = read_records(kmsg, reading)
    lines = [r.text for r in records if r.kernel]
    for line in lines:
        if found := _RETRIEVED.search(line):
            before = next((m[1] for m in map(_FROM.search, lines) if m), "")
            return Arrival(True, f"the kernel's log: live update number {found[1]}", clean(before))
    if read and whole:
        return Arrival(False, "the kernel's log tells of no live update into this kernel")
    why = "; ".join(reading.missing) or "the beginning of the kernel's log is overwritten"
    return Arrival(None, f"whether this kernel took an update over is not known: {why}")


def sessions_of(held: OpenFiles) -> tuple[Participant, ...]:
    """Return each session with who holds it, by name."""
    found = []
    for link, holders in sorted(held.by_path.items()):
        name = link.removeprefix(luo_sessions.LINK)
        state = f"held by {', '.join(map(str, holders))}"
        # Shown harmless, two names may look alike: escaped as a whole they stay apart.
        id_ = f"{KIND} {name.encode('unicode_escape').decode()}"
        found.append(Participant(id_, KIND, clean(name), state))
    return tuple(found)


class SessionSource:
    """Blocks on an epoll descriptor: of what watches the device, and of each holder's pidfd."""

    name = "state"
    events = select.POLLIN
    every = 30.0
    """Seconds between two looks at all processes without a reason; more where there are many."""

    def __init__(
        self,
        device: str = luo_sessions.DEVICE,
        proc: Path = Path("/proc"),
        kmsg: str = "/dev/kmsg",
    ) -> None:
        """Take the kernel's files, or a test's."""
        self._device, self._proc, self._kmsg = device, proc, kmsg
        self._fanotify = -1
        """Its descriptor; -1 where inotify takes its place."""
        self._watcher = Watcher(OPENED, self._opened)
        self._epoll: select.epoll | None = None
        self._pidfds: dict[int, int] = {}
        """Each holder's pidfd, by its pid."""
        self._arrival: Arrival | None = None
        """How this kernel began; it is found out once."""
        self._held = OpenFiles()
        self._told: Sequence[Change] = ()
        self._looked = self._took = 0.0
        """When all processes were looked at, and how long that took: seconds."""
        self._unwatched = ""

    @property
    def by_process(self) -> bool:
        """Whether the kernel tells which process opens the device."""
        return self._fanotify >= 0

    def fileno(self) -> int:
        """Return the epoll descriptor; -1 while it is closed."""
        return self._epoll.fileno() if self._epoll is not None else -1

    def reopen(self) -> None:
        """Begin to watch the device. OSError where that cannot be."""
        self.close()
        self._epoll = select.epoll()
        self._unwatched = ""
        try:
            self._fanotify = fanotify.watch(self._device)
        except (OSError, AttributeError):
            self._watch_by_inotify(self._epoll)
        else:
            self._epoll.register(self._fanotify, select.EPOLLIN)

    def enumerate(self) -> Sequence[Change]:
        """Look through all processes. OSError where this process has no descriptor left."""
        self._told = self._look()
        return self._told

    def drain(self) -> Sequence[Change] | None:
        """Look again, if anything stirred or it is time to; None where the device is another."""
        ready = {fd for fd, _ in self._epoll.poll(0)} if self._epoll is not None else set()
        ended = not ready.isdisjoint(self._pidfds.values())
        by, rang = fanotify.NOTHING, False
        if self.by_process:
            by = fanotify.read(self._fanotify)
            watched = not by.deleted
        else:
            rang = self._watcher.silence()
            watched = bool(self._unwatched) or self._watcher.whole
        if not watched:
            return None
        pause = max(self.every * 0.9, RARELY * self._took)
        everyone = ended or rang or not by.known
        everyone = everyone or time.monotonic() - self._looked >= pause
        if not everyone and not by.pids:
            return ()
        before, self._told = self._told, self._look(None if everyone else by.pids)
        return [c for c in self._told if c not in before]

    def close(self) -> None:
        """Release all descriptors."""
        self._watcher.close()
        if self.by_process:
            os.close(self._fanotify)
            self._fanotify = -1
        for fd in self._pidfds.values():
            os.close(fd)
        self._pidfds.clear()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    def _watch_by_inotify(self, epoll: select.epoll) -> None:
        """Know when somebody opens the device, and not who."""
        self._watcher.open()
        epoll.register(self._watcher.fileno(), select.EPOLLIN)
        if os.access(self._device, os.R_OK):
            self._watcher.watch([Path(self._device)])
        else:
            self._unwatched = "sessions that come and go are noticed late: only root may watch"

    def _opened(self, kind: str, path: Path, is_folder: bool) -> bool:
        """In a thread of watchdog's: whoever opened or closed the device may have a session."""
        del kind, path, is_folder
        return True

    def _look(self, pids: Iterable[int] | None = None) -> Sequence[Change]:
        """Look at these processes, or at all."""
        if pids is None:
            began = time.monotonic()
            held = open_files(self._proc, luo_sessions.LINK)
            self._looked = time.monotonic()
            self._took = self._looked - began
        else:
            held = looked_again(self._held, self._proc, pids, luo_sessions.LINK)
        self._held = held
        if self._arrival is None or self._arrival.came is None:
            self._arrival = read_arrival(self._kmsg)
        self._follow({process for those in held.by_path.values() for process in those})
        missing = [f"who holds sessions is {held.missing}"] if held.missing else []
        missing += [self._arrival.evidence] if self._arrival.came is None else []
        missing += [self._unwatched] if self._unwatched else []
        return (
            LuoChanged(
                derived(held, self._arrival, finished=is_finished()),
                from_release=self._arrival.release,
            ),
            ParticipantsRead(sessions_of(held)),
            ReadingDone(self.name, tuple(missing)),
        )

    def _follow(self, holders: Iterable[Process]) -> None:
        """Wait for the end of these processes, and of no others."""
        if self._epoll is None:
            return  # It was only looked at once.
        pids = {holder.pid for holder in holders}
        for pid in self._pidfds.keys() - pids:
            fd = self._pidfds.pop(pid)
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(fd)
            os.close(fd)
        for pid in pids - self._pidfds.keys():
            try:
                fd = os.pidfd_open(pid)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    raise
                if error.errno in ABSENT or error.errno == errno.EINVAL:
                    continue  # It has ended already: the next look says so.
                raise
            self._pidfds[pid] = fd
            self._epoll.register(fd, select.EPOLLIN)
