# SPDX-License-Identifier: MIT
"""txpostgres' connection, mended where it would log instead of tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.python.failure import Failure
from txpostgres import txpostgres

from tessmon.database.driver import psycopg2

_CONNECTION_BAD = psycopg2.extensions.TRANSACTION_STATUS_UNKNOWN


def _ignore(*_: object) -> None:
    pass


class _Cursor(txpostgres.Cursor):  # type: ignore[misc]
    """A cursor that keeps PostgreSQL's words when it ends a statement.

    The parent makes Twisted's CancelledError of them, as if we had cancelled: a statement timeout would pass
    for a wish of ours.
    """

    def _handleCancellation(self, failure: Failure) -> Failure:
        return failure

    def fileno(self) -> int:
        return int(self._connection.fileno())


class Wire(txpostgres.Connection):  # type: ignore[misc]
    """A connection that tells when it breaks while nothing is asked, and hands on notifications.

    libpq closes its socket where it meets the end of a session, also in the middle of sending. A reactor can't take a
    closed descriptor out of its tables, and whoever got the number next would never be heard: so once the session is
    open, what the reactor watches is a duplicate, which nobody closes but `close`. Before, nothing is watched while
    libpq is at work.

    Attributes:
        on_broken: called with the error, maybe more than once.
        on_notify: called with channel and payload of what other sessions sent, from the reactor's loop.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor=reactor)
        self.on_broken: Callable[[BaseException], None] = _ignore
        self.on_notify: Callable[[str, str], None] = _ignore
        self._descriptor: int | None = None

    def fileno(self) -> int:
        """What the reactor watches; -1 when that is closed."""
        return int(super().fileno()) if self._descriptor is None else self._descriptor

    def poll(self) -> Any:
        """A Deferred that fires when the session is open."""
        return super().poll().addCallback(self._opened)

    def _opened(self, result: Any) -> Any:
        self._descriptor = os.dup(self._connection.fileno())
        return result

    def cursor(self) -> _Cursor:
        """One that tells all."""
        return _Cursor(self._connection.cursor(), self)

    def execute(self, sql: str, args: Sequence[Any] | None) -> Any:
        """A Deferred of the cursor, or what the driver raises."""
        return self.cursor().execute(sql, args)

    def ended_by(self, error: BaseException) -> bool:
        """Whether the session is over; when the server says so, the end of the connection comes later."""
        if self._connection.closed or self._connection.get_transaction_status() == _CONNECTION_BAD:
            return True
        return isinstance(error, psycopg2.Error) and error.diag.severity_nonlocalized in ("FATAL", "PANIC")

    def doRead(self) -> None:
        """The idle session's socket has something; an error here would only be logged by the reactor."""
        try:
            if self._descriptor is None:
                super(
                    txpostgres.Connection, self
                ).doRead()  # the parent's own goes on watching libpq's socket
            else:
                super().doRead()
        except psycopg2.Error as error:
            self.on_broken(error)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw the socket end."""
        super().connectionLost(reason)
        self.on_broken(cast(BaseException, reason.value))

    def cursorFinished(self, cursor: _Cursor) -> None:
        """A notification that came in one piece with the end of an answer waits in libpq until something else comes,
        unless it is asked once more. An end of the session is told at once so, too."""
        try:
            if not self._connection.closed:
                self._connection.poll()
        except psycopg2.Error as error:
            self._cursors.remove(cursor)
            self.on_broken(error)
        else:
            super().cursorFinished(cursor)

    def checkForNotifies(self) -> None:
        """Hand on what came; the parent's way would need the global reactor."""
        if self._connection.notifies:
            notifies = self._connection.notifies[:]
            del self._connection.notifies[:]
            own = self._connection.get_backend_pid()
            for notify in notifies:
                if notify.pid != own:
                    self.reactor.callLater(0, self._hand_on, notify.channel, notify.payload)

    def _hand_on(self, channel: str, payload: str) -> None:
        self.on_notify(channel, payload)

    def close(self) -> None:
        """Close; also before `connect` got anywhere, and again."""
        if self._connection is not None:
            super().close()
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
