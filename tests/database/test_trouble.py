# SPDX-License-Identifier: MIT
"""Whose trouble an error is, asked with errors that a server really gives."""

from __future__ import annotations

import psycopg2
import pytest

from tessmon.database.trouble import Trouble, is_missing_partition, sentence_of, trouble_of
from tessmon.errors import SchemaError
from tests.postgres import Database, run

READING = """
INSERT INTO tess_readings_t (date_id, time_id, tess_id, units_id, sequence_number, frequency, magnitude,
    box_temperature, sky_temperature, signal_strength, tstamp, received_at)
VALUES (20260301, 0, 1, 0, 1, 1, 1, 1, 1, 1, '2026-03-01 00:00:00+00', now())"""


def failure(dsn: str, sql: str) -> psycopg2.Error:
    with pytest.raises(psycopg2.Error) as caught:
        run(dsn, sql)
    return caught.value


@pytest.mark.parametrize(
    ("sql", "state", "trouble"),
    [
        ("SELECT 1/0", "22012", Trouble.DATA),
        ("SELECT 'x'::int", "22P02", Trouble.DATA),
        ("SELECT '2026-02-30'::date", "22008", Trouble.DATA),
        ("""SELECT '{"a": "\\u0000"}'::jsonb""", "22P05", Trouble.DATA),
        ("INSERT INTO tess_units_t VALUES (9, NULL, '')", "23502", Trouble.DATA),
        ("INSERT INTO tess_units_t VALUES (0, '', '')", "23505", Trouble.DATA),
        (READING, "23514", Trouble.DATA),
        (
            "INSERT INTO name_to_mac_t (mac_address, valid_since, name) "
            "SELECT 'm', now(), string_agg(md5(i::text), '') FROM generate_series(1, 400) AS i",
            "54000",
            Trouble.DATA,
        ),
        ("SELECT nothing", "42703", Trouble.OPERATOR),
        ("SELECT * FROM nowhere", "42P01", Trouble.OPERATOR),
        ("SELECT * FROM nowhere.at_all", "42P01", Trouble.OPERATOR),
        ("CREATE TABLE nowhere.at_all ()", "3F000", Trouble.OPERATOR),
        ("VACUUM (FULL) tess_v; SELECT 1", "25001", Trouble.WEATHER),
        ("SELECT tessmon_advance('no', 'no', '{}', '{}', '{}', '{}', NULL, '{}')", "TM001", Trouble.WEATHER),
        ("SELECT tessmon_ensure_partitions('tess_t', '{}')", "TM003", Trouble.OPERATOR),
        ("SET statement_timeout = 20; SELECT pg_sleep(5)", "57014", Trouble.WEATHER),
    ],
)
def test_a_state_tells_whose_trouble_it_is(
    unchanged_database: Database, sql: str, state: str, trouble: Trouble
) -> None:
    error = failure(unchanged_database.superuser_dsn, sql)
    assert error.pgcode == state
    assert trouble_of(error) is trouble


def test_rights_are_the_operators_trouble(unchanged_database: Database) -> None:
    error = failure(unchanged_database.dsn, "CREATE TABLE mine ()")
    assert error.pgcode == "42501"
    assert trouble_of(error) is Trouble.OPERATOR


def test_a_missing_partition_is_told_from_a_violated_check(unchanged_database: Database) -> None:
    missing = failure(unchanged_database.superuser_dsn, READING)
    violated = failure(
        unchanged_database.superuser_dsn,
        "INSERT INTO tess_t (mac_address, valid_since, zp1, authorised) VALUES ('m', now(), 20, 2)",
    )
    assert missing.pgcode == violated.pgcode == "23514"
    assert is_missing_partition(missing)
    assert not is_missing_partition(violated)
    assert not is_missing_partition(ValueError())


def test_refused_log_ins_are_the_operators_trouble(database: Database) -> None:
    server = database.server
    database.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC")
    for dsn in (
        server.dsn("tessmon_writer", database.name, "wrong"),
        server.dsn("tessmon_writer", database.name) + " passfile=/nowhere",
        server.dsn("nobody", "postgres", "x"),
        server.dsn("tessmon", "postgres", "x"),
        server.superuser_dsn("no_such_database"),
        server.superuser_dsn() + " sslmode=require",
        database.dsn,
    ):
        error = failure(dsn, "SELECT 1")
        assert error.pgcode is None
        assert trouble_of(error) is Trouble.OPERATOR, str(error)


def test_a_server_that_is_full_is_weather(database: Database) -> None:
    database.execute(f"ALTER DATABASE {database.name} CONNECTION LIMIT 0")
    assert trouble_of(failure(database.dsn, "SELECT 1")) is Trouble.WEATHER


def test_errors_of_this_program_are_told_by_their_kind() -> None:
    assert trouble_of(ValueError("NUL")) is Trouble.DATA
    assert trouble_of(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate")) is Trouble.DATA
    assert trouble_of(OverflowError()) is Trouble.DATA
    assert trouble_of(SchemaError("too old")) is Trouble.OPERATOR
    assert trouble_of(ConnectionResetError()) is Trouble.WEATHER


def test_a_sentence_is_one_line_without_values_advice_or_secrets(unchanged_database: Database) -> None:
    taken = failure(unchanged_database.superuser_dsn, "INSERT INTO tess_units_t VALUES (0, '', '')")
    assert sentence_of(taken) == 'duplicate key value violates unique constraint "tess_units_t_pkey"'
    unknown = failure(unchanged_database.server.superuser_dsn("no_such_database"), "SELECT 1")
    assert sentence_of(unknown).endswith('failed: database "no_such_database" does not exist')
    refused = failure("host=127.0.0.1 port=1", "SELECT 1")
    assert sentence_of(refused).endswith("Connection refused")
    assert sentence_of(ValueError("password=hush, at postgresql://me:hush@there")) == (
        "password=*** at postgresql://me:***@there"
    )
    assert sentence_of(ValueError()) == "ValueError"
    assert len(sentence_of(ValueError("x" * 10_000))) == 500
