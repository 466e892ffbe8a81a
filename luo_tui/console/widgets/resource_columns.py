# SPDX-License-Identifier: MIT
"""The columns of the resources, as the overview and their own place show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luo_tui.console.widgets.table import Column
from luo_tui.model import Resource, ResourceState
from luo_tui.update.wording import size_text

_SIGN = {
    ResourceState.PRESERVED: "carried over",
    ResourceState.INCOMING: "NOT RESTORED",
    ResourceState.RESTORED: "came over",
    ResourceState.UNKNOWN: "UNKNOWN",
}


def owner(resource: Resource) -> str:
    """Return the process that preserved it; it may be gone."""
    return f"{resource.comm or '?'} [{resource.pid}]" if resource.pid else "?"


def becomes(resource: Resource) -> str:
    """Return what becomes of it, in two words."""
    return "REFUSED" if resource.result else _SIGN[resource.state]


def lost(resource: Resource) -> bool:
    """Whether the next step loses it, as things stand."""
    return resource.endangered


def _highest_token(resources: Mapping[Any, Resource]) -> int:
    """Return the figures of the highest token; what is lost stands first, so it may be anywhere."""
    return len(str(max(resources, default=0)))


COLUMNS: tuple[Column[Resource], ...] = (
    Column(
        "token", lambda r: str(r.token), 6, right=True, key=lambda r: r.token, need=_highest_token
    ),
    Column("kind", lambda r: r.kind, 6),
    Column("state", lambda r: r.state, 9),
    Column("size", lambda r: size_text(r.bytes), 8, right=True, key=lambda r: r.bytes),
    Column("pages", lambda r: f"{r.pages:,}", 11, right=True, key=lambda r: r.pages, above=110),
    Column("owner", owner, 22, key=lambda r: (r.comm, r.pid), above=64, most=34),
    Column("update", becomes, 12, above=100),
    Column("name", lambda r: r.name),
)
