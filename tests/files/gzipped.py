# SPDX-License-Identifier: MIT
"""Gzip files of every make, and how a reader reads a file to its end."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from tessmon.files.reading import FileReader, Read
from tessmon.files.unpacking import Ending

HEADER = b"\x1f\x8b\x08\x00" + bytes(6)
MAX_RECORD_BYTES = 1 << 16


def member(text: bytes, *, flags: int = 0, extra: bytes = b"", crc: int | None = None) -> bytes:
    """One member; `extra` stands behind the fixed part of the header."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(text) + packer.flush()
    trailer = struct.pack("<II", zlib.crc32(text) if crc is None else crc, len(text) & 0xFFFFFFFF)
    return HEADER[:3] + bytes([flags]) + HEADER[4:] + extra + body + trailer


def bomb(path: Path, gib: int) -> None:
    """So many GiB of zeros, in a file a thousandth as large. (Nobody will get to its check sum.)"""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packer.compress(bytes(1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    with path.open("wb") as file:
        file.write(HEADER)
        for _ in range(gib * 64):
            file.write(block)


class All(NamedTuple):
    """What was read: the bytes, how it ended, and all faults."""

    content: bytes
    ending: Ending
    faults: list[str]


def reads(reader: FileReader) -> list[Read]:
    """All calls until nothing more comes; everything is used up, as far as lines are whole."""
    found = []
    while True:
        read = reader.read()
        found.append(read)
        reader.used(read.content.rfind(b"\n") + 1)
        if read.ending is not Ending.MORE:
            return found


def whole(path: Path, kind: str = "ndjson.gz", position: int = 0) -> All:
    """A file's content from a position on, its cut line too."""
    content, faults = b"", []
    with FileReader(str(path), kind, position, MAX_RECORD_BYTES) as reader:
        found = reads(reader)
    for read in found:
        if read.fault:
            faults.append(read.fault)
        if read.content:
            content = content[: max(0, read.offset - position)] + read.content
    return All(content, found[-1].ending, faults)
