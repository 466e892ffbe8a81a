# SPDX-License-Identifier: MIT
"""Hands keys on one by one: each goes to what has the focus after the one before it.

Textual looks where a key goes as soon as it comes, while what the key before it
opens is not there yet: what is typed in one burst with ``/`` or ``:`` would run as
commands of the place. So the next key waits until the one before it was handled
by all that it concerns, and what it opened has the focus.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from textual.events import Key
from textual.message_pump import MessagePump

from luo_tui.console.messages import KeyHandled

RETRY = 0.02
"""Seconds until it is looked again whether what was opened is there."""
LONGEST = 1.0
"""Seconds after which a key is handed on in any case: nothing may silence the keyboard."""


class KeyQueue:
    """The keys of one application, in order. All its methods run in the application's loop."""

    def __init__(
        self,
        hand_on: Callable[[Key], Awaitable[None]],
        target: Callable[[], MessagePump],
        is_ready: Callable[[], bool],
        after: Callable[[float, Callable[[], Awaitable[None]]], object],
    ) -> None:
        """``hand_on`` gives a key to ``target()``; ``after`` calls back after so many seconds.

        ``is_ready`` says whether what was opened last has the focus.
        """
        self._hand_on, self._target, self._is_ready = hand_on, target, is_ready
        self._after = after
        self._waiting: deque[Key] = deque()
        self._number = self._tries = 0
        self._under_way = self._resting = False

    async def put(self, key: Key) -> None:
        """Take a key; it is handed on at once, if none is under way."""
        self._waiting.append(key)
        await self._next()

    async def handled(self, number: int) -> None:
        """Take note that a key has been handled; one that is long over changes nothing."""
        if number == self._number and self._under_way:
            self._under_way = False
            await self._next()

    async def _next(self) -> None:
        while self._waiting and not self._under_way and not self._resting:
            if not self._is_ready() and self._tries * RETRY < LONGEST:
                self._tries += 1
                self._resting = True
                self._after(RETRY, self._look_again)
                return
            self._tries = 0
            await self._give(self._waiting.popleft())

    async def _look_again(self) -> None:
        self._resting = False
        await self._next()

    async def _give(self, key: Key) -> None:
        self._number += 1
        self._under_way, number, target = True, self._number, self._target()
        await self._hand_on(key)
        if not target.post_message(KeyHandled(number)):
            # It has gone with what the key closed.
            self._under_way = False
            return

        async def give_up() -> None:
            await self.handled(number)

        self._after(LONGEST, give_up)
