# SPDX-License-Identifier: MIT
"""What the array's monitor costs: a huge snapshot, a full set into a large table, an ordinary poll.

Run as ``python -m tests.bench.bench_vlbimon [--points N] [--rows N] [--polls N] [--rounds N]``. The whole service takes
snapshots of a server that runs beside it. A full set is stored in turns into a large table, into an empty one, and as
vlbimon-bridge does it: ``executemany`` into one SQLite table and two indexes for each parameter.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import ground
from tests.observatory import Service, fetch, in_background, wait_for
from tests.postgres import Database
from tests.vlbimon_server import VlbimonServer
from tests.vlbimon_service import source, watching
from tests.vlbimon_stations import masterlist

POINTS, SET, ROWS, POLLS, ROUNDS = 200_000, 5_800, 8_000_000, 200, 5
ORDINARY = 148
"""Points that an array sends in the ten seconds between two polls."""
GOAL_MS, GOAL_SET_S, GOAL_POLL_MS = 50.0, 5.0, 50.0
NEEDED_BYTES = 20_000_000_000
FILLED_S = 20 * 86_400
"""The rows that are there are of so many days before now."""
_LOOK_S = 0.01
_CHUNK = 20
"""Instants of one INSERT."""

_FILL_SQL = """
INSERT INTO vlbimon_points (parameter_id, station, time, stamp, received_at, kind, number)
SELECT q.parameter_id, s.station, at.time, at.time, to_timestamp(at.time), 'f', at.n / 8.0
FROM (SELECT n, %(first_s)s + n * %(step_s)s AS time FROM generate_series(%(low)s, %(high)s - 1) AS n OFFSET 0) AS at
CROSS JOIN unnest(%(stations)s) AS s(station)
CROSS JOIN vlbimon_parameters AS q WHERE q.parameter = ANY (%(parameters)s)"""
_FILL_SQLITE = """
WITH RECURSIVE at(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM at WHERE n + 1 < ?)
INSERT INTO "{}" SELECT ? + n * ?, s.station, n / 8.0 FROM at CROSS JOIN stations AS s"""
_VISIBLE_SQL = """
SELECT count(*) FROM vlbimon_points AS p JOIN vlbimon_parameters AS q USING (parameter_id)
WHERE p.time = %s AND q.parameter !~ '^bridge_'"""


class Snapshot(NamedTuple):
    """What one huge snapshot costs: CPU of the longest call of the reactor [ms], most anonymous memory [bytes], and the
    time until the last row is there [s]."""

    longest_ms: float
    rss_anon_bytes: int
    seconds: float


@contextmanager
def watched(
    directory: Path, database: Database, period_s: float = 0.05
) -> Iterator[tuple[Service, VlbimonServer]]:
    """A service and its server; the masterlist is known, and nothing was received."""
    server = VlbimonServer(directory / "server")
    service = watching(directory / "service", server, database, vlbimon={"period_s": period_s})
    try:
        service.start()
        wait_for(lambda: source(service)["swept_s"], "the first sweep", 120)
        yield service, server
    finally:
        service.end()
        server.end()


def huge_snapshot(directory: Path, database: Database, points: int) -> Snapshot:
    """One snapshot of so many points, from the moment they are received to the last row."""
    with watched(directory, database) as (service, server):
        assert service.process is not None
        server.receive_set(points, int(time.time()))
        began_s, most = time.monotonic(), 0
        while _stored(database) < points:
            assert service.alive, service.last_words()
            assert time.monotonic() < began_s + 600, "not all was stored"
            most = max(most, ground.rss_anon_bytes(service.process.pid))
            time.sleep(_LOOK_S)
        seconds = time.monotonic() - began_s
        return Snapshot(1000 * service.longest_call()[0], most, seconds)


def _stored(database: Database) -> int:
    sql = "SELECT coalesce(sum(stored), 0) FROM tallies WHERE lane = 'vlbimon' AND subject ~ '^S[0-9]'"
    return int(fetch(database.reader_dsn, sql)[0][0])


def shape(rows: int) -> tuple[list[str], list[str], int, int]:
    """Parameters, stations, instants, and seconds between them, of about so many rows."""
    parameters = list(masterlist()["default"])
    stations = [f"S{n}" for n in range(-(-SET // len(parameters)))]
    instants = max(1, rows // (len(parameters) * len(stations)))
    return parameters, stations, instants, max(1, FILLED_S // instants)


def fill(database: Database, rows: int) -> int:
    """About so many rows of the days before now, in the order of their times; how many there are."""
    parameters, stations, instants, step_s = shape(rows)
    first_s = int(time.time()) - FILLED_S - 3600
    months = sorted(
        {datetime.fromtimestamp(first_s + n * 86_400, UTC).date().replace(day=1) for n in range(22)}
    )
    database.execute("SELECT tessmon_ensure_partitions('vlbimon_points', %s::date[])", [months])
    for low in range(0, instants, _CHUNK):
        arguments = {"first_s": first_s, "step_s": step_s, "low": low, "high": min(low + _CHUNK, instants)}
        database.execute(_FILL_SQL, {**arguments, "parameters": parameters, "stations": stations})
    database.execute("ANALYZE vlbimon_points")
    database.execute("CHECKPOINT")
    return len(parameters) * len(stations) * instants


def full_set(service: Service, server: VlbimonServer, database: Database, stamp_s: int) -> float:
    """From the receipt of a full set to its last row [s].

    Behind a checkpoint, so at its worst: each series has a page of its own in the index, and each is logged whole.
    """
    database.execute("CHECKPOINT")
    began_s = time.monotonic()
    server.receive_set(SET, stamp_s)
    wait_for(lambda: fetch(database.reader_dsn, _VISIBLE_SQL, [stamp_s])[0][0] == SET, "the set", 120)
    return time.monotonic() - began_s


class Bridge:
    """vlbimon-bridge's tables, with rows.

    Source: the schema that it makes: a table for each parameter, and an index on time and one on station.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self._parameters, self._stations, instants, step_s = shape(rows)
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("CREATE TEMP TABLE stations (station TEXT)")
        self._connection.executemany("INSERT INTO stations VALUES (?)", [(name,) for name in self._stations])
        first_s = int(time.time()) - FILLED_S - 3600
        for name in self._parameters:
            table = f"ts_param_{name}"
            self._connection.execute(
                f'CREATE TABLE "{table}" (time INTEGER NOT NULL, station TEXT NOT NULL, value REAL)'
            )
            for column in ("time", "station"):
                self._connection.execute(f'CREATE INDEX "{table}_{column}" ON "{table}" ({column})')
            self._connection.execute(_FILL_SQLITE.format(table), (instants, first_s, step_s))
        self._connection.commit()

    def insert(self, stamp_s: int) -> float:
        """A full set, committed [s]."""
        began_s = time.monotonic()
        for number, name in enumerate(self._parameters):
            count = len(range(number, SET, len(self._parameters)))
            rows = [(stamp_s, station, number / 8) for station in self._stations[:count]]
            self._connection.executemany(f'INSERT INTO "ts_param_{name}" VALUES (?, ?, ?)', rows)
        self._connection.commit()
        return time.monotonic() - began_s

    def close(self) -> None:
        self._connection.close()


