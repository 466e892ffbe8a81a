# SPDX-License-Identifier: MIT
"""Where the journal lies, unless it is said otherwise: on a disk that the next kernel mounts."""

from __future__ import annotations

from pathlib import Path

DEFAULT_FOLDER = Path("/var/lib/luo-tui")
