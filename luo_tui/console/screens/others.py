# SPDX-License-Identifier: MIT
"""All that may come after the first picture: the other places, and the dialogs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from luo_tui.console.screens.base import Place
from luo_tui.console.screens.devices import Devices
from luo_tui.console.screens.events import Events
from luo_tui.console.screens.guests import Guests
from luo_tui.console.screens.help import Help as Help
from luo_tui.console.screens.history import History
from luo_tui.console.screens.kexec import AskKexec as AskKexec
from luo_tui.console.screens.kexec import AskTyped as AskTyped
from luo_tui.console.screens.palette import Palette as Palette
from luo_tui.console.screens.resources import Resources
from luo_tui.console.screens.target import TargetScreen as TargetScreen
from luo_tui.console.screens.walk import WalkScreen

OTHERS: Mapping[str, Callable[[], Place]] = {
    place.WORD: place for place in (Resources, Devices, Events, WalkScreen, Guests, History)
}
"""The places but for the overview, by their words."""
