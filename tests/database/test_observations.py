# SPDX-License-Identifier: MIT
"""The view ``observations``: who observed what, from when to when."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from tests.postgres import Database

EXACT = Path(__file__).parents[1] / "magaox" / "exact" / "exao1" / "opt" / "MagAOX" / "telem"
INSERT = """
INSERT INTO telem (ts, ns, file_id, file_offset, digest, device, ec, prio, msg)
VALUES (%s, %s, 1, %s, %s, %s, %s, 'TELM', %s)"""
DAY = datetime(2026, 3, 1, tzinfo=UTC)


class Said(NamedTuple):
    """One record of the device."""

    at: datetime
    ns: int
    offset: int
    on: bool
    email: str
    name: str


Span = tuple[datetime, datetime | None, str, str]


def spans(said: Iterable[Said]) -> list[Span]:
    """What the view is to say, record by record."""
    found: list[list[Any]] = []
    open_span = False
    for one in sorted(said, key=lambda each: (each.at, each.ns, each.offset)):
        if not one.on:
            open_span = False
            continue
        if not open_span or found[-1][2:] != [one.email, one.name]:
            found.append([one.at, one.at, one.email, one.name])
        found[-1][1] = one.at
        open_span = True
    if open_span:
        found[-1][1] = None
    return [(begin, end, email, name) for begin, end, email, name in found]


@pytest.fixture
def observed(unchanged_database: Database) -> Iterator[Database]:
    """A database without telemetry; the next test finds it so again."""
    yield unchanged_database
    unchanged_database.execute("DELETE FROM telem")


def store(database: Database, said: Sequence[Said], device: str = "observers") -> None:
    months = sorted({one.at.date().replace(day=1) for one in said})
    with psycopg2.connect(database.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tessmon_ensure_partitions('telem', %s::date[])", [months])
        for number, one in enumerate(said):
            message = {"email": one.email, "obsName": one.name, "observing": one.on}
            values = [one.at, one.ns, one.offset, number, device, "telem_observer", json.dumps(message)]
            cursor.execute(INSERT, values)
    connection.close()


def viewed(database: Database, timezone: str = "UTC") -> list[Span]:
    connection = psycopg2.connect(database.reader_dsn, options=f"-c timezone={timezone}")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT start_ts, end_ts, email, obsname FROM observations")
            return cursor.fetchall()
    finally:
        connection.close()


def sequence(text: str, names: str | None = None, step_s: float = 10) -> list[Said]:
    """A record for each letter: ``.`` is off, a letter is on with it as the name."""
    return [
        Said(DAY + timedelta(seconds=n * step_s), 0, n, letter != ".", "ana", (names or text)[n].strip("."))
        for n, letter in enumerate(text)
    ]


def test_the_sample_night_has_the_spans_that_its_records_tell(observed: Database) -> None:
    [path] = EXACT.glob("observers_*.exact.ndjson")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    said = [
        Said(
            datetime.fromtimestamp(one["time_s"], UTC) + timedelta(microseconds=one["time_ns"] // 1000),
            one["time_ns"] % 1000,
            one["offset"],
            one["msg"]["observing"],
            one["msg"]["email"],
            one["msg"]["obsName"],
        )
        for one in records
    ]
    store(observed, said)
    found = viewed(observed)
    assert found == spans(said)
    assert [(name, end is None) for _, end, _, name in found] == [
        ("HD142527_zprime", False),
        ("βPic L′", False),
        ("βPic L′ coron", False),
        ("", False),
        ("darks", False),
        ("open_ended", True),
    ]
    begun = datetime(2024, 10, 22, 3, 21, 50, 100000, tzinfo=UTC)
    assert found[0][:2] == (begun, begun + timedelta(seconds=50))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("....", []),
        ("aaa", [("a", 0, None)]),
        ("aa.", [("a", 0, 1)]),
        (".a.", [("a", 1, 1)]),
        ("..aab..b", [("a", 2, 3), ("b", 4, 4), ("b", 7, None)]),
        ("aba.a", [("a", 0, 0), ("b", 1, 1), ("a", 2, 2), ("a", 4, None)]),
    ],
)
def test_spans_begin_split_and_end_as_told(
    observed: Database, text: str, expected: list[tuple[str, int, int | None]]
) -> None:
    said = sequence(text)
    store(observed, said)
    assert viewed(observed) == [
        (said[first].at, None if last is None else said[last].at, "ana", name)
        for name, first, last in expected
    ]


def test_a_span_has_the_name_of_its_first_record_and_not_of_the_one_before(observed: Database) -> None:
    store(observed, sequence("..aa.", names="xxaab"))
    assert [name for *_, name in viewed(observed)] == ["a"]


def test_another_email_begins_another_span(observed: Database) -> None:
    said = sequence("aaaa")
    said[2:] = [one._replace(email="ben") for one in said[2:]]
    store(observed, said)
    assert [(email, end) for _, end, email, _ in viewed(observed)] == [("ana", said[1].at), ("ben", None)]


def test_records_of_one_instant_count_by_nanosecond_and_then_as_they_stand_in_the_file(
    observed: Database,
) -> None:
    one = Said(DAY, 5, 100, True, "ana", "first")
    said = [
        one._replace(offset=200, on=False),
        one,
        one._replace(ns=6, offset=50, name="third"),
        one._replace(ns=4, offset=300, name="zeroth"),
    ]
    store(observed, said)
    assert viewed(observed) == spans(said)
    assert [(name, end) for _, end, _, name in viewed(observed)] == [
        ("zeroth", DAY),
        ("first", DAY),
        ("third", None),
    ]


def test_any_night_of_any_order_is_told_like_a_loop_over_its_records(observed: Database) -> None:
    chance = random.Random(7)
    said = [
        Said(
            DAY + timedelta(seconds=chance.randrange(400)),
            chance.randrange(3),
            n,
            chance.random() < 0.7,
            chance.choice(["", "ana", "ben"]),
            chance.choice(["", "x", "y"]),
        )
        for n in range(1000)
    ]
    store(observed, said)
    found = viewed(observed)
    assert found == spans(said)
    assert len(found) > 300


@pytest.mark.parametrize("timezone", ["America/Santiago", "Australia/Lord_Howe", "UTC"])
def test_clocks_that_are_set_for_summer_change_nothing(observed: Database, timezone: str) -> None:
    said = []
    for night in (datetime(2024, 4, 7, 2, tzinfo=UTC), datetime(2024, 9, 8, 2, tzinfo=UTC)):
        said += [one._replace(at=night + (one.at - DAY)) for one in sequence("..aaaa.bbbb.", step_s=1200)]
    store(observed, said)
    assert viewed(observed, timezone) == spans(said)


def test_what_other_devices_and_other_codes_say_does_not_count(observed: Database) -> None:
    said = sequence("aaa")
    store(observed, said)
    store(observed, [one._replace(on=False) for one in said], device="observers2")
    observed.execute(
        INSERT, [DAY + timedelta(seconds=5), 0, 0, 0, "observers", "telem_saving", '{"observing": false}']
    )
    assert viewed(observed) == [(DAY, None, "ana", "a")]


def test_messages_of_another_shape_are_off_and_harm_no_other(observed: Database) -> None:
    store(observed, sequence("a"))
    odd = ['"observing"', "[true]", "{}", '{"observing": "yes"}', '{"observing": null}', "null", "5"]
    for number, message in enumerate(odd, 1):
        at = DAY + timedelta(seconds=number)
        observed.execute(INSERT, [at, 0, number, number, "observers", "telem_observer", message])
    observed.execute(
        INSERT, [DAY + timedelta(seconds=60), 0, 0, 9, "observers", "telem_observer", '{"observing": true}']
    )
    assert viewed(observed) == [(DAY, DAY, "ana", "a"), (DAY + timedelta(seconds=60), None, "", "")]
