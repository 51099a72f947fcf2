# SPDX-License-Identifier: MIT
"""What the schema itself guarantees, whoever writes."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

import psycopg2
import psycopg2.errors
import pytest

from tessmon.database.trouble import NO_SUCH_PARTITION, POSITION_MOVED
from tests.postgres import Database, run

TESS = "INSERT INTO tess_t (mac_address, valid_since, valid_state, zp1) VALUES ('m', '2026-01-01', %s, 20)"
NAME = "INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_state) VALUES (%s, %s, '2026-01-01', %s)"
STATE = "SELECT position::text, low::text FROM positions"


def test_every_day_has_its_row_as_computed_here(unchanged_database: Database) -> None:
    rows = unchanged_database.fetch("SELECT * FROM date_t ORDER BY date_id")
    first = date(2000, 1, 1)
    days = [first + timedelta(days=n) for n in range(18_628)]
    assert days[-1] == date(2050, 12, 31)
    unix_day = date(1970, 1, 1).toordinal()
    assert rows == [
        (
            day.year * 10_000 + day.month * 100 + day.day,
            day.isoformat(),
            f"{day.day:02}/{day.month:02}/{day.year}",
            day.day,
            day.timetuple().tm_yday,
            2_440_587.5 + day.toordinal() - unix_day,
            calendar.day_name[day.weekday()],
            calendar.day_abbr[day.weekday()],
            day.isoweekday() % 7,
            day.month,
            calendar.month_name[day.month],
            calendar.month_abbr[day.month],
            day.year,
        )
        for day in days
    ]


def test_every_second_of_the_day_has_its_row(unchanged_database: Database) -> None:
    rows = unchanged_database.fetch("SELECT * FROM time_t ORDER BY time_id")
    assert rows == [
        (h * 10_000 + m * 100 + s, f"{h:02}:{m:02}:{s:02}", h, m, s, (h * 3600 + m * 60 + s) / 86_400)
        for h in range(24)
        for m in range(60)
        for s in range(60)
    ]


def test_the_unknown_rows_and_units_are_there(unchanged_database: Database) -> None:
    assert unchanged_database.fetch("SELECT location_id, place, timezone, longitude FROM location_t") == [
        (-1, "Unknown", "Etc/UTC", None)
    ]
    far = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert unchanged_database.fetch(
        "SELECT observer_id, type, name, valid_until, valid_state FROM observer_t"
    ) == [(-1, "Organization", "Unknown", far, "Current")]
    assert unchanged_database.fetch("SELECT * FROM tess_units_t ORDER BY units_id") == [
        (0, "Subscriber", "Direct"),
        (1, "Publisher", "Direct"),
        (2, "Subscriber", "Imported"),
        (3, "Publisher", "Imported"),
    ]


def test_ids_count_from_one(database: Database) -> None:
    assert run(database.dsn, TESS + " RETURNING tess_id", ["Current"]) == [(1,)]


def test_a_mac_has_one_current_photometer_and_any_number_of_expired(database: Database) -> None:
    for state in ("Expired", "Current", "Expired"):
        run(database.dsn, TESS, [state])
    with pytest.raises(psycopg2.errors.UniqueViolation):
        run(database.dsn, TESS, ["Current"])


def test_a_name_and_a_mac_have_one_current_association(database: Database) -> None:
    for name, mac, state in (("n", "m", "Expired"), ("n", "m", "Expired"), ("n", "m", "Current")):
        run(database.dsn, NAME, [name, mac, state])
    for name, mac in (("n", "other"), ("other", "m")):
        with pytest.raises(psycopg2.errors.UniqueViolation):
            run(database.dsn, NAME, [name, mac, "Current"])


def test_the_view_names_the_photometer_in_all_its_versions(database: Database) -> None:
    run(database.dsn, TESS, ["Expired"])
    run(database.dsn, TESS, ["Current"])
    run(database.dsn, NAME, ["before", "m", "Expired"])
    run(database.dsn, NAME, ["now", "m", "Current"])
    assert run(
        database.reader_dsn,
        "SELECT tess_id, name, valid_state, place, observer_name, observer_type, zp1 FROM tess_v ORDER BY tess_id",
    ) == [
        (1, "now", "Expired", "Unknown", "Unknown", "Organization", 20.0),
        (2, "now", "Current", "Unknown", "Unknown", "Organization", 20.0),
    ]


def test_a_position_advances_only_from_where_it_is(database: Database) -> None:
    run(
        database.dsn,
        "INSERT INTO positions (lane, origin, position, low) VALUES ('l', 'o', '{1,2,3}', '{1,2,0}')",
    )
    advance = "SELECT tessmon_advance('l', 'o', %s, %s, '{1,3,0}', '{1,2,2}', %s, '{}')"
    for position, low in (("{1,2,4}", "{1,2,0}"), ("{1,2,3}", "{1,2,1}")):
        with pytest.raises(psycopg2.Error) as caught:
            run(database.dsn, advance, [position, low, "new"])
        assert caught.value.pgcode == POSITION_MOVED
        assert database.fetch(STATE) == [("{1,2,3}", "{1,2,0}")]
    run(database.dsn, advance, ["{1,2,3}", "{1,2,0}", None])
    assert database.fetch("SELECT settings, notes FROM positions") == [("", {})]
    assert database.fetch(STATE) == [("{1,3,0}", "{1,2,2}")]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE mine ()",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE tess_t ADD mine int",
        "DROP TABLE tallies",
        "TRUNCATE rejects",
        "DELETE FROM tess_t",
        "DELETE FROM tess_readings_t",
        "UPDATE tess_readings_t SET magnitude = 0",
        "DELETE FROM telem",
        "UPDATE telem SET prio = 'ERR'",
        "TRUNCATE telem",
        "DELETE FROM vlbimon_points",
        "TRUNCATE vlbimon_points",
        "INSERT INTO vlbimon_parameters (parameter) VALUES ('mine')",
        "UPDATE vlbimon_parameters SET datatype = 'int'",
        "DELETE FROM vlbimon_clients",
        "DELETE FROM bridge_stationstatus",
        "INSERT INTO bridge_stationstatus (station, scan) VALUES ('KP', 'mine')",
        "DROP VIEW ts_param_bridge_points",
        "DELETE FROM file_origins",
        "INSERT INTO file_replicas SELECT * FROM file_replicas",
        "DELETE FROM positions",
        "INSERT INTO date_t SELECT * FROM date_t",
        "UPDATE location_t SET place = 'mine'",
        "INSERT INTO schema_migrations VALUES (99, '', '', now(), '')",
        "SELECT tessmon_add_dates('2000-01-01', '2000-01-02')",
        "SET ROLE tessmon",
        "ALTER TABLE tess_readings_t DETACH PARTITION tess_readings_t_2026_11",
    ],
)
def test_the_writer_has_no_right_it_does_not_need(unchanged_database: Database, sql: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(unchanged_database.dsn, sql)


def test_a_reader_sees_all_but_the_bytes_of_rejects_and_writes_nothing(unchanged_database: Database) -> None:
    for table in (
        "tess_v",
        "tess_readings_t",
        "tess_readings4c_t",
        "positions",
        "tallies",
        "source_events",
        "date_t",
        "telem",
        "observations",
        "file_origins",
        "file_ingest_times",
        "file_replicas",
        "vlbimon_parameters",
        "vlbimon_stations",
        "vlbimon_points",
        "vlbimon_clients",
        "bridge_stationstatus",
        "ts_param_bridge_events",
        "ts_param_bridge_points",
        "ts_param_schedule",
    ):
        run(unchanged_database.reader_dsn, f"SELECT count(*) FROM {table}")
    run(unchanged_database.reader_dsn, "SELECT reason, subject, detail FROM rejects")
    for sql in (
        "SELECT payload FROM rejects",
        "SELECT envelope FROM rejects",
        "DELETE FROM tallies",
        "DELETE FROM telem",
        "DELETE FROM vlbimon_points",
        "DELETE FROM ts_param_schedule",
        "SELECT tessmon_vlbimon_parameters('{x}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(unchanged_database.reader_dsn, sql)


@pytest.mark.parametrize(
    ("parent", "months"),
    [
        ("'tess_t'", "'{2026-01-01}'"),
        ("'pg_catalog.pg_class'", "'{2026-01-01}'"),
        ("'tess_readings_t; DROP TABLE tess_t'", "'{2026-01-01}'"),
        ("'tess_readings_t_2026_11'", "'{2026-01-01}'"),
        ("NULL", "'{2026-01-01}'"),
        ("'tess_readings_t'", "NULL"),
        ("'tess_readings_t'", "'{1999-12-31}'"),
        ("'tess_readings_t'", "'{infinity}'"),
        ("'tess_readings_t'", "'{-infinity}'"),
        ("'tess_readings_t'", "'{NULL}'"),
        ("'tess_readings_t'", "ARRAY[(now() + interval '3 months')::date]"),
        ("'tess_readings_t'", "array_fill('2026-01-01'::date, ARRAY[1001])"),
    ],
)
def test_hostile_arguments_make_no_partition(unchanged_database: Database, parent: str, months: str) -> None:
    before = unchanged_database.fetch("SELECT count(*) FROM pg_class")
    with pytest.raises(psycopg2.Error) as caught:
        run(unchanged_database.dsn, f"SELECT tessmon_ensure_partitions({parent}, {months})")
    assert caught.value.pgcode == NO_SUCH_PARTITION
    assert unchanged_database.fetch("SELECT count(*) FROM pg_class") == before


def test_objects_of_the_callers_do_not_deceive_the_owners_function(database: Database) -> None:
    trap = "CREATE FUNCTION {schema}.format(text, text) RETURNS text LANGUAGE sql AS $$ SELECT (1/0)::text $$"
    database.execute("CREATE SCHEMA trap AUTHORIZATION tessmon_writer")
    run(
        database.dsn,
        f"{trap.format(schema='trap')}; CREATE TEMPORARY TABLE date_t (x int); CREATE TEMPORARY TABLE pg_inherits ();"
        "SET search_path = trap, pg_temp, public, pg_catalog;"
        "SELECT public.tessmon_ensure_partitions('tess_readings_t', '{2026-03-15}')",
    )
    assert database.fetch("SELECT to_regclass('public.tess_readings_t_2026_03')::text") == [
        ("tess_readings_t_2026_03",)
    ]


def test_changes_are_told_once_and_only_when_a_row_changed(database: Database) -> None:
    listener = psycopg2.connect(database.dsn)
    listener.autocommit = True
    try:
        cursor = listener.cursor()
        cursor.execute("LISTEN tessmon_photometers; LISTEN tessmon_rejects")

        def heard(sql: str) -> list[tuple[str, str]]:
            database.execute(sql)
            cursor.execute("SELECT 1")
            found = [(notify.channel, notify.payload) for notify in listener.notifies]
            listener.notifies.clear()
            return found

        photometers = "tessmon_photometers"
        tess = """INSERT INTO tess_t (mac_address, valid_since, zp1)
                  SELECT m::text, now(), 20 FROM generate_series(1, 9) AS m"""
        assert heard(tess) == [(photometers, "tess_t")]
        assert heard(tess + " ON CONFLICT DO NOTHING") == []
        assert heard("UPDATE tess_t SET authorised = 1 WHERE mac_address = '1'") == [(photometers, "tess_t")]
        assert heard("UPDATE tess_t SET authorised = 1 WHERE mac_address = 'none'") == []
        assert heard("DELETE FROM tess_t") == [(photometers, "tess_t")]
        assert heard(
            "INSERT INTO name_to_mac_t (name, mac_address, valid_since) VALUES ('n', 'm', now())"
        ) == [(photometers, "name_to_mac_t")]
        assert heard("UPDATE location_t SET place = 'here'") == [(photometers, "location_t")]
        reject = """INSERT INTO rejects (lane, origin, position, received_at, reason, detail, due, topic,
                                         envelope, payload)
                    SELECT 'l', 'o', ARRAY[n], now(), 'r', 'd', n > 2, 't', '', '' FROM generate_series(1, 4) n"""
        assert heard(reject) == []
        assert heard("UPDATE rejects SET due = true WHERE position = '{4}'") == []
        assert heard("UPDATE rejects SET due = false WHERE position = '{4}'") == []
        assert heard("UPDATE rejects SET due = true") == [("tessmon_rejects", "rejects")]
    finally:
        listener.close()
