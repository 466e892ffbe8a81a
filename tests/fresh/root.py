# SPDX-License-Identifier: MIT
"""Roots of a fresh Debian: what mmdebstrap makes, with what the README asks for and no more.

``bare`` has the README's prerequisites, ``full`` has ``kernel/lab/packages`` besides,
put there by ``make packages``. Both are kept in the cache and never written to again.
A command runs in one of them in namespaces of its own: what it writes lies in memory,
and is gone with it, except for the root user's cache, which holds kernels.

Of the host they have: its mirror and apt's network settings, pip's settings, its
certificates where it names some, its resolver. Nothing else comes in: no variable, no
Python, no file of a home.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cache
import source

USER = "visitor"
_HOME = f"/home/{USER}"
_CHECKOUT = f"{_HOME}/luo-tui"
_UID = 1000
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_INSIDE = "/run/host-certificates.pem"
# Part of what the host's apt is: how it names its own indexes, and for whom.
_NOT_NETWORK = ("Acquire::IndexTargets", "Acquire::Changelogs", "Acquire::Languages")


@dataclass(frozen=True)
class Root:
    """One root in the cache; commands run above it, and leave nothing in it."""

    tree: Path
    suite: str
    work: Path
    """A folder for this root's use alone."""
    shared: Sequence[Path] = ()
    """Folders of the host's that lie at the same place inside, for the root user."""

    def run(self, command: str, *, root: bool = False) -> str:
        """Run a shell command in a copy of the checkout; return what it printed.

        LabError with the last of it if it fails.
        """
        checkout = self.work / "checkout"
        if not checkout.exists():
            copy_checkout(checkout)
        above = self.work / "above"
        above.mkdir(exist_ok=True)
        inside = above / "root"
        mounts = [
            f"mount -t tmpfs -o mode=755 fresh {above}",
            f"mkdir {above}/upper {above}/work {inside}",
            f"mount -t overlay fresh {inside} -o"
            f" lowerdir={self.tree},upperdir={above}/upper,workdir={above}/work",
        ]
        if root:
            folder = cache.root() / f"fresh-{self.suite}"
            folder.mkdir(exist_ok=True)
            mounts += _bind(folder, inside, cache.root())
            mounts += [line for path in self.shared for line in _bind(path, inside, path)]
        mounts += _bind(checkout, inside, Path(_CHECKOUT))
        return _enter(inside, mounts, command, root=root)


def bare(suite: str) -> Path:
    """Return a root with what the README asks for, in which ``make demo`` has run once."""
    wanted = prerequisites()
    name = cache.key(
        suite,
        *wanted,
        cache.CHECKOUT / "Makefile",
        cache.CHECKOUT / "pyproject.toml",
        cache.recipe(_build_bare, _enter),
    )
    return cache.make("bare", name, lambda work: _build_bare(work, suite, wanted)) / "tree"


def full(suite: str) -> Path:
    """Return a root with all packages, and all of Python that the tests need."""
    below = bare(suite)
    name = cache.key(str(below), cache.LAB / "packages", cache.recipe(_build_full, _enter))
    return cache.make("full", name, lambda work: _build_full(work, below)) / "tree"


def prerequisites() -> list[str]:
    """Return the packages that the README tells a newcomer to install."""
    (text,) = re.findall(r"`apt install ([^`]+)`", (cache.CHECKOUT / "README.md").read_text())
    return str(text).split()


def _build_bare(work: Path, suite: str, wanted: Sequence[str]) -> None:
    cache.say(f"making a fresh {suite}, with {' '.join(wanted)}")
    tree = work / "tree"
    settings = work / "apt.conf"
    settings.write_text(_apt_settings())
    cache.run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(wanted)}",
         f"--aptopt={settings}", suite, tree,
         f"deb [signed-by={source.KEYRING}] {source.mirror()} {suite} main"],
        f"making a fresh {suite} (check the network, then repeat)",
    )  # fmt: skip
    cache.run(
        ["chroot", tree, "useradd", "-m", "-s", "/bin/bash", "-u", str(_UID), USER],
        "making its user",
    )
    _in_place(work, tree, ["make demo ARGS=--list"])


def _build_full(work: Path, below: Path) -> None:
    cache.say("installing the packages in it")
    tree = work / "tree"
    cache.run(["cp", "-a", below, tree], "copying the fresh root")
    _in_place(work, tree, ["make packages"], root=True)
    _in_place(work, tree, ["make -s venv"])


