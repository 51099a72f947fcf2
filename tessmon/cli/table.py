# SPDX-License-Identifier: MIT
"""Plain text that fits a terminal: tables, paragraphs, and units for people.

Names and payloads come from anyone who can publish: letters that steer a terminal are shown as their escapes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

COLUMNS = 80
_MAX_CELL = 24
"""Columns of a cell that is not the last of its row: one endless name must not push the others out of sight."""

_SIZES = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def printable(text: str) -> str:
    """The text with everything that is no visible letter escaped."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "backslashreplace").decode()
        for each in text
    )


def width(text: str) -> int:
    """How many columns of a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(map(_letter_width, text))


def clipped(text: str, columns: int) -> str:
    """As much of it as fits, with … where something is missing."""
    if width(text) <= columns:
        return text
    return _head(text, columns - 1) + "…"


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], columns: int | None = COLUMNS) -> str:
    """Rows below titles, two blanks between columns; numbers stand right; what does not fit is clipped.

    Args:
        titles: one per column.
        rows: cells; None is empty.
        columns: the whole width; None for no limit.
    """
    filled = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(titles, *filled, strict=True)]
    if columns is not None:
        widths = [min(each, _MAX_CELL) for each in widths[:-1]] + widths[-1:]
        widths[-1] = max(1, min(widths[-1], columns - sum(widths[:-1]) - 2 * (len(widths) - 1)))
    numbers = [bool(filled) and all(row[place].isdecimal() for row in filled) for place in range(len(titles))]
    return "\n".join(_line(row, widths, numbers, columns) for row in [list(titles), *filled])


def paragraph(label: str, text: str, indent: int = 12, columns: int = COLUMNS) -> str:
    """A label, and beside it the text in as many lines as it needs."""
    lines = list(wrapped(printable(text), columns - indent)) or [""]
    head = f"{printable(label):<{indent - 1}} {lines[0]}".rstrip()
    return "\n".join([head, *(" " * indent + line for line in lines[1:])])


def wrapped(text: str, columns: int) -> Iterator[str]:
    """Lines broken at blanks; a word that is wider than a line is broken where the line ends."""
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if width(joined) <= columns:
            line = joined
            continue
        if line:
            yield line
        line = word
        while width(line) > columns:
            head = _head(line, columns)
            yield head
            line = line[len(head) :]
    if line:
        yield line


def size(size_bytes: int) -> str:
    """4.0 KiB for 4096."""
    step = min((max(size_bytes, 1).bit_length() - 1) // 10, len(_SIZES))
    return f"{size_bytes / 1024**step:.1f} {_SIZES[step - 1]}" if step else f"{size_bytes} bytes"


def how_many(number: int, one: str, several: str = "") -> str:
    """1 file; 2,000 files; 2 directories, where the noun says how it is in the plural."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def duration(seconds: float) -> str:
    """The two units that matter: 3 d 4 h, 2 min 5 s, 1.5 s, 4 ms."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(at: datetime) -> str:
    """2026-03-01 22:00:00, always UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def moment_ns(at_ns: int) -> str:
    """The same of nanoseconds since 1970; what no calendar has is shown as the number."""
    try:
        return moment(datetime.fromtimestamp(at_ns // 10**9, UTC))
    except (ValueError, OverflowError, OSError):
        return f"{at_ns} ns"


def _line(row: Sequence[str], widths: list[int], numbers: list[bool], columns: int | None) -> str:
    cells = []
    for cell, cell_width, number in zip(row, widths, numbers, strict=True):
        shown = clipped(cell, cell_width)
        gap = " " * (cell_width - width(shown))
        cells.append(gap + shown if number else shown + gap)
    line = "  ".join(cells).rstrip()
    return line if columns is None else clipped(line, columns)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _head(text: str, columns: int) -> str:
    """The longest beginning that fits."""
    taken = 0
    for place, letter in enumerate(text):
        taken += _letter_width(letter)
        if taken > columns:
            return text[:place]
    return text
