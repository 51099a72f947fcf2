# SPDX-License-Identifier: MIT
"""The servers of the demo start, come back with their rows, freeze, die, and leave nothing behind."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg2
import pytest

from tessmon.demo.guarded import children_of, free_port, wait_until
from tessmon.demo.servers import (
    Broker,
    BrokerKind,
    PostgresServer,
    ServerError,
    system_binaries,
    wheel_binaries,
)

FAST = {"fsync": "off"}
KINDS: tuple[BrokerKind, ...] = ("mosquitto", "iotcore")


@pytest.fixture
def postgres(demo_directory: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(demo_directory / "postgres", settings=FAST)
    server.start()
    yield server
    server.stop("immediate")


def query(server: PostgresServer, statement: str, **options: int) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(server.superuser_dsn(), **options)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def gone(pid: int) -> bool:
    """Whether a process has ended, be it not yet buried by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_rows_and_port_outlive_every_kind_of_stop(postgres: PostgresServer) -> None:
    query(postgres, "CREATE TABLE kept (number int)")
    port = postgres.port
    for number, stop in enumerate([postgres.stop, lambda: postgres.stop("immediate"), postgres.kill]):
        query(postgres, f"INSERT INTO kept VALUES ({number})")
        stop()
        assert not postgres.running
        with pytest.raises(psycopg2.OperationalError):
            query(postgres, "SELECT 1")
        postgres.start()
    assert query(postgres, "SELECT number FROM kept ORDER BY 1") == [(0,), (1,), (2,)]
    assert postgres.port == port


def test_killed_postgres_takes_its_backends_and_its_shared_memory_along(postgres: PostgresServer) -> None:
    connection = psycopg2.connect(postgres.superuser_dsn())
    family = children_of(postgres.pid)
    segment = (postgres.data_directory / "postmaster.pid").read_text().splitlines()[6].split()[1]
    assert connection.info.backend_pid in family
    assert segment in shared_memory_segments()
    postgres.kill()
    assert all(gone(pid) for pid in family)
    assert segment not in shared_memory_segments()
    assert not (postgres.data_directory / "postmaster.pid").exists()
    connection.close()


def shared_memory_segments() -> list[str]:
    return [line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]


def test_frozen_postgres_is_silent_and_goes_on_when_thawed(postgres: PostgresServer) -> None:
    connection = psycopg2.connect(postgres.superuser_dsn())
    postgres.freeze()
    with socket.create_connection(("127.0.0.1", postgres.port), timeout=5) as knock:
        knock.settimeout(0.5)
        knock.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")  # SSLRequest: a living server answers at once
        with pytest.raises(TimeoutError):
            knock.recv(1)
    postgres.thaw()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_frozen_postgres_can_be_stopped_and_killed(postgres: PostgresServer) -> None:
    postgres.freeze()
    postgres.stop()
    postgres.start()
    postgres.freeze()
    postgres.kill()
    assert not postgres.running


def test_postgres_listens_on_loopback_only_and_wants_a_password(postgres: PostgresServer) -> None:
    assert query(postgres, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert query(postgres, "SHOW unix_socket_directories") == [("",)]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(postgres.dsn("postgres", "postgres", "guessed"))


def test_password_is_in_a_private_file_and_on_no_command_line(postgres: PostgresServer) -> None:
    password = postgres.password_file.read_text().strip()
    assert stat.S_IMODE(postgres.password_file.stat().st_mode) == 0o600
    assert password in postgres.superuser_dsn()
    assert password not in Path(f"/proc/{postgres.pid}/cmdline").read_text()
    assert [path.name for path in postgres.directory.glob("*password*")] == [postgres.password_file.name]


def test_server_never_runs_as_root(postgres: PostgresServer) -> None:
    assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


def test_leftover_pid_file_of_a_foreign_process_does_not_keep_postgres_away(postgres: PostgresServer) -> None:
    pid_file = postgres.data_directory / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    owner = postgres.data_directory.stat()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    postgres.start()
    assert query(postgres, "SELECT 1") == [(1,)]


def test_second_server_in_the_same_directory_is_refused(postgres: PostgresServer) -> None:
    with pytest.raises(ServerError, match="another PostgreSQL"):
        PostgresServer(postgres.directory).start()
    with pytest.raises(ServerError, match="runs already"):
        postgres.start()
    assert query(postgres, "SELECT 1") == [(1,)]


def test_postgres_that_can_not_start_says_why(demo_directory: Path) -> None:
    server = PostgresServer(demo_directory / "postgres", settings={"shared_buffers": "a lot"})
    with pytest.raises(ServerError, match="shared_buffers"):
        server.start()
    assert not server.running


@pytest.mark.parametrize("binaries", [wheel_binaries, system_binaries])
def test_postgres_of_wheel_and_system_both_serve(
    demo_directory: Path, binaries: Callable[[], Path | None]
) -> None:
    directory = binaries()
    assert directory is not None
    server = PostgresServer(demo_directory / "postgres", binaries=directory, settings=FAST)
    server.start()
    try:
        assert query(server, "SHOW server_encoding") == [("UTF8",)]
    finally:
        server.stop()


def test_directory_that_the_server_can_not_enter_is_refused_and_left_as_it_is(demo_directory: Path) -> None:
    closed = demo_directory / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(closed / "postgres", settings=FAST)
    if os.geteuid() == 0:
        with pytest.raises(ServerError, match="may not enter"):
            server.start()
    else:
        server.start()
        server.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def serve_once(directory: Path) -> None:
    postgres, broker = PostgresServer(directory / "own"), Broker(directory / "broker")
    postgres.start()
    broker.start()
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in (postgres.pid, broker.pid)}
    postgres.stop()
    broker.stop()
    assert owners == {os.geteuid()}


