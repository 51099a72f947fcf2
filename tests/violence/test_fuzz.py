# SPDX-License-Identifier: MIT
"""Hostile payloads from broker to row: each is accounted for, and its neighbours are stored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tessmon.demo.servers import Broker
from tests import scale
from tests.fuzz import mutated_payloads
from tests.observatory import Publisher, Service, fetch, reading, stamp, wait_accounted, wait_for

NEIGHBOUR_EVERY = 10
SEED = 20_261_123
FILTER = re.compile("STARS4ALL/[^/+#\\x00]+/reading")


def test_hostile_payloads_are_each_accounted_for_and_harm_no_neighbour(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("neighbour", "AA:BB:CC:00:FF:FF", tstamp="2026-01-01T00:00:00")
    publisher.register("stars488", "4C:75:25:28:9D:C1", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 2, service)
    neighbours = 0
    for n, (topic, payload) in enumerate(mutated_payloads(SEED, scale.FUZZED_PAYLOADS)):
        subscribed = topic == "STARS4ALL/register" or FILTER.fullmatch(topic)
        publisher.publish(topic if subscribed else "STARS4ALL/fuzz/reading", payload)
        if not n % NEIGHBOUR_EVERY:
            publisher.publish(*reading("neighbour", neighbours, tstamp=stamp(neighbours)))
            neighbours += 1
        if not n % 1000:
            publisher.flush()
    publisher.flush()
    counted = wait_accounted(database.dsn, len(publisher.sent), service, 600)
    print(counted)
    rows = fetch(
        database.dsn,
        "SELECT sequence_number FROM tess_readings_t JOIN tess_t USING (tess_id) "
        "WHERE mac_address = 'AA:BB:CC:00:FF:FF' ORDER BY tstamp",
    )
    assert rows == [(n,) for n in range(neighbours)]
    assert fetch(database.dsn, "SELECT count(*) FROM rejects")[0][0] == sum(
        count for what, count in counted.items() if what.startswith("rejected")
    )
    service.assert_quick()


def test_a_row_that_only_the_database_refuses_is_rejected_alone(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    database.execute("ALTER TABLE tess_readings_t ADD CHECK (frequency <> 13)")
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    for n in range(300):
        publisher.publish(*reading("stars1", n, tstamp=stamp(n), freq=13 if n in (0, 77, 299) else 8.5))
    publisher.flush()
    counted = wait_accounted(database.dsn, 301, service)
    assert counted == {"total": 301, "stored new": 1, "stored": 297, "rejected database_refused": 3}
    rejected = fetch(database.dsn, "SELECT detail, subject, payload FROM rejects ORDER BY position")
    assert [b'"freq": 13' in bytes(payload) for _, _, payload in rejected] == [True] * 3
    assert all("check constraint" in detail and subject == "stars1" for detail, subject, _ in rejected)
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(300) if n not in (0, 77, 299)]
    service.assert_quick()
