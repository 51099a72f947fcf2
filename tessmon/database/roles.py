# SPDX-License-Identifier: MIT
"""The three roles, the database that belongs to one of them, and the right to the schema ``public``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tessmon.database.driver import psycopg2
from tessmon.database.plain import DatabaseError, rows, value

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

OWNER = "tessmon"
"""Owns everything, logs in nowhere."""
WRITER = "tessmon_writer"
"""The service."""
READER = "tessmon_reader"
"""Dashboards."""

_MAKE_ROLE = {
    OWNER: f"CREATE ROLE {OWNER} NOLOGIN",
    WRITER: f"CREATE ROLE {WRITER} LOGIN",
    READER: f"CREATE ROLE {READER} LOGIN",
}
_BE_OWNER = f"GRANT {OWNER} TO CURRENT_USER"


class _Right(NamedTuple):
    """A right in the schema: how to ask whether it is as it should be, and the statement that makes it so."""

    holds_sql: str
    statement: str
    essential: bool = True


_PUBLIC_MAY_CREATE = """
    SELECT EXISTS (SELECT FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
                   WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')"""

_RIGHTS = (
    _Right(
        f"SELECT NOT ({_PUBLIC_MAY_CREATE})", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", essential=False
    ),
    _Right(
        f"SELECT has_schema_privilege('{OWNER}', 'public', 'CREATE')",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}",
    ),
    _Right(
        f"SELECT has_schema_privilege('{WRITER}', 'public', 'USAGE')"
        f" AND has_schema_privilege('{READER}', 'public', 'USAGE')",
        f"GRANT USAGE ON SCHEMA public TO {WRITER}, {READER}",
    ),
)
"""PostgreSQL 14 lets everybody make objects in ``public``; taking that away needs its superuser, and takes it from the
owner, too: so it comes first, and what the owner then lacks is granted."""


def make_roles(connection: PlainConnection) -> list[str]:
    """Make the roles that are missing, and the right to act as the owner.

    Returns:
        The statements that were run.

    Raises:
        DatabaseError: this user may not; the text has the statements that an administrator must run.
    """
    present = {name for (name,) in rows(connection, "SELECT rolname FROM pg_roles")}
    wanted = [statement for role, statement in _MAKE_ROLE.items() if role not in present]
    run = _run_all(connection, wanted)
    if not _may_be_owner(connection):
        run += _run_all(connection, [_BE_OWNER])
    return run


def make_database(connection: PlainConnection, name: str) -> list[str]:
    """Make a database that belongs to the owner, unless it is there.

    Returns:
        The statements that were run.

    Raises:
        DatabaseError: this user may not; the text has the statement that an administrator must run.
    """
    if value(connection, "SELECT 1 FROM pg_database WHERE datname = %s", [name]):
        return []
    quoted = psycopg2.extensions.quote_ident(name, connection)
    return _run_all(
        connection, [f"CREATE DATABASE {quoted} OWNER {OWNER} ENCODING 'UTF8' TEMPLATE template0"]
    )


def make_rights(connection: PlainConnection) -> list[str]:
    """Let the owner make tables in ``public``, the others use it, and nobody else make anything there.

    Returns:
        The statements that were run.

    Raises:
        DatabaseError: neither this user nor the owner may; the text has the statements for an administrator.
    """
    run, refused = [], []
    for right in _RIGHTS:
        if value(connection, right.holds_sql):
            continue
        for be_someone in ("RESET ROLE", f"SET ROLE {OWNER}"):
            rows(connection, be_someone)
            if _tried(connection, right.statement) and value(connection, right.holds_sql):
                run.append(right.statement)
                break
        else:
            refused += [right.statement] if right.essential else []
        rows(connection, "RESET ROLE")
    if refused:
        raise _needs_administrator(connection, refused)
    return run


def become_owner(connection: PlainConnection) -> None:
    """What follows is done as the owner, whoever logged in.

    Raises:
        DatabaseError: there is no owner, or this user may not act as it.
    """
    if not value(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]):
        raise DatabaseError(f"this PostgreSQL server has no role {OWNER}: run tessmon db init")
    if not _may_be_owner(connection):
        raise _needs_administrator(connection, [_BE_OWNER])
    rows(connection, f"SET ROLE {OWNER}")


def _may_be_owner(connection: PlainConnection) -> bool:
    """Asked by trying: what membership means differs between server versions."""
    may = _tried(connection, f"SET ROLE {OWNER}")
    rows(connection, "RESET ROLE")
    return may


def _tried(connection: PlainConnection, statement: str) -> bool:
    try:
        rows(connection, statement)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    return True


def _run_all(connection: PlainConnection, statements: list[str]) -> list[str]:
    for index, statement in enumerate(statements):
        try:
            rows(connection, statement)
        except psycopg2.errors.InsufficientPrivilege:
            raise _needs_administrator(connection, statements[index:]) from None
        except (
            psycopg2.errors.DuplicateObject,
            psycopg2.errors.DuplicateDatabase,
            psycopg2.errors.UniqueViolation,
        ):
            pass  # somebody else did it at the same moment
    return statements


def _needs_administrator(connection: PlainConnection, statements: list[str]) -> DatabaseError:
    user = value(connection, "SELECT quote_ident(session_user)")
    text = " ".join(f"{statement.replace('CURRENT_USER', user)};" for statement in statements)
    return DatabaseError(
        f"the user {user} may not do this; an administrator of the database must run: {text}"
    )
