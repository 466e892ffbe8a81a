# SPDX-License-Identifier: MIT
"""``luo-tui guests``: which guests of QEMU run here, and whether each could be carried.

It only reads. QEMU is asked by QMP, so a guest whose socket another program has
takes the time limit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from luo_tui.errors import Exit, NotDone

# Loaded when it runs, by it alone: the other commands are to be quick.
if TYPE_CHECKING:
    from luo_tui.guests.reason import Reason
    from luo_tui.guests.rules import Guest

SCHEMA = 1
"""Version of what --json prints; within one, fields are only added."""
_PATIENCE = 2.0
"""Seconds that a guest has for each answer."""


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "guests",
        help="say which guests of QEMU run, and whether each could be carried",
        description="Look for running QEMU processes, and say of each its name, state, memory, and "
        "whether it could be carried through an update; if not, every reason with its remedy. "
        "Nothing is changed. Only root may look at all of them.",
        epilog=f"`guests check` ends with {Exit.OK:d} where every guest could be carried, with "
        f"{Exit.BLOCKED:d} where one would be lost, and with {Exit.DOUBTFUL:d} where that is not "
        "known, or there may be more guests. Each reason has a code, which stays the same.",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    below = command.add_subparsers(dest="below", metavar="COMMAND", prog="luo-tui guests")
    check = below.add_parser("check", help="say the same, and tell it by the exit code")
    check.add_argument("name", nargs="?", default="", metavar="NAME", help="of this guest alone")
    check.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object"
    )


def run(args: argparse.Namespace) -> Exit:
    """Look, and print what was found. NotDone where there is no guest of that name."""
    from luo_tui.guests.find import find_guests
    from luo_tui.guests.rules import judge

    there = find_guests(limit=_PATIENCE)
    guests, missing = judge(there.guests), there.missing
    name = getattr(args, "name", "")
    if name:
        guests = tuple(g for g in guests if g.name == name)
        if not guests:
            more = "".join(f" It may run all the same: {sentence}." for sentence in missing)
            raise NotDone(f"There is no guest {name}.{more}", Exit.NOT_FOUND)
        missing = ()
    if args.json:
        print(json.dumps(guests_json(guests, missing), indent=2))
    else:
        print("\n".join(guests_text(guests, missing)))
    return verdict(guests, missing) if args.below else Exit.OK


def verdict(guests: Sequence[Guest], missing: Sequence[str]) -> Exit:
    """Return the exit code of a check: the worst counts."""
    from luo_tui.guests.facts import Disposition

    found = {guest.disposition for guest in guests}
    if Disposition.LOST in found:
        return Exit.BLOCKED
    return Exit.DOUBTFUL if missing or Disposition.UNKNOWN in found else Exit.OK


def guests_json(guests: Sequence[Guest], missing: Sequence[str]) -> dict[str, Any]:
    """Return it as plain values; what is not known is null."""
    from luo_tui.guests.facts import Disposition

    known = {Disposition.CARRIED: True, Disposition.LOST: False, Disposition.UNKNOWN: None}
    return {
        "schema": SCHEMA,
        "guests": [
            {
                "name": guest.name,
                "pid": guest.facts.process.pid,
                "state": guest.state or None,
                "memory_bytes": guest.bytes or None,
                "qmp": guest.facts.socket or None,
                "can_be_carried": known[guest.disposition],
                "reasons": [
                    {**_reason_json(reason), "unknown": reason.unknown} for reason in guest.refusals
                ],
                "warnings": [_reason_json(reason) for reason in guest.warnings],
            }
            for guest in guests
        ],
        "missing": list(missing),
    }


def _reason_json(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "text": reason.text, "remedy": reason.remedy}


def guests_text(guests: Sequence[Guest], missing: Sequence[str]) -> Iterator[str]:
    """Yield it as lines, those that would be lost first."""
    from luo_tui.guests.facts import Disposition
    from luo_tui.update.wording import count_text, size_text

    numbers = {d: sum(g.disposition is d for g in guests) for d in reversed(Disposition)}
    parts = (f"{number} {said}" for said, number in numbers.items() if number)
    none = "no guest of QEMU was found" if missing else "no guest of QEMU runs here"
    yield f"{count_text(len(guests), 'guest')}: {', '.join(parts)}" if guests else none
    for guest in guests:
        size = size_text(guest.bytes) if guest.bytes else "?"
        where = f"{guest.name} [{guest.facts.process.pid}]"
        yield f"  {where:28} {guest.state or '?':10} {size:>9}  {guest.disposition}"
        for word, reasons in (("why", guest.refusals), ("note", guest.warnings)):
            for reason in reasons:
                yield f"    {word:4}  {reason.code}: {reason.text}"
                yield f"    do    {reason.remedy}"
    yield from (f"unknown     {sentence}" for sentence in missing)
