# SPDX-License-Identifier: MIT
"""The choice of the target kernel, from the images that lie on this host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from luo_tui.console.screens.base import Dialog, Pairs
from luo_tui.console.session import View
from luo_tui.console.widgets.choice_button import ChoiceButton
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.text import Row
from luo_tui.model import KernelImage
from luo_tui.update.wording import size_text


class TargetScreen(Dialog[KernelImage | None]):
    """Ends with the chosen image, or None. Choosing loads nothing."""

    AUTO_FOCUS = "ChoiceButton"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "none", show=False),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, folder: str, images: Sequence[KernelImage], running: str) -> None:
        """Mark the image of the kernel that is ``running``."""
        super().__init__()
        self._folder, self._images, self._current = folder, tuple(images), running

    def furniture(self) -> Iterable[Widget]:
        """Yield the list; what cannot be loaded says why."""
        yield Paragraphs(id="heading")
        with VerticalScroll(id="page", can_focus=False):
            for at, image in enumerate(self._images):
                yield ChoiceButton(self._told(image), id=f"image-{at}")

    def draw(self, view: View) -> None:
        """Say where the images come from."""
        del view
        rows = [Row(f"Kernel images in {self._folder}. Choosing one loads nothing.", style="bold")]
        if not self._images:
            rows.append(Row("There is none."))
        self.query_one("#heading", Paragraphs).show(rows)

    def about(self) -> Iterable[Row]:
        """Say what choosing a target does."""
        yield Row(
            "The kernel image files of this host. Choosing one reads and checks it; "
            "nothing is loaded."
        )

    def keys(self, view: View) -> Pairs:
        """Return the keys of the list."""
        del view
        return [("Up/Down", "move"), ("Enter", "choose and check"), ("Esc", "back")]

    def _told(self, image: KernelImage) -> str:
        name = image.path.rpartition("/")[2]
        parts = [image.release, name] if image.release else [name]
        parts.append(size_text(image.bytes))
        if image.release and image.release == self._current:
            parts.append("runs now")
        if image.fault:
            parts.append(f"CANNOT BE LOADED: {image.fault}")
        return "  ".join(parts)

    @on(ChoiceButton.Pressed)
    def _chosen(self, event: ChoiceButton.Pressed) -> None:
        self.dismiss(self._images[int((event.button.id or "").removeprefix("image-"))])

    def action_none(self) -> None:
        """End without one."""
        self.dismiss(None)
