# SPDX-License-Identifier: MIT
"""etc/grants.sql, run by an administrator in a PostgreSQL that has never seen tessmon."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2.errors
import pytest

from tessmon.database.check import check
from tessmon.database.migrate import initialise
from tessmon.demo.servers import PostgresServer, new_directory, system_binaries
from tests.postgres import run

SCRIPT = Path(__file__).parents[2] / "etc" / "grants.sql"
DATABASE = 'night "sky"'
TABLES = (
    "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One with the schema, made by ana, who may do nothing but what the script gave her."""
    directory = new_directory("tessmon-grants-")
    server = PostgresServer(directory, settings={"fsync": "off"})
    server.start()
    try:
        run(server.superuser_dsn(), "CREATE ROLE ana LOGIN PASSWORD 'x'")
        for _ in range(2):  # it may be run again
            _psql(server, login="ana", database=DATABASE)
        done = initialise(server.dsn("ana", DATABASE, "x"))
        assert done
        assert all(line.startswith("migration ") for line in done)
        for role in ("tessmon_writer", "tessmon_reader"):
            run(server.superuser_dsn(), f"ALTER ROLE {role} PASSWORD 'x'")
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory)


def _psql(server: PostgresServer, **variables: str) -> None:
    binaries = system_binaries()
    assert binaries is not None
    subprocess.run(
        [
            binaries / "psql",
            "--no-psqlrc",
            f"--dbname={server.superuser_dsn()}",
            *(f"--set={name}={value}" for name, value in variables.items()),
            f"--file={SCRIPT}",
        ],
        check=True,
        env={**os.environ, "PGOPTIONS": ""},
    )


def test_it_makes_what_db_init_makes(server: PostgresServer) -> None:
    assert [one.sentence for one in check(server.superuser_dsn(DATABASE)) if not one.ok] == []
    assert initialise(server.superuser_dsn(DATABASE), create_database=True) == []


def test_without_the_name_of_who_makes_the_tables_it_does_nothing(server: PostgresServer) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _psql(server, database="other")
    with pytest.raises(subprocess.CalledProcessError):
        _psql(server, login="nobody_there", database="other")
    assert run(server.superuser_dsn(), "SELECT 1 FROM pg_database WHERE datname = 'other'") == []


def test_a_reader_reads_and_that_is_all(server: PostgresServer) -> None:
    reader = server.dsn("tessmon_reader", DATABASE, "x")
    for table in ("tess_readings_t", "tess_v", "tess_t", "location_t", "tallies"):
        run(reader, f"SELECT * FROM {table} LIMIT 1")
    for (table,) in run(server.superuser_dsn(DATABASE), TABLES):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"INSERT INTO {table} DEFAULT VALUES"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                run(reader, statement)
    _assert_makes_nothing(reader)


def test_a_writer_makes_and_drops_no_table(server: PostgresServer) -> None:
    writer = server.dsn("tessmon_writer", DATABASE, "x")
    run(
        writer,
        "INSERT INTO tess_t (mac_address, valid_since, valid_state, zp1) VALUES ('m', now(), 'Current', 20)",
    )
    for statement in (
        "DROP TABLE tess_readings_t",
        "ALTER TABLE tess_t ADD COLUMN x int",
        "TRUNCATE tess_readings_t",
        "DELETE FROM tess_t",
        "SET ROLE tessmon",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(writer, statement)
    _assert_makes_nothing(writer)


def _assert_makes_nothing(dsn: str) -> None:
    for statement in (
        "CREATE TABLE mine (x int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(dsn, statement)
