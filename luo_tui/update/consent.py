# SPDX-License-Identifier: MIT
"""What an operator agreed to, and what has changed since. Pure.

A consent says exactly what was agreed to. Whatever grew since then (more is
lost, fewer survive, another file under the same name) makes it void: a standing
question is withdrawn and the act refuses, both by :func:`objection`. What is
only better than it was shown does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from luo_tui.errors import Exit
from luo_tui.model import FileIdentity, KernelImage, Participant, Resource, State
from luo_tui.update.device_outcome import Outcome, device_outcomes
from luo_tui.update.facts import Act, Facts
from luo_tui.update.offers import DISCARD, word_to_type
from luo_tui.update.promises import taking_part
from luo_tui.update.rules import RESTS_ON, Refusal
from luo_tui.update.through_init import handed_over, kept_sessions
from luo_tui.update.uncarried import uncarried
from luo_tui.update.wording import change_text, count_text


@dataclass(frozen=True, slots=True)
class AgreedTarget:
    """The kernel that was agreed to."""

    release: str
    image: FileIdentity | None
    initrd: FileIdentity | None
    command_line: str


@dataclass(frozen=True, slots=True)
class Consent:
    """An operator's yes to one act, with the facts that were on the screen when it was given."""

    act: Act
    host: str
    boot_id: str
    state: State
    outgoing: tuple[Resource, ...] = ()
    """Shown as preserved: they survive."""
    incoming: tuple[Resource, ...] = ()
    """Shown as what no process has: finish discards them."""
    carried: tuple[str, ...] = ()
    """Devices shown as running on."""
    participants: tuple[Participant, ...] = ()
    """Devices and subsystems shown as taking part."""
    through: str = ""
    """Init system that was shown as what makes the jump; empty: nothing stands in between."""
    stores: tuple[tuple[str, int], ...] = ()
    """Units whose descriptors were shown as handed over by it, each with their number."""
    lost: tuple[str, ...] = ()
    """Promises of the jump into this kernel that were shown as lost, by name."""
    uncarried: tuple[int, ...] = ()
    """Guests shown as not preserved, by process id."""
    unknown: tuple[str, ...] = ()
    """What was shown as not known of the guests that would be lost."""
    endangered: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Devices shown as taken from somebody, each with its users."""
    doubts: tuple[str, ...] = ()
    """What could not be read when it was given of what the act rests on; empty: it was whole."""
    target: AgreedTarget | None = None
    foreign_image: bool = False
    """Whether it was shown that an image which somebody else loaded is dropped or replaced."""
    acts_seen: int = 0
    """Acts of others that need no window (hold, restore), as far as they were shown."""
    typed: str = ""
    """What was typed; only what loses something has to be typed for."""
    agreed: str = ""
    """:func:`digest` of what was agreed to, where it was given in place of a typed word."""
    label: str = ""
    """The outcome as the answer named it; empty where nothing was asked."""
    gone: str = ""
    """Who was shown as gone; for taking over alone."""
    who: str = ""
    """Who agreed."""

    @classmethod
    def to(
        cls, act: Act, shown: Facts, *, typed: str = "", label: str = "", agreed: str = ""
    ) -> Consent:
        """Build a consent from the facts that the operator saw."""
        snapshot = shown.snapshot
        outcomes = device_outcomes(snapshot) if act is Act.KEXEC else ()
        with_target = act in (Act.LOAD, Act.PREPARE, Act.KEXEC)
        return cls(
            act=act,
            host=snapshot.host.name,
            boot_id=snapshot.host.boot_id,
            state=snapshot.luo.state,
            outgoing=snapshot.outgoing if act in (Act.PREPARE, Act.KEXEC) else (),
            incoming=shown.discarded if act is Act.FINISH else (),
            carried=tuple(o.device.id for o in outcomes if o.outcome is Outcome.CARRIED),
            participants=_participants(shown) if act is Act.KEXEC else (),
            through=shown.through.name if act is Act.KEXEC and shown.through else "",
            stores=_stores(shown) if act is Act.KEXEC else (),
            lost=tuple(o.label for o in shown.promises.lost) if act is Act.FINISH else (),
            uncarried=tuple(g.pid for g in uncarried(shown)) if act is Act.KEXEC else (),
            unknown=shown.work.missing if act is Act.KEXEC and shown.work is not None else (),
            endangered=tuple((o.device.id, o.device.users) for o in outcomes if o.dangerous),
            doubts=snapshot.doubts(*RESTS_ON[act]) if act in RESTS_ON else (),
            target=agreed_target(shown) if with_target else None,
            foreign_image=shown.foreign_is_loaded,
            acts_seen=shown.acts_seen,
            typed=typed,
            agreed=agreed,
            label=label,
            gone=str(shown.gone_holder or "") if act is Act.TAKE_OVER else "",
            who=str(shown.me or ""),
        )


def _participants(facts: Facts) -> tuple[Participant, ...]:
    return taking_part(facts.snapshot) if facts.through is None else kept_sessions(facts)


def _stores(facts: Facts) -> tuple[tuple[str, int], ...]:
    if facts.through is None:
        return ()
    return tuple((s.unit, s.promised) for s in handed_over(facts.through))


def agreed_target(facts: Facts) -> AgreedTarget | None:
    """Return what there is to agree to; None where no target is chosen."""
    image: KernelImage | None = facts.image
    if image is None:
        return None
    return AgreedTarget(image.release, image.identity, image.initrd_identity, facts.command_line)


def digest(consent: Consent) -> str:
    """Return the SHA-256 of what a consent is to, in hexadecimal; not of who gave it, and how.

    It is the same for the same facts in every process, and another one as soon
    as anything differs by which :func:`objection` goes, be it to the better.
    """
    target = consent.target
    files = [target.image, target.initrd] if target else []
    to = {
        "act": consent.act,
        "host": [consent.host, consent.boot_id],
        "state": consent.state,
        "outgoing": [[r.token, r.kind, r.name, r.pid, r.bytes] for r in consent.outgoing],
        "incoming": [[r.token, r.name, r.bytes, r.abandoned] for r in consent.incoming],
        "carried": sorted(consent.carried),
        "participants": sorted([p.kind, p.name] for p in consent.participants),
        **({"through": [consent.through, *consent.stores]} if consent.through else {}),
        "lost": sorted(consent.lost),
        "uncarried": sorted(consent.uncarried),
        "unknown": sorted(consent.unknown),
        "endangered": sorted([id_, sorted(users)] for id_, users in consent.endangered),
        "doubts": sorted(consent.doubts),
        "target": [target.release, target.command_line] if target else None,
        "files": [[f.path, f.sha256] if f else None for f in files],
        "foreign_image": consent.foreign_image,
        "acts_seen": consent.acts_seen if _others_acted in _ASKED[consent.act] else None,
        "gone": consent.gone,
    }
    text = json.dumps(to, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def objection(consent: Consent, now: Facts) -> Refusal | None:
    """Say what has changed since the consent so that it is void; None where it still holds."""
    asks = (*_ASKED[consent.act], _not_as_agreed)
    changed = next(filter(None, (ask(consent, now) for ask in asks)), "")
    if not changed:
        return None
    return Refusal(f"{changed} Nothing was done: look again.", Exit.WRONG_STATE)


def wrong_word(consent: Consent, now: Facts) -> Refusal | None:
    """Refuse an act that loses something, where its word was not typed."""
    word = word_to_type(consent.act, now)
    if consent.agreed and word == DISCARD and consent.act is not Act.KEXEC:
        # Closer than the word: :func:`objection` holds it against all that is lost now.
        return None
    # A kexec without a word to type is none that could be agreed to.
    if consent.typed == word if word else consent.act is not Act.KEXEC:
        return None
    return Refusal(
        f"What was typed is not {word!r}, and something would be lost: nothing was done.",
        Exit.REFUSED,
    )


def _elsewhere(consent: Consent, now: Facts) -> str:
    host = now.snapshot.host
    if (host.name, host.boot_id) == (consent.host, consent.boot_id):
        return ""
    return "This is another host, or another boot, than the consent was given on."


def _not_whole(consent: Consent, now: Facts) -> str:
    del now
    doubt = next(iter(consent.doubts), "")
    return f"What was agreed to had not been read whole: {doubt}." if doubt else ""


def _not_as_agreed(consent: Consent, now: Facts) -> str:
    if consent.agreed in ("", digest(Consent.to(consent.act, now))):
        return ""
    return "What would be done, kept or lost is no longer what the digest was given for."


def _state_changed(consent: Consent, now: Facts) -> str:
    state = now.snapshot.luo.state
    return "" if state is consent.state else f"The state was {consent.state} and is now {state}."


def _holder_changed(consent: Consent, now: Facts) -> str:
    gone = now.gone_holder
    if str(gone or "") == consent.gone:
        return ""
    if gone is None:
        return "There is nothing to take over any more."
    return f"The window was left open by {gone}: take it over first."


def _foreign_came(consent: Consent, now: Facts) -> str:
    if consent.foreign_image or not now.foreign_is_loaded:
        return ""
    return "An image that somebody else loaded is there now."


def _target_changed(consent: Consent, now: Facts) -> str:
    agreed, found = consent.target, agreed_target(now)
    if agreed is None or found is None:
        return "No target kernel was agreed to." if agreed is None else "There is no target now."
    if agreed.release != found.release:
        return f"The target was {agreed.release} and is now {found.release}."
    if agreed.command_line != found.command_line:
        return "The command line for the target is another one than was shown."
    for what, then, there in (
        ("image", agreed.image, found.image),
        ("initrd", agreed.initrd, found.initrd),
    ):
        if then is None and there is None:
            continue
        if then is None or there is None or (then.path, then.sha256) != (there.path, there.sha256):
            path = there.path if there else (then.path if then else "")
            return f"The {what} {path} is another file than was agreed to."
    return ""


def _fewer_survive(consent: Consent, now: Facts) -> str:
    there = {r.token: r for r in now.snapshot.outgoing}
    for then in consent.outgoing:
        found = there.get(then.token)
        if found is None or (found.kind, found.name, found.pid) != (then.kind, then.name, then.pid):
            return f"{then.label} was shown as preserved and is no longer."
        if found.bytes < then.bytes:
            return f"{then.label} has shrunk: {change_text(then.bytes, found.bytes)}."
    return ""


def _more_is_lost(consent: Consent, now: Facts) -> str:
    known = {r.token: r.name for r in consent.incoming}
    more = [r for r in now.discarded if known.get(r.token) != r.name]
    if more and more[0].abandoned:
        return f"{more[0].label} was restored, and no process has it any more."
    if more:
        return f"More is unrestored than was shown: {more[0].label}."
    gone = [o for o in now.promises.lost if o.label not in consent.lost]
    return f"More is lost than was shown: {gone[0]}." if gone else ""


def _others_acted(consent: Consent, now: Facts) -> str:
    if consent.acts_seen == now.acts_seen:
        return ""
    return "Something was held, restored or unpreserved on this host since."


def _devices_changed(consent: Consent, now: Facts) -> str:
    shown = dict(consent.endangered)
    found = device_outcomes(now.snapshot)
    carried = {o.device.id for o in found if o.outcome is Outcome.CARRIED}
    for id_ in consent.carried:
        if id_ not in carried:
            return f"Device {id_} was shown as running on and would not."
    for one in found:
        if not one.dangerous:
            continue
        if one.device.id not in shown:
            return f"Device {one.device.id} would be taken from somebody, and was not shown so."
        new = [u for u in one.device.users if u not in shown[one.device.id]]
        if new:
            return f"Device {one.device.id} is now used by {new[0]}, too."
    return ""


def _fewer_take_part(consent: Consent, now: Facts) -> str:
    there = {(p.kind, p.name) for p in _participants(now)}
    for one in consent.participants:
        if (one.kind, one.name) not in there:
            return f"{one.label} was shown as taking part and does not any more."
    return ""


def _otherwise_handed_over(consent: Consent, now: Facts) -> str:
    if consent.through != (now.through.name if now.through is not None else ""):
        return "It was agreed to jump in another way."
    there = dict(_stores(now))
    for unit, number in consent.stores:
        if there.get(unit, 0) < number:
            those = count_text(number, "descriptor")
            return f"{unit} was shown with {those} to hand over, and has fewer now."
    return ""


def _more_guests_end(consent: Consent, now: Facts) -> str:
    for guest in uncarried(now):
        if guest.pid not in consent.uncarried:
            return f"{guest.label} runs and is not preserved: it was not shown as lost."
    return ""


def _less_is_known(consent: Consent, now: Facts) -> str:
    for sentence in now.work.missing if now.work is not None else ():
        if sentence not in consent.unknown:
            return f"What would be lost is not known any more: {sentence}."
    return ""


_Ask = Callable[[Consent, Facts], str]
_ALWAYS: tuple[_Ask, ...] = (_elsewhere, _state_changed, _not_whole)
_ASKED: Mapping[Act, tuple[_Ask, ...]] = {
    Act.TAKE_OVER: (*_ALWAYS, _holder_changed),
    Act.LOAD: (*_ALWAYS, _foreign_came, _target_changed),
    Act.UNLOAD: (*_ALWAYS, _foreign_came),
    Act.PREPARE: (*_ALWAYS, _target_changed, _fewer_survive, _others_acted),
    Act.CANCEL: _ALWAYS,
    Act.KEXEC: (
        *_ALWAYS,
        _target_changed,
        _fewer_survive,
        _devices_changed,
        _fewer_take_part,
        _otherwise_handed_over,
        _more_guests_end,
        _less_is_known,
        _others_acted,
    ),
    Act.FINISH: (*_ALWAYS, _more_is_lost, _others_acted),
}
"""What makes a consent to each act void."""
