# SPDX-License-Identifier: GPL-2.0
"""A root file system whose process 1 is the newest systemd that Debian has, in place of the lab's.

The lab's top layer lies on it, so that the same console and kernels are in it. Its unit
``lab.service`` does what the lab's own init does besides.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cache
import images
import kernels
from machine import Built

SUITE = "sid"
INIT = "lab.init=/usr/lib/systemd/systemd systemd.show_status=no systemd.condition_needs_update=no"
"""What the kernel's command line needs for it."""
_PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "mount", "util-linux", "coreutils", "dash", "bash"),
    *("grep", "sed", "procps", "iproute2", "busybox-static", "dropbear-bin"),
    *("python3", "python3-psutil", "python3-pyudev", "python3-watchdog"),
)
_DROP = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/i18n", "var/cache")
_MASKED = (
    *("getty.target", "serial-getty@ttyS0.service", "systemd-sysext.socket"),
    *("systemd-sysusers.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount"),
    *("systemd-udev-trigger.service", "modprobe@configfs.service", "modprobe@fuse.service"),
    *("modprobe@drm.service", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount"),
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-tracing.mount"),
)
"""What nobody waits for in the lab, where starting a program takes long."""
_MACHINE_ID = "00000000000000000000000000001ab0"
_UP = """mkdir -p /run/lab
mountpoint -q /var/lib/luo-tui || mount -t ext4 /dev/vdc /var/lib/luo-tui
link=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
ip addr add 10.0.2.15/24 dev "$link"
ip link set "$link" up
cat /proc/sys/kernel/random/boot_id >/run/lab/ready
echo "lab: ready: $(uname -r) boot $(cat /run/lab/ready)" >/dev/console
"""
_UNITS = {
    "lab.service": """[Unit]
Description=What the lab needs of its machine
After=local-fs.target dropbear.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -eu /usr/lib/lab/up

[Install]
WantedBy=multi-user.target
""",
    "dropbear.service": """[Unit]
Description=The way in

[Service]
ExecStartPre=/bin/mkdir -p /etc/dropbear
ExecStart=/usr/sbin/dropbear -F -R -s
KillMode=process
""",
}


def with_systemd(built: Built) -> Built:
    """Return what machines are made of that have systemd as process 1; built if it is not there."""
    parts = (SUITE, *_PACKAGES, *_DROP, *_MASKED, _UP, *_UNITS.values())
    name = cache.key(
        *parts, cache.recipe(_build, images.extract, images.compile_python, images.accounts)
    )
    base = cache.make("systemd", name, _build)
    return Built(built.kernels, images.on(base, built.kernels, kernels.modules(built.kernels)))


def _build(work: Path) -> None:
    cache.say(f"building a root file system with {SUITE}'s systemd")
    tree = work / "tree"
    images.extract(tree, _PACKAGES, SUITE)
    for part in _DROP:
        shutil.rmtree(tree / part, ignore_errors=True)
    for part in ("var/lib/luo-tui", "home/watcher", "mnt"):
        (tree / part).mkdir(parents=True, exist_ok=True)
    images.accounts(tree, "messagebus:x:100:", "systemd-journal:x:101:")
    with (tree / "etc/passwd").open("a") as accounts:
        accounts.write("messagebus:x:100:100::/nonexistent:/usr/sbin/nologin\n")
    # Without one it would ask questions on the console (systemd-firstboot(1)).
    (tree / "etc/machine-id").write_text(f"{_MACHINE_ID}\n")
    units = tree / "etc/systemd/system"
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True)
    (tree / "usr/lib/lab").mkdir()
    (tree / "usr/lib/lab/up").write_text(_UP)
    for unit, text in _UNITS.items():
        (units / unit).write_text(text)
        (wants / unit).symlink_to(f"../{unit}")
    for unit in _MASKED:
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    cache.run(["ldconfig", "-r", tree], "indexing its libraries", env=images.with_sbin())
    python = max((tree / "usr/lib").glob("python3.*")).relative_to(tree)
    images.compile_python(tree, tree, str(python), "usr/lib/python3/dist-packages")
    # The tree stays: its Python compiles what the top layer holds.
    images.squash(tree, work / "base.img", level=3)
