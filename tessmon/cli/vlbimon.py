# SPDX-License-Identifier: MIT
"""``tessmon vlbimon status|history|load|masterlist|summary``: the array's monitor, now and before."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tessmon.cli.arguments import configuration, group, leaf, needed, point_in_time
from tessmon.cli.connecting import add_dsn
from tessmon.cli.fields import any_name

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers
    from tessmon.config.model import Config, Vlbimon

FIRST_S = 946_684_800
"""Nothing was measured before the year 2000 [s since 1970 UTC]."""


def add_parser(commands: Subparsers) -> None:
    verbs = group(
        commands, "vlbimon", "the array's monitor: how it does, what it said before, who reports what"
    )
    leaf(verbs, "status", "show how the running service does with the vlbimon server", listing=True)
    masterlist = leaf(
        verbs,
        "masterlist",
        "fetch the list of parameters, show what is new in it, and take it up",
        listing=True,
    )
    masterlist.add_argument(
        "--file", type=Path, metavar="FILE", help="read it from there instead of asking the server"
    )
    history = leaf(
        verbs, "history", "fetch what the server knows of a time; goes on where it ended before", listing=True
    )
    _add_history(history)
    load = leaf(verbs, "load", "store a tree of CSV files, DIR/STATION/parameter.csv", listing=True)
    load.add_argument("directory", type=Path, metavar="DIR", help="with a directory for each station")
    summary = leaf(
        verbs, "summary", "show which station reports which parameter, and since when", listing=True
    )
    _add_station(summary)
    for parser in (load, masterlist, summary):
        add_dsn(parser)


def _add_history(parser: ArgumentParser) -> None:
    for name, text in (("--start", "first"), ("--end", "last")):
        parser.add_argument(
            name,
            type=moment_s,
            required=True,
            metavar="TIME",
            help=f"{text} second: unix seconds, or 2024-04-05T19:00 (UTC), or 2h for 2 h ago",
        )
    _add_station(parser)
    parser.add_argument(
        "--param",
        type=any_name,
        action="append",
        metavar="NAME",
        help="only this parameter; repeatable (default: all of the masterlist)",
    )
    kinds = parser.add_mutually_exclusive_group()
    for kind, text in (
        ("all", "all parameters (default)"),
        ("public", "only those that come all year"),
        ("private", "only those that come while the array observes"),
    ):
        kinds.add_argument(
            f"--{kind}", dest="kind", action="store_const", const=kind, default="all", help=text
        )
    parser.add_argument(
        "--csv", type=Path, metavar="DIR", help="write CSV files there instead of storing rows"
    )
    add_dsn(parser)
    parser.set_defaults(usage_error=parser.error)


def _add_station(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--station",
        type=any_name,
        action="append",
        metavar="NAME",
        help="only this station; repeatable (default: all)",
    )


def run(arguments: Namespace) -> int:
    verb = import_module(f"tessmon.cli.vlbimon_{arguments.verb}")
    return int(verb.run(arguments))


def moment_s(text: str) -> float:
    """A time [s since 1970 UTC]: unix seconds, ISO 8601, or how long ago.

    Raises:
        ArgumentTypeError: it is none, or lies before the year 2000.
    """
    at_s = float(text) if _is_number(text) else point_in_time(text).timestamp()
    if not FIRST_S <= at_s <= datetime.max.replace(tzinfo=UTC).timestamp():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time since the year 2000: write unix seconds, or 2024-04-05T19:00"
        )
    return at_s


def _is_number(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    return text.isascii() and whole.isdigit() and (fraction.isdigit() or not fraction) and len(text) < 30


def configured(arguments: Namespace) -> tuple[Config, Vlbimon]:
    """The configuration and its vlbimon table.

    Raises:
        TessmonError: there is none.
        ConfigurationError: it can't be used.
    """
    config = configuration(arguments).config
    return config, needed(config.vlbimon, "vlbimon", "which servers to ask, and as whom")