def test_servers_work_for_an_ordinary_user(demo_directory: Path) -> None:
    """In a fork, because the interpreter's own files may be root's alone."""
    nobody = pwd.getpwnam("nobody")
    home = demo_directory / "home"
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
            serve_once(home)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_of_the_owner_leaves_no_process(demo_directory: Path, frozen: bool) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from tessmon.demo.servers import Broker, PostgresServer
        directory = Path(sys.argv[1])
        servers = PostgresServer(directory / "postgres"), Broker(directory / "broker")
        for server in servers:
            server.start()
        for server in servers * {int(frozen)}:
            server.freeze()
        print(*(server.pid for server in servers), flush=True)
        time.sleep(600)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), demo_directory], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    assert len(pids) == 2
    pids += children_of(pids[0])
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert wait_until(lambda: all(map(gone, pids)), 20), [pid for pid in pids if not gone(pid)]


@pytest.mark.parametrize("kind", KINDS)
def test_broker_carries_messages_again_after_stop_kill_and_freeze(
    demo_directory: Path, kind: BrokerKind
) -> None:
    broker = Broker(demo_directory / "broker", kind=kind)
    broker.start()
    url, port = broker.url, broker.port
    try:
        assert echo(broker) == b"first"
        broker.stop()
        broker.start()
        assert echo(broker) == b"first"
        broker.kill()
        assert not broker.running
        broker.start()
        broker.freeze()
        broker.thaw()
        assert echo(broker) == b"first"
        assert (broker.url, broker.port) == (url, port)
    finally:
        broker.stop()
    assert not broker.running


def echo(broker: Broker) -> bytes:
    """What a subscriber gets of one published message."""
    received: list[bytes] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, userdata, message: received.append(message.payload)
    client.on_subscribe = lambda *arguments: client.publish("echo", b"first", qos=1)
    client.connect("127.0.0.1", broker.port)
    client.subscribe("echo", qos=1)
    client.loop_start()
    try:
        assert wait_until(lambda: bool(received), 10)
    finally:
        client.disconnect()
        client.loop_stop()
    return received[0]


@pytest.mark.parametrize("kind", KINDS)
def test_broker_listens_on_loopback_only(demo_directory: Path, kind: BrokerKind) -> None:
    broker = Broker(demo_directory / "broker", kind=kind)
    broker.start()
    try:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [row[1] for row in rows if row[1].endswith(f":{broker.port:04X}") and row[3] == "0A"]
        assert listening == [f"0100007F:{broker.port:04X}"]
    finally:
        broker.stop()


def test_mosquitto_keeps_a_session_and_takes_lines_of_its_own(demo_directory: Path) -> None:
    broker = Broker(demo_directory / "broker", kind="mosquitto", lines=["max_queued_messages 3"])
    broker.start()
    try:
        absent = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="absent", clean_session=False)
        absent.on_subscribe = lambda *arguments: absent.disconnect()
        absent.connect("127.0.0.1", broker.port)
        absent.subscribe("queue", qos=1)
        absent.loop_forever()
        broker.stop()
        broker.start()
        again = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="absent", clean_session=False)
        present: list[bool] = []

        def connected(client: mqtt.Client, userdata: object, flags: mqtt.ConnectFlags, *rest: object) -> None:
            present.append(flags.session_present)
            client.disconnect()

        again.on_connect = connected
        again.connect("127.0.0.1", broker.port)
        again.loop_forever()
        assert present == [True]
        text = (demo_directory / "broker" / "mosquitto.conf").read_text()
        assert text.count("max_queued_messages") == 1
    finally:
        broker.stop()


def test_broker_on_a_taken_port_says_so(demo_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        broker = Broker(demo_directory / "broker", port=taken.getsockname()[1])
        with pytest.raises(ServerError, match="in use"):
            broker.start()


def test_free_ports_are_outside_the_range_that_clients_are_given() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < lowest for _ in range(50))


def test_ctrl_c_on_the_terminal_reaches_no_server(postgres: PostgresServer) -> None:
    assert os.getpgid(postgres.pid) != os.getpgid(os.getpid())
    postgres._living().send(signal.SIGHUP)
    assert query(postgres, "SELECT 1") == [(1,)]