def _in_place(work: Path, tree: Path, commands: Sequence[str], *, root: bool = False) -> None:
    """Run commands of the checkout in a root that is being made; what they write stays."""
    checkout = work / "checkout"
    copy_checkout(checkout)
    mounts = [f"mount --bind {tree} {tree}", *_bind(checkout, tree, Path(_CHECKOUT))]
    for command in commands:
        _enter(tree, mounts, command, root=root)
    shutil.rmtree(checkout)


def _enter(inside: Path, mounts: Sequence[str], command: str, *, root: bool) -> str:
    """Run a command in the root that ``mounts`` lay at ``inside``; LabError if it fails."""
    pip = pip_settings()
    bundle = pip.certificates
    environment = {
        "HOME": "/root" if root else _HOME,
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        **{name: value for n in _PROXIES for name in (n, n.upper()) if (value := os.getenv(name))},
        **(dict.fromkeys((*_CERTIFICATES, "PIP_CERT"), _INSIDE) if bundle else {}),
        **pip.variables,
        **({"XDG_CACHE_HOME": str(cache.root().parent)} if root else {}),
    }
    words = [f"{name}={value}" for name, value in environment.items()]
    who = "0:0" if root else f"{_UID}:{_UID}"
    script = [
        *mounts,
        f"mount -t proc proc {inside}/proc",
        f"mount --rbind /sys {inside}/sys",
        f"mount --rbind /dev {inside}/dev",
        f"mount -t tmpfs -o mode=1777 tmp {inside}/tmp",
        f"mount -t tmpfs -o mode=755 run {inside}/run",
        *(f"cp -L /etc/{name} {inside}/etc/{name}" for name in ("resolv.conf", "hosts")),
        *([f"cp -L {shlex.quote(str(bundle))} {inside}{_INSIDE}"] if bundle else []),
        *(line for folder in pip.folders for line in _bind(folder, inside, folder)),
        shlex.join(
            ["exec", "chroot", f"--userspec={who}", str(inside), "env", "-i", *words, "sh", "-euc",
             f"cd {_CHECKOUT}\n{command}"]
        ),
    ]  # fmt: skip
    return cache.run(
        ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child",
         "sh", "-euc", "\n".join(script)],
        f"in a fresh root: {command}",
    )  # fmt: skip


def _bind(path: Path, inside: Path, place: Path) -> list[str]:
    """Return the commands that let a folder of the host lie at a place inside."""
    there = f"{inside}{place}"
    return [f"mkdir -p {there}", f"mount --bind {shlex.quote(str(path))} {there}"]


def copy_checkout(target: Path) -> None:
    """Copy what belongs to the checkout, as the file .gitignore has it, for the user."""
    ignored = (cache.CHECKOUT / ".gitignore").read_text().splitlines()
    patterns = [line.strip("/") for line in ignored if line and not line.startswith("#")]
    shutil.copytree(
        cache.CHECKOUT, target, symlinks=True, ignore=shutil.ignore_patterns(".git", *patterns)
    )
    for path in (target, *target.rglob("*")):
        os.chown(path, _UID, _UID, follow_symlinks=False)


@functools.cache
def _apt_settings() -> str:
    """Return apt's settings about the network: proxies, time-outs, what it insists on."""
    lines = cache.run(["apt-config", "dump"], "asking apt for its settings").splitlines()
    wanted = [line for line in lines if line.startswith("Acquire::")]
    return "".join(f"{line}\n" for line in wanted if not line.startswith(_NOT_NETWORK))


@dataclass(frozen=True)
class Pip:
    """Pip's settings on the host, and what they name there."""

    variables: dict[str, str]
    folders: list[Path]
    certificates: Path | None


@functools.cache
def pip_settings() -> Pip:
    """Return pip's settings, whichever file or variable of the host they come from."""
    text = cache.run([sys.executable, "-m", "pip", "config", "list"], "asking pip for its settings")
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        # What comes from a variable outranks what comes from a file.
        if key not in found or section == ":env:":
            found[key] = str(ast.literal_eval(value))
    named = (found.pop("cert", None), *(os.getenv(name) for name in _CERTIFICATES))
    certificates = next((Path(name) for name in named if name), None)
    places = (Path(w.removeprefix("file://")) for v in found.values() for w in v.split())
    here = [place for place in places if place.is_absolute() and place.exists()]
    # An index on a disk leads to files beside it.
    folders = sorted({place.parent for place in here if place.parent != Path("/")})
    variables = {f"PIP_{k.upper().replace('-', '_')}": v for k, v in found.items()}
    return Pip(variables, folders, certificates)
