# SPDX-License-Identifier: MIT
"""PostgreSQL array literals, for ``unnest``: a whole column as one text parameter.

psycopg2 adapts a list item by item, which is three times slower than joining numbers here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tessmon.records.position import Position


def number_array(values: Iterable[int | float | None]) -> str:
    """Integers of 64 bits or finite floats, None as NULL; floats as the shortest text that reads back the same."""
    return "{" + msgspec.json.encode(list(values))[1:-1].decode() + "}"


def filled_number_array(values: Iterable[int | float]) -> str:
    """The same for a column that has no NULL."""
    return "{" + msgspec.json.encode(list(values))[1:-1].decode() + "}"


def text_array(values: Iterable[str | None]) -> str:
    """Texts, quoted; None as NULL. NUL is for the driver to refuse."""
    return "{" + ",".join(["NULL" if value is None else quoted(value) for value in values]) + "}"


def repeated_text_array(values: Sequence[str]) -> str:
    """The same for a column with few different texts and no NULL: each is quoted once."""
    known = {value: quoted(value) for value in set(values)}
    return "{" + ",".join([known[value] for value in values]) + "}"


def bytes_array(values: Iterable[bytes | None]) -> str:
    """Byte strings in PostgreSQL's hexadecimal form; None as NULL."""
    return (
        "{" + ",".join(["NULL" if value is None else '"\\\\x' + value.hex() + '"' for value in values]) + "}"
    )


def position_text(position: Position) -> str:
    """A position as the literal of one ``bigint[]``."""
    return "{" + ",".join(map(str, position)) + "}"


def quoted(text: str) -> str:
    """One element between double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
