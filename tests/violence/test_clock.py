# SPDX-License-Identifier: MIT
"""The machine's clock is set while the service runs: no timer stops, no message is lost, none is stored twice."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tessmon.demo.servers import Broker, new_directory
from tessmon.journal.store import Store
from tessmon.records.frame import Frame
from tessmon.records.position import START
from tests import scale
from tests.observatory import Publisher, Service, fetch, reading, stamp, tally, wait_accounted, wait_for
from tests.postgres import fresh_database, programs_in, running_server

HOUR_S = 3600
RATE_HZ = 200
PHOTOMETERS = 100
ROUND_S = 5.0
"""Each photometer speaks so often, which is the shortest period that firmware has. At half pace, in which the service
catches up with its clock, that is not twice a second, also where machine and broker are busy."""
END_OF_32_BITS = datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)


class WallClock:
    """The wall clock of programs that have this in their environment; other clocks go on as they are."""

    def __init__(self, directory: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))
        assert libraries, "libfaketime was not found: install the package faketime of your system"
        self._file = directory / "clock"
        self.environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
        self.is_ahead(0)

    def is_ahead(self, of_time_s: float) -> None:
        """So much from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{of_time_s:+.3f}\n")
        new.rename(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def registered(database: Any) -> Any:
    """A database that knows photometers stars0, stars1 and so on."""
    register(database)
    return database


def test_a_clock_that_jumps_an_hour_to_and_fro_costs_nothing(
    clock: WallClock,
    broker: Broker,
    publisher: Publisher,
    registered: Any,
    make_service: Callable[..., Service],
) -> None:
    service = make_service(broker, registered, mqtt={"keepalive_s": 5})
    service.environment = clock.environment
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    count = 0
    for ahead_s in (HOUR_S, 0, *([-HOUR_S] if scale.FULL else [])):
        clock.is_ahead(ahead_s)
        for _ in range(scale.CLOCK_ROUNDS):
            next_at = time.monotonic() + ROUND_S
            wait_for(lambda ahead_s=ahead_s: abs(seen_ahead_s(service) - ahead_s) < 5, "the clock to be set")
            publisher.at_rate([reading(f"stars{n}", count + n) for n in range(PHOTOMETERS)], RATE_HZ)
            count += PHOTOMETERS
            time.sleep(max(0, next_at - time.monotonic()))  # the photometers' period
    publisher.flush()
    counted = wait_accounted(registered.dsn, count, service)
    assert counted == {"total": count, "stored": count}
    rows = fetch(registered.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(count)]
    status = service.status()
    assert status is not None
    assert status["sources"][0]["connects"] == 1, "the broker missed our pings"
    assert service.stop() == 0
    frames = journalled(service)
    assert all(before.received_ns < after.received_ns for before, after in pairwise(frames))
    put_back = [frame for frame in frames if frame.topic == "clock_put_back"]
    assert [json.loads(frame.payload)["by_s"] for frame in put_back] == [pytest.approx(HOUR_S, abs=60)]
    assert (
        frames[-1].received_ns < put_back[0].received_ns + ROUND_S * scale.CLOCK_ROUNDS * 10**9 + 60 * 10**9
    )
    service.assert_quick()


def test_a_clock_that_is_in_another_age_costs_its_own_readings_only(
    clock: WallClock,
    broker: Broker,
    publisher: Publisher,
    registered: Any,
    make_service: Callable[..., Service],
) -> None:
    """The service's, not the database's. What has a time stamp of its publisher does not mind."""
    service = make_service(broker, registered)
    service.environment = clock.environment
    clock.is_ahead(END_OF_32_BITS.timestamp() - time.time())
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.publish(*reading("stars1", 1))
    publisher.publish(*reading("stars1", 2, tstamp=stamp(0)))
    publisher.flush()
    wait_accounted(registered.dsn, 2, service)
    clock.is_ahead(0)
    wait_for(lambda: abs(seen_ahead_s(service)) < 5, "the clock to be set")
    publisher.publish(*reading("stars1", 3))
    publisher.publish(*reading("stars1", 4, tstamp="2038-01-19T03:14:08"))
    publisher.flush()
    wait_accounted(registered.dsn, 4, service)
    assert tally(registered.dsn) == {"total": 4, "stored": 2, "rejected implausible_time": 2}
    rows = fetch(
        registered.dsn,
        "SELECT sequence_number, abs(extract(epoch FROM now() - tstamp)) < 60 FROM tess_readings_t ORDER BY 1",
    )
    assert rows == [(2, False), (3, True)]
    wait_for(
        lambda: fetch(registered.dsn, "SELECT 1 FROM source_events WHERE what = 'clock_put_back'"),
        "the event that tells of it",
    )
    assert service.stop() == 0


if scale.FULL:

    def test_the_end_of_32_bits_is_a_moment_as_any_other(
        broker: Broker, publisher: Publisher, make_service: Callable[..., Service]
    ) -> None:
        """Here the database is of that time, too."""
        directory = new_directory("tessmon-clock-")
        clock = WallClock(directory)
        clock.is_ahead(END_OF_32_BITS.timestamp() - 12 - time.time())
        with (
            running_server(binaries=programs_in(directory, clock.environment)) as server,
            fresh_database(server) as database,
        ):
            register(database)
            service = make_service(broker, database)
            service.environment = clock.environment
            clock.is_ahead(ahead_s := END_OF_32_BITS.timestamp() - 4 - time.time())
            service.start()
            wait_for(lambda: service.source_state() == "connected", "the broker's session")
            publisher.publish(*reading("stars1", 1))
            publisher.publish(*reading("stars2", 2, tstamp=stamp(0)))
            publisher.publish(*reading("stars3", 3, tstamp="2038-02-01T00:00:00"))
            publisher.flush()
            wait_accounted(database.dsn, 3, service)
            wait_for(lambda: time.time() + ahead_s > END_OF_32_BITS.timestamp() + 1, "the moment")
            publisher.publish(*reading("stars1", 4))
            publisher.publish(*reading("stars3", 5, tstamp="2038-01-20T03:14:07"))
            publisher.flush()
            counted = wait_accounted(database.dsn, 5, service)
            assert counted == {"total": 5, "stored": 4, "rejected implausible_time": 1}
            rows = fetch(
                database.dsn,
                "SELECT sequence_number, tstamp >= %s, to_char(tstamp AT TIME ZONE 'UTC', 'YYYYMMDD HH24MISS') "
                "= date_id || ' ' || lpad(time_id::text, 6, '0') FROM tess_readings_t ORDER BY 1",
                [END_OF_32_BITS],
            )
            assert rows == [(1, False, True), (2, False, True), (4, True, True), (5, True, True)]
            months = database.fetch(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tess_readings_t'::regclass"
            )
            assert {("tess_readings_t_2038_01",), ("tess_readings_t_2038_02",)} <= set(months)
            assert service.stop() == 0
            pid = server.pid
        shutil.rmtree(directory)
        for left in Path("/dev/shm").glob(f"*faketime_s*_{pid}"):
            left.unlink()  # libfaketime's own, which a server that is stopped at once does not remove


def seen_ahead_s(service: Service) -> float:
    """How far the service's wall clock is ahead [s]."""
    status = service.status()
    assert status is not None
    return float(status["now_ns"] / 1e9 - time.time())


def register(database: Any) -> None:
    database.execute(
        "INSERT INTO tess_t (mac_address, valid_since, valid_until, valid_state, model, firmware, registered,"
        " nchannels, zp1, filter1) SELECT 'mac ' || n, '2026-01-01Z', '2999-12-31 23:59:59Z', 'Current',"
        " 'TESS-W', '1.0', 'Manual', 1, 20.25, 'UV/IR-740' FROM generate_series(0, %s) n",
        [PHOTOMETERS - 1],
    )
    database.execute(
        "INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_until, valid_state) "
        "SELECT 'stars' || n, 'mac ' || n, '2026-01-01Z', '2999-12-31 23:59:59Z', 'Current' "
        "FROM generate_series(0, %s) n",
        [PHOTOMETERS - 1],
    )


def journalled(service: Service) -> list[Frame]:
    """All frames in the journal of a service that has ended, in their order."""
    store = Store(
        service.journal,
        max_bytes=1 << 40,
        min_free_bytes=0,
        retention_s=1e9,
        segment_bytes=1 << 30,
        reached=lambda point: None,
        now_ns=time.time_ns,
    )
    store.open()
    try:
        frames: list[Frame] = []
        while chunk := store.read(frames[-1].position if frames else START, 10_000, 1 << 30).frames:
            frames += chunk
        return frames
    finally:
        store.close()
