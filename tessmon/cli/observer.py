# SPDX-License-Identifier: MIT
"""``tessmon observer add|list``: who answers for photometers."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from tessmon.cli.arguments import group, leaf, print_json
from tessmon.cli.connecting import add_dsn, connected
from tessmon.cli.fields import email, label, website
from tessmon.cli.table import printable, table

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

TYPES = ("Individual", "Organization")


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "observer", "the people and organizations that answer for photometers")
    add = leaf(verbs, "add", "add an observer")
    add.add_argument("name", type=label, metavar="NAME", help="of the person or organization")
    add.add_argument("--type", choices=TYPES, required=True, metavar="TYPE", help=" or ".join(TYPES))
    add.add_argument("--affiliation", type=label, metavar="TEXT", help="where a person belongs to")
    add.add_argument("--acronym", type=label, metavar="TEXT", help="short name, as of an association")
    add.add_argument("--website", type=website, metavar="URL", help="where more is told")
    add.add_argument("--email", type=email, metavar="ADDRESS", help="to write to")
    listing = leaf(
        verbs, "list", "list observers, with the number of photometers they answer for", listing=True
    )
    for parser in (add, listing):
        add_dsn(parser)


def run(arguments: Namespace) -> int:
    return {"add": _add, "list": _list}[arguments.verb](arguments)


def _add(arguments: Namespace) -> int:
    from tessmon.database.observers import Person, add_observer

    person = Person(
        arguments.name,
        arguments.type,
        arguments.affiliation,
        arguments.acronym,
        arguments.website,
        arguments.email,
    )
    with connected(arguments) as database:
        observer = add_observer(database, person)
    print(f"observer {observer.observer_id} is {printable(person.name)}")
    return 0


def _list(arguments: Namespace) -> int:
    from tessmon.database.observers import UNKNOWN_ID, all_observers, photometer_counts

    with connected(arguments) as database:
        known = [one for one in all_observers(database) if one.observer_id != UNKNOWN_ID]
        counts = photometer_counts(database)
    listed = [(number, person, counts.get(number, 0)) for number, person in known]
    if arguments.json:
        print_json(
            [
                {"observer_id": number, **person._asdict(), "photometers": count}
                for number, person, count in listed
            ]
        )
    elif listed:
        titles = ["number", "name", "type", "photometers", "affiliation"]
        print(
            table(
                titles,
                [
                    (number, person.name, person.type, count, person.acronym or person.affiliation)
                    for number, person, count in listed
                ],
            )
        )
    else:
        print("no observers: `tessmon observer add` makes one")
    return 0
