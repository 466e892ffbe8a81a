# SPDX-License-Identifier: MIT
"""The Python that runs here, as files of an initial RAM disk: a program and all that it loads.

Which modules and libraries that are tells a process that has imported the program. What
is not loaded by then is not there later. Modules lie in it compiled, as the same Python
has them, and nothing of this host but files is read.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import luo_tui
from luo_tui.machine import cpio, elf

INIT = "/luo/init"
"""The program's path: it is started without arguments, by the kernel's ``rdinit=``."""
ENVIRONMENT = {
    "PYTHONHOME": "/luo",
    "PYTHONPATH": "/luo/modules",
    "LD_LIBRARY_PATH": "/luo/libraries",
}
"""What it must find there; a kernel passes on what stands on its command line (init/main.c)."""
_PYTHON = "/luo/python"
_PATIENCE = 60.0
_CHECKED_BY_NOBODY = 1
"""Flags of a compiled module: it has the hash of its source, which is not looked at (PEP 552)."""
_LOOK = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
specs = {m.__spec__.name: m.__spec__ for m in sys.modules.values() if getattr(m, "__spec__", None)}
with open("/proc/self/maps") as maps:
    mapped = sorted({line.split(maxsplit=5)[5].rstrip("\\n") for line in maps if "/" in line})
found = [
    (name, spec.origin, spec.submodule_search_locations is not None)
    for name, spec in sorted(specs.items())
    if spec.origin not in (None, "built-in", "frozen")
]
import json
print(json.dumps([found, mapped]))
"""
"""Written so that nothing is loaded for the look itself before it was taken."""


class NotPackable(Exception):
    """The Python that runs here cannot be packed; says why, in a sentence."""


def program(module: str, *more: str) -> Iterator[cpio.Entry]:
    """Yield a program, ``main()`` of a module, with its Python and all that it needs.

    ``more`` are modules that it imports later. NotPackable, OSError.
    """
    python = Path(sys.executable).resolve()
    modules, mapped = _look((module, *more))
    content = python.read_bytes()
    loader = _elf(python, content).interpreter
    if not loader:
        raise NotPackable(f"{python} names no program that loads it.")
    text = f"#!{_PYTHON} -S\nfrom {module} import main\nmain()\n"
    yield cpio.file(INIT[1:], text.encode(), executable=True)
    yield cpio.file(_PYTHON[1:], _loadable(python, content), executable=True)
    yield cpio.file(loader[1:], Path(loader).read_bytes(), executable=True)
    extensions = set()
    for name, origin, is_package in modules:
        path = Path(origin)
        place = ENVIRONMENT["PYTHONPATH"][1:] + "/" + name.replace(".", "/")
        if path.suffix == ".py":
            end = "/__init__.pyc" if is_package else ".pyc"
            yield cpio.file(place + end, _compiled(path))
        else:
            extensions.add(path.resolve())
            end = "".join(path.suffixes)
            yield cpio.file(place + end, _loadable(path, path.read_bytes()), executable=True)
    for path in mapped:
        if path.resolve() in (*extensions, python, Path(loader).resolve()):
            continue
        library = path.read_bytes()
        if library[:4] == b"\x7fELF":
            name = _elf(path, library).soname or path.name
            place = f"{ENVIRONMENT['LD_LIBRARY_PATH'][1:]}/{name}"
            yield cpio.file(place, _loadable(path, library), executable=True)


def _look(names: Sequence[str]) -> tuple[list[tuple[str, str, bool]], list[Path]]:
    """Import modules elsewhere; return all that is loaded then, and the files that are mapped."""
    here = str(Path(luo_tui.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-SPc", _LOOK, *names],
        env={"PYTHONPATH": here, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise NotPackable(f"{sys.executable} does not load what is to run in the machine: {last}")
    modules, mapped = json.loads(done.stdout)
    there = [path for path in map(Path, mapped) if path.is_file()]
    return [(name, origin, is_package) for name, origin, is_package in modules], there


def _compiled(path: Path) -> bytes:
    source = path.read_bytes()
    try:
        code = compile(source, path.name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise NotPackable(f"{path} cannot be compiled: {error}.") from None
    head = importlib.util.MAGIC_NUMBER + _CHECKED_BY_NOBODY.to_bytes(4, "little")
    return head + importlib.util.source_hash(source) + marshal.dumps(code)


def _loadable(path: Path, content: bytes) -> bytes:
    try:
        return elf.loadable(content)
    except elf.NotElf as error:
        raise NotPackable(f"{path} {error}.") from None


def _elf(path: Path, content: bytes) -> elf.Elf:
    try:
        return elf.parse(content)
    except elf.NotElf as error:
        raise NotPackable(f"{path} {error}.") from None
