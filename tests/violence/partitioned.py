# SPDX-License-Identifier: MIT
"""Run by test_partition.py in a network of its own: the service on one machine, its servers on another."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker, PostgresServer, new_directory
from tests import scale
from tests.conftest import BROKER_LINES
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
from tests.postgres import Database, running_server
from tests.violence import netns

KEEPALIVE_S = 5
DATABASE_NOTICED_S = 10
RATE_HZ = 200
COUNT = RATE_HZ * (12 + scale.PARTITION_S)
WAYS = {
    "broker": {"there": [netns.BROKER], "back": [netns.TO_BROKER], "both": [netns.BROKER, netns.TO_BROKER]},
    "database": {
        "there": [netns.DATABASE],
        "back": [netns.TO_DATABASE],
        "both": [netns.DATABASE, netns.TO_DATABASE],
    },
}
WAYS["both"] = {way: WAYS["broker"][way] + WAYS["database"][way] for way in WAYS["broker"]}


@pytest.fixture(scope="session")
def wire() -> Iterator[netns.Wire]:
    with netns.Wire() as made:
        yield made


@pytest.fixture(scope="session")
def postgres(wire: netns.Wire) -> Iterator[PostgresServer]:
    """A server that takes connections from other machines."""
    directory = new_directory("tessmon-hba-")
    rules = directory / "pg_hba.conf"
    rules.write_text("host all all 0.0.0.0/0 scram-sha-256\n")
    with running_server(listen_addresses="*", hba_file=str(rules)) as server:
        yield server
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def far_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def broker(wire: netns.Wire, far_port: int) -> Iterator[Broker]:
    """A broker with a door to other machines."""
    directory = new_directory("tessmon-broker-")
    server = Broker(directory, kind="mosquitto", lines=[*BROKER_LINES, f"listener {far_port} {netns.BROKER}"])
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def service(
    wire: netns.Wire, broker: Broker, far_port: int, database: Database, make_service: Callable[..., Service]
) -> Service:
    """On the other machine."""
    far_broker = SimpleNamespace(url=f"mqtt://{netns.BROKER}:{far_port}")
    far_database = SimpleNamespace(dsn=database.dsn.replace("127.0.0.1", netns.DATABASE))
    made = make_service(far_broker, far_database, mqtt={"keepalive_s": KEEPALIVE_S})
    made.prefix = wire.prefix
    return made


@pytest.mark.parametrize("load", ["busy", "idle"])
@pytest.mark.parametrize(
    ("server", "way"), [*product(["broker", "database"], ["there", "back", "both"]), ("both", "both")]
)
def test_a_partition_is_noticed_and_survived(
    server: str,
    way: str,
    load: str,
    wire: netns.Wire,
    service: Service,
    publisher: Publisher,
    database: Database,
) -> None:
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)
    messages = [reading("stars1", n, tstamp=stamp(n)) for n in range(COUNT)]
    publishing = in_background(publisher.at_rate, messages, RATE_HZ) if load == "busy" else nullcontext()
    with publishing:
        if load == "busy":
            wait_for(lambda: _rows(database) > RATE_HZ // 2, "the first rows")
        with wire.cut(WAYS[server][way]):
            cut_ns = time.time_ns()
            if server != "database":
                wait_for(lambda: service.source_state() == "connecting", "the source to notice")
                noticed_s = _noticed_s("broker", _status(service, "sources"), cut_ns)
                assert noticed_s < 1.5 * KEEPALIVE_S
            if server != "broker":
                wait_for(lambda: service.lane_state() == "waiting", "the lane to notice")
                noticed_s = _noticed_s("database", _status(service, "lanes"), cut_ns)
                assert noticed_s < DATABASE_NOTICED_S
            time.sleep(scale.PARTITION_S)  # the length of the partition
        mended_at = time.monotonic()
        wait_for(lambda: service.source_state() == "connected", "the source to come back")
        wait_for(lambda: service.lane_state() in ("running", "idle"), "the lane to come back")
        print(f"back after {time.monotonic() - mended_at:.1f} s")
    if load == "idle":
        publisher.at_rate(messages[:RATE_HZ], RATE_HZ)
    publisher.flush()
    count = COUNT if load == "busy" else RATE_HZ
    counted = wait_accounted(database.dsn, 1 + count, service)
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(count)]
    assert counted["stored"] == count, counted
    service.assert_quick()
    assert service.stop() == 0


def _noticed_s(what: str, status: dict[str, Any], cut_ns: int) -> float:
    after_s = float(status["since_ns"] - cut_ns) / 1e9
    print(f"the {what}'s loss noticed after {after_s:.2f} s: {status['detail']}")
    return after_s


def _rows(database: Database) -> int:
    return int(fetch(database.dsn, "SELECT count(*) FROM tess_readings_t")[0][0])


def _status(service: Service, what: str) -> dict[str, Any]:
    status = service.status()
    assert status is not None
    return dict(status[what][0])
