# SPDX-License-Identifier: MIT
"""The picture of a host before its jump: what it is held against in the new kernel.

It is written down beside the promises, in the same file. What could not be read
then is not known afterwards, and never counts as having been so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from luo_tui.model import Condition, Snapshot
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.clean import clean

_HANDOVER = re.compile(r"\bKHO: exec from:? (\S+) \(count (\d+)\)")
"""What the kernel prints (kernel/liveupdate/kexec_handover.c)."""
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")
_ERRORS = 1000
"""Errors of the kernel that are written down: a host prints some ten."""


class Before(NamedTuple):
    """A host before its jump; None stands for what could not be read."""

    devices: Mapping[str, str] | None = None
    """Driver by device; empty while none is bound."""
    links: Mapping[str, str] | None = None
    failed_units: tuple[str, ...] | None = None
    errors: frozenset[str] | None = None
    """What the kernel had printed as an error, as :func:`alike`."""
    kexecs: int | None = None
    """How many handovers lay behind the kernel, by its own count."""
    missing: tuple[str, ...] = ()
    """Sentences on what could not be learned."""
    stores: tuple[tuple[str, int], ...] | None = ()
    """Units with the number of descriptors that they had left with systemd for the next kernel,
    of kinds that one can carry; empty too in records of older versions."""

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for the file."""
        return {
            "devices": dict(self.devices) if self.devices is not None else None,
            "links": dict(self.links) if self.links is not None else None,
            "failed_units": list(self.failed_units) if self.failed_units is not None else None,
            "errors": sorted(self.errors)[:_ERRORS] if self.errors is not None else None,
            "kexecs": self.kexecs,
            "missing": list(self.missing),
            "stores": [list(one) for one in self.stores] if self.stores is not None else None,
        }

    @classmethod
    def of(cls, raw: object) -> Before | None:
        """Build from what was written down; what is of another type is not known. Never fails."""
        if not isinstance(raw, Mapping):
            return None
        kexecs = raw.get("kexecs")
        errors = _texts(raw.get("errors"))
        return cls(
            _named(raw.get("devices")),
            _named(raw.get("links")),
            _texts(raw.get("failed_units")),
            frozenset(errors) if errors is not None else None,
            kexecs if type(kexecs) is int and kexecs >= 0 else None,
            _texts(raw.get("missing")) or (),
            _numbered(raw.get("stores", [])),
        )


def condition_of(orchestrator: Orchestrator) -> Condition:
    """Look at the host. Never fails: what is missing is told."""
    try:
        return orchestrator.condition()
    except OSError as error:
        said = error.strerror or str(error)
        return Condition(missing=(f"links, units and kernel log could not be read: {said}",))


def before(snapshot: Snapshot, condition: Condition) -> Before:
    """Return the picture that the new kernel is to be held against."""
    doubts = snapshot.doubts("devices")
    devices = {d.id: d.driver for d in snapshot.devices.values()}
    found = handover(condition)
    return Before(
        None if doubts else devices,
        condition.links,
        condition.failed_units,
        frozenset(map(alike, condition.errors)) if condition.errors is not None else None,
        found[1] if found else (0 if condition.log_is_whole else None),
        (*doubts, *condition.missing),
        _left(condition),
    )


def handover(condition: Condition) -> tuple[str, int] | None:
    """Return release and count of the kernel's line on its handover; None: it has none."""
    for line in condition.lines:
        if found := _HANDOVER.search(line):
            return found[1], int(found[2][:9])
    return None


def alike(text: str) -> str:
    """Return a line of the kernel without its numbers: addresses differ at each boot."""
    return _NUMBERS.sub("#", text)


def _left(condition: Condition) -> tuple[tuple[str, int], ...] | None:
    found = condition.stores
    if found.missing:
        return None
    return tuple((s.unit, s.promised) for s in found.stores if s.promised)


def _numbered(raw: object) -> tuple[tuple[str, int], ...] | None:
    if not isinstance(raw, list):
        return None
    pairs = [one for one in raw if isinstance(one, list) and len(one) == 2]
    return tuple((clean(k), n) for k, n in pairs if isinstance(k, str) and type(n) is int)


def _named(raw: object) -> dict[str, str] | None:
    if not isinstance(raw, Mapping):
        return None
    return {clean(k): clean(v) for k, v in raw.items() if isinstance(k, str) and isinstance(v, str)}


def _texts(raw: object) -> tuple[str, ...] | None:
    if not isinstance(raw, list):
        return None
    return tuple(clean(t) for t in raw if isinstance(t, str))
