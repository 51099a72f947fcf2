# SPDX-License-Identifier: MIT
"""Partitions come when they are needed, and inserts beside them go on."""

from __future__ import annotations

import threading
import time
from datetime import date, timedelta

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.database.connection import Connector, is_missing_partition
from tessmon.database.objects import PARTITIONED
from tessmon.database.partitions import Partitions
from tests.postgres import Database, run

TABLE = "tess_readings_t"
INSERT = f"""
INSERT INTO {TABLE} (date_id, time_id, tess_id, units_id, sequence_number, frequency, magnitude,
    box_temperature, sky_temperature, signal_strength, tstamp, received_at)
VALUES (20260301, 0, %s, 0, 1, 1, 1, 1, 1, 1, %s, now())"""
BOUNDS = """
SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent = %s::regclass AND c.relname LIKE %s ORDER BY 1"""


@pytest_twisted.ensureDeferred
async def test_missing_partitions_are_made_and_known_ones_not_asked_for(database: Database) -> None:
    connection = await Connector(database.settings, reactor).connect()
    partitions = Partitions()
    with pytest.raises(psycopg2.errors.CheckViolation) as caught:
        await connection.query(INSERT, [1, "2026-03-31 23:59:59+00"])
    assert is_missing_partition(caught.value)
    await partitions.ensure(connection, TABLE, {(2026, 3), (2026, 4)})
    await partitions.ensure(connection, "tess_readings4c_t", {(2026, 3)})
    for stamp in ("2026-03-01 00:00:00+00", "2026-03-31 23:59:59.999999+00", "2026-04-01 00:00:00+00"):
        assert await connection.execute(INSERT, [1, stamp]) == 1
    assert database.fetch(
        "SELECT tableoid::regclass::text, count(*) FROM tess_readings_t GROUP BY 1 ORDER BY 1"
    ) == [
        ("tess_readings_t_2026_03", 2),
        ("tess_readings_t_2026_04", 1),
    ]
    assert database.fetch(BOUNDS, [TABLE, "%_2026_03"]) == [
        (
            "tess_readings_t_2026_03",
            "FOR VALUES FROM ('2026-03-01 00:00:00+00') TO ('2026-04-01 00:00:00+00')",
        )
    ]
    database.execute("DROP TABLE tess_readings_t_2026_03")
    await partitions.ensure(connection, TABLE, {(2026, 3)})
    assert database.fetch(BOUNDS, [TABLE, "%_2026_03"]) == []
    partitions.forget()
    await partitions.ensure(connection, TABLE, {(2026, 3)})
    assert len(database.fetch(BOUNDS, [TABLE, "%_2026_03"])) == 1
    connection.close()


def test_the_next_month_is_made_ahead(database: Database) -> None:
    database.execute(f"DROP TABLE IF EXISTS {TABLE}_2026_11, {TABLE}_2026_12")
    database.execute(
        "DO $$ DECLARE p text; BEGIN FOR p IN SELECT inhrelid::regclass::text FROM pg_inherits "
        f"WHERE inhparent = '{TABLE}'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$"
    )
    run(database.dsn, f"SELECT tessmon_ensure_partitions('{TABLE}', ARRAY[now()::date])")
    [(today,)] = database.fetch("SELECT now()::date")
    following = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    names = [name for name, _ in database.fetch(BOUNDS, [TABLE, "%"])]
    assert names == [f"{TABLE}_{today:%Y_%m}", f"{TABLE}_{following:%Y_%m}"]


def test_the_next_month_of_every_table_is_made_ahead(database: Database) -> None:
    """Also of one whose instrument is quiet, or not there."""
    ahead = "SELECT format('%s_%s', t, to_char(now() + interval '1 month', 'YYYY_MM')) FROM unnest(%s) AS t"
    names = [name for (name,) in database.fetch(ahead.replace("%s_%s", "%%s_%%s"), [list(PARTITIONED)])]
    assert len(names) == 4
    for asked in PARTITIONED:
        database.execute(f"DROP TABLE {', '.join(names)}")
        run(database.dsn, f"SELECT tessmon_ensure_partitions('{asked}', '{{2026-03-01}}')")
        assert [one for name in names for one in database.fetch("SELECT to_regclass(%s)::text", [name])] == [
            (name,) for name in names
        ]


def test_days_of_new_months_are_added_to_the_calendar(database: Database) -> None:
    database.execute("DELETE FROM date_t WHERE year = 2024")
    run(database.dsn, f"SELECT tessmon_ensure_partitions('{TABLE}', '{{2024-02-10}}')")
    found = [day for (day,) in database.fetch("SELECT date_id FROM date_t WHERE year = 2024 ORDER BY 1")]
    assert found == [20240200 + day for day in range(1, 30)]


def test_inserts_and_reads_go_on_while_partitions_are_made(database: Database) -> None:
    run(database.dsn, f"SELECT tessmon_ensure_partitions('{TABLE}', '{{2026-03-01}}')")
    writing, reading = psycopg2.connect(database.dsn), psycopg2.connect(database.reader_dsn)
    try:
        writing.cursor().execute(INSERT, [1, "2026-03-01"])
        reading.cursor().execute(f"SELECT count(*) FROM {TABLE}")
        begun = time.monotonic()
        run(database.dsn, f"SELECT tessmon_ensure_partitions('{TABLE}', '{{2026-04-01,2026-05-01}}')")
        assert time.monotonic() - begun < 1
        writing.cursor().execute(INSERT, [1, "2026-04-01"])
        writing.commit()
    finally:
        writing.close()
        reading.close()
    assert database.fetch(f"SELECT count(*) FROM {TABLE}") == [(2,)]


def test_many_at_once_neither_fail_nor_deadlock(database: Database) -> None:
    months = [date(2020 + n // 12, n % 12 + 1, 1) for n in range(24)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for month in months if number % 2 else reversed(months):
                run(database.dsn, f"SELECT tessmon_ensure_partitions('{TABLE}', %s::date[])", [[month]])
                run(database.dsn, INSERT, [number, month])
        except psycopg2.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert database.fetch(f"SELECT count(*), count(DISTINCT tableoid) FROM {TABLE}") == [(96, 24)]


def test_a_lock_that_is_not_given_ends_the_attempt_soon(database: Database) -> None:
    holder = psycopg2.connect(database.superuser_dsn)
    try:
        holder.cursor().execute(f"LOCK TABLE {TABLE} IN SHARE UPDATE EXCLUSIVE MODE")
        begun = time.monotonic()
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            run(database.dsn, f"SELECT tessmon_ensure_partitions('{TABLE}', '{{2026-03-01}}')")
        assert 2 < time.monotonic() - begun < 6
    finally:
        holder.close()
