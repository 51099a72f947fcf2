# SPDX-License-Identifier: MIT
"""What an operator changes leaves whole histories, whatever was there before."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tessmon.sink.amendments import COPIED, AmendmentError, Change, amend, authorise, rename
from tessmon.sink.registration import LOCK_SQL
from tests.observatory import wait_for
from tests.postgres import Database, unchanged_database

__all__ = ["unchanged_database"]  # each test has photometers of its own, so one database does for all

FIRST_S = 1_772_000_000
FAR = "2999-12-31 23:59:59+00"
DAY_S = 86_400
GRID_S = 12
_numbers = count(1)

VERSIONS_SQL = """
SELECT tess_id, extract(epoch FROM valid_since)::float8, extract(epoch FROM valid_until)::float8, valid_state,
       location_id, observer_id, authorised, zp1
FROM tess_t WHERE mac_address = %s ORDER BY valid_since, valid_until"""


def at(second: float) -> datetime:
    """So many seconds after the first."""
    return datetime.fromtimestamp(FIRST_S + second, UTC)


@pytest.fixture
def plain(unchanged_database: Database) -> Iterator[Any]:
    """A connection of the service's user; each test has photometers of its own."""
    connection = psycopg2.connect(unchanged_database.dsn, options="-c timezone=UTC")
    connection.autocommit = True
    yield connection
    connection.close()


@pytest.fixture
def places(unchanged_database: Database) -> list[int]:
    """Three locations."""
    unchanged_database.execute(
        "INSERT INTO location_t (location_id, place, town, sub_region, region, country)"
        " SELECT n, 'place ' || n, '', '', '', '' FROM generate_series(1, 3) AS n ON CONFLICT DO NOTHING"
    )
    return [1, 2, 3]


def photometer(plain: Any, begins: Sequence[float] = (0,), authorised: Sequence[int] = ()) -> str:
    """A photometer whose versions begin at these seconds, with zero points 20, 21, …; gives its MAC."""
    mac = f"made {next(_numbers)}"
    ends = [*(at(each) for each in begins[1:]), FAR]
    with plain.cursor() as cursor:
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            cursor.execute(
                "INSERT INTO tess_t (mac_address, valid_since, valid_until, valid_state, zp1, authorised)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [
                    mac,
                    at(begin),
                    end,
                    "Current" if end == FAR else "Expired",
                    20 + number,
                    authorised[number] if authorised else 0,
                ],
            )
    return mac


def name(plain: Any, text: str, mac: str, since: datetime, until: datetime | None = None) -> None:
    with plain.cursor() as cursor:
        cursor.execute(
            "INSERT INTO name_to_mac_t VALUES (%s, %s, %s, %s, %s)",
            [text, mac, since, until or FAR, "Expired" if until else "Current"],
        )


def fetch(plain: Any, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with plain.cursor() as cursor:
        cursor.execute(sql, args)
        return list(cursor.fetchall())


def versions(plain: Any, mac: str) -> list[tuple[Any, ...]]:
    """(since, until [s after the first, None for ever], location, observer, authorised, zero point)"""
    return [
        (since - FIRST_S, None if state == "Current" else until - FIRST_S, *rest)
        for _, since, until, state, *rest in fetch(plain, VERSIONS_SQL, [mac])
    ]


seconds = st.integers(-2, GRID_S)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    begins=st.sets(st.integers(0, GRID_S), min_size=1, max_size=4).map(sorted),
    changes=st.lists(st.tuples(seconds, st.sampled_from([-1, 1, 2, 3])), max_size=5),
)
def test_any_changes_leave_one_version_for_each_time_and_the_last_word_counts(
    plain: Any, places: list[int], begins: list[int], changes: list[tuple[int, int]]
) -> None:
    mac = photometer(plain, begins)
    for since, location in changes:
        amend(plain, mac, Change(location_id=location), at(since))
    found = versions(plain, mac)
    assert [until for _, until, *_ in found if until is None] == [None]
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert found[0][0] == begins[0]
    for second in range(begins[0], GRID_S + 2):
        (location, _, _, zero_point) = next(
            rest for since, until, *rest in found if since <= second and (until is None or second < until)
        )
        said = [place for since, place in changes if since <= second]
        assert location == (said[-1] if said else -1)
        assert zero_point == 19 + sum(begin <= second for begin in begins)


