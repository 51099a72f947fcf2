# SPDX-License-Identifier: MIT
"""From publish to a row that others see, at a steady rate, beside a bare paho client that just receives.

Run as ``python -m tests.bench.bench_latency``; ``--delay`` takes other values of ``[writer] batch_delay_s``. Another
connection looks every 2 ms which transaction moved the position last: its rows became visible in that very moment.
Afterwards each row tells its transaction, and so when it was first seen.
"""

from __future__ import annotations

import argparse
import statistics
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from tessmon.config.model import Writer
from tessmon.demo.servers import Broker
from tests.bench import ground
from tests.bench.bare_client import bare_client
from tests.flood import PHOTOMETERS, flood
from tests.observatory import Service, fetch, wait_for
from tests.postgres import Database

RATE_HZ, SECONDS, ROUNDS = 1000, 20, 3
P50_GOAL_MS, P99_GOAL_MS = 25, 50
LOOK_S = 0.002
LOOKS_A_COUNT = 500
_MS = 1e-6
_NEWEST_SQL = "SELECT xmin::text::bigint FROM positions WHERE lane = 'photometer'"


class Run(NamedTuple):
    """Latencies of one round [ms], and CPU time of the service per row [µs]."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    cpu_us: float


class Latency:
    """Both subscribers at one broker.

    Args:
        directory: for the service's journals.
        rate_hz, messages: of one round.
        delay_s: ``batch_delay_s`` of the service [s].
    """

    def __init__(
        self,
        broker: Broker,
        database: Database,
        directory: Path,
        rate_hz: float,
        messages: int,
        delay_s: float,
    ) -> None:
        self._broker = broker
        self._database = database
        self._directory = directory
        self._rate_hz = rate_hz
        self._messages = messages
        self._delay_s = delay_s
        self._round = 0

    def ours(self) -> Run:
        """The service."""
        self._round += 1
        ground.empty(self._database)
        client_id = f"service-{self._round}"
        service = Service(
            self._directory / client_id,
            self._broker.url,
            self._database.dsn,
            mqtt={"client_id": client_id},
            writer={"batch_delay_s": self._delay_s},
        )
        stamps = self._directory / "sent"
        try:
            service.start()
            wait_for(lambda: service.source_state() == "connected", "the service at the broker")
            wait_for(lambda: service.lane_state() == "idle", "the service at the database")
            assert service.process is not None
            with self._flood(stamps) as publisher:
                began_cpu_s = ground.cpu_s(service.process.pid)
                publisher.go()
                seen = self._watch()
                cpu_s = ground.cpu_s(service.process.pid) - began_cpu_s
                publisher.wait()
            service.stop()
        finally:
            service.end()
            ground.forget_session(self._broker.port, client_id)
        return self._run(times(stamps), self._visible_ns(seen), cpu_s)

    def ceiling(self) -> Run:
        """The bare client."""
        self._round += 1
        port, client_id = self._broker.port, f"bare-{self._round}"
        stamps, arrivals = self._directory / "sent", self._directory / "arrived"
        with (
            self._flood(stamps) as publisher,
            bare_client(port, client_id, self._messages, arrivals) as client,
        ):
            client.wait_subscribed()
            publisher.go()
            cpu_s = client.figures()["cpu_s"]
            publisher.wait()
        ground.forget_session(port, client_id)
        return self._run(times(stamps), times(arrivals), cpu_s)

    def _flood(self, stamps: Path) -> Any:
        after_s = self._round * (self._messages // PHOTOMETERS + 1)
        return flood(self._broker.port, self._messages, after_s=after_s, rate=self._rate_hz, stamps=stamps)

    def _watch(self) -> list[tuple[int, int]]:
        """Each transaction that moved the position, with the time of the first look that saw it [ns]."""
        connection = psycopg2.connect(self._database.reader_dsn)
        connection.autocommit = True
        cursor = connection.cursor()
        seen: list[tuple[int, int]] = []
        deadline = time.monotonic() + 60 + self._messages / self._rate_hz
        looks = 0
        while looks % LOOKS_A_COUNT or ground.stored(self._database) < self._messages:
            looks += 1
            cursor.execute(_NEWEST_SQL)
            (newest,) = cursor.fetchone() or (0,)
            if not seen or newest != seen[-1][0]:
                seen.append((newest, time.monotonic_ns()))
            assert time.monotonic() < deadline, "not all readings were stored"
            time.sleep(LOOK_S)
        connection.close()
        return seen

    def _visible_ns(self, seen: Sequence[tuple[int, int]]) -> list[int]:
        """When each row was first seen, in the order of sending; one whose transaction no look caught alone counts
        with the next that was seen."""
        rows = fetch(
            self._database.reader_dsn,
            "SELECT xmin::text::bigint FROM tess_readings_t ORDER BY sequence_number",
        )
        assert len(rows) == self._messages, f"{len(rows)} rows of {self._messages} messages"
        transactions = [transaction for transaction, _ in seen]
        return [seen[bisect_left(transactions, transaction)][1] for (transaction,) in rows]

    def _run(self, sent_ns: Sequence[int], seen_ns: Sequence[int], cpu_s: float) -> Run:
        waits = sorted((seen - sent) * _MS for sent, seen in zip(sent_ns, seen_ns, strict=True))
        return Run(
            statistics.median(waits), waits[len(waits) * 99 // 100], waits[-1], cpu_s / len(waits) * 1e6
        )


def times(path: Path) -> array[int]:
    """What a publisher or a client noted, in order [ns]."""
    noted = array("q")
    noted.frombytes(path.read_bytes())
    return noted


def measure(bench: Latency, rounds: int, **conditions: Any) -> Iterator[dict[str, Any]]:
    """Median and 99th percentile."""
    pairs = [(bench.ours(), bench.ceiling()) for _ in range(rounds)]
    for name, goal_ms in (("p50_ms", P50_GOAL_MS), ("p99_ms", P99_GOAL_MS)):
        yield ground.figure(
            f"latency_{name}",
            [getattr(ours, name) for ours, _ in pairs],
            [getattr(ceiling, name) for _, ceiling in pairs],
            "ms",
            goal_ms,
            photometers=PHOTOMETERS,
            worst_ms=[[round(one.worst_ms, 1) for one in pair] for pair in pairs],
            cpu_us_per_row=[[round(one.cpu_us, 1) for one in pair] for pair in pairs],
            **conditions,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=RATE_HZ)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--delay", type=float, nargs="+", default=[Writer().batch_delay_s])
    args = parser.parse_args()
    messages = int(args.rate * args.seconds)
    with ground.broker() as broker, ground.database("bench") as (database,), ground.directory() as directory:
        ground.register(database)
        for delay_s in args.delay:
            place = directory / f"delay-{delay_s}"
            place.mkdir()
            bench = Latency(broker, database, place, args.rate, messages, delay_s)
            for figures in measure(bench, args.rounds, rate_hz=args.rate, batch_delay_s=delay_s):
                ground.tell(figures)


if __name__ == "__main__":
    main()
