# SPDX-License-Identifier: MIT
"""Unpacking kernels and kernel modules: in pieces, with an end to time and memory.

What a file is packed with is told by its first bytes, as the kernel tells it
(lib/decompress.c), never by its name. What unpacks is loaded when it is needed:
a status is to start fast.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

_PIECE = 1 << 16
_MEMORY = 256 << 20
"""Bytes that xz may take: the kernel's own script packs with a dictionary of 128 MiB."""
_LZ4_BLOCK = 8 << 20
_LZ4_PACKED = _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16
"""Bytes that a block has at most (LZ4_COMPRESSBOUND() in include/linux/lz4.h)."""
_ZSTD_PIECE = 1 << 10
"""So little at once: each four bytes of zstd may become 128 KiB, and less can't be asked for."""


class Torn(Exception):
    """It is not whole, or never ends; says why."""


class CannotUnpack(Exception):
    """It may be whole: nothing here unpacks it; says why."""


class Part:
    """Some bytes of an open file, read from front to back; the file's position is left alone."""

    def __init__(self, fd: int, at: int = 0, size: int | None = None) -> None:
        """Read ``size`` bytes from ``at`` on, or all that follow."""
        self._fd, self._begin, self._at = fd, at, at
        self._end = os.fstat(fd).st_size if size is None else at + size

    @property
    def done(self) -> tuple[int, int]:
        """Return the bytes that were read, and those that there are."""
        return self._at - self._begin, self._end - self._begin

    def read(self, most: int) -> bytes:
        """Return up to ``most`` bytes; none at the end. OSError."""
        piece = os.pread(self._fd, max(0, min(most, self._end - self._at)), self._at)
        self._at += len(piece)
        return piece


Watch = Callable[[int, int], None]
"""Is told what is read of how many bytes."""
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextlib.contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Have ``watch`` told how far it is whenever something is unpacked by this thread meanwhile."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def unpacked(part: Part, most: int) -> Iterator[bytes]:
    """Yield what is in it, up to ``most`` bytes; what is not packed as it is.

    Torn, CannotUnpack, OSError. Only the first of several packed streams is
    read: behind a kernel stands its size.
    """
    first = part.read(_PIECE)
    rest = _Ahead(first, part)
    for magic, unpack in _FORMATS:
        if first.startswith(magic):
            pieces = unpack(rest)
            break
    else:
        pieces = _as_it_is(rest)
    total, watch = 0, _watch.get()
    for piece in pieces:
        total += len(piece)
        if watch is not None:
            watch(*part.done)
        if total > most:
            raise Torn(f"it unpacks to more than {most >> 20} MiB")
        yield piece


class _Ahead:
    """A part of which something was read already."""

    def __init__(self, first: bytes, part: Part) -> None:
        self._first, self._part = first, part

    def read(self, most: int) -> bytes:
        piece, self._first = self._first[:most], self._first[most:]
        return piece or self._part.read(most)


class _Decoder(Protocol):
    """What lzma and bz2 have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _as_it_is(rest: _Ahead) -> Iterator[bytes]:
    while piece := rest.read(_PIECE):
        yield piece


def _gzip(rest: _Ahead) -> Iterator[bytes]:
    import zlib

    decoder = zlib.decompressobj(wbits=31)
    try:
        while not decoder.eof:
            data = decoder.unconsumed_tail or rest.read(_PIECE)
            piece = decoder.decompress(data, _PIECE)
            if not data and not piece:
                raise Torn("it ends too early")
            yield piece
    except zlib.error as error:
        raise Torn(f"gzip: {error}") from None


def _xz(rest: _Ahead) -> Iterator[bytes]:
    import lzma

    try:
        yield from _decoded(rest, lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_MEMORY))
    except lzma.LZMAError as error:
        raise Torn(f"xz: {error}") from None


def _bzip2(rest: _Ahead) -> Iterator[bytes]:
    import bz2

    try:
        yield from _decoded(rest, bz2.BZ2Decompressor())
    except OSError as error:
        # From the decoder it has no errno; from reading the file it has one.
        if error.errno:
            raise
        raise Torn(f"bzip2: {error}") from None


def _decoded(rest: _Ahead, decoder: _Decoder) -> Iterator[bytes]:
    while not decoder.eof:
        data = rest.read(_PIECE) if decoder.needs_input else b""
        if decoder.needs_input and not data:
            raise Torn("it ends too early")
        yield decoder.decompress(data, _PIECE)


def _zstd(rest: _Ahead) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise CannotUnpack(
            "it is packed with zstd, and Python's module zstandard is not installed"
        ) from None
    decoder = zstandard.ZstdDecompressor().decompressobj()
    try:
        while not decoder.eof:
            data = rest.read(_ZSTD_PIECE)
            if not data:
                raise Torn("it ends too early")
            yield decoder.decompress(data)
    except zstandard.ZstdError as error:
        raise Torn(f"zstd: {error}") from None


def _lz4(rest: _Ahead) -> Iterator[bytes]:
    """Unpack the legacy format, which is what kernels are packed with: blocks of at most 8 MiB."""
    try:
        import lz4.block  # type: ignore[import-untyped]
    except ImportError:
        raise CannotUnpack(
            "it is packed with lz4, and Python's module lz4 is not installed"
        ) from None
    _exactly(rest, 4)
    while True:
        size = int.from_bytes(_exactly(rest, 4), "little")
        # Behind the last block of a kernel stands its size, and then nothing.
        packed = _up_to(rest, min(size, _LZ4_PACKED))
        if not packed:
            return
        if len(packed) < size:
            raise Torn("it ends too early")
        try:
            piece: bytes = lz4.block.decompress(packed, uncompressed_size=_LZ4_BLOCK)
        except (lz4.block.LZ4BlockError, MemoryError) as error:
            raise Torn(f"lz4: {error}") from None
        yield piece
        if len(piece) < _LZ4_BLOCK:
            return


def _exactly(rest: _Ahead, size: int) -> bytes:
    if len(read := _up_to(rest, size)) < size:
        raise Torn("it ends too early")
    return read


def _up_to(rest: _Ahead, size: int) -> bytes:
    read = b""
    while len(read) < size and (piece := rest.read(size - len(read))):
        read += piece
    return read


def _nothing_for(name: str) -> Callable[[_Ahead], Iterator[bytes]]:
    def refuse(_rest: _Ahead) -> Iterator[bytes]:
        raise CannotUnpack(f"it is packed with {name}, which is not read here")

    return refuse


_FORMATS: tuple[tuple[bytes, Callable[[_Ahead], Iterator[bytes]]], ...] = (
    (b"\x1f\x8b", _gzip),
    (b"\xfd7zXZ\0", _xz),
    (b"\x5d\0\0", _xz),
    (b"BZh", _bzip2),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"\x02\x21\x4c\x18", _lz4),
    (b"\x89LZO", _nothing_for("lzo")),
)
