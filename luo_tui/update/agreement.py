# SPDX-License-Identifier: MIT
"""How a command agrees to an act: by options, where a screen asks. Pure.

=====================================  =============================================
the console asks                       a command needs
=====================================  =============================================
nothing                                nothing
a yes                                  ``--yes``
the typed word "discard"               ``--agree DIGEST``
the host's name, typed (kexec alone)   ``--yes-to HOSTNAME``; and ``--agree DIGEST``
                                       where more is lost than always goes with it
=====================================  =============================================

The digest is that of the consent (:func:`luo_tui.update.consent.digest`): a yes
to exactly what was shown. So beside it, or beside the host's name, no ``--yes``
is needed. Neither ``--yes`` nor the host's name agrees to a loss. What is given
has to be right, also where the act would not need it.

A plan takes the place of a digest: it agrees to the losses that it lists, each
as it is told, and to no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from luo_tui.errors import Exit, NotDone
from luo_tui.update.consent import Consent, digest
from luo_tui.update.facts import Act, Facts
from luo_tui.update.offers import Action, Ask
from luo_tui.update.wording import few

YES, YES_TO, AGREE = "--yes", "--yes-to", "--agree"
_SHORT = 12
"""Digits of a digest that tell it from others in a line of the journal."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a command was given in place of answers."""

    yes: bool = False
    host: str = ""
    """The name of the host that is meant; empty where none was given."""
    digest: str = ""
    """That of the consent as it was shown; empty where none was given."""
    losses: frozenset[str] = frozenset()
    """What a plan lists as what may be lost, each as :attr:`Action.beyond` tells it."""


def digest_of(action: Action, facts: Facts) -> str:
    """Return the digest by which the act is agreed to, as it is offered on these facts."""
    return digest(Consent.to(action.act, facts))


def needs(action: Action, facts: Facts) -> Iterator[str]:
    """Yield the options that the act is not done without."""
    if action.ask is Ask.CONFIRM:
        yield YES
    elif action.act is Act.KEXEC:
        yield f"{YES_TO} {action.typed}"
    if action.ask is Ask.TYPE and action.beyond:
        yield f"{AGREE} {digest_of(action, facts)}"


def agree(action: Action, facts: Facts, given: Given) -> Consent:
    """Turn what was given into a consent to the act as it is offered on these facts.

    NotDone: USAGE where something is missing, REFUSED for another host's name,
    WRONG_STATE for another digest.
    """
    losses = bool(action.beyond) and given.losses.issuperset(action.beyond)
    digest_ = given.digest or (digest_of(action, facts) if losses else "")
    name = action.typed if action.act is Act.KEXEC else facts.snapshot.host.name
    if given.host and given.host != name:
        raise NotDone(f"{YES_TO} {given.host!r} is not {name!r}: nothing was done.", Exit.REFUSED)
    _refuse_missing(action, given)
    if given.digest and given.digest != digest_of(action, facts):
        raise NotDone(
            f"{AGREE} {given.digest}: that is not the digest of what would be done, kept and lost "
            "now. Nothing was done: look again with --show.",
            Exit.WRONG_STATE,
        )
    return Consent.to(
        action.act,
        facts,
        typed=given.host if action.act is Act.KEXEC else "",
        agreed=digest_,
        label=", ".join((action.label, *_by(given))) if action.ask is not Ask.NOTHING else "",
    )


def _refuse_missing(action: Action, given: Given) -> None:
    wanted = []
    if action.ask is Ask.CONFIRM and not (given.yes or given.host or given.digest):
        wanted.append(YES)
    if action.act is Act.KEXEC and not given.host:
        wanted.append(f"{YES_TO} HOSTNAME")
    left = unlisted(action, given.losses) if action.ask is Ask.TYPE else ()
    if left and not given.digest:
        wanted.append(f"{AGREE} DIGEST")
    if not wanted:
        return
    loses = bool(left)
    named = [one.rstrip(".") for one in left]
    lost = f" This would be lost: {few(named, between='; ')}." if loses else ""
    raise NotDone(
        f"{action.label}: it needs {' and '.join(wanted)}.{lost} "
        "Nothing was done; --show says what it does and what to give.",
        Exit.USAGE,
    )


def unlisted(action: Action, losses: Iterable[str]) -> tuple[str, ...]:
    """Return what the act would lose beyond what always goes with it, and beyond ``losses``."""
    listed = frozenset(losses)
    return tuple(one for one in action.beyond if one not in listed)


def _by(given: Given) -> Iterator[str]:
    if given.yes:
        yield f"by {YES}"
    if given.host:
        yield f"by {YES_TO} {given.host}"
    if given.digest:
        yield f"by {AGREE} {given.digest[:_SHORT]}"
    elif given.losses:
        yield "by the plan"
