# SPDX-License-Identifier: MIT
"""The queries that users of tessdb are known to run, in PostgreSQL's dialect, as the role of dashboards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Database, run

QUERIES = Path(__file__).parents[2] / "docs" / "queries"
FAR = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)

FILLED = """
INSERT INTO location_t (location_id, longitude, latitude, elevation, place, town, sub_region, region, country,
                        timezone, contact_email) VALUES
    (1, -3.75, 40.5, 650, 'Roof', 'Madrid', 'Madrid', 'Comunidad', 'Spain', 'Europe/Madrid', 'ana@example.org'),
    (2, -155.5, 19.25, 4200, 'Summit', 'Hilo', 'Hawaii', 'Hawaii', 'USA', 'Pacific/Honolulu', NULL),
    (3, 0.5, 51.25, 40, 'Garden', 'Kent', 'Kent', 'England', 'UK', 'Europe/London', NULL);
INSERT INTO tess_t (tess_id, mac_address, valid_since, valid_until, valid_state, zp1, location_id) VALUES
    (1, 'AA:00:00:00:00:01', '2026-01-01 00:00:00+00', '2026-03-01 00:00:00+00', 'Expired', 20.25, 1),
    (2, 'AA:00:00:00:00:01', '2026-03-01 00:00:00+00', '2999-12-31 23:59:59+00', 'Current', 20.5, 1),
    (3, 'AA:00:00:00:00:02', '2026-02-01 00:00:00+00', '2999-12-31 23:59:59+00', 'Current', 19.75, 2),
    (4, 'AA:00:00:00:00:03', '2026-02-02 00:00:00+00', '2999-12-31 23:59:59+00', 'Current', 20.0, 1);
INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_until, valid_state) VALUES
    ('stars3', 'AA:00:00:00:00:03', '2026-02-02 00:00:00+00', '2026-02-03 00:00:00+00', 'Expired'),
    ('stars1', 'AA:00:00:00:00:01', '2026-01-01 00:00:00+00', '2999-12-31 23:59:59+00', 'Current'),
    ('stars2', 'AA:00:00:00:00:02', '2026-02-01 00:00:00+00', '2999-12-31 23:59:59+00', 'Current');
SELECT tessmon_ensure_partitions('tess_readings_t', '{2026-02-01,2026-03-01}');
INSERT INTO tess_readings_t (date_id, time_id, tess_id, location_id, units_id, sequence_number, frequency, magnitude,
    box_temperature, sky_temperature, signal_strength, tstamp, received_at) VALUES
    (20260228, 235959, 1, 1, 1, 7, 8.25, 18.5, 9.5, -14.25, -70, '2026-02-28 23:59:59+00', now()),
    (20260301, 0, 2, 1, 1, 8, 8.125, 18.75, 9.25, -15.0, -71, '2026-03-01 00:00:00+00', now()),
    (20260301, 120000, 2, 2, 1, 9, 9.0, 18.0, 10.0, -16.5, -72, '2026-03-01 12:00:00+00', now()),
    (20260301, 60000, 3, 2, 0, 1, 7.5, 17.5, 3.0, -30.0, -60, '2026-03-01 06:00:00+00', now());
"""


def ask(database: Database, number: int, **variables: str) -> list[tuple[Any, ...]]:
    [path] = QUERIES.glob(f"{number}_*.sql")
    sql = path.read_text()
    for name, value in variables.items():
        sql = sql.replace(f":'{name}'", f"'{value}'")
    return run(database.reader_dsn, sql)


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute(FILLED)
    return database


def test_readings_are_counted_by_day_and_photometer(filled: Database) -> None:
    rows = ask(filled, 1)
    assert [day for day, _, _ in rows] == ["2026-03-01", "2026-03-01", "2026-02-28"]
    assert sorted(rows) == [
        ("2026-02-28", "AA:00:00:00:00:01", 1),
        ("2026-03-01", "AA:00:00:00:00:01", 2),
        ("2026-03-01", "AA:00:00:00:00:02", 1),
    ]


def test_all_readings_of_one_photometer_are_listed_in_order(filled: Database) -> None:
    assert ask(filled, 2, name="stars1") == [
        (
            2461100.4999884260,
            "2026-02-28T23:59:59",
            7,
            "Roof",
            "AA:00:00:00:00:01",
            8.25,
            18.5,
            20.25,
            -14.25,
            9.5,
        ),
        (2461100.5, "2026-03-01T00:00:00", 8, "Roof", "AA:00:00:00:00:01", 8.125, 18.75, 20.5, -15.0, 9.25),
        (2461101.0, "2026-03-01T12:00:00", 9, "Summit", "AA:00:00:00:00:01", 9.0, 18.0, 20.5, -16.5, 10.0),
    ]


def test_current_photometers_are_listed_with_name_and_place(filled: Database) -> None:
    assert ask(filled, 3) == [
        (
            "stars1",
            "AA:00:00:00:00:01",
            "40.5 -3.75",
            "Roof, Madrid, Comunidad",
            "ana@example.org",
            20.5,
            "UV/IR-740",
        ),
        ("stars2", "AA:00:00:00:00:02", "19.25 -155.5", "Summit, Hilo, Hawaii", None, 19.75, "UV/IR-740"),
    ]


def test_changes_of_photometers_are_listed_with_their_times(filled: Database) -> None:
    january, march = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    assert ask(filled, 4) == [
        ("stars1", 20.25, "UV/IR-740", january, march, "Expired"),
        ("stars1", 20.5, "UV/IR-740", march, FAR, "Current"),
        ("stars2", 19.75, "UV/IR-740", datetime(2026, 2, 1, tzinfo=UTC), FAR, "Current"),
        (None, 20.0, "UV/IR-740", datetime(2026, 2, 2, tzinfo=UTC), FAR, "Current"),
    ]


def test_the_span_of_readings_is_given_per_photometer(filled: Database) -> None:
    assert sorted(ask(filled, 5)) == [
        ("AA:00:00:00:00:01", "2026-02-28T23:59:59Z", "2026-03-01T12:00:00Z"),
        ("AA:00:00:00:00:02", "2026-03-01T06:00:00Z", "2026-03-01T06:00:00Z"),
    ]


def test_locations_without_photometer_are_found(filled: Database) -> None:
    assert sorted(ask(filled, 6)) == [("Garden",), ("Unknown",)]
