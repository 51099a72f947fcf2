# SPDX-License-Identifier: MIT
"""The database as the service sees it: log-in, schema, rights, settings, locks, and what a commit takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tessmon.config.model import Database
from tessmon.config.secrets import read_secret
from tessmon.database import check
from tessmon.database.check import look_at_catalogue, role_rights
from tessmon.database.driver import psycopg2
from tessmon.database.objects import TABLES
from tessmon.database.parameters import where_of
from tessmon.database.plain import DatabaseError, connected, rows, value
from tessmon.database.roles import READER, WRITER
from tessmon.database.trouble import sentence_of
from tessmon.doctor.database_server import LOOKS
from tessmon.doctor.finding import Finding, Wishes, fault, milliseconds, ok, unreadable, warning
from tessmon.doctor.patience import Patience

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

LIMIT_S = 60.0

OLDEST_VERSION = 14
STATEMENT_TIMEOUT_S = 10


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """Reads only, as the service's user."""
    settings = wishes.loaded.config.database
    try:
        password = password_of(settings)
    except ValueError as error:
        yield unreadable("database", f"[database] password_file: {error}")
        return
    try:
        with reading(settings, password) as connection:
            yield _welcome(connection, where_of(settings.dsn))
            yield from _everything(connection, patience)
    except DatabaseError as error:
        yield fault("database", str(error), "look at [database] dsn, at the server and its pg_hba.conf")


def _everything(connection: PlainConnection, patience: Patience) -> Iterator[Finding]:
    """A refused statement is a finding like others."""
    try:
        yield from _schema(connection)
    except psycopg2.Error as error:
        yield fault("database schema", f"this user may not look at it: {sentence_of(error)}")
    for subject, each in LOOKS.items():
        patience.left_s(STATEMENT_TIMEOUT_S)
        try:
            yield each(connection)
        except psycopg2.Error as error:
            yield fault(subject, f"the server refused to tell: {sentence_of(error)}")


def password_of(settings: Database) -> str | None:
    """The configured password, None where libpq finds it itself.

    Raises:
        ValueError: its file can't be used.
    """
    return None if settings.password_file is None else read_secret(settings.password_file)


@contextmanager
def reading(settings: Database, password: str | None) -> Iterator[PlainConnection]:
    """A connection that can change nothing and waits for nobody.

    Raises:
        DatabaseError: it can't be made, or a statement failed.
    """
    with connected(settings.dsn, password) as connection:
        rows(
            connection,
            "SELECT set_config('default_transaction_read_only', 'on', false),"
            f" set_config('statement_timeout', '{STATEMENT_TIMEOUT_S}s', false),"
            " set_config('lock_timeout', '1s', false)",
        )
        yield connection


def _welcome(connection: PlainConnection, where: str) -> Finding:
    began_s = time.monotonic()
    [(user, superuser, standby)] = rows(
        connection,
        "SELECT current_user, rolsuper, pg_is_in_recovery() FROM pg_roles WHERE rolname = current_user",
    )
    took_s = time.monotonic() - began_s
    version = connection.server_version // 10_000
    found = f"{where}, PostgreSQL {version}, as {user}, round trip {milliseconds(took_s)}"
    if version < OLDEST_VERSION:
        return fault("database", found, f"PostgreSQL {OLDEST_VERSION} or newer is needed")
    if standby:
        return fault(
            "database", f"{found}; it is a standby and takes no rows", "name the primary in [database] dsn"
        )
    if superuser:
        return warning("database", f"{found}, who is a superuser", f"let the service log in as {WRITER}")
    return ok("database", found)


def _schema(connection: PlainConnection) -> Iterator[Finding]:
    """What ``tessmon db check`` finds without reading rows; as for rights, those of this user count."""
    found = look_at_catalogue(connection)
    for each in found:
        if each.name not in ("writer", "foreign objects"):
            yield _judged(f"database {each.name}", each)
    if found[0].ok:
        yield _judged(
            "database rights", role_rights(connection, value(connection, "SELECT current_user::text"))
        )
        yield _reader(connection)


def _judged(subject: str, looked: check.Finding) -> Finding:
    return (ok if looked.ok else fault)(subject, looked.sentence)


def _reader(connection: PlainConnection) -> Finding:
    subject = "database reader"
    if not value(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", [READER]):
        return warning(subject, f"the role {READER}, for dashboards, is missing", "run tessmon db init")
    lacking = rows(
        connection,
        "SELECT t FROM unnest(%s) AS t WHERE to_regclass('public.' || t) IS NOT NULL"
        " AND NOT has_table_privilege(%s, 'public.' || t, 'SELECT')",
        [[each for each in TABLES if each not in ("rejects", "schema_migrations")], READER],
    )
    if lacking:
        names = ", ".join(name for (name,) in lacking)
        return warning(subject, f"{READER} may not read {names}", f"GRANT SELECT ON {names} TO {READER}")
    return ok(subject, f"{READER} may read the tables")
