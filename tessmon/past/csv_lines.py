# SPDX-License-Identifier: MIT
"""Lines ``time,value`` of CSV files, as vlbimon-bridge's history has them: written with quotes only where needed, read
with and without.

Old files have no quotes at all: whatever stands behind the first comma is the value, commas and quotes included. Which
of the two a line is, its content tells: a value is quoted when it is a whole quoted field that holds something for
which quotes are needed, that is a comma, a quote or the end of a line. A line that has quotes and would not need them,
or whose quotes are no whole field, is an old one, and so is one with a comma that no quotes enclose. Only an old text
that looks in full like a field that needed its quotes, as ``"a,b"``, would be read as ``a,b``.

Times and numbers are Python's shortest that read back the same; truth is True and False.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tessmon.records.vlbimon import Value

MAX_RECORD_BYTES = 1 << 20
"""A longer line is cut there, and is no good line [bytes]."""

_QUOTE, _TWICE, _END = b'"', b'""', b"\n"
_NEEDS_QUOTES = re.compile(rb'[",\r\n]')
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf(?:inity)?)", re.IGNORECASE
)
_TRUTH = {"true": "true", "True": "true", "false": "false", "False": "false"}


class Line(NamedTuple):
    """A record of a file.

    Attributes:
        offset, end: of its first byte, and of the one behind it.
        number, last: of its first line, from 1, and of its last.
        time, value: as they stand there, without quotes; value is None where no comma is.
        whole: its end is there.
    """

    offset: int
    end: int
    number: int
    last: int
    time: str
    value: str | None
    whole: bool


def written(stamp: float, value: Value) -> bytes:
    """A line."""
    line = io.StringIO()
    # With this end, the writer takes a carriage return for something that needs quotes; it is not what is written.
    csv.writer(line, lineterminator="\r\n").writerow(
        [repr(stamp), value if isinstance(value, str) else repr(value)]
    )
    return line.getvalue()[:-2].encode("utf-8", "replace") + _END


def lines(file: BinaryIO, offset: int = 0, number: int = 1) -> Iterator[Line]:
    """The records of a file from a place on where one begins; the last may want its end."""
    while True:
        file.seek(offset)
        line = _line(file, offset, number)
        if line is None:
            return
        yield line
        offset, number = line.end, line.last + 1


def _line(file: BinaryIO, offset: int, number: int) -> Line | None:
    raw = file.readline(MAX_RECORD_BYTES)
    if not raw:
        return None
    end = offset + len(raw)
    time, comma, rest = raw.partition(b",")
    if len(raw) == MAX_RECORD_BYTES and not raw.endswith(_END):
        return Line(offset, end + _skipped(file), number, number, _text(time), None, True)
    more = _rest_of_quoted(file, rest) if rest.startswith(_QUOTE) else None
    if more is not None:
        whole, last = (more or raw).endswith(_END), number + more.count(_END)
        return Line(offset, end + len(more), number, last, _text(time), _text(_unquoted(rest + more)), whole)
    value = _text(_without_end(rest)) if comma else None
    return Line(offset, end, number, number, _text(_without_end(time)), value, raw.endswith(_END))


def time_text(text: str) -> str:
    """JSON of a time: a number where it is one."""
    return _number(text.strip()) or json.dumps(text)


def value_text(text: str, datatype: str | None) -> str:
    """JSON of a value.

    Args:
        text: as in the file.
        datatype: ``number``, ``boolean``, ``text``; None: not known, so what it looks like. What does not fit a
            datatype is text; but None and null, which stand for no value, are that where a text would not be.
    """
    if datatype == "text":
        return json.dumps(text)
    if datatype is not None and text in ("None", "null"):
        return "null"
    truth = None if datatype == "number" else _TRUTH.get(text)
    return truth or _number(text) or json.dumps(text)


def _number(text: str) -> str | None:
    if _WHOLE.fullmatch(text):
        return text
    if not _FLOAT.fullmatch(text):
        return None
    number = float(text)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _skipped(file: BinaryIO) -> int:
    """How much of a line there is from here on."""
    size_bytes = 0
    while raw := file.readline(MAX_RECORD_BYTES):
        size_bytes += len(raw)
        if raw.endswith(_END):
            break
    return size_bytes


def _rest_of_quoted(file: BinaryIO, rest: bytes) -> bytes | None:
    """What has to be read on behind a line so that its value is a whole quoted field that needs its quotes; None when
    it is none."""
    more: list[bytes] = []
    line, size_bytes = rest[1:], len(rest)
    while True:
        inner = line.replace(_TWICE, b"")  # no pair of quotes stands on two lines
        place = inner.find(_QUOTE)
        if place >= 0:
            field = b"".join([rest, *more])
            ends = inner[place + 1 :] in (b"", b"\n", b"\r\n")
            return b"".join(more) if ends and _NEEDS_QUOTES.search(_unquoted(field)) else None
        line = file.readline(MAX_RECORD_BYTES)
        size_bytes += len(line)
        if not line or size_bytes > MAX_RECORD_BYTES:
            return None
        more.append(line)


def _unquoted(field: bytes) -> bytes:
    return _without_end(field)[1:-1].replace(_TWICE, _QUOTE)


def _without_end(raw: bytes) -> bytes:
    return raw.removesuffix(_END).removesuffix(b"\r")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
