# SPDX-License-Identifier: MIT
"""The text of a gzip file, in slices that cost bounded time and memory whatever the file holds.

Members one behind the other, with zeros after them, are one text. Deflate is read raw and header and trailer here,
because zlib's own reader loses what it unpacked together with the first damaged byte or wrong check sum.

Source: RFC 1952.
"""

from __future__ import annotations

import os
import zlib
from enum import Enum, StrEnum, auto
from typing import NamedTuple

MAX_RATIO = 500
"""Lines that differ in nothing but their stamps reach 40 to 150; zeros reach 1030."""
FREE_TEXT_BYTES = 64 << 20
"""So much text is given whatever its ratio [bytes]."""

_INPUT_BYTES = 16 << 10
"""Read of the file for one slice at most [bytes]; blocks without text cost the most time for each."""
_STEPS_A_SLICE = 200
"""Headers, bodies and trailers for one slice at most; a member without text has 20 bytes."""
_MAX_HEADER_BYTES = 128 << 10
_FIXED_HEADER_BYTES, _TRAILER_BYTES = 10, 8
_MAGIC, _DEFLATE = b"\x1f\x8b", 8
_CHECKED, _EXTRA, _NAME, _COMMENT, _RESERVED = 2, 4, 8, 16, 0xE0


class Ending(StrEnum):
    """What stands behind bytes that were read."""

    MORE = "more"
    """Perhaps more: read on."""
    END = "end"
    """Nothing now; a file that grows has more."""
    CUT = "cut"
    """Nothing now, and the file ends in the midst of packed bytes: it is still written, or was never finished."""
    DAMAGED = "damaged"
    """Nothing that can be read, for ever."""
    SHRUNK = "shrunk"
    """The file ends before the place to read from: something was taken away."""


class Slice(NamedTuple):
    """Text that was read in one go, what stands behind it, and a sentence where something is wrong there."""

    text: bytes
    ending: Ending
    fault: str = ""


class _DamageError(Exception):
    """What was found in a file that can't be read on."""


class _StarvedError(Exception):
    """The bytes at hand are not enough for the next step."""


class _Part(Enum):
    """Parts of a member, in order."""

    HEADER = auto()
    TEXT = auto()
    TRAILER = auto()


