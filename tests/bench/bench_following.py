# SPDX-License-Identifier: MIT
"""From a device's write to a row that others see, with photometers in the same process.

Run as ``python -m tests.bench.bench_following``. Devices append single records to their files at a steady rate, and a
publisher sends readings. Another connection looks every 2 ms which transaction moved each lane's position last: its
rows became visible in that very moment. The goals are times that people wait, so there is no ceiling.
"""

from __future__ import annotations

import argparse
import statistics
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from tessmon.demo.servers import Broker
from tests import flatlogs
from tests.bench import ground
from tests.bench.bench_latency import times
from tests.flood import PHOTOMETERS, flood
from tests.observatory import fetch, in_background, wait_for
from tests.postgres import Database
from tests.telemetry import following

DEVICES, RATE_HZ, MQTT_RATE_HZ, SECONDS, ROUNDS = 20, 1000, 1000, 20, 3
GOALS_MS = {"following_p50_ms": 200, "following_p99_ms": 500, "beside_files_mqtt_p99_ms": 250}
LOOK_S = 0.002
LOOKS_A_COUNT = 100
_MS = 1e-6
_NEWEST_SQL = "SELECT lane, max(xmin::text::bigint) FROM positions GROUP BY lane"
_ROWS_SQL = {
    "telemetry": "SELECT xmin::text::bigint FROM telem ORDER BY ts, ns",
    "photometer": "SELECT xmin::text::bigint FROM tess_readings_t ORDER BY sequence_number",
}


class Round(NamedTuple):
    """Times from write or publish to a visible row [ms]."""

    following_p50_ms: float
    following_p99_ms: float
    beside_files_mqtt_p99_ms: float
    worst_ms: float
    cpu_part: float


def measured(
    broker: Broker,
    database: Database,
    directory: Path,
    seconds: int,
    devices: int,
    rate_hz: int,
    mqtt_hz: int,
) -> Round:
    """One round in a fresh database."""
    tree = directory / "telem"
    tree.mkdir(parents=True)
    client_id, stamps = f"following-{directory.name}", directory / "sent"
    service = following(
        directory / "service", tree, database, mqtt={"broker": broker.url, "client_id": client_id}
    )
    written: list[int] = []
    records = flatlogs.mixed_records(rate_hz * seconds)
    files = [
        (tree / f"device{n}_20241022030000000000000.bintel").open("ab", buffering=0) for n in range(devices)
    ]

    def write() -> None:
        began = time.monotonic()
        for number, record in enumerate(records):
            ahead_s = began + number / rate_hz - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)  # the rate is what is asked for
            files[number % devices].write(record)
            written.append(time.monotonic_ns())

    try:
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the service at the broker")
        wait_for(lambda: service.lane_state() == "idle", "the service at the database")
        assert service.process is not None
        with flood(broker.port, mqtt_hz * seconds, after_s=0, rate=mqtt_hz, stamps=stamps) as publisher:
            began_cpu_s, began_s = ground.cpu_s(service.process.pid), time.monotonic()
            publisher.go()
            with in_background(write):
                seen = _watch(database, (rate_hz + mqtt_hz) * seconds, seconds)
            cpu_part = (ground.cpu_s(service.process.pid) - began_cpu_s) / (time.monotonic() - began_s)
            publisher.wait()
        service.assert_quick()
    finally:
        service.end()
        for file in files:
            file.close()
        ground.forget_session(broker.port, client_id)
    waits = {
        lane: sorted(
            (visible - sent) * _MS
            for sent, visible in zip(sent_ns, _visible_ns(database, lane, seen), strict=True)
        )
        for lane, sent_ns in (("telemetry", written), ("photometer", times(stamps)))
    }
    return Round(
        statistics.median(waits["telemetry"]),
        _p99(waits["telemetry"]),
        _p99(waits["photometer"]),
        max(each[-1] for each in waits.values()),
        cpu_part,
    )


def _p99(waits: Sequence[float]) -> float:
    return waits[len(waits) * 99 // 100]


def _watch(database: Database, count: int, seconds: int) -> dict[str, list[tuple[int, int]]]:
    """By lane, each transaction that moved a position, with the time of the first look that saw it [ns]."""
    connection = psycopg2.connect(database.reader_dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    seen: dict[str, list[tuple[int, int]]] = {lane: [] for lane in _ROWS_SQL}
    deadline = time.monotonic() + 60 + seconds
    looks, all_stored = 0, False
    while not all_stored:
        all_stored = looks % LOOKS_A_COUNT == 0 and ground.stored(database) >= count  # and looks once more
        looks += 1
        cursor.execute(_NEWEST_SQL)
        now_ns = time.monotonic_ns()
        for lane, newest in cursor.fetchall():
            if not seen[lane] or newest != seen[lane][-1][0]:
                seen[lane].append((newest, now_ns))
        assert time.monotonic() < deadline, "not all was stored"
        time.sleep(LOOK_S)
    connection.close()
    return seen


def _visible_ns(database: Database, lane: str, seen: dict[str, list[tuple[int, int]]]) -> list[int]:
    """When each row was first seen, in the order of sending; one whose transaction no look caught alone counts with the
    next that was seen."""
    transactions = [transaction for transaction, _ in seen[lane]]
    rows = fetch(database.reader_dsn, _ROWS_SQL[lane])
    return [seen[lane][bisect_left(transactions, transaction)][1] for (transaction,) in rows]


def figures(rounds: Sequence[Round], **conditions: Any) -> Iterator[dict[str, Any]]:
    """The median of the rounds for each goal."""
    for name, goal_ms in GOALS_MS.items():
        each = [getattr(one, name) for one in rounds]
        yield {
            "name": name,
            "ours": round(statistics.median(each), 3),
            "goal": goal_ms,
            "unit": "ms",
            "conditions": {
                "rounds": [round(one, 3) for one in each],
                "worst_ms": [round(one.worst_ms, 1) for one in rounds],
                "cpu_part": [round(one.cpu_part, 2) for one in rounds],
                **conditions,
            },
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--rate", type=int, default=RATE_HZ)
    parser.add_argument("--mqtt-rate", type=int, default=MQTT_RATE_HZ)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    names = [f"bench_{number}" for number in range(args.rounds)]
    rounds = []
    with ground.broker() as broker, ground.database(*names) as databases, ground.directory() as directory:
        for name, database in zip(names, databases, strict=True):
            ground.register(database, PHOTOMETERS)
            place = directory / name
            rounds.append(
                measured(broker, database, place, args.seconds, args.devices, args.rate, args.mqtt_rate)
            )
    for each in figures(rounds, devices=args.devices, rate_hz=args.rate, mqtt_rate_hz=args.mqtt_rate):
        ground.tell(each)


if __name__ == "__main__":
    main()
