# SPDX-License-Identifier: MIT
"""An application that takes keys one by one, and acts on none that came by accident.

What a key may do only alone waits until it is known that it came alone
(:mod:`luo_tui.console.alone`); while the terminal is too small no key acts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from textual.actions import ActionParseResult
from textual.dom import DOMNode
from textual.events import Event
from textual.events import Key as KeyEvent
from textual.message_pump import MessagePump

from luo_tui.console.alone import ignored, wants_quiet, works_unseen
from luo_tui.console.key_queue import KeyQueue
from luo_tui.console.keyboard import Key
from luo_tui.console.messages import KeyHandled
from luo_tui.console.screens.base import Drawn
from luo_tui.console.widgets.line import OnLine

Result = TypeVar("Result")


class KeyApp(OnLine[Result]):
    """An application of :class:`Drawn` screens whose keys are taken one by one."""

    def __init__(self, **more: Any) -> None:
        """``more`` is the application's."""
        super().__init__(**more)
        self._keys = KeyQueue(self._on_event, self._has_keys, self._is_ready, self.set_timer)
        self._key: Key | None = None
        """The key that is handled at this moment."""

    async def on_event(self, event: Event) -> None:
        """Take keys one by one."""
        if isinstance(event, KeyEvent) and not event.is_forwarded:
            await self._keys.put(event)
        else:
            await self._on_event(event)

    async def _on_event(self, event: Event) -> None:
        """Know which key it is that an action is run for."""
        self._key = event if isinstance(event, Key) else None
        try:
            await super().on_event(event)
        finally:
            self._key = None

    async def on_key_handled(self, message: KeyHandled) -> None:
        """Take the next key, once this one's action has done what it does a little later."""
        if message.rounds:
            self.post_message(KeyHandled(message.number, message.rounds - 1))
        else:
            await self._keys.handled(message.number)

    def _has_keys(self) -> MessagePump:
        """Return where Textual sends a key now."""
        return (self.focused or self.screen) if self.screen_stack else self

    def _is_ready(self) -> bool:
        screen = self.screen_stack[-1] if self.screen_stack else None
        return not isinstance(screen, Drawn) or screen.is_ready

    @property
    def _is_covered(self) -> bool:
        """Whether the terminal is too small for anything but to say so."""
        return isinstance(self.screen, Drawn) and self.screen.is_covered

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run an action; one that a key may not do by accident waits until that came alone."""
        key = self._key
        if key is not None and self._is_covered and not works_unseen(action):
            return True
        if key is None or not wants_quiet(action, default_namespace, self.screen):
            return await super().run_action(action, default_namespace, namespaces)
        screen = self.screen

        async def settled(alone: bool) -> None:
            if alone and self.screen is screen:
                await self.run_action(action, default_namespace, namespaces)
            else:
                self._say(ignored(key.key, alone=alone))

        def tell(result: Future[bool]) -> None:
            # In the thread that reads; the console's loop may have ended since.
            with contextlib.suppress(RuntimeError):
                self.call_later(settled, result.result())

        key.alone.add_done_callback(tell)
        return True

    def _say(self, text: str) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, Drawn):
                screen.say(text if screen is self.screen else "")
