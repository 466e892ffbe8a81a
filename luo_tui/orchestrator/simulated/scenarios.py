# SPDX-License-Identifier: MIT
"""Failures to order, each with a sentence for ``luo-tui demo --list``."""

from __future__ import annotations

SCENARIOS = {
    "default": "an update that goes well",
    "prepare-refused": "a participant refuses to prepare",
    "freeze-refused": "a participant refuses to freeze",
    "kexec-no-image": "the loaded image is gone when the kexec comes",
    "target-incompatible": "the target's luo.ko reads another format",
    "nothing-restored": "nobody restores anything after the kexec",
    "memory-short": "the largest guest cannot be restored until memory is free again",
    "guest-not-carried": "a guest of QEMU runs whose memory nobody preserves: the kexec ends it",
    "guest-does-not-load": "a guest's memory comes over, and its process cannot go on with it",
    "device-lost": "a network card that should come over alive is lost on the way",
    "source-dies": "the source of the resources dies, and comes back, again and again",
    "overrun": "more events come at once than the source holds",
    "second-operator": "another operator has the window, loads, prepares and cancels",
    "crowd": "10,000 resources, or as many as there may be open files",
}

NEEDS_LIFE = frozenset({"source-dies", "overrun", "second-operator"})
"""Those in which nothing happens while the host stands still."""

NOT_IMITATED = (
    "a prepared file can still be resized by whoever holds a descriptor of it",
    "preparing costs no memory and fills no holes",
    "only the processes of guests come back by themselves after the kexec",
    "the console itself comes over the kexec, where a real one is started anew",
)
"""Where the simulated kernel is not like the real one."""
