# SPDX-License-Identifier: MIT
"""What the verbs of ``tessmon photometer`` do."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tessmon.cli.arguments import configuration, print_json
from tessmon.cli.connecting import connected
from tessmon.cli.photometer_rows import (
    Known,
    NoSuchPhotometerError,
    current,
    find,
    names,
    newest_stored,
    versions,
)
from tessmon.cli.photometer_view import card, history, in_order, overview, plain
from tessmon.cli.table import COLUMNS, moment, printable, wrapped
from tessmon.database.locations import UNKNOWN_ID, find_location
from tessmon.database.observers import find_observer
from tessmon.database.permission import permitted
from tessmon.decode.refusal import Refusal
from tessmon.decode.tess_payload import parse_name
from tessmon.errors import TessmonError
from tessmon.sink.amendments import Amended, AmendmentError, Change, amend, authorise, rename

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_LANE = "photometer"
"""Whose rejects a new name brings back."""

_AS_IT_IS = "-"
_RIGHTS = "SELECT, INSERT, UPDATE ON tess_t, name_to_mac_t, rejects"


class BadNameError(TessmonError):
    """The new name is none; the text says why."""


def _list(arguments: Namespace) -> int:
    with connected(arguments) as database:
        found = in_order(current(database))
    if arguments.unlocated:
        found = [one for one in found if one["location_id"] == UNKNOWN_ID]
    if arguments.unauthorised:
        found = [one for one in found if not one["authorised"]]
    if arguments.json:
        print_json([plain(one) for one in found])
    else:
        print(overview(found) if found else "no photometers")
    return 0


def _show(arguments: Namespace) -> int:
    with connected(arguments) as database:
        known = find(database, arguments.photometer)
        found = current(database, known.mac)
    if not found:
        raise NoSuchPhotometerError(
            f"{known.mac} has no version that is valid now: `tessmon photometer history` shows those that were"
        )
    if arguments.json:
        print_json(plain(found[0]))
    else:
        print(card(found[0]))
    return 0


def _history(arguments: Namespace) -> int:
    with connected(arguments) as database:
        mac = find(database, arguments.photometer).mac
        known_names, known_versions = names(database, mac), versions(database, mac)
    if arguments.json:
        print_json(
            {
                "mac_address": mac,
                "names": [plain(one) for one in known_names],
                "versions": [plain(one) for one in known_versions],
            }
        )
    else:
        print(history(known_names, known_versions))
    return 0


@contextmanager
def _changing(arguments: Namespace) -> Iterator[connection]:
    try:
        with connected(arguments) as database, permitted(database, "change photometers", _RIGHTS):
            yield database
    except AmendmentError as error:  # names and MACs come from anyone who can publish
        raise AmendmentError(printable(str(error))) from error


def _authorise(arguments: Namespace) -> int:
    with _changing(arguments) as database:
        known = find(database, arguments.photometer)
        if arguments.revoke:
            done = amend(database, known.mac, Change(authorised=False), arguments.since)
        else:
            done = authorise(database, known.mac, arguments.since)
    _tell(known, "not authorised" if arguments.revoke else "authorised", done)
    return 0


def _locate(arguments: Namespace) -> int:
    stays = arguments.location == _AS_IT_IS
    if stays and arguments.observer is None:
        arguments.usage_error("name a LOCATION, or an --observer, or both")
    change, words = Change(), []
    with _changing(arguments) as database:
        known = find(database, arguments.photometer)
        if not stays:
            number, site = find_location(database, arguments.location)
            change = change._replace(location_id=number)
            words.append(f"at {site.place}")
        if arguments.observer is not None:
            number, person = find_observer(database, arguments.observer)
            change = change._replace(observer_id=number)
            words.append(f"observed by {person.name}")
        done = amend(database, known.mac, change, arguments.since)
        newest = newest_stored(database, done.versions, done.since) if done.versions else None
    _tell(known, " and ".join(words), done)
    if newest is not None:
        _say(
            f"Readings of that time that are stored already, the last of {moment(newest)} UTC, stay as they are; "
            "those that wait are stored so."
        )
    return 0


def _tell(known: Known, what: str, done: Amended) -> None:
    if done.versions:
        _say(f"{known} is {what} from {moment(done.since)} UTC on")
    else:
        _say(f"nothing to do: {known} is {what} already")


def _rename(arguments: Namespace) -> int:
    name = _name(arguments.new)
    max_age_s = configuration(arguments).config.photometer.unregistered_max_age_s
    with _changing(arguments) as database:
        known = find(database, arguments.photometer)
        done = rename(
            database,
            _LANE,
            known.mac,
            name,
            arguments.since,
            override=arguments.override,
            unregistered_max_age_s=max_age_s,
        )
    _say(
        f"{known.mac} is {name} from {moment(done.since)} UTC on{f', it was {done.former}' if done.former else ''}"
    )
    if done.nameless is not None:
        _say(f"{done.nameless} has no name now: its readings are rejected until it registers, or gets one")
    if done.made_due:
        _say(
            f"{done.made_due} rejected readings under that name are due: a running service takes them at once"
        )
    _say("The device must be told its new name as well: when it boots, it registers under the one it knows.")
    return 0


def _name(text: str) -> str:
    try:
        return parse_name({"name": text})
    except Refusal as refusal:
        raise BadNameError(f"the new {refusal.detail}") from refusal


def _say(sentence: str) -> None:
    """In lines that fit a terminal."""
    print("\n".join(wrapped(printable(sentence), COLUMNS)))


VERBS: Mapping[str, Callable[[Namespace], int]] = {
    "list": _list,
    "show": _show,
    "history": _history,
    "authorise": _authorise,
    "locate": _locate,
    "rename": _rename,
}
