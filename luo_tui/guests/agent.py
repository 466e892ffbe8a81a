# SPDX-License-Identifier: MIT
"""The agent in a guest, which sets the guest's clock after it stood still.

Its protocol is QMP's without a greeting (``docs/interop/qemu-ga-ref`` of QEMU). What
the agent has left unsaid to somebody before us is skipped: it answers
``guest-sync-delimited`` with a byte that JSON does not have in front.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luo_tui.guests.json_stream import JsonStream, QmpNonsense, QmpRefused, refusal

LIMIT = 5.0
"""Seconds that an agent has for all that it is asked."""
EXACT = 1.0
"""Seconds by which a clock may be wrong that counts as set."""
_MARK = b"\xff"
_NS = 1_000_000_000


def set_time(path: str | Path, *, pid: int, limit: float = LIMIT) -> None:
    """Set a guest's clock to this host's, and see that it is. QmpError: it is not known to be.

    ``path`` is the socket of the agent's port, on which process ``pid`` listens: QEMU.
    An agent says that it failed also where it has set the clock and could not write
    it to the machine's (hwclock(8)): so what counts is the time that it tells.
    """
    end = time.monotonic() + limit
    stream = JsonStream.connect(path, pid=pid, limit=limit)
    try:
        _sync(stream, end)
        refused: QmpRefused | None = None
        try:
            _ask(stream, "guest-set-time", end, {"time": time.time_ns()})
        except QmpRefused as error:
            refused = error
        asked = time.time()
        told = _ask(stream, "guest-get-time", end)
        if type(told) is not int:
            raise QmpNonsense("the agent tells no time")
        if abs(told / _NS - asked) > EXACT + time.time() - asked:
            raise refused or QmpNonsense(f"its clock shows {told / _NS - asked:+,.1f} s")
    finally:
        stream.close()


def _sync(stream: JsonStream, end: float) -> None:
    number = time.monotonic_ns() & 0x7FFFFFFF
    # The mark also ends what somebody has begun to say to the agent.
    stream.send_bytes(_MARK, end)
    stream.send({"execute": "guest-sync-delimited", "arguments": {"id": number}}, end)
    while True:
        stream.skip(_MARK, end)
        if stream.receive(end).get("return") == number:
            return


def _ask(
    stream: JsonStream, command: str, end: float, arguments: Mapping[str, Any] | None = None
) -> Any:
    """Give a command; without an id, which old agents do not take."""
    stream.send({"execute": command, **({"arguments": arguments} if arguments else {})}, end)
    answer = stream.receive(end)
    if "error" in answer:
        raise refusal(command, answer["error"])
    if "return" not in answer:
        raise QmpNonsense(f"{command}: an answer without return or error")
    return answer["return"]
