# SPDX-License-Identifier: MIT
"""From the broker to rows that others see, beside a bare paho client that does nothing else.

Run as ``python -m tests.bench.bench_end_to_end``. ``live``: publisher, broker and subscriber work at once; ``queued``:
the broker has all messages before the subscriber comes. The clock runs from the first message that the subscriber
takes to the last that it took, or to the last row that is visible.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tessmon.demo.servers import Broker
from tests.bench import ground
from tests.bench.bare_client import bare_client
from tests.flood import PHOTOMETERS, flood
from tests.observatory import Service, fetch, wait_for
from tests.postgres import Database

MESSAGES, ROUNDS = 50_000, 5
GOAL = 0.6


class Run(NamedTuple):
    """What one round gave: messages/s, and CPU time of the subscriber per message [µs]."""

    rate: float
    cpu_us: float


class EndToEnd:
    """Both subscribers at one broker.

    Args:
        directory: for the service's journals.
        messages: of one round.
        protocol: of the service, MQTT 3.1.1 or 5.
        prefix: what stands before the service's command, see `Service.prefix`.
    """

    def __init__(
        self,
        broker: Broker,
        database: Database,
        directory: Path,
        messages: int,
        protocol: str = "3.1.1",
        prefix: Sequence[str] = (),
    ) -> None:
        self._broker = broker
        self._database = database
        self._directory = directory
        self._messages = messages
        self._protocol = protocol
        self._prefix = list(prefix)
        self._round = 0

    def ours(self, *, queued: bool) -> Run:
        """The service, a child process with a new journal."""
        client_id = self._begin_round("service")
        ground.empty(self._database)
        service = Service(
            self._directory / client_id,
            self._broker.url,
            self._database.dsn,
            mqtt={"client_id": client_id, "protocol": self._protocol},
        )
        service.prefix = self._prefix
        try:
            service.start()
            wait_for(lambda: service.source_state() == "connected", "the service at the broker")
            wait_for(lambda: service.lane_state() == "idle", "the service at the database")
            if queued:
                service.stop()
            with flood(self._broker.port, self._messages, after_s=self._after_s()) as publisher:
                publisher.go()
                if queued:
                    publisher.wait()
                    service.start(wait=False)
                assert service.process is not None
                began_cpu_s = ground.cpu_s(service.process.pid)
                last_s = self._until_stored()
                cpu_s = ground.cpu_s(service.process.pid) - began_cpu_s
            service.stop()
        finally:
            service.end()
            ground.forget_session(self._broker.port, client_id)
        ((first_s, rows),) = fetch(
            self._database.reader_dsn,
            "SELECT extract(epoch FROM min(received_at))::float8, count(*) FROM tess_readings_t",
        )
        assert rows == self._messages, f"{rows} rows of {self._messages} messages"
        return self._run(last_s - first_s, cpu_s)

    def ceiling(self, *, queued: bool) -> Run:
        """The bare client."""
        port, client_id = self._broker.port, self._begin_round("bare")
        with flood(port, self._messages, after_s=self._after_s()) as publisher:
            if queued:
                with bare_client(port, client_id, 0) as client:
                    client.wait_subscribed()
                publisher.go()
                publisher.wait()
            with bare_client(port, client_id, self._messages) as client:
                if not queued:
                    client.wait_subscribed()
                    publisher.go()
                counted = client.figures()
        ground.forget_session(port, client_id)
        return self._run(counted["last_s"] - counted["first_s"], counted["cpu_s"])

    def _begin_round(self, who: str) -> str:
        self._round += 1
        return f"{who}-{self._round}"

    def _after_s(self) -> int:
        return self._round * (self._messages // PHOTOMETERS + 1)

    def _run(self, seconds: float, cpu_s: float) -> Run:
        return Run(self._messages / seconds, cpu_s / self._messages * 1e6)

    def _until_stored(self) -> float:
        deadline = time.monotonic() + 300
        while ground.stored(self._database) < self._messages:
            assert time.monotonic() < deadline, "not all readings were stored"
            time.sleep(0.01)  # a finer look would cost the measured ones CPU time
        return time.time()


def measure(bench: EndToEnd, rounds: int, messages: int) -> Iterator[dict[str, Any]]:
    """Both ways to be fast, in alternating rounds."""
    for queued in (False, True):
        pairs = []
        for _ in range(rounds):
            pairs.append((bench.ours(queued=queued), bench.ceiling(queued=queued)))
        yield ground.figure(
            f"end_to_end_{'queued' if queued else 'live'}",
            [ours.rate for ours, _ in pairs],
            [ceiling.rate for _, ceiling in pairs],
            "messages/s",
            GOAL,
            messages=messages,
            photometers=PHOTOMETERS,
            qos=1,
            cpu_us_per_message=[[round(one.cpu_us, 1) for one in pair] for pair in pairs],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--protocol", default="3.1.1", choices=["3.1.1", "5"])
    args = parser.parse_args()
    with ground.broker() as broker, ground.database("bench") as (database,), ground.directory() as directory:
        ground.register(database)
        bench = EndToEnd(broker, database, directory, args.messages, args.protocol)
        for figures in measure(bench, args.rounds, args.messages):
            ground.tell(figures)


if __name__ == "__main__":
    main()
