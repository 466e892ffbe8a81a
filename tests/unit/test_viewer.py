# SPDX-License-Identifier: MIT
"""The thread that builds views: the latest wins, and whoever waits has one of now."""

from __future__ import annotations

import itertools
import threading
from typing import Any, cast

from luo_tui.console.session import View
from luo_tui.console.viewer import Viewer

WAIT = 10.0


def view(number: int) -> View:
    return cast(View, number)


def test_whoever_waits_has_a_view_that_was_begun_after_he_asked() -> None:
    numbers = itertools.count(1)
    shown: list[Any] = []
    viewer = Viewer(lambda: view(next(numbers)), lambda: shown.append(viewer.latest))
    viewer.start(view(0))
    try:
        for number in range(1, 20):
            viewer.wait_built()
            assert viewer.latest == number
        assert shown == list(range(1, 20))
    finally:
        viewer.stop()
    viewer.wait_built()


def test_a_view_that_is_being_built_does_not_count() -> None:
    begun, go_on, numbers = threading.Event(), threading.Event(), itertools.count(1)

    def build() -> View:
        number = next(numbers)
        begun.set()
        assert go_on.wait(WAIT)
        return view(number)

    viewer = Viewer(build, lambda: None)
    viewer.start(view(0))
    viewer.ask()
    assert begun.wait(WAIT)
    waiting = threading.Thread(target=viewer.wait_built)
    waiting.start()
    go_on.set()
    waiting.join(WAIT)
    assert not waiting.is_alive()
    assert cast(Any, viewer.latest) == 2
    viewer.stop()


def test_what_cannot_be_built_keeps_nobody_waiting_and_is_told_once() -> None:
    told: list[BaseException | None] = []

    def build() -> View:
        raise OSError(5, "Input/output error")

    viewer = Viewer(build, lambda: told.append(viewer.fault))
    viewer.start(view(7))
    try:
        viewer.wait_built()
        viewer.wait_built()
        assert [str(fault) for fault in told] == ["[Errno 5] Input/output error"]
        assert cast(Any, viewer.latest) == 7
    finally:
        viewer.stop()
