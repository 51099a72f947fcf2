# SPDX-License-Identifier: MIT
"""A database that was restored from a backup gets again what the journal still has."""

from __future__ import annotations

from collections.abc import Callable

from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, fetch, reading, stamp, wait_accounted, wait_for
from tests.postgres import Database, run


def test_what_came_since_the_backup_is_stored_again(
    broker: Broker, publisher: Publisher, database: Database, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    for seq in range(5):
        publisher.publish(*reading("stars1", seq, tstamp=stamp(seq)))
    publisher.flush()
    wait_accounted(database.dsn, 6, service)
    assert service.stop() == 0
    backup = Database(database.server, f"{database.name}_backup")
    run(database.server.superuser_dsn(), f"CREATE DATABASE {backup.name} TEMPLATE {database.name}")
    try:
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the broker's session")
        publisher.register("stars2", "AA:BB:CC:00:00:02", tstamp="2026-01-01T00:00:00")
        publisher.publish(*reading("stars2", 1, tstamp=stamp(0)))
        publisher.publish(*reading("stars1", 5, tstamp=stamp(5)))
        publisher.flush()
        wait_accounted(database.dsn, 9, service)
        assert service.stop() == 0
        service.tables["database"]["dsn"] = backup.dsn
        service.write_config()
        service.start()
        wait_accounted(backup.dsn, 9, service)
        rows = (
            "SELECT mac_address, r.tstamp FROM tess_readings_t AS r JOIN tess_t USING (tess_id) ORDER BY 1, 2"
        )
        assert fetch(backup.dsn, rows) == fetch(database.dsn, rows)
        assert fetch(backup.dsn, "SELECT count(*) FROM source_events WHERE what = 'gap'") == [(0,)]
        assert service.stop() == 0
    finally:
        service.end()
        run(database.server.superuser_dsn(), f"DROP DATABASE {backup.name} WITH (FORCE)")
