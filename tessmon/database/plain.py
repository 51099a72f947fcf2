# SPDX-License-Identifier: MIT
"""Plain, blocking connections for the command line; the service has `tessmon.database.connection`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from tessmon.database.driver import psycopg2
from tessmon.database.parameters import command_parameters, where_of
from tessmon.database.trouble import sentence_of
from tessmon.errors import TessmonError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

Arguments: TypeAlias = Sequence[Any] | Mapping[str, Any] | None


class DatabaseError(TessmonError):
    """The database can't be reached, or refused a statement; the text says which and why."""


@contextmanager
def connected(dsn: str, password: str | None = None) -> Iterator[PlainConnection]:
    """A connection in autocommit, closed at the end.

    Raises:
        DatabaseError: it can't be made, or the database refused something that was not expected to be refused.
    """
    try:
        connection = psycopg2.connect(**command_parameters(dsn, password))  # type: ignore[call-overload]
    except psycopg2.Error as error:
        raise DatabaseError(f"the database {where_of(dsn)} can't be reached: {sentence_of(error)}") from error
    try:
        connection.autocommit = True
        yield connection
    except psycopg2.Error as error:
        raise DatabaseError(f"the database {where_of(dsn)} refused: {sentence_of(error)}") from error
    finally:
        connection.close()


def rows(connection: PlainConnection, sql: str, args: Arguments = None) -> list[tuple[Any, ...]]:
    """Run statements; the rows of the last one, [] where it has none."""
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall() if cursor.description is not None else []


def value(connection: PlainConnection, sql: str, args: Arguments = None) -> Any:
    """The first column of the only row; None where there is no row."""
    found = rows(connection, sql, args)
    return found[0][0] if found else None


@contextmanager
def transaction(connection: PlainConnection) -> Iterator[None]:
    """BEGIN … COMMIT, or ROLLBACK when anything is raised."""
    rows(connection, "BEGIN")
    try:
        yield
    except BaseException:
        if not connection.closed:
            rows(connection, "ROLLBACK")
        raise
    rows(connection, "COMMIT")
