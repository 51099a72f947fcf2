# SPDX-License-Identifier: MIT
"""kill -9: whenever it comes, the tables are what an undisturbed run gives."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tessmon.demo.servers import Broker
from tests import scale
from tests.observatory import (
    Publisher,
    Service,
    fetch,
    in_background,
    reading,
    stamp,
    wait_accounted,
    wait_for,
)

PHOTOMETERS = 20
_ROWS_SQL = "SELECT tess_id, tstamp, sequence_number, magnitude FROM tess_readings_t ORDER BY 1, 2"


def test_kills_at_random_moments_lose_and_double_nothing(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    _register(publisher, service, PHOTOMETERS)
    count = scale.KILL_MESSAGES
    messages = [reading(f"stars{n % PHOTOMETERS}", n, tstamp=stamp(n // PHOTOMETERS)) for n in range(count)]
    _kill_while(service, publisher, messages)
    counted = wait_accounted(database.dsn, count + PHOTOMETERS, service)
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(count)]
    assert counted["stored"] == count, counted
    service.assert_quick()


def test_kills_lose_and_double_no_reading_that_has_no_stamp(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    """Stamped by its arrival: what was journalled and not acknowledged keeps the time of its first arrival.

    A photometer speaks every 10 s, for what queues up while the service is down arrives within one second.
    """
    photometers = 10 * scale.KILL_RATE_HZ
    database.execute(
        "INSERT INTO tess_t (mac_address, valid_since, valid_until, valid_state, model, firmware, registered,"
        " nchannels, zp1, filter1) SELECT 'mac ' || n, '2026-01-01Z', '2999-12-31 23:59:59Z', 'Current',"
        " 'TESS-W', '1.0', 'Manual', 1, 20.25, 'UV/IR-740' FROM generate_series(0, %s) n",
        [photometers],
    )
    database.execute(
        "INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_until, valid_state) "
        "SELECT 'stars' || n, 'mac ' || n, '2026-01-01Z', '2999-12-31 23:59:59Z', 'Current' "
        "FROM generate_series(0, %s) n",
        [photometers],
    )
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    count = scale.KILL_MESSAGES
    messages = [reading(f"stars{n % photometers}", n) for n in range(count)]
    _kill_while(service, publisher, messages)
    counted = wait_accounted(database.dsn, count, service)
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(count)], counted
    service.assert_quick()


def test_kills_leave_no_trace_in_what_the_filters_let_through(
    broker: Broker,
    publisher: Publisher,
    database: Any,
    other_database: Any,
    make_service: Callable[..., Service],
) -> None:
    """The same messages to two services, of which one is killed: the same rows, and the same counts by cause."""
    tables: dict[str, dict[str, Any]] = {
        "photometer": {"deny": ["stars4"]},
        "photometer.every": {"stars1": 3, "stars2": 4, "stars3": 2},
        "photometer.daylight": {"enabled": True, "depth": 7, "disabled_for": ["stars3", "stars5"]},
    }
    services = [make_service(broker, one, **tables) for one in (database, other_database)]
    services[1].start()
    wait_for(lambda: services[1].source_state() == "connected", "the broker's session")
    _register(publisher, services[0], PHOTOMETERS)
    chance = random.Random(7)
    messages, numbers, saturated = [], [0] * PHOTOMETERS, [False] * PHOTOMETERS
    for n in range(scale.KILL_MESSAGES):
        device = n % PHOTOMETERS
        if chance.random() < 0.05:
            saturated[device] = not saturated[device]
        numbers[device] += 1 if chance.random() < 0.97 else 2
        more = {"mag": 0.0 if saturated[device] else 18.25, "tstamp": stamp(n // PHOTOMETERS)}
        messages.append(reading(f"stars{device}", numbers[device], **more))
    _kill_while(services[0], publisher, messages)
    held = (PHOTOMETERS - 3) * 3  # half a window of each photometer, but three have none
    rows, counted = [], []
    for service, one in zip(services, (database, other_database), strict=True):
        counted.append(wait_accounted(one.dsn, len(messages) + PHOTOMETERS - held, service))
        rows.append(fetch(one.dsn, _ROWS_SQL))
        service.assert_quick()
    assert rows[0] == rows[1]
    assert counted[0] == counted[1]
    assert min(counted[0][key] for key in ("stored", "filtered daylight", "filtered decimated")) > 100


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        ("journal.before_commit", 7),
        ("journal.after_commit", 7),
        ("mqtt.before_ack", 7),
        ("writer.before_commit", 5),
        ("writer.commit_sent", 5),
        ("writer.after_commit", 5),
        ("journal.rotate", 1),
        ("journal.unlink", 1),
    ],
)
def test_a_kill_at_a_named_point_loses_and_doubles_nothing(
    point: str,
    nth: int,
    broker: Broker,
    publisher: Publisher,
    database: Any,
    make_service: Callable[..., Service],
) -> None:
    segments: dict[str, Any] = {}
    if point in ("journal.rotate", "journal.unlink"):
        segments = {"journal": {"retention_s": 0}}
    service = make_service(broker, database, **segments)
    _register(publisher, service, PHOTOMETERS)
    service.stop()
    service.start(f"{point}:{nth}", wait=False)
    count = 2000
    # long enough that the journal's segments of 32 MiB are rotated where a rotation is what is killed
    padding = {"chan": "x" * 60_000} if segments else {}
    messages = [
        reading(f"stars{n % PHOTOMETERS}", n, tstamp=stamp(n // PHOTOMETERS), **padding) for n in range(count)
    ]
    with in_background(publisher.at_rate, messages, scale.KILL_RATE_HZ):
        wait_for(lambda: not service.alive, f"the kill at {point}")
        service.start()
    publisher.flush()
    wait_accounted(database.dsn, count + PHOTOMETERS, service)
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(count)]
    service.assert_quick()


def _register(publisher: Publisher, service: Service, count: int) -> None:
    """Start the service and let photometers register; the first reading finds them all."""
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    for n in range(count):
        publisher.register(
            f"stars{n}", f"AA:BB:CC:00:{n // 256:02X}:{n % 256:02X}", tstamp="2026-01-01T00:00:00"
        )
    publisher.flush()
    wait_accounted(_dsn(service), count, service)


def _dsn(service: Service) -> str:
    return str(service.tables["database"]["dsn"])


def _kill_while(service: Service, publisher: Publisher, messages: list[tuple[str, dict[str, Any]]]) -> None:
    """kill -9 at random moments, spread over the time that publishing takes."""
    random.seed(20_261_123)
    with in_background(publisher.at_rate, messages, scale.KILL_RATE_HZ) as publishing:
        kills = 0
        span_s = len(messages) / scale.KILL_RATE_HZ / scale.KILLS
        while publishing.is_alive() and kills < scale.KILLS:
            time.sleep(random.uniform(0.3, 1.7) * span_s)  # the random moment
            service.kill()
            kills += 1
            service.start(wait=False)
        while kills < scale.KILLS:
            time.sleep(random.uniform(0.1, 0.6))  # the random moment, while the backlog drains
            service.kill()
            kills += 1
            service.start(wait=False)
    publisher.flush()
    print(f"{kills} kills")
    assert kills == scale.KILLS
