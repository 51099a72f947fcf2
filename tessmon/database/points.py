# SPDX-License-Identifier: MIT
"""The tables of vlbimon, as the command line asks them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from tessmon.database.plain import rows
from tessmon.database.session import Session
from tessmon.records.vlbimon import Parameter

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

_PARAMETERS_SQL = """
SELECT parameter, coalesce(datatype, ''), partype, units, description, cadence_public_s, cadence_private_s, view_type
FROM vlbimon_parameters ORDER BY parameter"""
_STATIONS_SQL = "SELECT station FROM vlbimon_stations WHERE listed ORDER BY station"
_PARTITIONS_SQL = r"""
SELECT substring(b.bound FROM $$FROM \('(\d+)'$$)::bigint, substring(b.bound FROM $$TO \('(\d+)'$$)::bigint,
       pg_relation_size(c.oid)
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS b (bound)
WHERE i.inhparent = 'public.vlbimon_points'::regclass ORDER BY 1"""
_COUNTED_SQL = """
SELECT station, parameter_id, count(*), min(time), max(time) FROM vlbimon_points
WHERE time >= %s AND time < %s AND (%s OR station = ANY(%s::text[])) GROUP BY station, parameter_id"""
_NUMBERS_SQL = "SELECT parameter_id, parameter FROM vlbimon_parameters"
_NUMERIC = ("double precision", "bigint")


class KnownParameter(NamedTuple):
    """A parameter that the database knows, and the type of its view, None when it has none. Its datatype is empty when
    no masterlist has it."""

    parameter: Parameter
    view_type: str | None

    @property
    def datatype(self) -> str | None:
        """``number``, ``boolean``, ``text``; None: not known."""
        if self.view_type in _NUMERIC or self.parameter.datatype in ("float", "number", "int"):
            return "number"
        if self.parameter.datatype == "boolean":
            return "boolean"
        return "text" if self.parameter.datatype else None


class Counted(NamedTuple):
    """Rows of a parameter at a station: how many, first and last time [s since 1970 UTC]."""

    station: str
    parameter: str
    rows: int
    first_s: int
    last_s: int


class Known(NamedTuple):
    """What the database has of masterlists: all parameters, also those that are in none, and the stations of lists."""

    parameters: list[KnownParameter]
    stations: list[str]


async def known(session: Session) -> Known:
    """All of it, by name."""
    parameters = [
        KnownParameter(Parameter(*columns), view_type)
        for *columns, view_type in await session.query(_PARAMETERS_SQL)
    ]
    return Known(parameters, [station for (station,) in await session.query(_STATIONS_SQL)])


def count_points(
    connection: PlainConnection, stations: Collection[str], told: Callable[[float], None]
) -> Iterator[Counted]:
    """All series that have rows, by station and parameter. It looks at each row, partition by partition: 0.25 s for a
    million. To find only first and last by the index takes as long for so many rows in a month as an array has series.

    Args:
        stations: whose; all when it is empty.
        told: called with the part of the rows that was counted, 0 to 1.
    """
    names = dict(rows(connection, _NUMBERS_SQL))
    partitions = rows(connection, _PARTITIONS_SQL)
    whole_bytes = sum(size_bytes for *_, size_bytes in partitions) or 1
    found: dict[tuple[str, str], Counted] = {}
    passed_bytes = 0
    for first_s, behind_s, size_bytes in partitions:
        told(passed_bytes / whole_bytes)
        given = [first_s, behind_s, not stations, list(stations)]
        for station, number, *counted in rows(connection, _COUNTED_SQL, given):
            one = Counted(station, names.get(number, f"number {number}"), *counted)
            key = one.station, one.parameter
            found[key] = one if key not in found else _together(found[key], one)
        passed_bytes += size_bytes
    return iter(found[key] for key in sorted(found))


def _together(one: Counted, other: Counted) -> Counted:
    return one._replace(
        rows=one.rows + other.rows,
        first_s=min(one.first_s, other.first_s),
        last_s=max(one.last_s, other.last_s),
    )
