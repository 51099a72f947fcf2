# SPDX-License-Identifier: MIT
"""``tessmon location add|list``: where photometers stand."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from tessmon.cli.arguments import group, leaf, print_json
from tessmon.cli.connecting import add_dsn, connected
from tessmon.cli.fields import label, number_within, time_zone
from tessmon.cli.table import printable, table

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers
    from tessmon.database.locations import Site

_LOWEST_M, _HIGHEST_M = -500, 9000


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "location", "the places where photometers stand")
    add = leaf(verbs, "add", "add a location")
    add.add_argument("name", type=label, metavar="NAME", help="of the place; locate takes it")
    add.add_argument(
        "--latitude",
        type=number_within(-90, 90, "degrees"),
        required=True,
        metavar="DEG",
        help="north is positive",
    )
    add.add_argument(
        "--longitude",
        type=number_within(-180, 180, "degrees"),
        required=True,
        metavar="DEG",
        help="east is positive",
    )
    add.add_argument(
        "--elevation",
        type=number_within(_LOWEST_M, _HIGHEST_M, "metres"),
        required=True,
        metavar="M",
        help="above sea level",
    )
    for option in ("--town", "--sub-region", "--region", "--country"):
        add.add_argument(option, type=label, default="Unknown", metavar="TEXT", help="where the place is")
    add.add_argument(
        "--timezone",
        type=time_zone,
        default="Etc/UTC",
        metavar="ZONE",
        help="like Europe/Madrid (default: %(default)s)",
    )
    listing = leaf(verbs, "list", "list locations, with the photometers that stand there", listing=True)
    for parser in (add, listing):
        add_dsn(parser)


def run(arguments: Namespace) -> int:
    return {"add": _add, "list": _list}[arguments.verb](arguments)


def _add(arguments: Namespace) -> int:
    from tessmon.database.locations import Site, add_location

    site = Site(
        arguments.name,
        arguments.longitude,
        arguments.latitude,
        arguments.elevation,
        arguments.town,
        arguments.sub_region,
        arguments.region,
        arguments.country,
        arguments.timezone,
    )
    with connected(arguments) as database:
        location, neighbours = add_location(database, site)
    print(f"location {location.location_id} is {site.place}")
    for location, distance_m in neighbours:
        print(
            f"tessmon: warning: location {location.location_id}, {printable(location.site.place)}, "
            f"is only {distance_m:.0f} m away: is it the same?",
            file=sys.stderr,
        )
    return 0


def _list(arguments: Namespace) -> int:
    from tessmon.database.locations import UNKNOWN_ID, all_locations, occupants

    with connected(arguments) as database:
        known = [one for one in all_locations(database) if one.location_id != UNKNOWN_ID]
        standing = occupants(database)
    listed = [(number, site, standing.get(number, [])) for number, site in known]
    if arguments.json:
        print_json(
            [
                {"location_id": number, **site._asdict(), "photometers": names}
                for number, site, names in listed
            ]
        )
    elif listed:
        titles = ["number", "place", "latitude", "longitude", "metres", "photometers"]
        print(table(titles, [_row(*each) for each in listed]))
    else:
        print("no locations: `tessmon location add` makes one")
    return 0


def _row(number: int, site: Site, names: list[str]) -> tuple[object, ...]:
    return (
        number,
        site.place,
        _aligned(site.latitude, 9, 5),
        _aligned(site.longitude, 10, 5),
        _aligned(site.elevation, 6, 0),
        " ".join(names),
    )


def _aligned(number: float | None, columns: int, digits: int) -> str:
    return "" if number is None else f"{number:{columns}.{digits}f}"
