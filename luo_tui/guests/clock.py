# SPDX-License-Identifier: MIT
"""A guest's clock after it stood still: by how much it is behind, and who puts it right.

No hypervisor tells a guest that time has passed; its agent can set the clock.
"""

from __future__ import annotations

from pathlib import Path

from luo_tui.guests.agent import set_time
from luo_tui.guests.arguments import agent_sockets, options
from luo_tui.guests.json_stream import QmpError
from luo_tui.guests.record import CLOCK_SET, Record


def put_right(record: Record) -> str:
    """Set the clock of a guest that runs; return ``set``, or why it is not, for people.

    Only a guest with an agent can be helped. It has :data:`luo_tui.guests.agent.LIMIT`
    seconds, in which the guest runs.
    """
    why = "it has no agent"
    for path in agent_sockets(options(record.argv)):
        try:
            set_time(Path(record.cwd) / path, pid=record.pid)
        except QmpError as error:
            why = f"its agent: {error}"
        else:
            return CLOCK_SET
    return why
