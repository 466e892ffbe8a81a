# SPDX-License-Identifier: MIT
"""The choice of the target kernel, from the images that lie on this host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from luo_tui.desk import View
from luo_tui.model import KernelImage
from luo_tui.screens.base import Dialog, Pairs
from luo_tui.widgets.sheet import Sheet
from luo_tui.widgets.text import Row, plain
from luo_tui.window.walk import size_text


class TargetScreen(Dialog[KernelImage | None]):
    """Ends with the chosen image, or None. Choosing loads nothing."""

    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "none", show=False)]

    def __init__(self, folder: str, images: Sequence[KernelImage], running: str) -> None:
        """Mark the image of the kernel that is ``running``."""
        super().__init__()
        self._folder, self._images, self._current = folder, tuple(images), running

    def furniture(self) -> Iterable[Widget]:
        """Yield the list; what cannot be loaded says why."""
        yield Sheet(id="heading")
        yield OptionList(*(Option(self._told(image)) for image in self._images), compact=True)

    def draw(self, view: View) -> None:
        """Say where the images come from."""
        del view
        rows = [Row(f"Kernel images in {self._folder}. Choosing one loads nothing.", style="bold")]
        if not self._images:
            rows.append(Row("There is none."))
        self.query_one("#heading", Sheet).show(rows)

    def keys(self, view: View) -> Pairs:
        """Return the keys of the list."""
        del view
        return [("Up/Down", "move"), ("Enter", "choose and check"), ("Esc", "back")]

    def _told(self, image: KernelImage) -> Content:
        name = image.path.rpartition("/")[2]
        parts = [image.release or name, size_text(image.bytes)]
        if image.release:
            parts.append(name)
        if image.release and image.release == self._current:
            parts.append("running now")
        text = plain("  ".join(parts))
        if image.fault:
            return Content.assemble(
                text, "\n  ", (plain(f"cannot be loaded: {image.fault}"), "$text-note")
            )
        return Content(text)

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """End with the image."""
        self.dismiss(self._images[event.option_index])

    def action_none(self) -> None:
        """End without one."""
        self.dismiss(None)
