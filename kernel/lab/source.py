# SPDX-License-Identifier: GPL-2.0
"""Gets kernels' packages through apt, whose signatures are checked.

apt runs with private configurations beside the host's own, one for each suite:
lists and archives lie in the cache, and the one source is the mirror that the
host uses already. No host is named here. Nothing is installed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import cache

_SUITE = "trixie-backports"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FRESH = 12 * 3600
_ASKED = "asked"


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


def version(package: str, suite: str = _SUITE) -> str:
    """Return its version on the mirror today; the last known one if the mirror can't be asked."""
    with cache.locked("apt"):
        return _version(package, suite)


def _version(package: str, suite: str) -> str:
    folder = _private(suite)
    known, asked = folder / f"version-{package}", folder / _ASKED
    try:
        if not asked.exists() or time.time() - asked.stat().st_mtime > _FRESH:
            _apt(folder, "apt-get", "-q", "update", what="reading the mirror's package lists")
            asked.touch()
        text = _apt(folder, "apt-cache", "policy", package, what=f"looking for {package}")
        found = [w.split()[1] for w in text.splitlines() if w.strip().startswith("Candidate:")]
        if not found or found[0] == "(none)":
            raise cache.LabError(f"{suite} has no {package} on this mirror")
    except cache.LabError as error:
        if known.exists():
            cache.say(f"{error}\nlab: going on with {known.read_text()}, built before")
            return known.read_text()
        raise
    known.write_text(found[0])
    return found[0]


def needs(package: str, wanted: str, suite: str) -> list[str]:
    """Return the packages that version ``wanted`` depends on; no alternatives of one another."""
    text = _apt(
        _private(suite),
        "apt-cache",
        "show",
        "--no-all-versions",
        f"{package}={wanted}",
        what=f"looking into {package}",
    )
    lines = [line for line in text.splitlines() if line.startswith("Depends: ")]
    words = lines[0].removeprefix("Depends: ").split(",") if lines else []
    return [word.split()[0] for word in words]


def download(package: str, wanted: str, folder: Path, suite: str = _SUITE) -> Path:
    """Download its version ``wanted`` into ``folder``; return the file."""
    private = _private(suite)
    before = set(folder.glob("*.deb"))
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
        (private / _ASKED).unlink(missing_ok=True)
        raise
    (downloaded,) = set(folder.glob("*.deb")) - before
    return downloaded


def unpack(package: str, wanted: str, folder: Path) -> Path:
    """Download its version ``wanted`` and unpack it into ``folder``; return the tree."""
    downloaded = download(package, wanted, folder)
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


def _private(suite: str) -> Path:
    folder = cache.root() / "apt" / suite
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
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
