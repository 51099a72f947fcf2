# SPDX-License-Identifier: MIT
"""A database connection for work that takes hours, without a reactor."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tessmon.database.driver import psycopg2
from tessmon.database.plain import DatabaseError
from tessmon.database.schema import check_schema
from tessmon.database.session import PlainSession, Session, at_once
from tessmon.database.trouble import Trouble, sentence_of, trouble_of

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

T = TypeVar("T")

FIRST_RETRY_S, LAST_RETRY_S = 0.25, 30.0
LOOK_S = 1.0
"""So often it is looked whether writes are paused [s]."""


class Link:
    """Connects when there is work, again when the database comes back, and not at all while writes are paused.

    Args:
        parameters: for libpq.
        held: says why nobody may write now, None when everybody may.
        waits: waits for so long [s]; the sentence says for what, or is empty when that is over. It may raise what
            ends the work.
        seconds: a clock that only goes forward.
    """

    def __init__(
        self,
        parameters: Mapping[str, str],
        held: Callable[[], str | None],
        waits: Callable[[str, float], None],
        seconds: Callable[[], float],
    ) -> None:
        self.on_connect: Callable[[], None] = lambda: None
        self._parameters = dict(parameters)
        self._held = held
        self._waits = waits
        self._seconds = seconds
        self._connection: PlainConnection | None = None
        self._looked_s = -LOOK_S
        self._retry_s = FIRST_RETRY_S
        self._waited = False

    def run(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """Carry out work, from its begin again as often as the database goes away in its midst: it may then have been
        done already.

        Raises:
            DatabaseError: the database refuses it, and time will not mend that.
            SchemaError: it is not the database of this program.
        """
        while True:
            self._stand_by()
            try:
                result = at_once(work(self._session()))
            except (psycopg2.Error, OSError) as error:
                self.close()
                if trouble_of(error) is not Trouble.WEATHER:
                    raise DatabaseError(f"the database refused: {sentence_of(error)}") from error
                self._wait(f"the database: {sentence_of(error)}", self._retry_s * random.uniform(0.75, 1.25))
                self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
            else:
                self._retry_s = FIRST_RETRY_S
                self._end_of_wait()
                return result

    def run_alone(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """The same, when nothing follows soon: whoever has nothing to do would not notice a pause."""
        try:
            return self.run(work)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the connection; the next work makes another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _stand_by(self) -> None:
        """Until writes are not paused."""
        if self._connection is not None and self._seconds() - self._looked_s < LOOK_S:
            return
        while (why := self._held()) is not None:
            self.close()
            self._wait(why, LOOK_S)
        self._looked_s = self._seconds()

    def _wait(self, why: str, wait_s: float) -> None:
        self._waited = True
        self._waits(why, wait_s)

    def _end_of_wait(self) -> None:
        if self._waited:
            self._waited = False
            self._waits("", 0)

    def _session(self) -> PlainSession:
        """Raises:
        SchemaError: it has another schema.
        """
        if self._connection is None:
            connection = psycopg2.connect(**self._parameters)  # type: ignore[call-overload]
            connection.autocommit = True
            self._connection = connection
            at_once(check_schema(PlainSession(connection)))
            self.on_connect()
        return PlainSession(self._connection)
