# SPDX-License-Identifier: MIT
"""A real PostgreSQL for tests: one server a run, a fresh database for each test that asks for one."""

from __future__ import annotations

import itertools
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tessmon.config import model
from tessmon.database.migrate import initialise
from tessmon.demo.programs import system_binaries, wheel_binaries
from tessmon.demo.servers import PostgresServer, new_directory

TEMPLATE = "tessmon_template"
LOGINS = {"tessmon_writer": "for the writer", "tessmon_reader": "for the reader", "tessmon_admin": "for db"}
"""Role → password. ``tessmon_admin`` logs in and acts as the owner, who can't."""

_numbers = itertools.count(1)


class Database:
    """One database with tessmon's schema.

    Attributes:
        dsn: for the service: ``tessmon_writer``, who has no right that is not needed.
        reader_dsn: for ``tessmon_reader``.
        owner_dsn: for a login that acts as the owner ``tessmon``.
        superuser_dsn: everything is allowed.
    """

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name
        self.dsn = server.dsn("tessmon_writer", name, LOGINS["tessmon_writer"])
        self.reader_dsn = server.dsn("tessmon_reader", name, LOGINS["tessmon_reader"])
        self.owner_dsn = server.dsn("tessmon_admin", name, LOGINS["tessmon_admin"])
        self.superuser_dsn = server.superuser_dsn(name)

    @property
    def settings(self) -> model.Database:
        """The configuration of a service that writes here."""
        return model.Database(dsn=self.dsn)

    def fetch(self, sql: str, args: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows, as the superuser."""
        return run(self.superuser_dsn, sql, args)

    def execute(self, sql: str, args: Sequence[Any] | None = None) -> None:
        """Run statements as the superuser, committed."""
        run(self.superuser_dsn, sql, args)


def run(dsn: str, sql: str, args: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    """Run statements on a connection of their own, committed; the rows of the last one.

    Times are UTC.
    """
    connection = psycopg2.connect(dsn, options="-c timezone=UTC -c lock_timeout=15s")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall() if cursor.description is not None else []
    finally:
        connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server; whoever stops or freezes it need not put it right again, `database` does."""
    with running_server() as server:
        yield server


@contextmanager
def running_server(*, binaries: Path | None = None, **settings: str) -> Iterator[PostgresServer]:
    """A server with the roles and a template with the schema; gone afterwards."""
    directory = new_directory("tessmon-postgres-")
    settings = {"fsync": "off", "max_connections": "100", **settings}
    server = PostgresServer(directory, binaries=binaries, settings=settings)
    try:
        server.start()
        initialise(server.superuser_dsn(TEMPLATE), create_database=True)
        superuser = server.superuser_dsn()
        run(superuser, "CREATE ROLE tessmon_admin LOGIN IN ROLE tessmon")
        run(superuser, "ALTER ROLE tessmon_admin SET role = tessmon")
        for role, password in LOGINS.items():
            run(superuser, f"ALTER ROLE {role} PASSWORD '{password}'")
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory)


def programs_in(directory: Path, environment: Mapping[str, str]) -> Path:
    """PostgreSQL's, whose server has these variables."""
    found = wheel_binaries() or system_binaries()
    assert found is not None
    programs = directory / "programs"
    programs.mkdir()
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    for name, given in (("postgres", variables), ("initdb", "")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec env {given} {shlex.quote(str(found / name))} "$@"\n')
        script.chmod(0o755)
    return programs


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A fresh database with the schema, in a server that runs."""
    with fresh_database(postgres) as fresh:
        yield fresh


@pytest.fixture
def other_database(postgres: PostgresServer) -> Iterator[Database]:
    """A second one, for a test that compares two."""
    with fresh_database(postgres) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def unchanged_database(postgres: PostgresServer) -> Iterator[Database]:
    """The same for all tests of a module that leave it as it was."""
    with fresh_database(postgres) as fresh:
        yield fresh


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[Database]:
    """One with the schema, for as long as it is used."""
    name = f"tessmon_{next(_numbers)}"
    _put_right(server)
    run(server.superuser_dsn(), f"CREATE DATABASE {name} OWNER tessmon TEMPLATE {TEMPLATE}")
    try:
        yield Database(server, name)
    finally:
        _put_right(server)
        run(server.superuser_dsn(), f"DROP DATABASE {name} WITH (FORCE)")


def _put_right(server: PostgresServer) -> None:
    if not server.running:
        server.start()
    server.thaw()
