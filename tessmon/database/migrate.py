# SPDX-License-Identifier: MIT
"""Makes and renews the schema: what ``tessmon db init`` and ``tessmon db migrate`` do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tessmon.database.driver import psycopg2
from tessmon.database.objects import PARTITIONED
from tessmon.database.parameters import read_dsn
from tessmon.database.plain import connected, rows, transaction, value
from tessmon.database.roles import READER, WRITER, become_owner, make_database, make_rights, make_roles
from tessmon.database.schema import (
    SCHEMA_VERSION,
    TABLE_SQL,
    VERSION_SQL,
    Migration,
    check_schema,
    fault_of_version,
    migrations,
    program_version,
)
from tessmon.database.trouble import sentence_of
from tessmon.errors import SchemaError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

__all__ = ["SCHEMA_VERSION", "check_schema", "initialise", "migrate"]

_LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('tessmon_migrate', 0))"

_TABLE = f"""
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    program_version text NOT NULL
);
GRANT SELECT ON schema_migrations TO {WRITER}, {READER};
"""


def initialise(
    dsn: str, *, password: str | None = None, create_database: bool = False, maintenance: str = "postgres"
) -> list[str]:
    """Make the roles, the database if asked and missing, and the schema; run again, it completes what is missing.

    Args:
        dsn: the database, with a user who is a superuser, or has CREATEROLE and (to make the database) CREATEDB.
        password: of that user; else libpq's own ways.
        create_database: make the database when there is none.
        maintenance: the database to log in to for that.

    Returns:
        What was done, a line each; empty when all was there.

    Raises:
        DatabaseError: the database can't be reached, or this user may not: then with the statements that an
            administrator must run.
        SchemaError: the schema is newer than this program, or a migration fails.
    """
    done = []
    if create_database:
        given = read_dsn(dsn)
        elsewhere = psycopg2.extensions.make_dsn(**{**given, "dbname": maintenance})
        with connected(elsewhere, password) as connection:
            done += make_roles(connection)
            name = given.get("dbname") or os.environ.get("PGDATABASE") or connection.info.user
            done += make_database(connection, name)
    with connected(dsn, password) as connection:
        _refuse_other_encodings(connection)
        done += make_roles(connection)
        done += make_rights(connection)
    done += migrate(dsn, password=password)
    with connected(dsn, password) as connection:
        become_owner(connection)
        for table in PARTITIONED:
            rows(connection, "SELECT tessmon_ensure_partitions(%s, ARRAY[now()::date])", [table])
    return done


def migrate(dsn: str, *, password: str | None = None) -> list[str]:
    """Apply the migrations that the database lacks, each in a transaction of its own.

    Args:
        dsn: the database, with a user who may act as its owner.
        password: of that user; else libpq's own ways.

    Returns:
        What was done, a line each; empty when all was there.

    Raises:
        DatabaseError: the database can't be reached, or this user may not.
        SchemaError: the schema is newer than this program, or a migration fails; nothing of that one stays.
    """
    with connected(dsn, password) as connection:
        become_owner(connection)
        rows(connection, "SET client_min_messages = warning")
        return [f"migration {one.version} ({one.name})" for one in migrations() if _apply(connection, one)]


def _apply(connection: PlainConnection, migration: Migration) -> bool:
    """Whether it had to be applied; of several who try at once one does, the others wait."""
    try:
        with transaction(connection):
            rows(connection, _LOCK_SQL)
            if not value(connection, TABLE_SQL):
                rows(connection, _TABLE)
            newest = rows(connection, VERSION_SQL)
            if newest and newest[0][0] > SCHEMA_VERSION:
                raise SchemaError(fault_of_version(newest[0]))  # before anything is touched
            if value(connection, "SELECT 1 FROM schema_migrations WHERE version = %s", [migration.version]):
                return False
            rows(connection, migration.sql)
            rows(
                connection,
                "INSERT INTO schema_migrations (version, name, digest, program_version) VALUES (%s, %s, %s, %s)",
                [migration.version, migration.name, migration.digest, program_version()],
            )
    except psycopg2.Error as error:
        raise SchemaError(
            f"migration {migration.version} ({migration.name}) failed, nothing of it was kept: {sentence_of(error)}"
        ) from error
    return True


def _refuse_other_encodings(connection: PlainConnection) -> None:
    encoding = value(connection, "SHOW server_encoding")
    if encoding != "UTF8":
        raise SchemaError(
            f"the database has the encoding {encoding} and can't hold every name: make one with ENCODING 'UTF8'"
        )