def test_a_version_is_cut_where_the_change_begins_and_later_ones_follow(
    plain: Any, places: list[int]
) -> None:
    mac = photometer(plain, [0, 100, 200])
    before = [row[0] for row in fetch(plain, VERSIONS_SQL, [mac])]
    done = amend(plain, mac, Change(location_id=1), at(50))
    assert versions(plain, mac) == [
        (0, 50, -1, -1, 0, 20),
        (50, 100, 1, -1, 0, 20),
        (100, 200, 1, -1, 0, 21),
        (200, None, 1, -1, 0, 22),
    ]
    after = [row[0] for row in fetch(plain, VERSIONS_SQL, [mac])]
    assert [after[0], *after[2:]] == before, "versions that are not cut keep their ids, and readings theirs"
    assert done == (at(50), tuple(before))


def test_a_change_that_begins_with_a_version_cuts_nothing(plain: Any, places: list[int]) -> None:
    mac = photometer(plain, [0, 100])
    amend(plain, mac, Change(location_id=1), at(100))
    assert versions(plain, mac) == [(0, 100, -1, -1, 0, 20), (100, None, 1, -1, 0, 21)]


def test_a_change_before_all_versions_begins_with_the_first(plain: Any, places: list[int]) -> None:
    mac = photometer(plain, [0, 100])
    amend(plain, mac, Change(location_id=2), at(-10 * DAY_S))
    assert versions(plain, mac) == [(0, 100, 2, -1, 0, 20), (100, None, 2, -1, 0, 21)]


def test_what_holds_already_changes_no_row(plain: Any, places: list[int]) -> None:
    mac = photometer(plain, [0, 100])
    amend(plain, mac, Change(location_id=1), at(50))
    before = versions(plain, mac)
    assert amend(plain, mac, Change(location_id=1), at(70)).versions == ()
    assert versions(plain, mac) == before


def test_a_fraction_of_a_second_begins_with_the_next_whole_one(plain: Any, places: list[int]) -> None:
    mac = photometer(plain)
    amend(plain, mac, Change(location_id=1), at(50.25))
    assert [row[0] for row in versions(plain, mac)] == [0, 51]


def test_without_a_time_no_reading_that_is_there_is_concerned(plain: Any, places: list[int]) -> None:
    mac = photometer(plain)
    earliest = datetime.now(UTC)
    since = amend(plain, mac, Change(location_id=1), None).since
    assert since.microsecond == 0
    assert earliest < since <= datetime.now(UTC) + timedelta(seconds=1)


def test_nothing_begins_in_the_future_but_clocks_may_differ(plain: Any, places: list[int]) -> None:
    mac = photometer(plain)
    with pytest.raises(AmendmentError, match="future"):
        amend(plain, mac, Change(location_id=1), datetime.now(UTC) + timedelta(hours=1))
    assert len(versions(plain, mac)) == 1
    ahead = datetime.now(UTC) + timedelta(seconds=30)
    assert amend(plain, mac, Change(location_id=1), ahead).since < ahead


def test_behind_the_last_version_of_an_expired_photometer_nothing_is_changed(
    plain: Any, places: list[int]
) -> None:
    mac = photometer(plain, [0, 100])
    fetch(
        plain,
        "UPDATE tess_t SET valid_state = 'Expired', valid_until = %s"
        " WHERE mac_address = %s AND valid_state = 'Current' RETURNING 1",
        [at(200), mac],
    )
    with pytest.raises(AmendmentError, match="no version is valid"):
        amend(plain, mac, Change(location_id=1), at(200))
    amend(plain, mac, Change(location_id=1), at(150))
    assert versions(plain, mac)[-1] == (150, 200, 1, -1, 0, 21)


def test_the_later_part_of_a_cut_version_has_all_columns_of_the_whole(plain: Any) -> None:
    columns = {
        row[0]
        for row in fetch(
            plain, "SELECT column_name FROM information_schema.columns WHERE table_name = 'tess_t'"
        )
    }
    assert set(COPIED.split(", ")) == columns - {"tess_id", "valid_since", "valid_state"}


@pytest.mark.parametrize(
    ("authorised", "expected"),
    [
        ([0], [1]),
        (
            [0, 0, 0],
            [1, 1, 1],
        ),  # what waits since the registration is wanted, also from before it was located
        ([0, 1, 0, 0], [0, 1, 1, 1]),  # what was decided before it was authorised last stays
        ([0, 1], [0, 1]),
    ],
)
def test_an_authorisation_holds_for_as_long_as_there_was_none(
    plain: Any, authorised: list[int], expected: list[int]
) -> None:
    mac = photometer(plain, [100 * number for number in range(len(authorised))], authorised)
    authorise(plain, mac, None)
    assert [row[4] for row in versions(plain, mac)] == expected


def test_an_authorisation_with_a_time_begins_then(plain: Any) -> None:
    mac = photometer(plain)
    authorise(plain, mac, at(50))
    assert [(row[0], row[4]) for row in versions(plain, mac)] == [(0, 0), (50, 1)]


