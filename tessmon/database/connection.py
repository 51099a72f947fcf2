# SPDX-License-Identifier: MIT
"""A connection to PostgreSQL on the reactor; the only place that knows txpostgres.

txpostgres is used for what it does well, polling libpq, and for nothing else: its interactions swallow
coroutine functions, its pool keeps dead connections, its cancel can freeze the process. Here a time-out closes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tessmon.config.model import Database
from tessmon.database.parameters import Host, hosts_of, session_parameters, where_of, with_addresses
from tessmon.database.resolve import addresses_of
from tessmon.database.trouble import Trouble, is_missing_partition, sentence_of, trouble_of
from tessmon.database.wire import Wire

__all__ = [
    "Connection",
    "ConnectionClosedError",
    "ConnectionTimeoutError",
    "Connector",
    "Trouble",
    "is_missing_partition",
    "sentence_of",
    "trouble_of",
]

CONNECT_TIMEOUT_S = 10.0
ANSWER_MARGIN_S = 5.0

Rows: TypeAlias = list[tuple[Any, ...]]
Arguments: TypeAlias = Sequence[Any] | None


class ConnectionClosedError(ConnectionError):
    """The connection is closed, or was while a statement ran: whether that was committed is not known."""


class ConnectionTimeoutError(ConnectionClosedError):
    """The server did not answer in time; the connection is closed."""


class Connection:
    """An open session, in autocommit, for one statement at a time. Made by a `Connector`.

    Attributes:
        lost: the error that ended the session, None while it lives and after a `close` of our own.
    """

    log = Logger()

    def __init__(self, wire: Wire, reactor: Any, answer_timeout_s: float) -> None:
        """
        Args:
            wire: connected.
            reactor: its timers are used.
            answer_timeout_s: a statement that is not answered by then closes the connection [s].
        """
        self.lost: BaseException | None = None
        self._wire = wire
        self._reactor = reactor
        self._answer_timeout_s = answer_timeout_s
        self._closed = False
        self._running: Deferred[Any] | None = None
        self._timer: Any = None
        self._listeners: dict[str, Callable[[str], None]] = {}
        self._on_lost: list[Callable[[BaseException], None]] = []
        wire.on_broken = self._lose
        wire.on_notify = self._notified

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._closed

    @property
    def backend_pid(self) -> int:
        """Process number of the session at the server."""
        return int(self._wire.get_backend_pid())

    def query(self, sql: str, args: Arguments = None) -> Deferred[Rows]:
        """Run one statement, or several separated by semicolons, which are one transaction if they don't say
        otherwise.

        Returns:
            A Deferred of the last statement's rows, [] where it has none. It fails with psycopg2's error when
            any of the statements or the commit fails, with what the driver raises when it can't send
            a value, with `ConnectionTimeoutError`, or with `ConnectionClosedError`. Cancelling it closes the
            connection.

        Raises:
            RuntimeError: the statement before has no answer yet. That is a mistake in the program.
        """
        return self._send(sql, args, _rows)

    def execute(self, sql: str, args: Arguments = None) -> Deferred[int]:
        """The same for statements whose rows nobody wants.

        Returns:
            A Deferred of the number of rows that the last statement touched; -1 where it has no such number.
        """
        return self._send(sql, args, _rowcount)

    def listen(self, channel: str, callback: Callable[[str], None]) -> Deferred[int]:
        """Call ``callback(payload)`` for each NOTIFY on a channel, except those of this very session.

        A notification is a hint: those sent before or between connections are not repeated.

        Returns:
            A Deferred that fires when the server knows.
        """
        self._listeners[channel] = callback
        quoted = channel.replace('"', '""')
        return self.execute(f'LISTEN "{quoted}"')

    def on_lost(self, callback: Callable[[BaseException], None]) -> None:
        """Call ``callback(error)`` once when the session ends without `close`, at once if it has ended.

        An idle connection notices by itself; a running statement's Deferred fails first.
        """
        if self.lost is not None:
            callback(self.lost)
        else:
            self._on_lost.append(callback)

    def close(self) -> None:
        """End the session now, or do nothing; a running statement fails with `ConnectionClosedError`."""
        if not self._closed:
            self._end(ConnectionClosedError("the connection to the database was closed"))

    def _send(self, sql: str, args: Arguments, take: Callable[[Any], Any]) -> Deferred[Any]:
        if self._running is not None:
            raise RuntimeError("a connection runs one statement at a time, and the last is not answered yet")
        answer: Deferred[Any] = Deferred(self._cancelled)
        if self._closed:
            answer.errback(ConnectionClosedError("the connection to the database is closed"))
            return answer
        self._running = answer
        self._timer = self._reactor.callLater(self._answer_timeout_s, self._timed_out)
        sent: Deferred[Any] = maybeDeferred(self._wire.execute, sql, args)
        sent.addCallback(take)
        sent.addCallbacks(self._answered, self._refused, callbackArgs=(answer,), errbackArgs=(answer,))
        return answer

    def _answered(self, result: Any, answer: Deferred[Any]) -> None:
        if self._forget(answer):
            answer.callback(result)

    def _refused(self, failure: Failure, answer: Deferred[Any]) -> None:
        if not self._forget(answer):
            return  # closed by ourselves: the answer has been given
        error = cast(BaseException, failure.value)
        if self._wire.ended_by(error):
            self._lose(error, answer)
        else:
            answer.errback(failure)

    def _forget(self, answer: Deferred[Any]) -> bool:
        """Whether ``answer`` was awaited still; it is not any more."""
        if self._running is not answer:
            return False
        self._running = None
        self._timer.cancel()
        return True

    def _timed_out(self) -> None:
        running, self._running = self._running, None
        text = f"the database did not answer within {self._answer_timeout_s:g} s"
        self._lose(ConnectionTimeoutError(text), running)

    def _cancelled(self, answer: Deferred[Any]) -> None:
        if self._forget(answer):
            self.close()

    def _notified(self, channel: str, payload: str) -> None:
        callback = self._listeners.get(channel)
        if callback is not None and not self._closed:
            callback(payload)

    def _lose(self, error: BaseException, running: Deferred[Any] | None = None) -> None:
        """The session ended, and not because we wanted it to."""
        if self._closed:
            return
        self.lost = error
        self.log.debug("the database connection is lost: {why}", why=sentence_of(error))
        self._end(error, running)
        callbacks, self._on_lost = self._on_lost, []
        for callback in callbacks:
            callback(error)

    def _end(self, error: BaseException, running: Deferred[Any] | None = None) -> None:
        self._closed = True
        if self._running is not None:
            running = self._running
            self._forget(running)
        try:
            self._wire.close()
        finally:  # whatever that meets, who waits is told
            if running is not None:
                running.errback(error)


class Connector:
    """Makes connections with the settings that the service relies on.

    Attributes:
        statement_timeout_s: for the connections made from now on [s].
    """

    def __init__(
        self,
        settings: Database,
        reactor: Any,
        *,
        statement_timeout_s: float = 30.0,
        application_name: str = "tessmon",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        answer_margin_s: float = ANSWER_MARGIN_S,
    ) -> None:
        """
        Args:
            settings: where the database is.
            reactor: resolves names, watches sockets, keeps time.
            statement_timeout_s: the server ends a statement that takes longer [s].
            application_name: what ``pg_stat_activity`` shows.
            connect_timeout_s: for everything from the look-up of the name to the first prompt [s].
            answer_margin_s: a server silent for so much longer than the statement timeout is dead [s].
        """
        self.statement_timeout_s = statement_timeout_s
        self._settings = settings
        self._reactor = reactor
        self._application_name = application_name
        self._connect_timeout_s = connect_timeout_s
        self._answer_margin_s = answer_margin_s

    @property
    def where(self) -> str:
        """The database's place for messages; without secrets."""
        return where_of(self._settings.dsn)

    def connect(self) -> Deferred[Connection]:
        """Open a session.

        Returns:
            A Deferred of a `Connection`. It fails with psycopg2's error, with `ConnectionTimeoutError` when it
            takes too long, with ConnectionError when no host has an address, or with `ConfigurationError`;
            `trouble_of` tells whose trouble each is. It can be cancelled.
        """
        return ensureDeferred(self._connect()).addTimeout(
            self._connect_timeout_s, self._reactor, onTimeoutCancel=_too_slow
        )

    async def _connect(self) -> Connection:
        parameters = session_parameters(
            self._settings,
            application_name=self._application_name,
            statement_timeout_s=self.statement_timeout_s,
        )
        hosts = hosts_of(parameters)
        if hosts:
            parameters = with_addresses(parameters, await self._resolve(hosts))
        wire = Wire(self._reactor)
        await _open(wire, parameters)
        return Connection(wire, self._reactor, self.statement_timeout_s + self._answer_margin_s)

    async def _resolve(self, hosts: Sequence[Host]) -> list[tuple[Host, Sequence[str]]]:
        resolved: list[tuple[Host, Sequence[str]]] = []
        for host in hosts:
            found = await addresses_of(self._reactor, host.name) if host.needs_address else [""]
            resolved.append((host, found))
        if not any(addresses for _, addresses in resolved):
            names = ", ".join(host.name for host in hosts)
            raise ConnectionError(f"no address is known for the database host {names}")
        return resolved


def _open(wire: Wire, parameters: dict[str, str]) -> Deferred[None]:
    """Fires when the wire is connected; it is closed when that fails or is cancelled."""

    def give_up(opened: Deferred[None]) -> None:
        opened.errback(CancelledError())
        wire.close()

    def connected(_: object) -> None:
        if not opened.called:
            opened.callback(None)

    def failed(failure: Failure) -> None:
        if not opened.called:
            wire.close()
            opened.errback(failure)

    opened: Deferred[None] = Deferred(give_up)
    connecting: Deferred[Any] = wire.connect(**parameters)
    connecting.addCallbacks(connected, failed)
    return opened


def _too_slow(result: Any, timeout_s: float) -> Any:
    if isinstance(result, Failure):
        raise ConnectionTimeoutError(f"the database did not let us in within {timeout_s:g} s")
    return result


def _rows(cursor: Any) -> Rows:
    return cursor.fetchall() if cursor.description is not None else []


def _rowcount(cursor: Any) -> int:
    return int(cursor.rowcount)
