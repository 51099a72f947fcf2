# SPDX-License-Identifier: MIT
"""What tessdb's users rely on, case by case: messages through a real broker, rows in a real PostgreSQL."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, fetch, tally, wait_accounted, wait_for

CASES = json.loads((Path(__file__).parent.parent / "data" / "tess-cases.json").read_text())["cases"]
FAR_FUTURE = "2999-12-31 23:59:59Z"
COUNTERS = {
    "reg_renamed": ["stored renamed"],
    "reg_replaced": ["stored replaced"],
    "reg_zp_changed": ["stored changed"],
    "not_registered": ["rejected unregistered"],
    "mqtt_filtered": ["filtered retained", "filtered denied"],
    "duplicate": ["duplicate", "rejected conflict"],
}
CONFIG = {
    "auth_filter": ("photometer", "require_authorised"),
    "zp_threshold": ("photometer", "zero_point_min_mag"),
    "secs_resolution": ("photometer", "seconds_resolution"),
    "whitelist": ("photometer", "allow"),
    "blacklist": ("photometer", "deny"),
    "buffer_size": ("writer", "batch_rows"),
    "filter_enabled": ("photometer.daylight", "enabled"),
    "depth": ("photometer.daylight", "depth"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_case_gives_the_rows_that_users_rely_on(
    case: dict[str, Any],
    broker: Broker,
    publisher: Publisher,
    database: Any,
    make_service: Callable[..., Service],
) -> None:
    _fill(database, case["given"])
    service = make_service(broker, database, **_tables(case["config"]))
    before = [message for message in case["messages"] if message.get("before_start")]
    for message in before:
        _publish(publisher, message)
    publisher.flush()
    try:
        began = datetime.now(UTC)
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the broker's session")
        sent = len(before)
        for message in case["messages"]:
            if message.get("before_start"):
                continue
            if "command" in message:
                _command(service, message["command"])
                continue
            _publish(publisher, message)
            sent += 1
        held = _held_at_the_end(case)
        counted = wait_accounted(database.dsn, sent - held, service)
        assert service.status()["lanes"][0]["held"] == held
        _compare(database.dsn, case["expect"], counted, began)
        service.assert_quick()
    finally:
        for message in before:
            publisher.publish(message["topic"], b"", retain=True)
        publisher.flush()


def test_no_case_is_left_out() -> None:
    assert len(CASES) == 26


def _tables(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for key, value in config.items():
        table, name = CONFIG[key]
        tables.setdefault(table, {})[name] = value
    return tables


def _fill(database: Any, given: dict[str, Any]) -> None:
    for place in given.get("locations", []):
        database.execute(
            "INSERT INTO location_t (location_id, place, town, sub_region, region, country, timezone) "
            "VALUES (%s, %s, '', '', '', '', 'Etc/UTC')",
            [place["location_id"], place["place"]],
        )
    for observer in given.get("observers", []):
        database.execute(
            "INSERT INTO observer_t (observer_id, type, name, valid_since, valid_until, valid_state) "
            "VALUES (%s, 'Organization', %s, '2000-01-01Z', %s, 'Current')",
            [observer["observer_id"], observer["name"], FAR_FUTURE],
        )
    for photometer in given.get("photometers", []):
        database.execute(
            "INSERT INTO tess_t (mac_address, valid_since, valid_until, valid_state, model, firmware, authorised,"
            " registered, nchannels, zp1, filter1, location_id, observer_id) "
            "SELECT %s, %s::timestamp AT TIME ZONE 'UTC', %s, 'Current', 'TESS-W', %s, %s, %s, 1, %s, 'UV/IR-740',"
            " l.location_id, o.observer_id FROM location_t l, observer_t o WHERE l.place = %s AND o.name = %s",
            [
                photometer["mac"],
                photometer["since"],
                FAR_FUTURE,
                photometer["firmware"],
                photometer["authorised"],
                photometer.get("registered", "Automatic"),
                photometer["zp"],
                photometer["location"],
                photometer["observer"],
            ],
        )
        database.execute(
            "INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_until, valid_state) "
            "VALUES (%s, %s, %s::timestamp AT TIME ZONE 'UTC', %s, 'Current')",
            [photometer["name"], photometer["mac"], photometer["since"], FAR_FUTURE],
        )


def _publish(publisher: Publisher, message: dict[str, Any]) -> None:
    if "raw_hex" in message:
        payload = bytes.fromhex(message["raw_hex"])
    elif "raw" in message:
        payload = message["raw"].encode()
    else:
        payload = json.dumps(message["payload"]).encode()
    publisher.publish(
        message["topic"], payload, retain=message.get("retain", False), qos=message.get("qos", 1)
    )
    publisher.flush()


def _held_at_the_end(case: dict[str, Any]) -> int:
    """Half a window waits for what comes behind it."""
    config = case["config"]
    return int(config.get("depth", 7)) // 2 if config.get("filter_enabled") else 0


def _command(service: Service, command: str) -> None:
    if command == "pause":
        service.signal(signal.SIGUSR1)
        wait_for(lambda: service.lane_state() == "paused", "the pause")
    else:
        assert command == "resume", command
        service.signal(signal.SIGUSR2)


def _compare(dsn: str, expect: dict[str, Any], counted: dict[str, int], began: datetime) -> None:
    for table, order in (("tess_t", "tess_id"), ("name_to_mac_t", "association_id")):
        if table in expect:
            _compare_rows(dsn, table, order, expect[table], began)
    for key, table in (("readings", "tess_readings_t"), ("readings4c", "tess_readings4c_t")):
        if key in expect:
            _compare_rows(dsn, table, "date_id, time_id, tess_id", expect[key], began)
    if "readings_seqs" in expect:
        rows = fetch(dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY date_id, time_id, tess_id")
        assert [row[0] for row in rows] == expect["readings_seqs"]
    if "readings_seqs_superset" in expect:
        rows = fetch(dsn, "SELECT sequence_number FROM tess_readings_t")
        assert {row[0] for row in rows} >= set(expect["readings_seqs_superset"])
    for mac, count in expect.get("current_rows_per_mac", {}).items():
        sql = "SELECT count(*) FROM tess_t WHERE mac_address = %s AND valid_state = 'Current'"
        assert fetch(dsn, sql, [mac]) == [(count,)]
    for counter, value in expect.get("counters", {}).items():
        assert sum(counted.get(name, 0) for name in COUNTERS[counter]) == value, (counter, tally(dsn))


def _compare_rows(dsn: str, table: str, order: str, expected: list[dict[str, Any]], began: datetime) -> None:
    columns = sorted({column for row in expected for column in row if column != "arrival_second"})
    listed = ", ".join([*columns, "1"])
    rows = fetch(dsn, f"SELECT {listed} FROM {table} ORDER BY {order}")
    assert len(rows) == len(expected), rows
    for row, wanted in zip(rows, expected, strict=True):
        got = {column: _plain(value) for column, value in zip(columns, row[:-1], strict=True)}
        assert {column: got[column] for column in wanted if column != "arrival_second"} == {
            column: value for column, value in wanted.items() if column != "arrival_second"
        }
    if any("arrival_second" in row for row in expected):
        _compare_arrival(dsn, table, began)


def _compare_arrival(dsn: str, table: str, began: datetime) -> None:
    """The ids are those of the arrival, which was since the service started and not in the future."""
    ((stamp, date_id, time_id, received_at),) = fetch(
        dsn, f"SELECT tstamp, date_id, time_id, received_at FROM {table}"
    )
    assert stamp == received_at.replace(microsecond=0)
    assert began <= received_at <= datetime.now(UTC)
    assert (date_id, time_id) == (
        int(time.strftime("%Y%m%d", stamp.utctimetuple())),
        int(time.strftime("%H%M%S", stamp.utctimetuple())),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return value
