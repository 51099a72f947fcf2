# SPDX-License-Identifier: MIT
"""One statement at a time, on the reactor, with an end that is always told."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHostnameResolver, IReadDescriptor
from twisted.internet.task import LoopingCall, deferLater
from zope.interface import implementer

from tessmon.config import model
from tessmon.database.connection import (
    Connection,
    ConnectionClosedError,
    ConnectionTimeoutError,
    Connector,
    Trouble,
    sentence_of,
    trouble_of,
)
from tests.observatory import wait_for
from tests.postgres import Database

MAX_CPU_S = 0.05
ensure = pytest_twisted.ensureDeferred


async def until(condition: Any, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await deferLater(reactor, 0.005)


def connector(database: Database, **options: Any) -> Connector:
    return Connector(database.settings, reactor, **options)


@pytest_twisted.async_yield_fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    connected = await connector(database, statement_timeout_s=1.0, answer_margin_s=0.5).connect()
    yield connected
    connected.close()


@implementer(IReadDescriptor)
class Heard:
    """Reads a socket when the reactor says so."""

    def __init__(self, socket: socket.socket) -> None:
        self._socket = socket
        self.calls = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def doRead(self) -> None:
        self.calls += len(self._socket.recv(1))

    def connectionLost(self, reason: object) -> None:
        pass

    def logPrefix(self) -> str:
        return "heard"


async def assert_heard_at(descriptor: int) -> None:
    """The reactor has forgotten who had this descriptor, and hears who has it next."""
    ours, others = socket.socketpair()
    if others.fileno() == descriptor:
        ours, others = others, ours
    raw = ours.detach()
    if raw != descriptor:
        os.dup2(raw, descriptor)
        os.close(raw)
    with others, socket.socket(fileno=descriptor) as next_one:
        heard = Heard(next_one)
        reactor.addReader(heard)  # type: ignore[attr-defined]
        others.send(b"!")
        await until(lambda: heard.calls)
        reactor.removeReader(heard)  # type: ignore[attr-defined]


def peeked(peeking: socket.socket) -> bytes:
    """What has come and was not read."""
    with suppress(BlockingIOError):
        return peeking.recv(65_536, socket.MSG_PEEK)
    return b""


def terminate(database: Database, connection: Connection) -> None:
    assert database.fetch("SELECT pg_terminate_backend(%s)", [connection.backend_pid]) == [(True,)]


@ensure
async def test_rows_of_the_last_statement_come_back(connection: Connection) -> None:
    assert await connection.query("SELECT 1; SELECT 2, %s UNION ALL SELECT 3, NULL", ["two"]) == [
        (2, "two"),
        (3, None),
    ]
    assert await connection.query("SELECT 1; SET lock_timeout = 100") == []


@ensure
async def test_the_number_of_rows_touched_comes_back(connection: Connection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE t (x int)")
    assert await connection.execute("INSERT INTO t SELECT generate_series(1, 3)") == 3
    assert await connection.execute("INSERT INTO t VALUES (1); UPDATE t SET x = 0 WHERE x = 1") == 2


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
@ensure
async def test_an_error_in_any_of_several_statements_undoes_all_of_them(
    database: Database, connection: Connection, position: int
) -> None:
    statements = [f"INSERT INTO tallies (lane, subject, hour) VALUES ('l', '{i}', now())" for i in range(2)]
    statements.insert(position, "SELECT 1/0")
    with pytest.raises(psycopg2.errors.DivisionByZero):
        await connection.query(";".join(statements) + "; SELECT 1" * (position < 2))
    assert database.fetch("SELECT count(*) FROM tallies") == [(0,)]
    assert await connection.query("SELECT 'still usable'") == [("still usable",)]


@pytest.mark.parametrize("ask", ["query", "execute"])
@ensure
async def test_an_error_at_commit_is_not_hidden_by_the_last_result(
    database: Database, connection: Connection, ask: str
) -> None:
    database.execute(
        "CREATE TABLE late (x int UNIQUE DEFERRABLE INITIALLY DEFERRED); GRANT ALL ON late TO tessmon_writer"
    )
    with pytest.raises(psycopg2.errors.UniqueViolation):
        await getattr(connection, ask)("INSERT INTO late VALUES (1), (1); SELECT 'all is well'")
    assert database.fetch("SELECT count(*) FROM late") == [(0,)]


@ensure
async def test_a_value_that_the_driver_refuses_costs_nothing_but_the_statement(
    connection: Connection,
) -> None:
    for text in ("a\0b", "\ud800"):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            await connection.query("SELECT %s", [text])
        assert trouble_of(caught.value) is Trouble.DATA
    assert await connection.query("SELECT 1") == [(1,)]


@ensure
async def test_a_second_statement_at_a_time_is_a_mistake_in_the_program(connection: Connection) -> None:
    first = connection.query("SELECT pg_sleep(0.05), 1")
    with pytest.raises(RuntimeError, match="one statement at a time"):
        connection.query("SELECT 2")
    assert await first == [("", 1)]


@ensure
async def test_the_servers_statement_timeout_is_told_in_its_words(connection: Connection) -> None:
    with pytest.raises(psycopg2.errors.QueryCanceled) as caught:
        await connection.query("SELECT pg_sleep(60)")
    assert trouble_of(caught.value) is Trouble.WEATHER
    assert not connection.closed


@ensure
async def test_closing_fails_what_runs_and_may_be_repeated(connection: Connection) -> None:
    lost: list[BaseException] = []
    connection.on_lost(lost.append)
    running = connection.query("SELECT pg_sleep(0.9)")
    connection.close()
    connection.close()
    with pytest.raises(ConnectionClosedError):
        await running
    with pytest.raises(ConnectionClosedError):
        await connection.query("SELECT 1")
    assert connection.closed
    assert connection.lost is None
    assert lost == []


@ensure
async def test_cancelling_a_statement_closes_the_connection(connection: Connection) -> None:
    running = connection.query("SELECT pg_sleep(0.9)")
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert connection.closed


@ensure
async def test_an_idle_session_that_the_server_ends_is_noticed_without_asking(
    database: Database, connection: Connection
) -> None:
    lost: list[BaseException] = []
    connection.on_lost(lost.append)
    terminate(database, connection)
    await until(lambda: lost)
    assert connection.closed
    assert lost == [connection.lost]
    assert trouble_of(lost[0]) is Trouble.WEATHER
    late: list[BaseException] = []
    connection.on_lost(late.append)
    assert late == lost


@ensure
async def test_a_session_that_ends_in_a_statement_fails_it_and_is_closed_already(
    database: Database, connection: Connection
) -> None:
    lost: list[BaseException] = []
    connection.on_lost(lost.append)
    running = connection.query("SELECT pg_sleep(0.9)")
    seen: list[bool] = []
    running.addBoth(lambda result: (seen.append(connection.closed), result)[1])
    terminate(database, connection)
    with pytest.raises(psycopg2.Error) as caught:
        await running
    assert trouble_of(caught.value) is Trouble.WEATHER
    assert seen == [True]
    await until(lambda: lost)
    assert lost == [caught.value]


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
@ensure
async def test_a_server_that_goes_down_ends_idle_and_busy_sessions(database: Database, mode: str) -> None:
    idle, busy = await connector(database).connect(), await connector(database).connect()
    running = busy.query("SELECT pg_sleep(30)")
    if mode == "kill":
        database.server.kill()
    else:
        database.server.stop(mode)
    with pytest.raises(psycopg2.Error) as caught:
        await running
    assert trouble_of(caught.value) is Trouble.WEATHER
    await until(lambda: idle.closed and busy.closed)
    with pytest.raises(psycopg2.OperationalError) as refused:
        await connector(database).connect()
    assert trouble_of(refused.value) is Trouble.WEATHER
    database.server.start()
    again = await connector(database).connect()
    assert await again.query("SELECT 1") == [(1,)]
    again.close()


@ensure
async def test_a_frozen_server_ends_a_statement_within_bounds_and_blocks_nothing(
    database: Database, connection: Connection
) -> None:
    lost: list[BaseException] = []
    connection.on_lost(lost.append)
    database.server.freeze()
    begun = time.monotonic()
    unsent = connection.query("SELECT length(%s)", ["x" * 20_000_000])
    with pytest.raises(ConnectionTimeoutError) as caught:
        await unsent
    assert 1.4 < time.monotonic() - begun < 3
    assert trouble_of(caught.value) is Trouble.WEATHER
    assert connection.closed
    await until(lambda: lost)
    assert lost == [caught.value]


@ensure
async def test_a_frozen_server_lets_nobody_in_and_is_given_up_within_bounds(database: Database) -> None:
    database.server.freeze()
    begun = time.monotonic()
    with pytest.raises(ConnectionTimeoutError) as caught:
        await connector(database, connect_timeout_s=0.5).connect()
    assert 0.4 < time.monotonic() - begun < 2
    assert trouble_of(caught.value) is Trouble.WEATHER


@ensure
async def test_connecting_can_be_cancelled(database: Database) -> None:
    database.server.freeze()
    connecting = connector(database).connect()
    await deferLater(reactor, 0.05)
    connecting.cancel()
    with pytest.raises(CancelledError):
        await connecting


@ensure
async def test_a_session_given_up_releases_its_locks(database: Database, connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO positions (lane, origin, position, low) VALUES ('l', 'o', '{0}', '{0}')"
    )
    await connection.execute("BEGIN")
    await connection.execute("UPDATE positions SET low = '{1}'")
    connection.close()
    other = await connector(database, statement_timeout_s=5.0).connect()
    assert await other.execute("UPDATE positions SET low = '{2}'") == 1
    other.close()


@ensure
async def test_notifications_of_others_arrive_and_own_ones_do_not(
    database: Database, connection: Connection
) -> None:
    heard: list[tuple[str, str]] = []
    await connection.listen("one", lambda payload: heard.append(("one", payload)))
    await connection.listen('t"wo', lambda payload: heard.append(("two", payload)))
    await connection.execute("NOTIFY one, 'my own'")
    database.execute("""NOTIFY one, 'first'; NOTIFY "t""wo", 'second'; NOTIFY three, 'unheard'""")
    await until(lambda: len(heard) == 2)
    running = connection.query("SELECT pg_sleep(0.2)")
    database.execute("NOTIFY one, 'while busy'")
    await running
    await until(lambda: len(heard) == 3)
    assert heard == [("one", "first"), ("two", "second"), ("one", "while busy")]


@ensure
async def test_a_notification_in_one_piece_with_the_end_of_an_answer_is_heard(
    database: Database, connection: Connection
) -> None:
    heard: list[str] = []
    await connection.listen("news", heard.append)
    running = connection.query("SELECT 1")
    database.execute("NOTIFY news, 'in one piece'")
    with socket.socket(fileno=os.dup(connection._wire.fileno())) as peeking:
        wait_for(lambda: b"in one piece" in peeked(peeking), "both to be there")
    assert await running == [(1,)]
    await until(lambda: heard == ["in one piece"])


@pytest.mark.parametrize("how", ["terminate", "kill"])
@ensure
async def test_a_session_that_ends_in_one_piece_with_an_answer_is_told_and_leaves_no_trace(
    database: Database, connection: Connection, how: str
) -> None:
    """libpq closes a socket that broke; what has that descriptor next must not be deaf."""
    lost: list[BaseException] = []
    connection.on_lost(lost.append)
    running = connection.query("SELECT 'the answer' FROM pg_sleep(0.3)")  # not before we look
    descriptor = connection._wire.fileno()
    with socket.socket(fileno=os.dup(descriptor)) as peeking:
        wait_for(lambda: b"the answer" in peeked(peeking), "the answer to be there")
        if how == "kill":
            database.server.kill()
        else:
            terminate(database, connection)
            wait_for(lambda: b"terminating" in peeked(peeking), "the end to be there")
    with suppress(psycopg2.Error):
        assert await running == [("the answer",)]
    await until(lambda: connection.closed and lost)
    if how == "kill":
        database.server.start()
    await assert_heard_at(descriptor)


@pytest.mark.parametrize("length", [1, 50_000_000])
@pytest.mark.parametrize("how", ["terminate", "kill"])
@ensure
async def test_a_session_that_ended_before_a_statement_is_sent_is_told_and_leaves_no_trace(
    database: Database, connection: Connection, how: str, length: int
) -> None:
    """libpq closes the socket while it sends, before the reactor could see the end."""
    lost: list[BaseException] = []
    connection.on_lost(lost.append)
    descriptor = connection._wire.fileno()
    with socket.socket(fileno=os.dup(descriptor)) as peeking:
        if how == "kill":
            database.server.kill()
        else:
            terminate(database, connection)
            wait_for(lambda: b"terminating" in peeked(peeking), "the end to be there")
    with pytest.raises(psycopg2.Error) as caught:
        await connection.query("SELECT length(%s)", ["x" * length]).addTimeout(10, reactor)
    assert trouble_of(caught.value) is Trouble.WEATHER
    assert connection.closed
    await until(lambda: lost)
    assert lost == [caught.value]
    if how == "kill":
        database.server.start()
    await assert_heard_at(descriptor)


@ensure
async def test_a_listener_may_ask_and_close_in_its_callback(
    database: Database, connection: Connection
) -> None:
    answers: list[Any] = []

    def called(payload: str) -> None:
        connection.query("SELECT 1").addCallback(answers.append).addCallback(lambda _: connection.close())

    await connection.listen("one", called)
    database.execute("NOTIFY one")
    await until(lambda: connection.closed)
    assert answers == [[(1,)]]


@ensure
async def test_sessions_have_the_settings_that_the_promises_rest_on(database: Database) -> None:
    database.execute("ALTER ROLE tessmon_writer SET synchronous_commit = off")
    database.execute("ALTER ROLE tessmon_writer SET timezone = 'Asia/Tokyo'")
    try:
        dsn = (
            database.dsn + " options='-c timezone=Asia/Tokyo -c synchronous_commit=off -c lock_timeout=1234'"
        )
        session = await Connector(model.Database(dsn=dsn), reactor, statement_timeout_s=7.5).connect()
    finally:
        database.execute("ALTER ROLE tessmon_writer RESET ALL")
    expected = {
        "timezone": "UTC",
        "synchronous_commit": "on",
        "client_encoding": "UTF8",
        "datestyle": "ISO, MDY",
        "search_path": "public",
        "statement_timeout": "7500ms",
        "lock_timeout": "1234ms",
        "tcp_keepalives_idle": "4",
        "tcp_user_timeout": "4500",
        "idle_in_transaction_session_timeout": "1min",
        "client_connection_check_interval": "1s",
        "application_name": "tessmon",
    }
    found = {name: (await session.query(f"SHOW {name}"))[0][0] for name in expected}
    session.close()
    assert found == expected


@ensure
async def test_a_cut_network_is_noticed_in_seconds(connection: Connection) -> None:
    with socket.socket(fileno=os.dup(connection._wire.fileno())) as wire:
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        tcp = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
        assert [wire.getsockopt(socket.IPPROTO_TCP, option) for option in tcp] == [4, 1, 3, 4500]


@ensure
async def test_a_standby_is_passed_over_for_a_server_that_takes_writes(database: Database) -> None:
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    with pytest.raises(psycopg2.OperationalError, match="read-only") as caught:
        await connector(database).connect()
    assert trouble_of(caught.value) is Trouble.WEATHER


@implementer(IHostnameResolver)
class Names:
    """A name server that knows what it is told and is silent about the rest."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.asked: list[str] = []

    def resolveHostName(
        self,
        receiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transport: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        receiver.resolutionBegan(None)
        if hostName in self.known:
            for address in self.known[hostName]:
                receiver.addressResolved(IPv4Address("TCP", address, portNumber))
            reactor.callLater(0, receiver.resolutionComplete)
        return receiver


@pytest.fixture
def names() -> Iterator[Names]:
    names = Names(primary=["127.0.0.3", "127.0.0.1"], unknown=[])
    before = reactor.installNameResolver(names)
    yield names
    reactor.installNameResolver(before)


def elsewhere(database: Database, host: str) -> model.Database:
    return model.Database(dsn=database.dsn.replace("'127.0.0.1'", f"'{host}'"))


@ensure
async def test_names_are_resolved_by_the_reactor_and_all_addresses_tried(
    database: Database, names: Names
) -> None:
    for host in ("primary", "unknown,primary", "/nowhere,primary", "127.0.0.4,primary"):
        names.asked.clear()
        session = await Connector(elsewhere(database, host), reactor).connect()
        assert names.asked == [name for name in host.split(",") if name.isalpha()]
        assert await session.query("SELECT host(inet_server_addr())") == [("127.0.0.1",)]
        session.close()


@ensure
async def test_names_without_an_address_or_an_answer_are_weather(database: Database, names: Names) -> None:
    with pytest.raises(ConnectionError, match="unknown") as caught:
        await Connector(elsewhere(database, "unknown"), reactor).connect()
    assert trouble_of(caught.value) is Trouble.WEATHER
    with pytest.raises(ConnectionTimeoutError):
        await Connector(elsewhere(database, "silent"), reactor, connect_timeout_s=0.2).connect()


@ensure
async def test_the_password_comes_from_its_file_and_is_never_told(
    database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = psycopg2.extensions.parse_dsn(database.dsn)
    password = given.pop("password")
    file = tmp_path / "password"
    file.write_text(password + "\n")
    file.chmod(0o600)
    settings = model.Database(dsn=psycopg2.extensions.make_dsn(**given), password_file=file)
    session = await Connector(settings, reactor).connect()
    assert await session.query("SELECT current_user::text") == [("tessmon_writer",)]
    session.close()
    file.write_text("a wrong one")
    with pytest.raises(psycopg2.OperationalError) as wrong:
        await Connector(settings, reactor).connect()
    file.chmod(0o644)
    with pytest.raises(Exception, match="chmod 600") as careless:
        await Connector(settings, reactor).connect()
    with pytest.raises(Exception, match="connection string") as unreadable:
        await Connector(model.Database(dsn="host = 'a wrong one"), reactor).connect()
    for caught in (wrong, careless, unreadable):
        assert trouble_of(caught.value) is Trouble.OPERATOR
        assert "a wrong one" not in str(caught.value)
        assert "\n" not in sentence_of(caught.value)
    assert "a wrong one" not in Connector(settings, reactor).where


class Stopwatch:
    """The longest CPU time of the thread between two turns of the reactor [s]: no call in it took longer."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last = time.thread_time()
        self._turns = LoopingCall(self._turn)
        self._turns.start(0)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now

    def stop(self) -> float:
        self._turn()
        self._turns.stop()
        return self.longest_s


@ensure
async def test_no_call_of_the_reactor_takes_long(database: Database, connection: Connection) -> None:
    database.execute("SELECT tessmon_ensure_partitions('tess_readings_t', '{2026-03-01}')")
    column = "{" + ",".join(map(str, range(1000))) + "}"
    insert = """
        INSERT INTO tess_readings_t SELECT 20260301, x, 1, -1, -1, 0, x, x, x, x, x, x, x, x, x, x, x, NULL,
            '2026-03-01'::timestamptz + (x + %s) * interval '1 second', now()
        FROM unnest(%s::bigint[], %s::float8[], %s::float8[]) AS t (x, y, z)"""
    watch = Stopwatch()
    for batch in range(5):
        arguments = [
            argument for part in range(5) for argument in (batch * 5000 + part * 1000, *[column] * 3)
        ]
        await connection.execute(";".join([insert] * 5), arguments)
    session = await connector(database).connect()
    session.close()
    longest_s = watch.stop()
    assert database.fetch("SELECT count(*) FROM tess_readings_t") == [(25_000,)]
    assert longest_s < MAX_CPU_S


@ensure
async def test_closing_a_frozen_session_full_of_unsent_bytes_is_immediate(
    database: Database, connection: Connection
) -> None:
    database.server.freeze()
    running: Deferred[Any] = connection.query("SELECT length(%s)", ["x" * 20_000_000])
    await deferLater(reactor, 0.1)
    begun = time.monotonic()
    connection.close()
    assert time.monotonic() - begun < MAX_CPU_S
    with pytest.raises(ConnectionClosedError):
        await running
