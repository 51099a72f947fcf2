# SPDX-License-Identifier: MIT
"""What a script imports: telemetry by device, key and time, as numbers.

::

    from datetime import UTC, datetime
    from tessmon.client import fetch

    night = fetch("camwfs", "fps", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tessmon.config.load import load
from tessmon.database.access import access_of
from tessmon.database.plain import connected
from tessmon.decode.schemas import Field, Schemas
from tessmon.errors import TessmonError

__all__ = ["FetchError", "Row", "fetch", "rows"]

_READ_AHEAD = 2000
"""Rows that come in one go; memory holds no more of them when rows are taken one by one."""
_WORDS = frozenset({"NaN", "Infinity", "-Infinity", "-0.0"})
"""Numbers that JSON has no words for; ``telem.msg`` has them as strings."""
_LONGEST_WHOLE = 20
"""Digits of the largest uint64, or sign and digits of the smallest int64: what is longer is a float."""
_WHOLE_FLOATS = 1 << 53
"""Above, not every whole number is a float64."""

_SQL = """
SELECT ts, ns, ec, coalesce(msg -> %(whole)s, msg #> %(path)s)::text FROM telem
WHERE device = %(device)s AND ts BETWEEN %(start)s AND %(end)s AND (%(ec)s IS NULL OR ec = %(ec)s)
  AND coalesce(msg -> %(whole)s, msg #> %(path)s) <> 'null'
ORDER BY ts, ns, file_offset, file_id, digest LIMIT %(limit)s"""


class FetchError(TessmonError, ValueError):
    """What was asked for can't be: the text says what to write instead."""


class Row(NamedTuple):
    """One value.

    Attributes:
        at: when, to the microsecond, in UTC.
        ns: the nanoseconds beyond it, 0 to 999.
        value: a number, text, bool, or what else stands there.
    """

    at: datetime
    ns: int
    value: Any


def fetch(
    device: str,
    key: str,
    start: datetime,
    end: datetime,
    ec: str | None = None,
    limit: int | None = None,
    *,
    dsn: str | None = None,
    configuration: Path | None = None,
) -> Any:
    """The values of one key of a device's telemetry, in the order of time.

    Args:
        device: its name, as "camwfs".
        key: in the message; one inside another is written "tempCtrl.temp", the third of a list "core_loads.2".
        start, end: both included, to the microsecond; with a time zone.
        ec: the event code's name, where several have the key: "telem_stdcam".
        limit: no more than so many, the first.
        dsn: the database; None: that of the configuration, "": as PGHOST, PGDATABASE and so on say.
        configuration: its file; None: the usual one.

    Returns:
        Where pandas is installed a DataFrame with the columns ``at`` (in UTC), ``ns`` and ``value``, else a list of
        `Row`. Whole numbers are int, others float, NaN, infinities and -0.0 among them; records that lack the key,
        or have null there, are left out.

    Raises:
        FetchError: a time has no zone, or another argument can't be.
        ConfigurationError: the configuration can't be used.
        DatabaseError: the database can't be reached, or refuses.
    """
    found = list(rows(device, key, start, end, ec, limit, dsn=dsn, configuration=configuration))
    try:
        import pandas
    except ImportError:
        return found
    values = [row.value for row in found]
    kinds = {type(value) for value in values}
    exact = kinds <= {int, float} and not (
        len(kinds) == 2 and any(type(value) is int and abs(value) > _WHOLE_FLOATS for value in values)
    )
    return pandas.DataFrame(
        {
            "at": pandas.to_datetime([row.at for row in found], utc=True),
            "ns": pandas.Series([row.ns for row in found], dtype="int16"),
            "value": pandas.Series(values) if exact and values else pandas.Series(values, dtype="object"),
        }
    )


def rows(
    device: str,
    key: str,
    start: datetime,
    end: datetime,
    ec: str | None = None,
    limit: int | None = None,
    *,
    dsn: str | None = None,
    configuration: Path | None = None,
) -> Iterator[Row]:
    """The same, one by one: memory holds no more than some thousands, however many there are.

    The connection is open until the last one is taken, or the iterator is closed. Raises what `fetch` raises.
    """
    wanted = {
        "device": device,
        "whole": key,
        "path": _parts(key),
        "start": _aware(start, "start"),
        "end": _aware(end, "end"),
        "ec": ec,
        "limit": _limited(limit),
    }
    access = access_of(dsn, configuration)
    schemas = _schemas(() if dsn is not None else _configured(configuration))
    return _rows(access.dsn, access.password, wanted, key, schemas)


def _rows(
    dsn: str, password: str | None, wanted: dict[str, Any], key: str, schemas: dict[str, tuple[Field, ...]]
) -> Iterator[Row]:
    fields: dict[str, Field | None] = {}
    with connected(dsn, password) as connection:
        connection.autocommit = False  # a cursor of the server's lives within a transaction
        with connection.cursor(name="tessmon_fetch") as cursor:
            cursor.itersize = _READ_AHEAD
            cursor.execute(_SQL, wanted)
            for at, ns, code, text in cursor:
                if code not in fields:
                    fields[code] = _field(schemas.get(code, ()), _parts(key))
                yield Row(at.astimezone(UTC), ns, as_stored(json.loads(text, parse_int=_whole), fields[code]))


def as_stored(value: Any, field: Field | None) -> Any:
    """A value out of ``telem.msg`` as the device meant it.

    Args:
        value: as JSON gave it.
        field: what the event code's schema says of it; None where nobody knows. Then the words for numbers that JSON
            lacks are taken for such.
    """
    if isinstance(value, list):
        return [as_stored(each, field) for each in value]
    if isinstance(value, dict):
        inner = {each.name: each for each in (field.table or ())} if field is not None else {}
        return {name: as_stored(each, inner.get(name)) for name, each in value.items()}
    if field is not None and not field.type.startswith("float"):
        return value
    if isinstance(value, str):
        return float(value) if value in _WORDS else value
    if field is not None and type(value) is int:
        return float(value)
    return value


def _field(fields: Sequence[Field], parts: Sequence[str]) -> Field | None:
    for field in fields:
        if field.name != parts[0]:
            continue
        if len(parts) == 1 or (field.vector and len(parts) == 2):
            return field
        return _field(field.table or (), parts[1:])
    return None


@lru_cache(8)
def _schemas(paths: tuple[Path, ...]) -> dict[str, tuple[Field, ...]]:
    """Fields by the event code's name; where it had several forms, of all of them."""
    found: dict[str, tuple[Field, ...]] = {}
    for event in Schemas.load(paths):
        found[event.name] = found.get(event.name, ()) + (event.fields or ())
    return found


def _configured(configuration: Path | None) -> tuple[Path, ...]:
    files = load(configuration).config.files
    return files.schemas if files is not None else ()


def _parts(key: str) -> list[str]:
    parts = key.split(".")
    if not all(parts):
        raise FetchError(f"{key!r} is no key: write one like fps, or tempCtrl.temp for one inside another")
    return parts


def _aware(at: datetime, name: str) -> datetime:
    if at.utcoffset() is None:
        raise FetchError(f"{name} has no time zone: write datetime(2026, 3, 1, tzinfo=UTC)")
    return at


def _limited(limit: int | None) -> int | None:
    if limit is not None and limit < 1:
        raise FetchError("limit is a whole number from 1, or None for all")
    return limit


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_WHOLE else float(digits)
