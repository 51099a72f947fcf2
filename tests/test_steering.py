# SPDX-License-Identifier: MIT
"""Pause with a time, flush, stop and restart, as an operator does them to the running service."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, reading, stamp, wait_accounted, wait_for
from tests.operating import SESSIONS, done, refused, tessmon

STEERED = "SELECT what, detail->>'by' FROM source_events WHERE what IN ('paused', 'resumed') ORDER BY at"
HALF_WINDOW = 3


@pytest.fixture
def running(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> Service:
    """A service with a daylight filter and one photometer."""
    window = {"enabled": True, "depth": 2 * HALF_WINDOW + 1}
    service = make_service(broker, database, **{"photometer.daylight": window})
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)
    return service


def send(publisher: Publisher, service: Service, *numbers: int) -> None:
    """Readings, on disk when this returns."""
    for number in numbers:
        publisher.publish(*reading("stars1", number, tstamp=stamp(number)))
    publisher.flush()


def stored(database: Any) -> int:
    ((count,),) = database.fetch("SELECT count(*) FROM tess_readings_t")
    return int(count)


def held(service: Service) -> int:
    status = service.status()
    return int(status["lanes"][0]["held"]) if status else -1


def test_a_pause_with_a_time_ends_by_itself_also_while_the_service_is_away(
    running: Service, publisher: Publisher, database: Any
) -> None:
    said = done(tessmon(running, "pause", "--for", "2s", "--by", "ana"))
    assert "until 20" in said
    status = running.status()
    assert status is not None
    assert status["paused"]["by"] == "ana"
    assert status["paused"]["until_ns"] - status["paused"]["since_ns"] == pytest.approx(2e9, rel=0.1)
    assert database.fetch(SESSIONS) == [(0,)]
    wait_for(lambda: running.lane_state() == "idle", "the end of the pause")
    assert time.time_ns() > status["paused"]["until_ns"]

    done(tessmon(running, "pause", "--for", "1s", "--by", "bob"))
    ends_s = time.time() + 1
    running.kill()
    wait_for(lambda: time.time() > ends_s, "the time to run out")
    running.start()
    wait_for(lambda: running.lane_state() == "idle", "the lane to go on")
    assert "a pause by bob since " in running.last_words()
    assert "ended while the service was away" in running.last_words()
    send(publisher, running, *range(2 * HALF_WINDOW))
    wait_for(lambda: stored(database) == HALF_WINDOW, "readings to be stored")
    assert database.fetch(STEERED) == [
        ("paused", "ana"),
        ("resumed", "the end of its time"),
        ("paused", "bob"),
        ("resumed", "the end of its time"),
    ]
    _a_second_pause_says_when_it_ends_and_not_whose_it_is(running)


def test_a_flush_stores_what_is_held_back(
    running: Service, publisher: Publisher, database: Any, postgres: Any
) -> None:
    send(publisher, running, *range(HALF_WINDOW))
    wait_for(lambda: held(running) == HALF_WINDOW, "readings to be held back")
    assert done(tessmon(running, "flush")) == "photometer: stored, all that was held back\n"
    assert stored(database) == HALF_WINDOW
    assert held(running) == 0

    send(publisher, running, 10, 11)
    wait_for(lambda: held(running) == 2, "readings to be held back")
    running.signal(signal.SIGWINCH)
    wait_for(lambda: stored(database) == HALF_WINDOW + 2, "SIGWINCH to flush")

    send(publisher, running, 20, 21)
    wait_for(lambda: held(running) == 2, "readings to be held back")
    done(tessmon(running, "pause"))
    assert done(tessmon(running, "flush")) == "photometer: noted; takes effect when writes resume\n"
    assert stored(database) == HALF_WINDOW + 2
    running.kill()
    running.start()
    done(tessmon(running, "resume"))
    wait_for(lambda: stored(database) == HALF_WINDOW + 4, "the flush to take effect")
    wait_accounted(database.dsn, HALF_WINDOW + 5, running)
    wait_for(lambda: running.source_state() == "connected", "the broker's session")
    _a_flush_without_a_database_is_noted(running, publisher, database, postgres)


def test_a_restart_is_the_same_process_with_what_is_written_now(
    running: Service, publisher: Publisher, database: Any
) -> None:
    send(publisher, running, 1, 2)
    wait_for(lambda: held(running) == 2, "readings to be held back")
    before = running.status()
    running.tables["journal"]["max_bytes"] = 1 << 30  # what a reload refuses
    running.write_config()
    said = done(tessmon(running, "restart"))
    assert said == "photometer: stored, all that was held back\nrestarted\n"
    after = running.status()
    assert before is not None
    assert after is not None
    assert after["pid"] == before["pid"]
    assert after["journals"][0]["max_bytes"] == 1 << 30
    assert stored(database) == 2
    wait_for(lambda: running.source_state() == "connected", "the broker's session")
    running.signal(signal.SIGUSR1)
    wait_for(lambda: running.lane_state() == "paused", "signals to be taken as before")

    running.tables["journal"]["max_bytes"] = 0
    running.write_config()
    assert "[journal] max_bytes" in refused(tessmon(running, "restart"))
    assert running.lane_state() == "paused"

    running.tables["journal"]["max_bytes"] = 1 << 30
    running.write_config()
    assert done(tessmon(running, "stop")).endswith("\nstopped\n")
    assert running.process is not None
    assert running.process.wait(30) == 0
    assert "is it running?" in refused(tessmon(running, "stop"))


def _a_second_pause_says_when_it_ends_and_not_whose_it_is(running: Service) -> None:
    done(tessmon(running, "pause", "--for", "1h", "--by", "ana"))
    said = done(tessmon(running, "pause", "--by", "bob"))
    assert "until `tessmon resume`" in said
    assert "it was paused before, by ana since " in said
    status = running.status()
    assert status is not None
    assert (status["paused"]["by"], status["paused"]["until_ns"]) == ("ana", None)
    assert "it stays paused, by ana since" in done(tessmon(running, "resume", "--only-by", "bob"))
    assert running.lane_state() == "paused"
    assert done(tessmon(running, "resume")) == "resumed\n"
    assert done(tessmon(running, "resume")) == "it was not paused\n"


def _a_flush_without_a_database_is_noted(
    running: Service, publisher: Publisher, database: Any, postgres: Any
) -> None:
    send(publisher, running, 30, 31)
    wait_for(lambda: held(running) == 2, "readings to be held back")
    postgres.stop("fast")
    wait_for(lambda: running.lane_state() == "waiting", "the lane to wait")
    assert "takes effect when the database is back" in done(tessmon(running, "flush"))
    postgres.start()
    wait_for(lambda: stored(database) == HALF_WINDOW + 6, "the flush to take effect")
