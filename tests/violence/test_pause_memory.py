# SPDX-License-Identifier: MIT
"""A long pause: the journal grows, the memory does not, and the database sees nobody."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from tessmon.demo.servers import Broker
from tests import scale
from tests.flood import Pipe, publish_packet, readings
from tests.observatory import Publisher, Service, fetch, wait_accounted, wait_for
from tests.watch import MEGABYTE, RSS_LIMIT_BYTES, Watch

PHOTOMETERS = 100
GROWTH_BYTES = 20 * MEGABYTE
WARM_UP_PART = 20
"""Memory is measured from the moment on when one in so many of the messages is in the journal."""
AHEAD = 50_000
"""Messages that the broker may have to keep for the service; its queue holds some more."""
TOGETHER = 100
"""Packets given to the network in one piece."""

SESSIONS_NOW = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
SESSIONS_EVER = "SELECT sessions FROM pg_stat_database WHERE datname = %s"


def test_a_pause_costs_neither_memory_nor_a_connection_nor_a_row(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database, journal={"max_bytes": 8 << 30, "retention_s": 0})
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    for n in range(PHOTOMETERS):
        publisher.register(f"stars{n}", f"AA:BB:CC:00:00:{n:02X}", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, PHOTOMETERS, service)

    beside = database.server.superuser_dsn()  # of another database, so that looking makes no session in ours
    service.signal(signal.SIGUSR1)
    wait_for(lambda: service.lane_state() == "paused", "the pause")
    wait_for(lambda: fetch(beside, SESSIONS_NOW, [database.name]) == [(0,)], "the end of the last session")
    ever = fetch(beside, SESSIONS_EVER, [database.name])

    def look() -> None:
        assert fetch(beside, SESSIONS_NOW, [database.name]) == [(0,)]

    count = scale.PAUSED_MESSAGES
    flood = _Flood(broker, service, count)
    with Watch(service, look) as watch:
        flood.until(count // WARM_UP_PART)
        before = watch.begin_anew()
        flood.until(count)
        grown = watch.most_bytes - before
    assert watch.looks > 1
    assert fetch(beside, SESSIONS_EVER, [database.name]) == ever
    print(f"{count} messages in a pause: RssAnon {before / 1e6:.1f} MB, grew by {grown / 1e6:.1f} MB at most")
    assert grown < GROWTH_BYTES

    with Watch(service) as watch:
        service.signal(signal.SIGUSR2)
        counted = wait_accounted(database.dsn, PHOTOMETERS + count, service, 1200)
    print(f"after it: RssAnon {watch.most_bytes / 1e6:.1f} MB at most")
    assert watch.most_bytes < RSS_LIMIT_BYTES
    assert counted == {"total": PHOTOMETERS + count, "stored new": PHOTOMETERS, "stored": count}
    assert fetch(
        database.dsn,
        "SELECT count(*), count(DISTINCT sequence_number), min(sequence_number), max(sequence_number)"
        " FROM tess_readings_t",
    ) == [(count, count, 0, count - 1)]
    service.assert_quick()


class _Flood:
    """Readings that come as fast as the service takes them."""

    def __init__(self, broker: Broker, service: Service, count: int) -> None:
        self._service = service
        self._pipe = Pipe(broker.port, "flood", window=2000)
        self._packets = _packets(count)

    def until(self, count: int) -> None:
        """Publish until so many were sent in all; return when they are in the journal."""
        while self._pipe.sent < count:
            packets = list(islice(self._packets, min(TOGETHER, count - self._pipe.sent)))
            self._pipe.send(b"".join(packets), len(packets))
            if self._pipe.sent % AHEAD < TOGETHER:
                self._wait_journalled(self._pipe.sent - AHEAD)
        self._pipe.flush()
        self._wait_journalled(count)

    def _wait_journalled(self, count: int) -> None:
        wait_for(lambda: self._journalled() >= PHOTOMETERS + count, "the journal to follow", 600)

    def _journalled(self) -> int:
        status = self._service.status()
        return int(status["sources"][0]["acknowledged"]) if status else 0


def _packets(count: int) -> Iterator[bytes]:
    for number, (topic, payload) in enumerate(readings(count, 0, PHOTOMETERS)):
        yield publish_packet(topic, payload, number % 0xFFFF + 1)