def full_sets(directory: Path, large: Database, empty: Database, rows: int, rounds: int) -> dict[str, Any]:
    """Seconds for a full set into the large table, beside the empty one and vlbimon-bridge's, in turns."""
    pairs, bridge = [], []
    with (
        watched(directory / "large", large) as (into_large, large_server),
        watched(directory / "empty", empty) as (into_empty, empty_server),
    ):
        there = fill(large, rows)
        with closing(Bridge(directory / "bridge.db", rows)) as tables:
            for number in range(rounds):
                stamp_s = int(time.time()) - number
                pairs.append(
                    (
                        full_set(into_large, large_server, large, stamp_s),
                        full_set(into_empty, empty_server, empty, stamp_s),
                    )
                )
                bridge.append(tables.insert(stamp_s))
        longest_s, _ = into_large.longest_call()
    ours = [one for one, _ in pairs]
    return {
        "name": "vlbimon_full_set_s",
        "ours": round(statistics.median(ours), 3),
        "goal": GOAL_SET_S,
        "unit": "s",
        "conditions": {
            "points": SET,
            "rows": there,
            "rounds": [round(each, 3) for each in ours],
            "empty_table_s": round(statistics.median(other for _, other in pairs), 3),
            "sqlite_s": round(statistics.median(bridge), 3),
            "longest_call_ms": round(1000 * longest_s, 1),
        },
    }


def ordinary_polls(directory: Path, database: Database, polls: int) -> dict[str, Any]:
    """CPU of the process for a poll that brings what an array sends in ten seconds, and for one that brings nothing."""
    with watched(directory, database, period_s=0.1) as (service, server):
        assert service.process is not None

        def cpu_ms(count: int) -> float:
            began_cpu_s, began = ground.cpu_s(service.process.pid), source(service)["polls"]
            wait_for(lambda: source(service)["polls"] >= began + count, "polls", 60 + count)
            spent_s = ground.cpu_s(service.process.pid) - began_cpu_s
            return 1000 * spent_s / (source(service)["polls"] - began)

        idle_ms = cpu_ms(polls)
        first_s = int(time.time()) - polls

        def send() -> None:
            for n in range(polls):
                server.receive_set(ORDINARY, first_s + n)
                polled = source(service)["polls"]
                wait_for(lambda polled=polled: source(service)["polls"] > polled, "the next poll")

        with in_background(send):
            busy_ms = cpu_ms(polls)
        longest_s, _ = service.longest_call()
    return {
        "name": "vlbimon_poll_cpu_ms",
        "ours": round(busy_ms, 2),
        "goal": GOAL_POLL_MS,
        "unit": "ms",
        "conditions": {
            "points": ORDINARY,
            "polls": polls,
            "empty_poll_ms": round(idle_ms, 2),
            "longest_call_ms": round(1000 * longest_s, 1),
        },
    }


def snapshot_figure(found: Snapshot, points: int) -> dict[str, Any]:
    """As a line."""
    return {
        "name": "vlbimon_snapshot_longest_call_ms",
        "ours": round(found.longest_ms, 1),
        "goal": GOAL_MS,
        "unit": "ms",
        "conditions": {
            "points": points,
            "rss_anon_mb": round(found.rss_anon_bytes / 1e6, 1),
            "seconds": round(found.seconds, 2),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--polls", type=int, default=POLLS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with ground.directory() as directory, ground.database("huge", "polls", "large", "empty") as databases:
        huge, polls, large, empty = databases
        ground.tell(snapshot_figure(huge_snapshot(directory / "huge", huge, args.points), args.points))
        ground.tell(ordinary_polls(directory / "polls", polls, args.polls))
        free = shutil.disk_usage(directory).free
        if args.rows >= ROWS and free < NEEDED_BYTES:
            why = f"skipped: {args.rows} rows need {NEEDED_BYTES / 1e9:.0f} GB, {free / 1e9:.1f} GB are free"
            ground.tell({"name": "vlbimon_full_set_s", "skipped": why})
            return
        ground.tell(full_sets(directory, large, empty, args.rows, args.rounds))


if __name__ == "__main__":
    main()
