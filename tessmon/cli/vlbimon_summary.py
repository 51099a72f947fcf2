# SPDX-License-Identifier: MIT
"""``tessmon vlbimon summary``."""

from __future__ import annotations

from argparse import Namespace
from itertools import groupby
from typing import TYPE_CHECKING

from tessmon.cli.arguments import print_json
from tessmon.cli.connecting import connected
from tessmon.cli.progress import ProgressLine
from tessmon.cli.table import how_many, moment_ns, printable, table

if TYPE_CHECKING:
    from tessmon.database.points import Counted

_NS = 1_000_000_000
_TITLES = ["rows", "first (UTC)", "last (UTC)", "parameter"]


def run(arguments: Namespace) -> int:
    """Each station, and each of its parameters on a line."""
    from tessmon.database.points import count_points

    line = ProgressLine()
    with connected(arguments) as database:
        found = list(
            count_points(
                database,
                arguments.station or (),
                lambda part: line.show(f"{part:4.0%} of the points counted"),
            )
        )
    line.end()
    if arguments.json:
        print_json([each._asdict() for each in found])
    elif not found:
        print("no points" + (f" of {', '.join(map(ascii, arguments.station))}" if arguments.station else ""))
    else:
        print("\n\n".join(_lines(station, list(each)) for station, each in groupby(found, _station)))
        print(f"\n{how_many(sum(each.rows for each in found), 'point')} in all")
    return 0


def _station(series: Counted) -> str:
    return series.station


def _lines(station: str, found: list[Counted]) -> str:
    """A station: its name, and a line for each parameter; names are long, so they stand last."""
    shown = [(each.rows, _minute(each.first_s), _minute(each.last_s), each.parameter) for each in found]
    points = sum(each.rows for each in found)
    return f"{printable(station)}: {how_many(points, 'point')}\n" + table(_TITLES, shown)


def _minute(at_s: int) -> str:
    return moment_ns(at_s * _NS)[:-3]
