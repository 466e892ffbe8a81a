# SPDX-License-Identifier: GPL-2.0
"""Gets the kernel's source through apt, whose signatures are checked.

apt runs with a private configuration beside the host's own: its lists and
archives lie in the cache, its one source is the backports suite on the mirror
that the host uses already. No host is named here.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import cache

SUITE = "trixie-backports"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FRESH = 12 * 3600


def mirror() -> str:
    """Return the Debian mirror of the host's own apt settings."""
    text = cache.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)"],
        "asking apt for its mirror",
    )
    for line in text.splitlines():
        origin, _, rest = line.partition("|")
        label, _, site = rest.partition("|")
        if (origin, label) == ("Debian", "Debian") and site:
            return site
    raise cache.LabError(
        "apt knows no Debian mirror yet: run apt-get update, and see /etc/apt/sources.list*"
    )


def version(package: str) -> str:
    """Return its version on the mirror today; the last known one if the mirror can't be asked."""
    with cache.locked("apt"):
        return _version(package)


def _version(package: str) -> str:
    folder = _private()
    known = folder / f"version-{package}"
    if known.exists() and time.time() - known.stat().st_mtime < _FRESH:
        return known.read_text()
    try:
        _apt(folder, "apt-get", "-q", "update", what="reading the mirror's package lists")
        text = _apt(folder, "apt-cache", "policy", package, what=f"looking for {package}")
        found = [w.split()[1] for w in text.splitlines() if w.strip().startswith("Candidate:")]
        if not found or found[0] == "(none)":
            raise cache.LabError(f"{SUITE} has no {package} on this mirror")
    except cache.LabError as error:
        if known.exists():
            cache.say(f"{error}\nlab: going on with {known.read_text()}, built before")
            return known.read_text()
        raise
    known.write_text(found[0])
    return found[0]


def unpack(package: str, wanted: str, folder: Path) -> Path:
    """Download its version ``wanted`` and unpack it into ``folder``; return the tree."""
    private = _private()
    cache.say(f"downloading {package} {wanted}")
    try:
        _apt(
            private,
            "apt-get",
            "-q",
            "download",
            f"{package}={wanted}",
            what=f"downloading {package} {wanted} (check the network, then repeat)",
            cwd=folder,
        )
    except cache.LabError:
        # The mirror may have another release by now: ask it when this is repeated.
        (private / f"version-{package}").unlink(missing_ok=True)
        raise
    (downloaded,) = folder.glob("*.deb")
    cache.run(["dpkg-deb", "-x", downloaded, folder / "package"], "unpacking the package")
    downloaded.unlink()
    (archive,) = (folder / "package/usr/src").glob("linux-source-*.tar.xz")
    tree = folder / "src"
    tree.mkdir()
    cache.run(
        ["tar", "-x", "-f", archive, "-C", tree, "--strip-components=1"],
        "unpacking the kernel's source",
        env={**os.environ, "XZ_OPT": "-T0"},
    )
    archive.unlink()
    return tree


def _private() -> Path:
    folder = cache.root() / "apt"
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main\n")
    (folder / "apt.conf").write_text(
        f'Dir::State::lists "{folder}/lists";\n'
        f'Dir::Cache "{folder}";\n'
        f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
        'Dir::Etc::sourceparts "-";\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
        "Acquire::Retries 2;\n"
        # Otherwise a mirror that cannot be reached is a mere warning.
        'APT::Update::Error-Mode "any";\n'
    )
    return folder


def _apt(private: Path, *command: str, what: str, cwd: Path | None = None) -> str:
    env = {**os.environ, "APT_CONFIG": str(private / "apt.conf"), "LC_ALL": "C"}
    return cache.run(command, what, env=env, cwd=cwd)
