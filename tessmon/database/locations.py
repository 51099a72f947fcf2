# SPDX-License-Identifier: MIT
"""Where photometers stand: rows of ``location_t`` for the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tessmon.database.named import check_new, number_of
from tessmon.database.permission import permitted
from tessmon.database.plain import rows, transaction
from tessmon.errors import TessmonError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

UNKNOWN_ID = -1
"""Where photometers stand that nobody has given a location."""

NEAR_M = 100.0
"""Locations closer to each other than this may be one that was entered twice [m]."""

_EARTH_RADIUS_M = 6_371_009.0
"""Mean radius of the WGS 84 ellipsoid [m]."""

_COLUMNS = "place, longitude, latitude, elevation, town, sub_region, region, country, timezone"
_LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('tessmon location', 0))"
_LOCATIONS_SQL = f"SELECT location_id, {_COLUMNS} FROM location_t ORDER BY location_id"
_ADD_SQL = (
    f"INSERT INTO location_t ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING location_id"
)
_OCCUPANTS_SQL = """
SELECT t.location_id, coalesce(n.name, t.mac_address)
FROM tess_t AS t LEFT JOIN name_to_mac_t AS n ON n.mac_address = t.mac_address AND n.valid_state = 'Current'
WHERE t.valid_state = 'Current' ORDER BY 2"""


class LocationError(TessmonError):
    """A location can't be added; the text says why, and what to do."""


class Site(NamedTuple):
    """A location as an operator describes it.

    Attributes:
        place: its name; no two have the same, whatever the case of letters.
        longitude, latitude: east and north positive [degrees]; None for the unknown location only.
        elevation: above sea level [m]; None when not known.
        timezone: as the IANA data base names it.
    """

    place: str
    longitude: float | None
    latitude: float | None
    elevation: float | None = None
    town: str = "Unknown"
    sub_region: str = "Unknown"
    region: str = "Unknown"
    country: str = "Unknown"
    timezone: str = "Etc/UTC"


class Location(NamedTuple):
    """A row of location_t: its number, and what it says."""

    location_id: int
    site: Site


class Neighbour(NamedTuple):
    """A location, and how far it is away [m]."""

    location: Location
    distance_m: float


def all_locations(database: PlainConnection) -> list[Location]:
    """In the order of their numbers; the unknown one, -1, is the first."""
    return [Location(number, Site(*columns)) for number, *columns in rows(database, _LOCATIONS_SQL)]


def occupants(database: PlainConnection) -> dict[int, list[str]]:
    """Location number → names of the photometers that stand there now, MACs of those without a name."""
    standing: dict[int, list[str]] = {}
    for number, name in rows(database, _OCCUPANTS_SQL):
        standing.setdefault(number, []).append(name)
    return standing


def find_location(database: PlainConnection, wanted: str) -> Location:
    """The location of a place's name, in any case of letters, or of a number.

    Raises:
        NamedRowError: there is none, or more than one.
    """
    known = {one.location_id: one for one in all_locations(database)}
    return known[number_of({number: one.site.place for number, one in known.items()}, wanted, "location")]


def add_location(database: PlainConnection, site: Site) -> tuple[Location, list[Neighbour]]:
    """Make a location.

    Args:
        database: in autocommit.
        site: with coordinates in range and a known time zone.

    Returns:
        The location, and those closer than `NEAR_M`, which may be the same.

    Raises:
        NamedRowError: one with the same name is there.
        LocationError: one with the same coordinates is there.
        DatabaseError: the user may not.
    """
    with permitted(database, "add locations", "SELECT, INSERT ON location_t"), transaction(database):
        rows(database, _LOCK_SQL)
        known = all_locations(database)
        check_new({one.location_id: one.site.place for one in known}, site.place, "location")
        for one in known:
            if (one.site.longitude, one.site.latitude) == (site.longitude, site.latitude):
                raise LocationError(
                    f"location {one.location_id}, {one.site.place}, has these coordinates already: use that one"
                )
        [(number,)] = rows(database, _ADD_SQL, site)
    return Location(number, site), near(known, site)


def near(known: Sequence[Location], site: Site) -> list[Neighbour]:
    """Those closer than `NEAR_M`, the nearest first."""
    neighbours = [
        Neighbour(one, distance_m(one.site, site)) for one in known if one.site.longitude is not None
    ]
    return sorted(
        (one for one in neighbours if one.distance_m < NEAR_M), key=lambda neighbour: neighbour.distance_m
    )


def distance_m(one: Site, other: Site) -> float:
    """How far two sites with coordinates are apart on a spherical Earth [m]."""
    latitudes = math.radians(one.latitude or 0), math.radians(other.latitude or 0)
    half_north = (latitudes[1] - latitudes[0]) / 2
    half_east = math.radians((other.longitude or 0) - (one.longitude or 0)) / 2
    haversine = (
        math.sin(half_north) ** 2 + math.cos(latitudes[0]) * math.cos(latitudes[1]) * math.sin(half_east) ** 2
    )
    return 2 * _EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, haversine)))
