# SPDX-License-Identifier: MIT
"""What a statement is sent on: the service's connection, or a plain one for the same statements by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

Rows: TypeAlias = list[tuple[Any, ...]]
Arguments: TypeAlias = Sequence[Any] | None
_Result = TypeVar("_Result")


class Session(Protocol):
    """Runs one statement at a time; `tessmon.database.connection.Connection` is one."""

    def query(self, sql: str, args: Arguments = None) -> Awaitable[Rows]:
        """The rows of a statement, [] where it has none."""

    def execute(self, sql: str, args: Arguments = None) -> Awaitable[int]:
        """The number of rows that a statement touched."""


class PlainSession:
    """A plain connection as a `Session` whose answers are there when they are asked for.

    Args:
        connection: blocking, as the command line has it.
    """

    def __init__(self, connection: PlainConnection) -> None:
        self._connection = connection

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return bool(self._connection.closed)

    async def query(self, sql: str, args: Arguments = None) -> Rows:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall() if cursor.description is not None else []

    async def execute(self, sql: str, args: Arguments = None) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.rowcount


def at_once(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of a coroutine that waits for nothing but a `PlainSession`.

    Raises:
        RuntimeError: it waits for something else.
    """
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: _Result = ended.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine for a plain connection waits for the reactor")
