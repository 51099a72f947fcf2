# SPDX-License-Identifier: MIT
"""How a schema comes to be, by whom, and what is refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.database.check import check
from tessmon.database.connection import Connector, Trouble, trouble_of
from tessmon.database.migrate import SCHEMA_VERSION, check_schema, initialise, migrate
from tessmon.database.plain import DatabaseError
from tessmon.database.schema import migrations
from tessmon.demo.servers import PostgresServer, new_directory
from tessmon.errors import SchemaError
from tests.postgres import LOGINS, Database, run

NEW = "tessmon_new"
ROLES = """SELECT rolname::text, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles
           WHERE rolname LIKE 'tessmon%' ORDER BY 1"""


@pytest.fixture
def server(database: Database) -> Iterator[PostgresServer]:
    """One with the roles, where the database `NEW` may be made."""
    yield database.server
    run(database.server.superuser_dsn(), f"DROP DATABASE IF EXISTS {NEW} WITH (FORCE)")


@pytest.fixture
def bare(server: PostgresServer) -> str:
    """DSN of the superuser for an empty database."""
    run(server.superuser_dsn(), f"CREATE DATABASE {NEW} OWNER tessmon TEMPLATE template0")
    return server.superuser_dsn(NEW)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [one.version for one in migrations()] == list(range(1, SCHEMA_VERSION + 1))


def test_a_second_run_changes_nothing(database: Database) -> None:
    before = database.fetch("SELECT * FROM schema_migrations ORDER BY version")
    assert [version for version, *_ in before] == list(range(1, SCHEMA_VERSION + 1))
    assert migrate(database.superuser_dsn) == []
    assert initialise(database.superuser_dsn) == []
    assert initialise(database.superuser_dsn, create_database=True) == []
    assert database.fetch("SELECT * FROM schema_migrations ORDER BY version") == before


def test_an_empty_database_gets_the_schema_that_belongs_to_the_owner(bare: str) -> None:
    assert len(migrate(bare)) == SCHEMA_VERSION
    assert run(bare, "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'") == [
        ("tessmon",)
    ]


def test_several_at_once_apply_each_migration_once(bare: str) -> None:
    done: list[list[str]] = []
    threads = [threading.Thread(target=lambda: done.append(migrate(bare))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert sorted(line for lines in done for line in lines) == sorted(
        f"migration {one.version} ({one.name})" for one in migrations()
    )


def test_a_migration_that_fails_leaves_nothing_of_itself(bare: str) -> None:
    run(bare, "CREATE TABLE tallies (in_the_way int)")
    with pytest.raises(SchemaError, match=r"migration 3 \(lanes\) failed.*tallies"):
        migrate(bare)
    assert run(bare, "SELECT max(version) FROM schema_migrations") == [(2,)]
    assert run(bare, "SELECT to_regclass('positions')") == [(None,)]
    run(bare, "DROP TABLE tallies")
    assert len(migrate(bare)) == SCHEMA_VERSION - 2


@pytest.fixture
def bare_as_of_14(bare: str) -> str:
    """The same as PostgreSQL 14 makes it, whatever the server's version: everybody may make objects in ``public``."""
    run(bare, "ALTER SCHEMA public OWNER TO CURRENT_USER; GRANT CREATE ON SCHEMA public TO PUBLIC")
    return bare


def test_a_superuser_takes_everybodys_right_to_the_schema_and_leaves_the_owner_its_own(
    bare_as_of_14: str,
) -> None:
    done = initialise(bare_as_of_14)
    assert "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in done
    assert [one for one in check(bare_as_of_14) if not one.ok] == []
    assert initialise(bare_as_of_14) == []


def test_what_a_user_without_the_right_to_the_schema_could_not_take_away_is_told_and_a_superuser_can(
    server: PostgresServer, bare_as_of_14: str
) -> None:
    assert len(initialise(server.dsn("tessmon_admin", NEW, LOGINS["tessmon_admin"]))) == SCHEMA_VERSION
    [finding] = [one for one in check(bare_as_of_14) if not one.ok]
    assert finding.name == "writer"
    assert "let a superuser run tessmon db init" in finding.sentence
    assert initialise(bare_as_of_14) == [
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE, CREATE ON SCHEMA public TO tessmon",
    ]
    assert [one for one in check(bare_as_of_14) if not one.ok] == []


