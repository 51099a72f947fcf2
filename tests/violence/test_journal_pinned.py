# SPDX-License-Identifier: MIT
"""What the stages depend on stands in the journal; it must not keep the journal full for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, fetch, reading, stamp, wait_for

SMALL_BYTES = 1 << 20
COUNT = 2500
PADDING = "x" * 1000


@pytest.mark.parametrize(
    "table",
    [
        {"photometer.daylight": {"enabled": True, "disabled_for": ["steady"]}},
        {"photometer.every": {"silent": 10}},
    ],
    ids=["daylight", "every"],
)
def test_a_silent_photometer_does_not_keep_a_small_journal_full(
    table: dict[str, Any],
    broker: Broker,
    publisher: Publisher,
    database: Any,
    make_service: Callable[..., Service],
) -> None:
    """Its window or count depends on an old frame; as long as the source takes nothing, no frame makes it older."""
    service = make_service(broker, database, journal={"max_bytes": SMALL_BYTES, "retention_s": 0}, **table)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    for name in ("silent", "steady"):
        publisher.register(name, f"mac-of-{name}", tstamp="2026-01-01T00:00:00")
    publisher.publish(*reading("silent", 0, tstamp=stamp(0)))
    for n in range(COUNT):
        publisher.publish(*reading("steady", n, tstamp=stamp(n), pad=PADDING))
    publisher.flush()
    try:
        wait_for(lambda: _rows(database) == COUNT + 1, "all to be stored", 30)
    except AssertionError as error:
        raise AssertionError(f"{error}: {_rows(database)} are, {service.status()}") from error
    wait_for(lambda: service.source_state() == "connected", "the source to come back")
    service.assert_quick()


def _rows(database: Any) -> int:
    return int(fetch(database.dsn, "SELECT count(*) FROM tess_readings_t")[0][0])
