# SPDX-License-Identifier: MIT
"""What of this host is to be after an update as it was before: links, units, the kernel's log.

Looked at when a jump is made and when its outcome is judged, and not watched.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from luo_tui.model import Condition
from luo_tui.sources import systemctl
from luo_tui.sources.clean import clean
from luo_tui.sources.descriptor_stores import read_stores
from luo_tui.sources.init_times import read_init_times
from luo_tui.sources.kmsg import GRAVE, OURS
from luo_tui.sources.reading import EXHAUSTED, Reading

_FAILED = ("list-units", "--failed", "--plain", "--no-legend", "--no-pager", "--full")
_INIT = re.compile(r"Run (?:/\S+) as init process$")
"""What init/main.c prints as it starts the first program."""
_TAKEN = re.compile(r"luo: took over \d+ files and \d+ subsystems from ")
"""What kernel/luo_kho.c prints as an update has arrived."""


class LogRecord(NamedTuple):
    """One record of the kernel's log."""

    level: int
    kernel: bool
    """Whether the kernel wrote it; else somebody who may write to the log."""
    text: str
    up: float = 0.0
    """When, in seconds of the kernel's own clock, which starts early in its boot."""


def read_condition(
    kmsg: str = "/dev/kmsg",
    net: Path = Path("/sys/class/net"),
    systemd: Path = systemctl.RUNS,
    path: str = systemctl.PATH,
) -> Condition:
    """Look at all of it. OSError where this process has no descriptor or memory left."""
    reading = Reading()
    links = _links(net, reading)
    units = _failed_units(systemd, path, reading)
    records, whole, read = read_records(kmsg, reading)
    errors = [r.text for r in records if r.kernel and r.level <= GRAVE]
    return Condition(
        links=links,
        failed_units=units,
        errors=tuple(dict.fromkeys(errors)) if read else None,
        lines=tuple(r.text for r in records if OURS.search(r.text)),
        log_is_whole=whole,
        up=time.clock_gettime(time.CLOCK_BOOTTIME),
        init_up=_when(records, _INIT),
        arrived_up=_when(records, _TAKEN),
        missing=reading.missing,
        stores=read_stores(systemd, path),
        init_times=read_init_times(systemd, path),
    )


def _links(net: Path, reading: Reading) -> dict[str, str] | None:
    """Return the state of each link that a device is behind; a guest's tap comes with the guest."""
    before = len(reading.gaps)
    found = {}
    for link in reading.entries(net, "the network links ({}) could not be listed"):
        if (link / "device").exists():
            state = reading.text(link / "operstate", "the state of link {} is unknown", link.name)
            if state:
                found[clean(link.name)] = clean(state)
    return found if len(reading.gaps) == before else None


def _failed_units(systemd: Path, path: str, reading: Reading) -> tuple[str, ...] | None:
    """Ask systemd, where it runs; empty where it does not."""
    if not systemd.is_dir():
        return ()
    rows = systemctl.ask(_FAILED, "which units have failed could not be asked", reading, path)
    if rows is None:
        return None
    return tuple(sorted(clean(row.split()[0]) for row in rows if row.strip()))


def _when(records: Iterable[LogRecord], line: re.Pattern[str]) -> float | None:
    """Return when the kernel first said so; None where its log does not tell."""
    return next((r.up for r in records if r.kernel and line.search(r.text)), None)


def read_records(kmsg: str, reading: Reading) -> tuple[tuple[LogRecord, ...], bool, bool]:
    """Return each record of this boot.

    And whether the first of all is among them, and whether they could be read at all.
    """
    what = "the kernel's log could not be read ({})"
    try:
        fd = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        # Also where it is absent: a kernel always has a log.
        reading.lacks(what, error.strerror or str(error), kmsg)
        return (), False, False
    try:
        found = list(_each(fd))
    except OSError as error:
        reading.lacks(what, error.strerror or str(error), kmsg)
        return (), False, False
    finally:
        os.close(fd)
    whole = bool(found) and found[0][0] == 0
    return tuple(record for _, record in found), whole, True


def _each(fd: int) -> Iterator[tuple[int, LogRecord]]:
    """Yield the records with their numbers (Documentation/ABI/testing/dev-kmsg)."""
    while True:
        try:
            record = os.read(fd, 8192)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EPIPE:
                continue
            raise
        if not record:
            return
        head, _, rest = record.partition(b";")
        fields = head.split(b",")
        try:
            priority, number, microseconds = map(int, fields[:3])
        except ValueError:
            continue
        text = rest.partition(b"\n")[0].decode(errors="surrogateescape")
        yield number, LogRecord(priority & 7, priority >> 3 == 0, clean(text), microseconds / 1e6)
