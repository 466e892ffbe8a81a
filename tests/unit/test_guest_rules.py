# SPDX-License-Identifier: MIT
"""Rules on guests, where no QEMU can be had that breaks them; and command lines as text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.guests import arguments
from luo_tui.guests.facts import (
    Disk,
    Disposition,
    GuestFacts,
    MachineFacts,
    Memfd,
    Memory,
    ProcessFacts,
)
from luo_tui.guests.machine import read_machine
from luo_tui.guests.process import file_system
from luo_tui.guests.rules import judge
from luo_tui.sources.processes import running
from luo_tui.sources.qemu import is_qemu

SETTINGS = settings(max_examples=60, deadline=None, database=None)
ARGV = (
    *("qemu-system-x86_64", "-name", "guest=db1,debug-threads=on", "-m", "64"),
    *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
    *("-machine", "pc,memory-backend=ram", "-qmp", "unix:/run/db1.qmp,server=on,wait=off"),
    *("-drive", "file=/srv/db1.img,format=raw,if=virtio"),
)
MACHINE = MachineFacts(
    version=(7, 2, 22),
    name="db1",
    status="running",
    memory_bytes=64 << 20,
    memories=(Memory("ram", 64 << 20, True, "memory-backend-memfd"),),
    capabilities=frozenset({"x-ignore-shared"}),
    blocked=(),
    migration="",
    type="pc-i440fx-7.2",
    disks=(Disk("virtio0", "/srv/db1.img"),),
    devices={},
    anonymous=("virtio-blk-pci",),
    objects=frozenset({"ram"}),
    display="none",
)
PROCESS = ProcessFacts(
    7, 1, ARGV, "/usr/bin/qemu-system-x86_64", "/", 0, 0, {}, (Memfd(12, (1, 2), 64 << 20, False),)
)
GOOD = GuestFacts(PROCESS, MACHINE, "/run/db1.qmp", descriptors={"ram": 12})


def with_machine(**changes: object) -> GuestFacts:
    return replace(GOOD, machine=replace(MACHINE, **changes))  # type: ignore[arg-type]


def with_process(**changes: object) -> GuestFacts:
    return replace(GOOD, process=replace(PROCESS, **changes))  # type: ignore[arg-type]


def with_arguments(*more: str) -> GuestFacts:
    return with_process(argv=(*ARGV, *more))


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("", GOOD),
        ("old-qemu", with_machine(capabilities=frozenset({"events"}))),
        ("memory-copied", with_machine(version=(8, 2, 0))),
        ("memory-copied", with_machine(version=(10, 0, 2))),
        ("unmigratable", with_machine(blocked=("non-migratable device: 00:04.0/nvme",))),
        ("display", with_machine(display="gtk")),
        ("state", with_machine(status="guest-panicked")),
        ("private-memory", with_machine(memory_bytes=128 << 20)),
        ("no-memfd", replace(with_process(memfds=()), descriptors={})),
        ("huge-pages", with_process(memfds=(Memfd(12, (1, 2), 64 << 20, True),))),
        ("host-device", with_process(links={30: "/dev/vfio/12"})),
        ("host-device", with_process(links={30: "/dev/vfio/devices/vfio0"})),
        ("host-device", with_process(links={30: "/dev/iommu"})),
        ("host-device", with_process(links={30: "/dev/vhost-net"})),
        ("host-device", with_process(links={30: "/dev/bus/usb/001/004"})),
        ("inherited-descriptor", with_arguments("-netdev", "tap,id=n,fds=30:31")),
        ("inherited-descriptor", with_arguments("-netdev", '{"type":"tap","id":"n","fd":"30"}')),
        ("tpm", with_arguments("-tpmdev", "emulator,id=t,chardev=c")),
        ("confidential", replace(with_machine(objects=frozenset({"ram", "sev0"})), process=replace(
            PROCESS, argv=(*ARGV, "-object", "sev-guest,id=sev0,policy=1")))),
        ("vhost", with_arguments("-netdev", "vhost-user,id=n,chardev=c")),
        ("vhost", with_machine(anonymous=("virtio-blk-pci", "vhost-vsock-pci"))),
        ("needs-another", with_arguments("-chardev", "socket,id=c,path=/run/c.sock")),
        ("", with_arguments("-chardev", "socket,id=c,path=/run/c.sock,server,nowait")),
        ("capabilities", with_process(uid=64055, capabilities=1 << 12)),
        ("container", with_process(root="/srv/jail")),
        ("disk-without-path", with_machine(disks=(
            Disk("virtio0", "/srv/db1.img"), Disk("virtio1", "nbd://127.0.0.1:10809/x")))),
        ("not-read", replace(GOOD, missing=("its mounts could not be read: Permission denied",))),
        ("", replace(GOOD, process=replace(PROCESS, exe="/usr/bin/qemu-system-x86_64 (deleted)"))),
    ],
)  # fmt: skip
def test_what_forbids_it(code: str, facts: GuestFacts) -> None:
    (guest,) = judge([facts])
    assert code in {reason.code for reason in guest.refusals} if code else not guest.refusals
    wanted = {"": Disposition.CARRIED, "not-read": Disposition.UNKNOWN}
    assert guest.disposition is wanted.get(code, Disposition.LOST)


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("balloon", with_machine(devices={"b": "virtio-balloon-pci"})),
        ("program-replaced", with_process(exe="/usr/bin/qemu-system-x86_64 (deleted)")),
        ("service", with_process(unit="db1.service")),
        ("terminal", with_arguments("-serial", "mon:stdio")),
        ("tap", with_arguments("-netdev", "tap,id=n,ifname=tap7")),
    ],
)
def test_what_is_to_be_known(code: str, facts: GuestFacts) -> None:
    (guest,) = judge([facts])
    assert [reason.code for reason in guest.warnings] == [code]


def test_those_that_would_be_lost_stand_first_and_names_are_harmless() -> None:
    lost = replace(
        with_machine(name="z\x1b[2J", version=(9, 0, 0)), process=replace(PROCESS, pid=8)
    )
    guests = judge([GOOD, lost])
    assert [g.name for g in guests] == ["z\\x1b[2J", "db1"]
    nameless = replace(with_process(argv=ARGV[:1]), machine=None)
    assert judge([nameless])[0].name == "qemu-7"


def test_an_image_that_qemu_tells_by_its_options() -> None:
    told = {"driver": "qcow2", "file": {"driver": "file", "filename": "/srv/db1.img"}}
    assert arguments.image_path("json:" + json.dumps(told)) == "/srv/db1.img"
    assert arguments.image_path("json:{") == ""
    assert arguments.image_path("json:[]") == ""
    assert arguments.image_path("nbd+unix:///x?socket=/run/nbd") == ""
    assert arguments.image_path("/srv/a:b.img") == "/srv/a:b.img"


def test_nodes_of_disks_are_followed_to_their_files() -> None:
    argv = (
        "qemu-kvm",
        *("-blockdev", "driver=file,node-name=f,filename=/srv/a.qcow2"),
        *("-blockdev", '{"driver":"qcow2","node-name":"q","file":"f","backing":"b"}'),
        *("-blockdev", "driver=qcow2,node-name=b,file.driver=file,file.filename=/srv/base.qcow2"),
        *("-device", "virtio-blk-pci,drive=q"),
        *("-cdrom", "/srv/cd.iso", "-S", "/srv/bare.img"),
    )
    found = arguments.options(argv)
    assert arguments.top_files(found) == ("/srv/cd.iso", "/srv/bare.img", "/srv/a.qcow2")
    assert set(arguments.disk_files(found)) == {*arguments.top_files(found), "/srv/base.qcow2"}


def test_sockets_of_qmp() -> None:
    argv = (
        "qemu-system-x86_64",
        *("-qmp", "unix:/run/a,server=on,wait=off", "-qmp", "tcp:127.0.0.1:4444,server=on"),
        *("-chardev", "socket,id=m,path=/run/b,server=on,wait=off", "-mon", "m,mode=control"),
        *("-chardev", "socket,id=h,path=/run/c,server=on,wait=off", "-mon", "chardev=h"),
    )
    assert arguments.qmp_sockets(arguments.options(argv)) == ("/run/a", "/run/b")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@SETTINGS
@given(st.dictionaries(st.from_regex(r"[a-z][a-z.-]{0,8}", fullmatch=True), TEXT, max_size=5))
def test_every_value_comes_through_the_commas(values: dict[str, str]) -> None:
    text = ",".join(f"{k}={v.replace(',', ',,')}" for k, v in {"id": "x", **values}.items())
    (option,) = arguments.options(("qemu-kvm", "-object", text))
    assert option.keys == {"id": "x", **values}


@SETTINGS
@given(st.lists(st.one_of(TEXT, st.sampled_from(("-S", "-object", "-drive", "-mon", "{", "-")))))
def test_no_command_line_is_too_much(words: list[str]) -> None:
    judge([with_arguments(*words)])
    judge([replace(with_arguments(*words), machine=None)])


@SETTINGS
@given(
    st.lists(st.sampled_from(("-S", "-daemonize", "-cpu host", "-incoming tcp:0:1", "-loadvm a")))
)
def test_what_is_loaded_is_the_same_machine(more: list[str]) -> None:
    argv = (*ARGV, *(word for both in more for word in both.split()))
    new = arguments.to_load(argv, "pc-i440fx-7.2", {"ram": (9, 64 << 20)})
    said = "memory-backend-file,id=ram,size=67108864,share=on,mem-path=/proc/self/fd/9"
    assert [o.text for o in arguments.options(new) if o.name == "object"] == [said]
    assert [o.text for o in arguments.options(new) if o.name == "incoming"] == ["defer"]
    assert [o for o in new if o in ("-S", "-daemonize", "-loadvm")] == [
        o for o in more if o in ("-S", "-daemonize")
    ]
    # As often as it is updated, nothing is added.
    assert arguments.to_load(new, "pc-i440fx-7.2", {"ram": (9, 64 << 20)}) == new


def test_what_else_a_memory_object_says_is_kept() -> None:
    said = {
        "qom-type": "memory-backend-memfd", "id": "ram", "size": 1, "seal": True, "policy": "bind",
        "host-nodes": [0],
    }  # fmt: skip
    argv = (
        "q",
        "-object",
        json.dumps(said),
        "-object",
        "memory-backend-memfd,id=b,size=1,merge=off",
    )
    new = arguments.to_load(argv, "q35", {"ram": (3, 5), "b": (4, 6)})
    assert json.loads(new[2]) == {
        "qom-type": "memory-backend-file", "id": "ram", "size": 5, "share": True,
        "mem-path": "/proc/self/fd/3", "policy": "bind", "host-nodes": [0],
    }  # fmt: skip
    assert new[4] == "memory-backend-file,id=b,size=6,share=on,mem-path=/proc/self/fd/4,merge=off"
    with pytest.raises(KeyError):
        arguments.to_load(argv, "q35", {"c": (3, 5)})


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    mounts = (
        "1 0 8:1 / / rw - ext4 /dev/vda rw\n"
        "2 1 0:9 / /run rw - tmpfs run rw\n"
        "3 2 8:2 / /run/my\\040disk rw shared:1 - xfs /dev/vdb rw\n"
        "nonsense\n"
    )
    wanted = {"/srv/x": "ext4", "/run/x": "tmpfs", "/run/my disk/x": "xfs", "/running": "ext4"}
    assert {path: file_system(Path(path), mounts) for path in wanted} == wanted
    assert file_system(Path("/x"), "") == ""


def test_programs_are_known_by_their_names() -> None:
    for name in ("qemu-system-x86_64", "qemu-kvm", ".qemu-system-aarch64-wrapped"):
        assert is_qemu(name)
    for name in ("qemu-img", "qemu-nbd", "vim qemu-kvm", "qemu-ga", ""):
        assert not is_qemu(name)


def test_a_scan_of_programs_that_cannot_be_whole_says_so(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "exe").symlink_to("/usr/bin/qemu-kvm (deleted)")
    there = running(tmp_path, is_qemu)
    assert there.pids == (7,)
    assert there.missing, "the first process is hidden, so others may be"
    (tmp_path / "1").mkdir()
    assert running(tmp_path, is_qemu).missing == ""
    assert running(tmp_path / "none", is_qemu).missing.endswith("No such file or directory")


class Answers:
    """A QEMU whose objects are these; of the rest it says what it has to."""

    version = (11, 1, 3)

    def __init__(self, objects: dict[str, str]) -> None:
        self._said = {
            "query-memory-size-summary": {"base-memory": 64 << 20},
            "query-migrate": {},
            "query-migrate-capabilities": [{"capability": "x-ignore-shared"}],
            "query-name": {"name": "db1"},
            "query-status": {"status": "running"},
            "query-block": [],
            "query-memdev": [{"id": "ram", "size": 64 << 20, "share": True}],
            "query-display-options": {"type": "none"},
        }
        self._objects = [{"name": n, "type": f"child<{k}>"} for n, k in objects.items()]

    def command(self, name: str, about: dict[str, str] | None = None) -> object:
        if name == "qom-list":
            assert about is not None
            return self._objects if about["path"] == "/objects" else []
        if name == "qom-get":
            assert about is not None
            return {"type": "pc-machine", "mem-path": "/proc/self/fd/9"}[about["property"]]
        return self._said[name]


def test_what_qemu_11_makes_of_its_monitors_was_not_plugged_in() -> None:
    own = {"compat_monitor0": "monitor-qmp", "compat_monitor1": "monitor-hmp"}
    found = read_machine(Answers({"ram": "memory-backend-file", **own}))  # type: ignore[arg-type]
    assert found.objects == {"ram"}
    # What has such a name and is no monitor is an object like others.
    found = read_machine(Answers({"ram": "memory-backend-file", "compat_monitor0": "secret"}))  # type: ignore[arg-type]
    assert found.objects == {"ram", "compat_monitor0"}


def test_a_monitor_with_an_id_is_an_object_that_its_arguments_name() -> None:
    facts = with_machine(objects=frozenset({"ram", "mon1"}))
    (guest,) = judge([facts])
    assert [r.code for r in guest.refusals] == ["plugged"]
    mon = ("-chardev", "socket,id=c1,path=/run/m,server=on", "-mon", "id=mon1,chardev=c1")
    process = replace(PROCESS, argv=(*ARGV, *mon))
    (guest,) = judge([replace(facts, process=process)])
    assert guest.refusals == ()