class Unpacking:
    """Reads the text of a gzip file from its begin.

    A wrong check sum is told, and reading goes on with the next member: nobody knows which byte it means. Other
    damage ends the text; what was unpacked before it is given.

    Args:
        descriptor: of the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._fetched = 0
        self._input = b""
        self._part = _Part.HEADER
        self._body = zlib.decompressobj(-zlib.MAX_WBITS)
        self._crc = 0
        self._members = 0
        self._member_bytes = 0
        self._text_bytes = 0
        self._fault = ""
        self._damage = ""

    def read(self, max_bytes: int) -> Slice:
        """The next of the text, often less than `max_bytes` of it.

        Raises:
            OSError: the file can't be read now.
        """
        fetched = False
        for _ in range(_STEPS_A_SLICE):
            if self._damage:
                return Slice(b"", Ending.DAMAGED, self._damage)
            try:
                text = self._step(max_bytes)
            except _DamageError as damage:
                self._damage = str(damage)
                continue
            except _StarvedError:
                if fetched:
                    break
                if not self._fetch():
                    return self._end()
                fetched = True
                continue
            if text or self._fault:
                fault, self._fault = self._fault, ""
                return Slice(text, Ending.MORE, fault)
        return Slice(b"", Ending.MORE)

    def _fetch(self) -> bool:
        more = os.pread(self._descriptor, _INPUT_BYTES, self._fetched)
        self._fetched += len(more)
        self._input += more
        return bool(more)

    def _end(self) -> Slice:
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes < self._fetched:
            return Slice(b"", Ending.SHRUNK, shrunk(size_bytes, self._fetched))
        if self._part is _Part.HEADER and not self._input:
            return Slice(b"", Ending.END)
        part = self._part.name.lower()
        sentence = f"gzip member {self._members + 1} is cut in its {part}, at the end of the file, byte {self._fetched}"
        return Slice(b"", Ending.CUT, sentence)

    def _step(self, max_bytes: int) -> bytes:
        if self._part is _Part.TEXT:
            return self._text(max_bytes)
        if self._part is _Part.HEADER:
            self._header()
        else:
            self._trailer()
        return b""

    def _header(self) -> None:
        if self._members:
            self._input = self._input.lstrip(b"\0")  # padding, as tapes and preallocated files have it
        size = _header_bytes(self._input)
        if size is None:
            if len(self._input) > _MAX_HEADER_BYTES:
                raise _DamageError(f"the header of gzip member {self._members + 1} has no end")
            raise _StarvedError
        if size == 0:
            behind = f", behind gzip member {self._members}," if self._members else ""
            raise _DamageError(f"what begins at byte {self._fetched - len(self._input)}{behind} is not gzip")
        self._input = self._input[size:]
        self._body = zlib.decompressobj(-zlib.MAX_WBITS)
        self._crc = self._member_bytes = 0
        self._part = _Part.TEXT

    def _text(self, max_bytes: int) -> bytes:
        if self._text_bytes > max(FREE_TEXT_BYTES, MAX_RATIO * self._fetched):
            raise _DamageError(
                f"its first {self._fetched} bytes unpack to more than {self._text_bytes}, over {MAX_RATIO} times as "
                "many: no telemetry does, so it is not read on"
            )
        before, packed = self._body.copy(), self._input
        try:
            text = self._body.decompress(packed, max_bytes)
            self._input = self._body.unconsumed_tail
        except zlib.error:
            text = _sound_part(before, packed, max_bytes)
            self._damage = (
                f"gzip member {self._members + 1} is damaged {self._member_bytes + len(text)} bytes into its text, "
                f"before byte {self._fetched} of the file"
            )
        self._crc = zlib.crc32(text, self._crc)
        self._member_bytes += len(text)
        self._text_bytes += len(text)
        if self._body.eof:
            self._input = self._body.unused_data
            self._part = _Part.TRAILER
        elif not text and not self._damage:
            raise _StarvedError
        return text

    def _trailer(self) -> None:
        if len(self._input) < _TRAILER_BYTES:
            raise _StarvedError
        crc = int.from_bytes(self._input[:4], "little")
        size = int.from_bytes(self._input[4:_TRAILER_BYTES], "little")
        self._input = self._input[_TRAILER_BYTES:]
        self._members += 1
        self._part = _Part.HEADER
        if crc != self._crc or size != self._member_bytes & 0xFFFFFFFF:
            self._fault = (
                f"gzip member {self._members} has another check sum than its text of {self._member_bytes} bytes: "
                "a value in it may be wrong"
            )


def _header_bytes(packed: bytes) -> int | None:
    """The size of a member's header [bytes]; 0 when this is none, None when more is needed to say."""
    if not _MAGIC.startswith(packed[:2]) and packed[:2] != _MAGIC:
        return 0
    if len(packed) < _FIXED_HEADER_BYTES:
        return None
    flags = packed[3]
    if packed[2] != _DEFLATE or flags & _RESERVED:
        return 0
    at = _FIXED_HEADER_BYTES
    if flags & _EXTRA:
        at += 2 + int.from_bytes(packed[at : at + 2], "little")
    for text in (_NAME, _COMMENT):
        if flags & text:
            at = packed.find(b"\0", at) + 1
            if at == 0:
                return None
    if flags & _CHECKED:
        at += 2
    return at if at <= len(packed) else None


def _sound_part(body: zlib._Decompress, packed: bytes, max_bytes: int) -> bytes:
    """What a body unpacks to before the damage: with ever smaller steps, two of a size or so."""
    sound: list[bytes] = []
    step = max_bytes
    while step:
        trial = body.copy()
        try:
            text = trial.decompress(packed, step)
        except zlib.error:
            step //= 2
            continue
        if not text:
            break
        sound.append(text)
        body, packed = trial, trial.unconsumed_tail
    return b"".join(sound)


def shrunk(size_bytes: int, read_bytes: int) -> str:
    """The sentence about a file that has less than was read of it."""
    return f"it ends at byte {size_bytes}, {read_bytes} were there before"
