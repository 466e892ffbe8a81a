# SPDX-License-Identifier: MIT
"""What reports on the machine: one file for each thing that notifies, or has to be sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

# Whoever only needs one of these modules is not to load what all of them tell.
if TYPE_CHECKING:
    from luo_tui.sources.changes import Change


@runtime_checkable
class Source(Protocol):
    """Something that blocks on one descriptor until there is news.

    All methods are called from the hub's thread. ``enumerate`` and ``drain``
    raise OSError when the source has died; the hub shows that, and tries
    ``reopen`` on the next news from elsewhere.
    """

    @property
    def name(self) -> str:
        """Short name for the operator, such as ``state`` or ``resources``."""
        ...

    @property
    def events(self) -> int:
        """Mask for poll(2)."""
        ...

    def fileno(self) -> int:
        """Return the descriptor to poll; it stays the same until ``reopen`` or ``close``."""
        ...

    def enumerate(self) -> Sequence[Change]:
        """Read everything, as changes to an empty picture."""
        ...

    def drain(self) -> Sequence[Change] | None:
        """Take all news without blocking; None asks for a fresh ``enumerate``."""
        ...

    def reopen(self) -> None:
        """Open the source, for the first time or again after it died. OSError if it can't be."""
        ...

    def close(self) -> None:
        """Release the descriptor; closing twice is harmless."""
        ...


@runtime_checkable
class Sampled(Source, Protocol):
    """A source that has to be asked, since what it tells of cannot notify.

    The hub drains it every so often, and whenever its descriptor is ready.
    """

    @property
    def every(self) -> float:
        """Seconds between two samples."""
        ...
