# SPDX-License-Identifier: MIT
"""What an operator may not do becomes a sentence with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tessmon.database.driver import psycopg2
from tessmon.database.plain import DatabaseError, value
from tessmon.database.roles import OWNER

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812


@contextmanager
def permitted(connection: PlainConnection, deed: str, rights: str) -> Iterator[None]:
    """What the database does not permit inside.

    Args:
        connection: in autocommit; a transaction begins and ends inside.
        deed: as in "may not …".
        rights: as in "GRANT … TO", on what the deed touches.

    Raises:
        DatabaseError: the user lacks a right; the text says whom to take, and what an administrator can grant.
    """
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege as error:
        user = value(connection, "SELECT quote_ident(current_user)")
        raise DatabaseError(
            f"the user {user} may not {deed}: name another with --dsn, such as a member of the role {OWNER}, "
            f"or have an administrator of the database run: GRANT {rights} TO {user};"
        ) from error
