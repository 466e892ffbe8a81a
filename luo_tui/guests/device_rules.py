# SPDX-License-Identifier: MIT
"""What of a guest's devices keeps it from being carried: those of the host, and those changed.

The machine is made again from QEMU's arguments. So what was added or removed since
would be missing or too much, and the state would not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from luo_tui.guests.arguments import Option, named
from luo_tui.guests.facts import GuestFacts, MachineFacts
from luo_tui.guests.reason import Reason
from luo_tui.sources.clean import clean

_OF_THE_HOST = {
    "/dev/vfio/": "a PCI device of the host (vfio)",
    "/dev/iommu": "a PCI device of the host (iommufd)",
    "/dev/vhost": "a device in the host's kernel (vhost)",
    "/dev/bus/usb/": "a USB device of the host",
}
_DESCRIPTORS = ("fd", "fds", "vhostfd", "vhostfds", "cmbfd")
_YES = ("on", "yes", "true", "y")
_WINDOWS = ("gtk", "sdl", "curses", "spice-app", "dbus")


def device_reasons(
    facts: GuestFacts, machine: MachineFacts, said: Sequence[Option]
) -> Iterator[Reason]:
    """Yield every reason that lies in the guest's devices."""
    yield from _of_the_host(facts)
    yield from _of_others(machine, said)
    yield from _changed(machine, said)
    if machine.display in _WINDOWS:
        yield Reason(
            "display",
            f"it has a window ({clean(machine.display)}), which would not be there",
            "Start it with -display none, or with -vnc.",
        )


def _of_the_host(facts: GuestFacts) -> Iterator[Reason]:
    links = set(facts.process.links.values())
    for prefix, what in _OF_THE_HOST.items():
        for link in sorted(link for link in links if link.startswith(prefix)):
            remedy = "Unplug it before the update."
            if prefix == "/dev/vhost":
                remedy = "Start it with vhost=off."
            yield Reason("host-device", f"it has {what}: {clean(link)}", remedy)


def _of_others(machine: MachineFacts, said: Sequence[Option]) -> Iterator[Reason]:
    for option in said:
        inherited = [k for k in option.keys if k.rpartition(".")[2] in _DESCRIPTORS]
        if option.name == "add-fd" or inherited or "/dev/fdset/" in option.text:
            yield Reason(
                "inherited-descriptor",
                f"it has a descriptor of whoever started it (-{clean(option.name)} "
                f"{clean(option.text)})",
                "Give it a path or a name in its place.",
            )
        if option.name == "tpmdev":
            yield Reason("tpm", "its TPM is kept by another program", "Run it without a TPM.")
        if option.keys.get("qom-type", "").startswith(("sev-", "tdx-")):
            yield Reason(
                "confidential", "its memory is encrypted by the processor", "Shut it down before."
            )
        if _is_client(option) and not inherited:
            yield Reason(
                "needs-another",
                f"it is connected to another program (-{clean(option.name)} "
                f"{clean(option.text)}), which ends with this kernel",
                "Have it listen itself (server=on,wait=off), or run it without.",
            )
    kinds = {k for o in named(said, "netdev", "device") for k in (_kind(o),)}
    kinds |= set(machine.devices.values()) | set(machine.anonymous)
    for kind in sorted(k for k in kinds if k.startswith("vhost-")):
        yield Reason(
            "vhost",
            f"a part of it runs in another program or in the kernel ({clean(kind)})",
            "Use the device that QEMU itself runs.",
        )


def _is_client(option: Option) -> bool:
    """Whether it connects to a socket, on which another program has to listen then."""
    if option.name == "chardev":
        keys = option.keys
        return keys.get("backend") == "socket" and keys.get("server") not in _YES
    if option.name in ("serial", "parallel", "monitor", "qmp", "gdb"):
        kind, _, rest = option.text.partition(":")
        words = rest.split(",")[1:]
        return kind in ("unix", "tcp") and not {"server", *(f"server={y}" for y in _YES)} & {*words}
    return False


def _kind(option: Option) -> str:
    return option.keys.get("type" if option.name == "netdev" else "driver", "")


def _changed(machine: MachineFacts, said: Sequence[Option]) -> Iterator[Reason]:
    devices = named(said, "device")
    wanted = {o.keys["id"] for o in devices if "id" in o.keys}
    for id_ in sorted(set(machine.devices) - wanted):
        yield Reason(
            "plugged",
            f"the device {clean(id_)} ({clean(machine.devices[id_])}) was added since it began",
            "Remove it again (device_del), or restart the guest with it.",
        )
    for id_ in sorted(wanted - set(machine.devices)):
        yield Reason(
            "unplugged",
            f"the device {clean(id_)} was removed since it began",
            "Add it again (device_add), or restart the guest without it.",
        )
    least = sum("id" not in o.keys for o in devices)
    # These make a device by themselves, by QEMU's version and machine.
    most = least + len(named(said, "virtfs", "usbdevice", "audio", "soundhw", "watchdog"))
    most += sum(o.keys.get("if", "") in ("virtio", "") for o in named(said, "drive"))
    if not least <= len(machine.anonymous) <= most:
        yield Reason(
            "plugged",
            f"it has {len(machine.anonymous)} devices without an id, and was given {least}",
            "Restart the guest, with an id for each device.",
        )
    objects = {o.keys.get("id", "") for o in named(said, "object")}
    for id_ in sorted(objects - machine.objects):
        yield Reason(
            "unplugged",
            f"the object {clean(id_)} was removed since it began",
            "Restart the guest without it.",
        )
    own = {memory.id for memory in machine.memories}
    # Objects as well, from QEMU 11 on.
    own |= {o.keys["id"] for o in named(said, "mon") if "id" in o.keys}
    for id_ in sorted(machine.objects - objects - own):
        yield Reason(
            "plugged",
            f"the object {clean(id_)} was added since it began",
            "Remove it again (object-del), or restart the guest with it.",
        )
