# SPDX-License-Identifier: MIT
"""Who answers for photometers: rows of ``observer_t`` for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tessmon.database.named import check_new, number_of
from tessmon.database.permission import permitted
from tessmon.database.plain import rows, transaction

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

UNKNOWN_ID = -1
"""Who answers for photometers that nobody has given an observer."""

TYPES = ("Individual", "Organization")

_COLUMNS = "name, type, affiliation, acronym, website_url, email"
_LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('tessmon observer', 0))"
_OBSERVERS_SQL = (
    f"SELECT observer_id, {_COLUMNS} FROM observer_t WHERE valid_state = 'Current' ORDER BY observer_id"
)
_ADD_SQL = f"""
INSERT INTO observer_t ({_COLUMNS}, valid_since) VALUES (%s, %s, %s, %s, %s, %s, date_trunc('second', now()))
RETURNING observer_id"""
_COUNTS_SQL = "SELECT observer_id, count(*) FROM tess_t WHERE valid_state = 'Current' GROUP BY observer_id"


class Person(NamedTuple):
    """An observer as an operator describes it: an individual or an organization; what is None is not known."""

    name: str
    type: str
    affiliation: str | None = None
    acronym: str | None = None
    website_url: str | None = None
    email: str | None = None


class Observer(NamedTuple):
    """A Current row of observer_t: its number, and what it says."""

    observer_id: int
    person: Person


def all_observers(database: PlainConnection) -> list[Observer]:
    """In the order of their numbers; the unknown one, -1, is the first."""
    return [Observer(number, Person(*columns)) for number, *columns in rows(database, _OBSERVERS_SQL)]


def photometer_counts(database: PlainConnection) -> dict[int, int]:
    """Observer number → how many photometers he answers for now."""
    return dict(rows(database, _COUNTS_SQL))


def find_observer(database: PlainConnection, wanted: str) -> Observer:
    """The observer of a name, in any case of letters, or of a number.

    Raises:
        NamedRowError: there is none, or more than one.
    """
    known = {one.observer_id: one for one in all_observers(database)}
    return known[number_of({number: one.person.name for number, one in known.items()}, wanted, "observer")]


def add_observer(database: PlainConnection, person: Person) -> Observer:
    """Make an observer, valid from now on.

    Raises:
        NamedRowError: one with the same name is there.
        DatabaseError: the user may not.
    """
    with permitted(database, "add observers", "SELECT, INSERT ON observer_t"), transaction(database):
        rows(database, _LOCK_SQL)
        known = {one.observer_id: one.person.name for one in all_observers(database)}
        check_new(known, person.name, "observer")
        [(number,)] = rows(database, _ADD_SQL, person)
    return Observer(number, person)
