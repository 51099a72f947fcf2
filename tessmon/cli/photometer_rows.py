# SPDX-License-Identifier: MIT
"""What the database knows of photometers, as the command line asks it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tessmon.cli.table import printable
from tessmon.database.plain import rows, value
from tessmon.decode.refusal import Refusal
from tessmon.decode.tess import parse_mac
from tessmon.errors import TessmonError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_MAX_CHANNELS = 4
_VERSION = (
    "tess_id",
    "mac_address",
    "valid_since",
    "valid_until",
    "valid_state",
    "model",
    "firmware",
    "authorised",
    "registered",
    "nchannels",
    "location_id",
    "place",
    "longitude",
    "latitude",
    "elevation",
    "town",
    "sub_region",
    "region",
    "country",
    "timezone",
    "observer_id",
    "observer_name",
)
_VERSION_SQL = """
    t.tess_id, t.mac_address, t.valid_since, t.valid_until, t.valid_state, t.model, t.firmware, t.authorised = 1,
    t.registered, t.nchannels, l.location_id, l.place, l.longitude, l.latitude, l.elevation, l.town, l.sub_region,
    l.region, l.country, l.timezone, o.observer_id, o.name,
    t.zp1, t.filter1, t.offset1, t.zp2, t.filter2, t.offset2, t.zp3, t.filter3, t.offset3,
    t.zp4, t.filter4, t.offset4"""
_JOINS_SQL = "JOIN location_t AS l USING (location_id) JOIN observer_t AS o USING (observer_id)"

_NEWEST_SQL = """
    (SELECT r.tstamp
     FROM tess_t AS v
     CROSS JOIN LATERAL (SELECT tstamp FROM {table} WHERE tess_id = v.tess_id ORDER BY tstamp DESC LIMIT 1) AS r
     WHERE v.mac_address = t.mac_address ORDER BY v.valid_since DESC LIMIT 1)"""
"""The newest reading with the newest version that has any: some looks into an index."""

_CURRENT_SQL = f"""
SELECT n.name,
       coalesce({_NEWEST_SQL.format(table="tess_readings_t")}, {_NEWEST_SQL.format(table="tess_readings4c_t")}),
       {_VERSION_SQL}
FROM tess_t AS t {_JOINS_SQL}
LEFT JOIN name_to_mac_t AS n ON n.mac_address = t.mac_address AND n.valid_state = 'Current'
WHERE t.valid_state = 'Current' AND (%(mac)s::text IS NULL OR t.mac_address = %(mac)s)
"""
_VERSIONS_SQL = f"SELECT {_VERSION_SQL} FROM tess_t AS t {_JOINS_SQL} WHERE t.mac_address = %s ORDER BY 3, 1"
_NAMES_SQL = """
SELECT name, mac_address, valid_since, valid_until, valid_state FROM name_to_mac_t
WHERE mac_address = %s OR name IN (SELECT name FROM name_to_mac_t WHERE mac_address = %s)
ORDER BY valid_since, valid_until"""
_NEWEST_STORED_SQL = """
SELECT max(tstamp) FROM (
    SELECT max(tstamp) AS tstamp FROM tess_readings_t WHERE tess_id = ANY(%(ids)s) AND tstamp >= %(since)s
    UNION ALL
    SELECT max(tstamp) FROM tess_readings4c_t WHERE tess_id = ANY(%(ids)s) AND tstamp >= %(since)s
) AS newest"""


class NoSuchPhotometerError(TessmonError):
    """No photometer has this name or MAC; the text says who had it, if anybody did."""


class Known(NamedTuple):
    """A photometer that was asked for: its MAC, and the name it has now, if any."""

    mac: str
    name: str | None

    def __str__(self) -> str:
        return self.name or self.mac


def find(database: connection, wanted: str) -> Known:
    """The photometer that has a name now, in any case of letters, or a MAC, with or without leading zeros.

    Raises:
        NoSuchPhotometerError: there is none.
    """
    found = rows(
        database,
        "SELECT mac_address, name FROM name_to_mac_t WHERE valid_state = 'Current' AND name = %s",
        [wanted.lower()],
    )
    if found:
        return Known(*found[0])
    try:
        mac = parse_mac(wanted)
    except Refusal:
        mac = wanted
    if value(database, "SELECT 1 FROM tess_t WHERE mac_address = %s LIMIT 1", [mac]):
        held = "SELECT name FROM name_to_mac_t WHERE valid_state = 'Current' AND mac_address = %s"
        return Known(mac, value(database, held, [mac]))
    raise NoSuchPhotometerError(printable(_nobody(database, wanted)))


def _nobody(database: connection, wanted: str) -> str:
    lost = rows(
        database,
        "SELECT mac_address, to_char(valid_until, 'YYYY-MM-DD HH24:MI:SS') FROM name_to_mac_t WHERE name = %s "
        "ORDER BY valid_until DESC LIMIT 1",
        [wanted.lower()],
    )
    if lost:
        return f"nobody has the name {wanted} now; it was that of {lost[0][0]} until {lost[0][1]} UTC"
    return f"no photometer has the name or MAC {wanted}: `tessmon photometer list` shows all"


def current(database: connection, mac: str | None = None) -> list[dict[str, Any]]:
    """The photometers as they are now, or one of them: name, newest reading and Current version."""
    return [
        {"name": name, "last_reading": newest, **_version(version)}
        for name, newest, *version in rows(database, _CURRENT_SQL, {"mac": mac})
    ]


def versions(database: connection, mac: str) -> list[dict[str, Any]]:
    """All versions of a photometer, the oldest first."""
    return [_version(row) for row in rows(database, _VERSIONS_SQL, [mac])]


def names(database: connection, mac: str) -> list[dict[str, Any]]:
    """The names that a photometer has had, and who else had them, the oldest first."""
    titles = ("name", "mac_address", "valid_since", "valid_until", "valid_state")
    return [dict(zip(titles, row, strict=True)) for row in rows(database, _NAMES_SQL, [mac, mac])]


def newest_stored(database: connection, tess_ids: Sequence[int], since: datetime) -> datetime | None:
    """When the newest reading was taken that is stored with one of these versions at or after a time."""
    newest: datetime | None = value(database, _NEWEST_STORED_SQL, {"ids": list(tess_ids), "since": since})
    return newest


def _version(row: Sequence[Any]) -> dict[str, Any]:
    version = dict(zip(_VERSION, row, strict=False))
    flat = row[len(_VERSION) :]
    count = min(version.pop("nchannels"), _MAX_CHANNELS)
    version["channels"] = [
        {"zero_point": flat[3 * n], "filter": flat[3 * n + 1], "offset_hz": flat[3 * n + 2]}
        for n in range(count)
    ]
    return version