def test_an_ordinary_user_who_may_make_roles_and_databases_is_enough() -> None:
    directory = new_directory("tessmon-roles-")
    server = PostgresServer(directory, settings={"fsync": "off"})
    server.start()
    try:
        run(
            server.superuser_dsn(),
            "CREATE ROLE helper LOGIN CREATEROLE CREATEDB PASSWORD 'x'; CREATE ROLE guest LOGIN PASSWORD 'x'",
        )
        helper, guest = server.dsn("helper", NEW, "x"), server.dsn("guest", NEW, "x")
        with pytest.raises(
            DatabaseError, match=r"administrator.*CREATE ROLE tessmon NOLOGIN; CREATE ROLE tessmon_w"
        ):
            initialise(guest, create_database=True)
        done = initialise(helper, create_database=True)
        assert any(line.startswith("CREATE DATABASE") for line in done)
        assert initialise(helper, create_database=True) == []
        assert migrate(helper) == []
        [(version,)] = run(helper, "SELECT current_setting('server_version_num')::integer")
        assert [one.name for one in check(server.superuser_dsn(NEW)) if not one.ok] == (
            []
            if version >= 150_000
            else ["writer"]  # everybody may make objects in a schema that is not helper's
        )
        assert run(server.superuser_dsn(), ROLES) == [
            ("tessmon", False, False),
            ("tessmon_reader", True, False),
            ("tessmon_writer", True, False),
        ]
    finally:
        server.stop("immediate")
        shutil.rmtree(directory)


def test_a_user_without_rights_is_told_what_an_administrator_must_run(
    server: PostgresServer, database: Database
) -> None:
    for attempt in (
        lambda: initialise(database.dsn),
        lambda: migrate(database.dsn),
        lambda: initialise(server.dsn("tessmon_writer", NEW, "for the writer"), create_database=True),
    ):
        with pytest.raises(DatabaseError, match=r"administrator.*GRANT tessmon TO tessmon_writer;"):
            attempt()


def test_a_database_that_is_away_is_one_sentence() -> None:
    with pytest.raises(
        DatabaseError, match=r"tess at 127\.0\.0\.1:1 can't be reached: .*Connection refused$"
    ):
        migrate("host=127.0.0.1 port=1 dbname=tess")


def test_a_database_of_another_encoding_is_refused(server: PostgresServer) -> None:
    run(
        server.superuser_dsn(),
        f"CREATE DATABASE {NEW} OWNER tessmon TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    )
    with pytest.raises(SchemaError, match="LATIN1"):
        initialise(server.superuser_dsn(NEW))


@pytest.mark.parametrize(
    ("change", "numbers", "advice"),
    [
        ("SELECT 1", None, None),
        (
            f"DELETE FROM schema_migrations WHERE version = {SCHEMA_VERSION}",
            SCHEMA_VERSION - 1,
            "tessmon db migrate",
        ),
        ("INSERT INTO schema_migrations VALUES (99, 'later', '', now(), '7.1')", 99, "install tessmon 7.1"),
        ("DROP TABLE schema_migrations", 0, "tessmon db init"),
        ("DELETE FROM schema_migrations", 0, "tessmon db init"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_schema_of_another_version_is_refused_with_both_numbers_and_the_command(
    database: Database, change: str, numbers: int | None, advice: str | None
) -> None:
    database.execute(change)
    connection = await Connector(database.settings, reactor).connect()
    try:
        if advice is None:
            await check_schema(connection)
            return
        with pytest.raises(SchemaError) as caught:
            await check_schema(connection)
        assert f"version {numbers}" in str(caught.value)
        assert f"version {SCHEMA_VERSION}" in str(caught.value)
        assert str(caught.value).endswith(advice) or f"{advice} or newer" in str(caught.value)
        assert trouble_of(caught.value) is Trouble.OPERATOR
    finally:
        connection.close()


def test_a_newer_schema_is_not_touched(database: Database) -> None:
    database.execute("INSERT INTO schema_migrations VALUES (99, 'later', '', now(), '7.1')")
    database.execute("DELETE FROM schema_migrations WHERE version = 1")
    for attempt in (migrate, initialise):
        with pytest.raises(SchemaError, match=r"install tessmon 7\.1 or newer"):
            attempt(database.superuser_dsn)
    assert database.fetch("SELECT count(*) FROM schema_migrations") == [(SCHEMA_VERSION,)]
