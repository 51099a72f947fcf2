# SPDX-License-Identifier: MIT
"""``tessmon photometer list|show|history|authorise|locate|rename``: who the photometers are, and what an operator
decides about them. A running service takes changes up with its next batch."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from tessmon.cli.arguments import group, leaf, point_in_time
from tessmon.cli.connecting import add_dsn
from tessmon.cli.fields import any_name

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from tessmon.cli.arguments import Subparsers

_WHO_HELP = "its name, in any case of letters, or its MAC"


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "photometer", "look at photometers, authorise, locate and rename them")
    listing = leaf(verbs, "list", "list the photometers as they are now", listing=True)
    listing.add_argument("--unlocated", action="store_true", help="only those at no known location")
    listing.add_argument("--unauthorised", action="store_true", help="only those that are not authorised")
    show = leaf(verbs, "show", "show all that is known of a photometer now", listing=True)
    past = leaf(verbs, "history", "show the names and versions of a photometer through time", listing=True)
    authorise = leaf(verbs, "authorise", "authorise a photometer, or take that back")
    locate = leaf(verbs, "locate", "say where a photometer stands, and who answers for it")
    rename = leaf(verbs, "rename", "give a photometer another name")
    for parser in (show, past, authorise, locate):
        parser.add_argument("photometer", type=any_name, metavar="NAME|MAC", help=_WHO_HELP)
    _add_authorise(authorise)
    _add_locate(locate)
    _add_rename(rename)
    for parser in (listing, show, past, authorise, locate, rename):
        add_dsn(parser)


def _add_authorise(parser: ArgumentParser) -> None:
    parser.add_argument("--revoke", action="store_true", help="its readings are not wanted any more")
    _add_since(
        parser,
        "default: for as long as it has not been authorised, so that readings that wait are stored; to revoke, now",
    )


def _add_locate(parser: ArgumentParser) -> None:
    parser.add_argument(
        "location", type=any_name, metavar="LOCATION", help="its name or number; - for as it is"
    )
    parser.add_argument(
        "--observer", type=any_name, metavar="OBSERVER", help="name or number (default: as it is)"
    )
    _add_since(parser, "for readings taken from then on that are not stored yet; default: now")
    parser.set_defaults(usage_error=parser.error)


def _add_rename(parser: ArgumentParser) -> None:
    parser.add_argument("photometer", type=any_name, metavar="OLD", help=_WHO_HELP)
    parser.add_argument("new", type=any_name, metavar="NEW", help="the name under which its readings come")
    parser.add_argument(
        "--override",
        action="store_true",
        help="take the name from another photometer, which is left without one",
    )
    _add_since(parser, "default: now")


def _add_since(parser: ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--since",
        type=point_in_time,
        metavar="WHEN",
        help=f"2026-03-01T22:00 (UTC), or 2h for 2 h ago ({text})",
    )


def run(arguments: Namespace) -> int:
    from tessmon.cli.photometer_verbs import VERBS

    return VERBS[arguments.verb](arguments)