def renamed(plain: Any, mac: str, new: str, since: datetime | None, **how: Any) -> Any:
    how = {"override": False, "unregistered_max_age_s": DAY_S, **how}
    return rename(plain, "photometer", mac, new, since, **how)


def associations(plain: Any, *macs: str) -> list[tuple[Any, ...]]:
    return fetch(
        plain,
        "SELECT name, mac_address, valid_since, valid_state FROM name_to_mac_t WHERE mac_address = ANY(%s)"
        " ORDER BY valid_since, name",
        [list(macs)],
    )


def test_a_new_name_ends_the_old_one_and_touches_no_version(plain: Any) -> None:
    mac = photometer(plain, [0, 100])
    old, new = f"{mac} old", f"{mac} new"
    name(plain, old, mac, at(0))
    done = renamed(plain, mac, new, at(50))
    assert (done.since, done.former, done.nameless) == (at(50), old, None)
    assert associations(plain, mac) == [(old, mac, at(0), "Expired"), (new, mac, at(50), "Current")]
    assert len(versions(plain, mac)) == 2


def test_a_taken_name_is_given_only_by_override(plain: Any) -> None:
    mac, other = photometer(plain), photometer(plain)
    name(plain, f"{mac} a", mac, at(0))
    name(plain, f"{mac} b", other, at(10))
    with pytest.raises(AmendmentError, match=f"{mac} b is the name of {other}"):
        renamed(plain, mac, f"{mac} b", at(50))
    with pytest.raises(AmendmentError, match="can't begin before"):
        renamed(plain, mac, f"{mac} b", at(9), override=True)
    assert len(associations(plain, mac, other)) == 2
    assert renamed(plain, mac, f"{mac} b", at(50), override=True).nameless == other
    assert associations(plain, mac, other) == [
        (f"{mac} a", mac, at(0), "Expired"),
        (f"{mac} b", other, at(10), "Expired"),
        (f"{mac} b", mac, at(50), "Current"),
    ]
    assert renamed(plain, other, f"{mac} a", at(60)).former is None, "a photometer without a name gets one"


def test_its_own_name_is_no_new_one(plain: Any) -> None:
    mac = photometer(plain)
    name(plain, f"{mac} a", mac, at(0))
    with pytest.raises(AmendmentError, match="already"):
        renamed(plain, mac, f"{mac} a", at(50), override=True)


def test_a_new_name_brings_back_the_rejects_that_are_young_enough(plain: Any) -> None:
    mac = photometer(plain)
    new = f"{mac} new"
    cases = [
        (new, "unregistered", at(-DAY_S)),
        (new, "unregistered", at(-DAY_S - 1)),
        (new, "conflict", at(0)),
        (f"{mac} other", "unregistered", at(0)),
        (new, "unregistered", at(200)),
    ]
    for position, (subject, reason, received) in enumerate(cases):
        fetch(
            plain,
            "INSERT INTO rejects (lane, origin, position, received_at, reason, subject, detail, topic, envelope,"
            " payload) VALUES ('photometer', %s, %s, %s, %s, %s, '', '', '', '') RETURNING 1",
            [mac, [1, 1, position], received, reason, subject],
        )
    assert renamed(plain, mac, new, at(0)).made_due == 2
    due = fetch(plain, "SELECT position[3] FROM rejects WHERE origin = %s AND due ORDER BY 1", [mac])
    assert due == [(0,), (4,)]


def test_a_change_waits_for_a_registration_that_is_being_decided(
    plain: Any, unchanged_database: Database, places: list[int]
) -> None:
    mac = photometer(plain)
    registration = psycopg2.connect(unchanged_database.dsn)
    changing = threading.Thread(target=amend, args=(plain, mac, Change(location_id=1), at(50)))
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    try:
        with registration.cursor() as cursor:
            cursor.execute(LOCK_SQL)
            changing.start()
            wait_for(lambda: unchanged_database.fetch(waiting), "the change to wait for the lock")
            cursor.execute(
                "UPDATE tess_t SET valid_state = 'Expired', valid_until = %s WHERE mac_address = %s",
                [at(20), mac],
            )
            cursor.execute(
                "INSERT INTO tess_t (mac_address, valid_since, zp1) VALUES (%s, %s, 21)", [mac, at(20)]
            )
            registration.commit()
        changing.join(60)
    finally:
        registration.close()
    assert versions(plain, mac) == [
        (0, 20, -1, -1, 0, 20),
        (20, 50, -1, -1, 0, 21),
        (50, None, 1, -1, 0, 21),
    ]
