# SPDX-License-Identifier: MIT
"""What every unit test leaves behind is put away."""

from __future__ import annotations

from tests.switched_off import hosts_are_switched_off as hosts_are_switched_off
