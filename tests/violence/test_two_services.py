# SPDX-License-Identifier: MIT
"""Two services with journals of their own feed one database: each row is there once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, reading, stamp, wait_accounted, wait_for

PHOTOMETERS = 10
COUNT = 1000


def test_two_services_store_each_reading_and_each_registration_once(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    services = [make_service(broker, database) for _ in range(2)]
    for service in services:
        service.start()
        wait_for(lambda service=service: service.source_state() == "connected", "the broker's session")
    for n in range(PHOTOMETERS):
        publisher.register(f"stars{n}", f"AA:BB:CC:00:00:{n:02X}", tstamp="2026-01-01T00:00:00")
    for n in range(COUNT):
        publisher.publish(*reading(f"stars{n % PHOTOMETERS}", n, tstamp=stamp(n // PHOTOMETERS)))
    for n in range(PHOTOMETERS):  # both decide at once about the same change
        publisher.register(f"stars{n}", f"AA:BB:CC:00:00:{n:02X}", 20.5, tstamp="2026-03-01T00:00:00")
    publisher.flush()
    counted = wait_accounted(database.dsn, 2 * (COUNT + 2 * PHOTOMETERS), services[0])
    assert counted["stored"] == COUNT
    assert counted["duplicate"] == COUNT
    assert counted["stored new"] == counted["stored changed"] == PHOTOMETERS
    assert counted["stored rebooted"] == 2 * PHOTOMETERS
    rows = database.fetch("SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(COUNT)]
    current = "SELECT count(*), count(*) FILTER (WHERE valid_state = 'Current') FROM tess_t"
    assert database.fetch(current) == [(2 * PHOTOMETERS, PHOTOMETERS)]
    assert database.fetch("SELECT count(DISTINCT origin) FROM positions") == [(2,)]
    for service in services:
        service.assert_quick()
