# SPDX-License-Identifier: MIT
"""The choice of the target kernel: an image of this host's list, or any file by its path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from luo_tui.console.paths import existing_file
from luo_tui.console.screens.base import Dialog
from luo_tui.console.session import View
from luo_tui.console.widgets.choices import Choice, Choices
from luo_tui.console.widgets.field import Field
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.text import Row
from luo_tui.errors import NotDone
from luo_tui.model import KernelImage
from luo_tui.update.empty_lists import no_images
from luo_tui.update.wording import size_text

Read = Callable[[Path, Path | None], KernelImage]
"""Reads an image file, with an initrd where one is named."""


class TargetScreen(Dialog[KernelImage | None]):
    """Ends with the chosen image, or None. Choosing loads nothing."""

    AUTO_FOCUS = "Choices"
    CHOICE_ACTS = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "choose",
            "choose and check",
            key_display="Enter",
            priority=True,
            tooltip="take the image that is marked, or that is typed where one types",
        ),
        Binding(
            "tab",
            "app.focus_next",
            "by path",
            key_display="Tab",
            tooltip="name an image or an initrd by its path",
        ),
        Binding("escape", "none", "back", key_display="Esc", tooltip="back: nothing is chosen"),
    ]

    def __init__(
        self, folder: str, images: Sequence[KernelImage], running: str, read: Read
    ) -> None:
        """Mark the image of the kernel that is ``running``."""
        super().__init__()
        self._folder, self._images, self._current = folder, tuple(images), running
        self._read = read
        self._reading = False

    def furniture(self) -> Iterable[Widget]:
        """Yield the list, and the lines for what is not in it."""
        yield Paragraphs(id="heading")
        yield Choices()
        yield Paragraphs(
            [Row("Or by path; an empty line stands for the marked image, and its own initrd.")],
            id="explained",
        )
        for label, name in (("Image:  [", "image"), ("Initrd: [", "initrd")):
            with Horizontal(classes="by-path"):
                yield Static(Content(label))
                yield Field(id=name, max_length=4096)
                yield Static(Content("]"))

    def draw(self, view: View) -> None:
        """Say where the images come from."""
        del view
        rows = [Row(f"Kernel images in {self._folder}. Choosing one loads nothing.", style="bold")]
        if not self._images:
            rows += [Row(""), Row(no_images(self._folder))]
        self.query_one("#heading", Paragraphs).show(rows)
        self.query_one(Choices).show(
            Choice(str(at), self._told(image), quiet=bool(image.fault))
            for at, image in enumerate(self._images)
        )

    def about(self) -> Iterable[Row]:
        """Say what choosing a target does."""
        yield Row(
            "The kernel image files of this host. Choosing one reads and checks it; nothing is "
            "loaded. Its initrd is the one that lies beside it, unless another one is typed. "
            "A path begins with / or ~."
        )

    def _told(self, image: KernelImage) -> str:
        name = image.path.rpartition("/")[2]
        parts = [image.release, name] if image.release else [name]
        if image.title:
            parts.append(image.title)
        parts.append(size_text(image.bytes))
        if image.release and image.release == self._current:
            parts.append("runs now")
        if image.fault:
            parts.append(f"CANNOT BE LOADED: {image.fault}")
        elif not image.initrd:
            parts.append("no initrd beside it")
        return "  ".join(parts)

    @on(Choices.OptionSelected)
    def _clicked(self) -> None:
        self._choose(typed="")

    def action_choose(self) -> None:
        """Take the marked image, or the one that is typed where one types."""
        typing = isinstance(self.focused, Field)
        self._choose(typed=self.query_one("#image", Field).value.strip() if typing else "")

    def _choose(self, typed: str) -> None:
        """Take an image with an initrd: by path where one is typed, else as listed."""
        marked = self.query_one(Choices).chosen
        initrd = self.query_one("#initrd", Field).value.strip()
        if self._reading:
            return
        if not typed and marked is None:
            self.say("No image is marked, and none is typed.")
            return
        listed = None if marked is None else self._images[int(marked.id)]
        if not typed and listed is not None and listed.fault:
            self.say(f"{listed.path} {listed.fault}. Choose another image.")
        elif not typed and not initrd:
            self.dismiss(listed)
        else:
            self._reading = True
            self.say("Reading ...")
            self.run_worker(
                partial(read_typed, typed, listed, initrd, self._read),
                name="read a kernel image",
                group="read",
                thread=True,
                exit_on_error=False,
            )

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Take what was read, or say what is wrong with it."""
        if event.state is WorkerState.SUCCESS and self.is_active:
            self.dismiss(event.worker.result)
        elif event.state is WorkerState.SUCCESS:
            self._reading = False
            self.say("It was read while the help was open. Enter takes it.")
        elif event.state is WorkerState.ERROR:
            self._reading = False
            error = event.worker.error
            self.say(error.reason if isinstance(error, NotDone) else f"It failed: {error!r}.")

    @on(Input.Changed)
    def _typed(self) -> None:
        self.say("")

    def action_none(self) -> None:
        """End without one."""
        self.dismiss(None)


def read_typed(image: str, listed: KernelImage | None, initrd: str, read: Read) -> KernelImage:
    """Read an image by its path, or one that is listed, with an initrd where one is named.

    Raises NotDone with a sentence for whatever cannot be taken. May take long.
    """
    path = Path(listed.path) if listed is not None and not image else existing_file(image)
    found = read(path, existing_file(initrd) if initrd else None)
    if found.fault:
        raise NotDone(f"{found.path} {found.fault}. Choose another file.")
    return found
