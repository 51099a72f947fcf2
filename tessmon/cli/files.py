# SPDX-License-Identifier: MIT
"""``tessmon files inventory|backfill|status|verify``: the files of devices, and what of them is in the database."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tessmon.cli.arguments import configuration, group, leaf, needed, point_in_time, positive
from tessmon.cli.connecting import add_dsn
from tessmon.cli.fields import any_name

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers
    from tessmon.config.model import Config, Files

_WORKERS = 2


def add_parser(commands: Subparsers) -> None:
    verbs = group(
        commands, "files", "take stock of telemetry files, read archives, compare with the database"
    )
    inventory = leaf(
        verbs, "inventory", "note which files there are: new, grown, renamed, replaced, gone", listing=True
    )
    backfill = leaf(verbs, "backfill", "store what files hold that was not read yet", listing=True)
    backfill.add_argument(
        "--workers",
        type=positive,
        default=_WORKERS,
        metavar="N",
        help="processes that read (default: %(default)s)",
    )
    backfill.add_argument("--limit", type=positive, metavar="N", help="only N files, the oldest")
    backfill.add_argument(
        "--device", type=any_name, action="append", metavar="NAME", help="only of this device; repeatable"
    )
    backfill.add_argument(
        "--since",
        type=point_in_time,
        metavar="TIME",
        help="only files that began then or later, by their names",
    )
    status = leaf(verbs, "status", "show how far each device's files are in the database", listing=True)
    verify = leaf(
        verbs,
        "verify",
        "compare a file with the database, record by record; exit code 1 when anything differs",
        listing=True,
    )
    verify.add_argument("file", type=Path, metavar="FILE", help="its path")
    for parser in (inventory, backfill, status, verify):
        add_dsn(parser)


def run(arguments: Namespace) -> int:
    verb = import_module(f"tessmon.cli.files_{arguments.verb}")
    return int(verb.run(arguments))


def configured(arguments: Namespace) -> tuple[Config, Files]:
    """The configuration and its files table.

    Raises:
        TessmonError: there is none.
        ConfigurationError: it can't be used.
    """
    config = configuration(arguments).config
    return config, needed(config.files, "files", "which directories to look into")
