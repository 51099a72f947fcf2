# SPDX-License-Identifier: MIT
"""``tessmon db init|migrate|check``: the schema in the database."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from tessmon.cli.arguments import group, leaf, print_json
from tessmon.cli.connecting import access, add_dsn
from tessmon.cli.table import paragraph

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

_INDENT = 24


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "db", "make, renew or check the schema in the database")
    init = leaf(verbs, "init", "make the roles and the schema, or complete them")
    init.add_argument(
        "--create-database", action="store_true", help="make the database too, if it is missing"
    )
    migrate = leaf(verbs, "migrate", "bring the schema to the version that this program knows")
    check = leaf(
        verbs, "check", "look whether the database is as it should be; exit code 1 if not", listing=True
    )
    for parser in (init, migrate, check):
        add_dsn(parser)


def run(arguments: Namespace) -> int:
    return {"init": _init, "migrate": _migrate, "check": _check}[arguments.verb](arguments)


def _init(arguments: Namespace) -> int:
    from tessmon.database.migrate import initialise

    dsn, password = access(arguments)
    return _tell(initialise(dsn, password=password, create_database=arguments.create_database))


def _migrate(arguments: Namespace) -> int:
    from tessmon.database.migrate import migrate

    dsn, password = access(arguments)
    return _tell(migrate(dsn, password=password))


def _tell(done: list[str]) -> int:
    print("\n".join(done) or "nothing to do")
    return 0


def _check(arguments: Namespace) -> int:
    from tessmon.database.check import check

    dsn, password = access(arguments)
    findings = check(dsn, password=password)
    if arguments.json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            print(paragraph(f"{'ok' if finding.ok else 'BAD':<4} {finding.name}", finding.sentence, _INDENT))
    return 0 if all(finding.ok for finding in findings) else 1
