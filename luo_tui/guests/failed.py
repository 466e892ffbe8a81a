# SPDX-License-Identifier: MIT
"""How it ends where a guest could not be armed, saved, continued or loaded."""

from __future__ import annotations


class GuestFailed(Exception):
    """A guest could not be armed, saved, continued or loaded; whole sentences for people."""
