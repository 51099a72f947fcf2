# SPDX-License-Identifier: MIT
"""A schema that this program does not know is refused, and nothing that arrives meanwhile is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tessmon.database.schema import SCHEMA_VERSION
from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, fetch, reading, wait_accounted, wait_for


@pytest.mark.parametrize(
    ("change", "undo", "found", "advice"),
    [
        (
            "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)",
            "INSERT INTO schema_migrations SELECT (kept).* FROM kept ON CONFLICT DO NOTHING",
            SCHEMA_VERSION - 1,
            "tessmon db migrate",
        ),
        (
            "INSERT INTO schema_migrations SELECT 9999, name, digest, applied_at, program_version "
            "FROM schema_migrations LIMIT 1",
            "DELETE FROM schema_migrations WHERE version = 9999",
            9999,
            "install",
        ),
    ],
    ids=["too old", "too new"],
)
def test_a_schema_of_another_version_is_refused_while_the_journal_fills(
    change: str,
    undo: str,
    found: int,
    advice: str,
    broker: Broker,
    publisher: Publisher,
    database: Any,
    make_service: Callable[..., Service],
) -> None:
    database.execute("CREATE TABLE kept AS SELECT m AS kept FROM schema_migrations m")
    database.execute(change)
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.lane_state() == "refused", "the lane to refuse")
    status = service.status()
    assert status is not None
    detail = status["lanes"][0]["detail"]
    assert str(found) in detail
    assert str(SCHEMA_VERSION) in detail
    assert advice in detail
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01")
    publisher.publish(*reading("stars1", 1))
    publisher.flush()
    wait_for(lambda: (service.status() or {})["sources"][0]["acknowledged"] == 2, "the journal to fill")
    database.execute(undo)
    service.stop()
    service.start()
    wait_accounted(database.dsn, 2, service)
    assert fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t") == [(1,)]
    service.assert_quick()
