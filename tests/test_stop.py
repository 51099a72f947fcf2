# SPDX-License-Identifier: MIT
"""Stop: in good order, within seconds, whatever else is broken."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker, PostgresServer, new_directory
from tests.conftest import BROKER_LINES
from tests.observatory import Publisher, Service, reading, stamp, wait_accounted, wait_for

STOP_S = 20
"""Ample: the source may take 5 s, the lane 2 s."""


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """One that may be stopped and frozen."""
    directory = new_directory("tessmon-broker-")
    server = Broker(directory, kind="mosquitto", lines=BROKER_LINES)
    server.start()
    yield server
    server.thaw()
    server.stop()
    shutil.rmtree(directory)


def stop_twice(service: Service) -> None:
    """SIGTERM, and once more because it takes so long."""
    process = service.process
    assert process is not None
    service.signal(signal.SIGTERM)
    service.signal(signal.SIGTERM)
    assert process.wait(STOP_S) == 0, service.last_words()
    log = service.log.read_text()
    assert "Traceback" not in log
    assert "Unhandled" not in log
    assert not service.socket.exists()


def fill(publisher: Publisher, first: int, count: int) -> None:
    for number in range(first, first + count):
        publisher.publish(*reading("stars1", number, tstamp=stamp(number)))
    publisher.flush()


def test_it_stops_while_the_database_hangs_and_while_it_is_paused(
    broker: Broker,
    publisher: Publisher,
    database: Any,
    postgres: PostgresServer,
    make_service: Callable[..., Service],
) -> None:
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)
    postgres.freeze()
    fill(publisher, 0, 100)
    wait_for(lambda: service.lane_state() == "running", "a transaction that hangs")
    stop_twice(service)

    service.start()  # it hangs while it connects
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    assert service.lane_state() == "starting"
    stop_twice(service)
    postgres.thaw()

    service.start()
    wait_accounted(database.dsn, 101, service)
    service.signal(signal.SIGUSR1)
    wait_for(lambda: service.lane_state() == "paused", "the pause")
    fill(publisher, 100, 100)
    stop_twice(service)
    service.start()
    wait_for(lambda: service.lane_state() == "paused", "the pause to be on still")
    service.signal(signal.SIGUSR2)
    wait_accounted(database.dsn, 201, service)
    order = [
        service.log.read_text().rfind(words) for words in ("told to stop", "stopped: stopped", "what waits")
    ]
    assert order == sorted(order)
    assert -1 not in order


def test_it_stops_while_the_broker_is_frozen_and_while_it_is_gone(
    own_broker: Broker, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(own_broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    own_broker.freeze()
    stop_twice(service)
    own_broker.thaw()
    own_broker.stop()
    service.start()
    wait_for(lambda: "next attempt" in str(service.status()), "the broker to be missed")
    stop_twice(service)


@contextmanager
def silence() -> Iterator[int]:
    """A port where connections are taken and nothing is said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_it_stops_while_it_connects_to_what_says_nothing(
    broker: Broker, database: Any, make_service: Callable[..., Service]
) -> None:
    with silence() as port:
        service = make_service(broker, database, mqtt={"broker": f"mqtt://127.0.0.1:{port}"})
        service.tables["database"]["dsn"] = f"host=127.0.0.1 port={port} user=nobody dbname=none"
        service.write_config()
        service.start()
        assert service.source_state() == "connecting"
        assert service.lane_state() == "starting"
        stop_twice(service)


def test_it_stops_while_it_starts(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    """Before it has its handlers a SIGTERM ends it as any process; from its first words on it stops in order."""
    service = make_service(broker, database)
    for begun in (
        lambda: True,
        lambda: mapped(service, "libsqlite3"),
        lambda: "configuration: " in words(service),
    ):
        service.log.write_bytes(b"")
        service.start(wait=False)
        wait_for(begun, "the start to get there")
        process = service.process
        assert process is not None
        service.signal(signal.SIGTERM)
        code = process.wait(STOP_S)
        assert "Traceback" not in words(service)
        assert code in ((0,) if "configuration: " in words(service) else (0, -signal.SIGTERM))
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)


def words(service: Service) -> str:
    return service.log.read_text(errors="replace")


def mapped(service: Service, library: str) -> bool:
    assert service.process is not None
    try:
        return library in Path(f"/proc/{service.process.pid}/maps").read_text()
    except OSError:
        return False
