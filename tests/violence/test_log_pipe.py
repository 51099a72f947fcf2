# SPDX-License-Identifier: MIT
"""Whoever reads the log goes away, or reads no more: the service does not mind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tessmon.control.client import tell
from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, fetch, reading, stamp, wait_accounted, wait_for

PIPE_BYTES = 4096
COUNT = 500
IDLE_S, IDLE_CPU_S = 0.5, 0.2


class Reader:
    """At the other end of the service's log."""

    def __init__(self, pipe: Path) -> None:
        os.mkfifo(pipe)
        self._end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.prefix = ["sh", "-c", 'exec "$@" >"$0"', str(pipe)]
        """Before the service's command."""

    def read(self) -> str:
        """What is in the pipe."""
        read = b""
        try:
            while chunk := os.read(self._end, 65_536):
                read += chunk
        except BlockingIOError:
            pass
        return read.decode()

    def go(self) -> None:
        """Away."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    it = Reader(tmp_path / "log")
    yield it
    it.go()


@pytest.fixture
def logging(
    reader: Reader, broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> Service:
    """A service with a photometer, which logs into the reader's pipe."""
    service = make_service(broker, database)
    service.prefix = reader.prefix
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)
    return service


def test_a_log_that_nobody_reads_holds_up_nothing(
    reader: Reader, logging: Service, publisher: Publisher, database: Any
) -> None:
    _publish(publisher, 0)
    wait_accounted(database.dsn, 1 + COUNT, logging)
    _have_much_logged(logging)
    assert "Tessmon" in reader.read()
    _have_much_logged(logging)
    assert "lines of the log were lost" in reader.read()
    _have_much_logged(logging)
    _publish(publisher, COUNT)
    _assert_stored(logging, database)
    assert logging.stop() == 0


def test_a_log_whose_reader_is_gone_ends_nothing(
    reader: Reader, logging: Service, publisher: Publisher, database: Any
) -> None:
    _publish(publisher, 0)
    wait_accounted(database.dsn, 1 + COUNT, logging)
    reader.go()
    _have_much_logged(logging)
    _publish(publisher, COUNT)
    _assert_stored(logging, database)
    before_s = _cpu_s(logging)
    time.sleep(IDLE_S)  # in which there is nothing to do
    assert _cpu_s(logging) - before_s < IDLE_CPU_S
    assert logging.stop() == 0
    assert logging.last_words() == ""


def _have_much_logged(service: Service) -> None:
    """More lines than the pipe holds."""
    for _ in range(12):
        tell(service.socket, "/pause", "somebody who wants a log that is long " * 2)
        tell(service.socket, "/resume", "somebody who wants a log that is long " * 2)


def _cpu_s(service: Service) -> float:
    """CPU time that the process has used [s]."""
    assert service.process is not None
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _publish(publisher: Publisher, first: int) -> None:
    for n in range(first, first + COUNT):
        publisher.publish(*reading("stars1", n, tstamp=stamp(n)))
    publisher.flush()


def _assert_stored(service: Service, database: Any) -> None:
    wait_accounted(database.dsn, 1 + 2 * COUNT, service)
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(2 * COUNT)]
    service.assert_quick()
