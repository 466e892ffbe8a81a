# SPDX-License-Identifier: MIT
"""What it means that a list is empty, and what to do then: one or two sentences. Pure.

A list that could not be read is not empty: then that is said, and why.
"""

from __future__ import annotations

from luo_tui.model import Snapshot, State
from luo_tui.update.facts import Facts
from luo_tui.update.guest_list import GuestList
from luo_tui.update.wording import count_text


def no_resources(facts: Facts) -> str:
    """Say what it means that no resource is there."""
    snapshot = facts.snapshot
    if doubts := snapshot.doubts("resources", "state"):
        return f"Whether anything is preserved is not known: {doubts[0]}."
    if snapshot.luo.evidence:
        return "What is in a session is known to its holder alone: the kernel does not list it."
    match snapshot.luo.state:
        case State.NORMAL:
            return (
                "Nothing is preserved: an update now would carry no memory across. Agents preserve "
                "what is theirs; a file is kept by: luo-tui hold FILE --name NAME"
            )
        case State.PREPARED | State.FROZEN:
            return (
                "Nothing was preserved before prepare, and now nothing can be: a kexec would carry "
                "no memory across. To preserve something, cancel first (key c)."
            )
        case State.UPDATED:
            if lost := facts.promises.lost:
                return (
                    f"Nothing came over, and {count_text(len(lost), 'promise')} "
                    f"{'is' if len(lost) == 1 else 'are'} broken: the window (key 5) says which."
                )
            return "Nothing came over with this update, and nothing waits to be restored."
        case State.UNAVAILABLE:
            return (
                "There is no live update on this kernel, so nothing can be preserved. "
                "The overview (key 1) says what is missing."
            )
    return "The kernel is in a state that this program does not know: nothing can be said."


def no_devices(snapshot: Snapshot) -> str:
    """Say what it means that no device is there."""
    if doubts := snapshot.doubts("devices"):
        return (
            "Which devices there are is not known, nor what a kexec would reset: "
            f"{doubts[0]}. The events (key 4) say since when."
        )
    return (
        "This host shows no PCI, virtio or mediated device: there is none that a kexec would reset."
    )


def no_guests(found: GuestList | None) -> str:
    """Say what it means that no guest is there; None while nobody has looked yet."""
    if found is None:
        return "The guests of this host are being looked for ..."
    if found.missing:
        return (
            f"Whether a guest runs here is not known: {found.missing[0]}. "
            "Root sees them all: sudo luo-tui"
        )
    return (
        "No guest runs on this host, so an update ends none: no process is a QEMU, has /dev/kvm "
        "open, or has 256 MiB of memfds."
    )


def no_events(fault: str) -> str:
    """Say what it means that nothing has happened; ``fault`` is why the log cannot be kept."""
    if fault:
        return f"What happened is not known: {fault}"
    return (
        "Nothing has happened yet. Each change of this host and each line of the kernel about "
        "updates will stand here."
    )


def no_windows(fault: str) -> str:
    """Say what it means that no window is listed; ``fault`` is why they cannot be read."""
    if fault:
        return f"Which windows there were is not known: {fault}"
    return (
        "No window was ever opened on this host, or its journal lies elsewhere (--folder). "
        "One opens as soon as a target is loaded: the window (key 5) leads there."
    )


def no_images(folder: str) -> str:
    """Say what it means that no kernel image is listed."""
    return (
        f"There is no kernel image in {folder}, and no boot entry names one. Install the target "
        "kernel, or name its image by its path below."
    )
