# SPDX-License-Identifier: MIT
"""The faults of the soak: what there is, in which order it comes, and how it is done."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import psycopg2

from tessmon.control.client import tell
from tessmon.demo.servers import Broker, PostgresServer
from tessmon.errors import TessmonError
from tests.observatory import Service, fetch, wait_for
from tests.violence.soak_evidence import Evidence

FREQUENT = (
    "journal.before_commit",
    "journal.after_commit",
    "mqtt.before_ack",
    "writer.before_commit",
    "writer.commit_sent",
    "writer.after_commit",
)
RARE = ("journal.rotate", "journal.unlink")
"""The points where the service is killed."""
POINT_WITHIN_S = 3.0
"""A point that is not reached within this time is not waited for."""
SMALL, ROOMY = 1 << 20, 16 << 20
"""``max_bytes`` of the journal [bytes]."""

DEADLY = (
    "killed",
    "killed again while it starts",
    "killed at a point",
    "stopped",
    "stopped for another journal",
)
MOMENTARY = ("sessions terminated", "reloaded", "flushed", "service frozen")
OUTAGES = (
    "database stopped",
    "database killed",
    "database frozen",
    "broker restarted",
    "broker frozen",
    "paused",
)
LASTING = (*OUTAGES, "service frozen")
MOMENT_S = 1.0
"""What the others take, about [s]."""


class Fault(NamedTuple):
    """One fault.

    Attributes:
        after_s: time of peace before it [s].
        name: of `DEADLY`, `MOMENTARY` or `OUTAGES`.
        holds_s: how long it lasts [s].
        inside: what happens in the middle of it, or "".
        point: where the service is killed, and at the how many-th time.
        choice: what the fault does with it is its own affair; from 0 to 1.
    """

    after_s: float
    name: str
    holds_s: float
    inside: str
    point: str
    choice: float


def schedule(seed: str, duration_s: float, longest_s: float, *, deadly: bool) -> list[Fault]:
    """Faults for so long; each kind comes once before any comes again.

    Args:
        seed: the same gives the same faults.
        duration_s: of all together [s].
        longest_s: of one [s].
        deadly: whether the service's process may die.
    """
    random = Random(f"faults {seed}")
    moments = (*MOMENTARY, *DEADLY) if deadly else MOMENTARY
    faults: list[Fault] = []
    left_s = duration_s
    while left_s > 0:
        deck = [*moments, *OUTAGES]
        random.shuffle(deck)
        for name in deck:
            fault = Fault(
                random.uniform(0.1, 0.15 * longest_s),
                name,
                random.uniform(0.1, 1.0) ** 2 * longest_s,
                random.choice(moments) if name in OUTAGES and random.random() < 0.5 else "",
                f"{random.choice(FREQUENT)}:{random.randint(1, 6)}"
                if random.random() < 0.7
                else f"{random.choice(RARE)}:1",
                random.random(),
            )
            left_s -= fault.after_s + (fault.holds_s if name in LASTING else MOMENT_S)
            if left_s > 0:
                faults.append(fault)
    return faults


class Faults:
    """Does them, one after the other, and waits for nobody to recover.

    Attributes:
        done: how often each was.
    """

    def __init__(
        self, service: Service, broker: Broker, postgres: PostgresServer, evidence: Evidence
    ) -> None:
        self.done: Counter[str] = Counter()
        self._service = service
        self._broker = broker
        self._postgres = postgres
        self._evidence = evidence

    def run(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            time.sleep(fault.after_s)  # the peace that was drawn
            began = time.monotonic()
            if fault.name in OUTAGES:
                with self._outage(fault):
                    if fault.inside:
                        time.sleep(fault.holds_s / 2)
                        self._moment(fault.inside, fault)
                    time.sleep(max(0.0, began + fault.holds_s - time.monotonic()))
                self.done[f"{fault.name}, {fault.inside}" if fault.inside else fault.name] += 1
            else:
                self._moment(fault.name, fault)
                self.done[fault.name] += 1
            assert self._service.alive, f"dead after {fault}: {self._service.last_words()}"

    def put_right(self) -> None:
        """Everything works and nobody is paused."""
        self._service.signal(signal.SIGUSR2)
        try:
            wait_for(lambda: self._service.lane_state() in ("running", "idle"), "the lane to work", 120)
            wait_for(lambda: self._service.source_state() == "connected", "the broker's session", 120)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._service.status()}, {dict(self.done)}") from error

    @contextlib.contextmanager
    def _outage(self, fault: Fault) -> Iterator[None]:
        begin, end = {
            "database stopped": (self._stop_database(fault.choice), self._postgres.start),
            "database killed": (self._postgres.kill, self._postgres.start),
            "database frozen": (self._postgres.freeze, self._postgres.thaw),
            "broker restarted": (self._broker.stop, self._broker.start),
            "broker frozen": (self._broker.freeze, self._broker.thaw),
            "paused": (self._pause, self._resume),
        }[fault.name]
        begin()
        try:
            yield
        finally:
            end()

    def _moment(self, name: str, fault: Fault) -> None:
        {
            "killed": self._kill,
            "killed again while it starts": lambda: self._kill_twice(fault.choice),
            "killed at a point": lambda: self._kill_at(fault.point),
            "stopped": self._stop,
            "stopped for another journal": self._change_journal,
            "sessions terminated": self._terminate_sessions,
            "reloaded": lambda: self._reload(fault.choice),
            "flushed": lambda: self._say("/flush"),
            "service frozen": lambda: self._freeze(fault.holds_s),
        }[name]()

    # the service

    def _begin(self, kill: str | None = None, *, wait: bool = True) -> None:
        self._evidence.settle()
        self._service.start(kill, wait=wait)

    def _kill(self) -> None:
        self._service.kill()
        self._begin()

    def _kill_twice(self, choice: float) -> None:
        self._service.kill()
        self._begin(wait=False)
        time.sleep(choice * 1.5)  # the moment that was drawn: in the middle of its start, or soon after
        self._kill()

    def _kill_at(self, point: str) -> None:
        self._service.kill()
        self._begin(point, wait=False)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not self._service.alive, point, POINT_WITHIN_S)
            self.done[f"(the point {point.partition(':')[0]} was reached)"] += 1
        self._kill()

    def _stop(self) -> None:
        assert self._service.stop() == 0, self._service.last_words()
        self._begin()

    def _change_journal(self) -> None:
        journal = self._service.tables["journal"]
        journal["max_bytes"] = ROOMY if journal["max_bytes"] == SMALL else SMALL
        self._service.write_config()
        self._stop()

    def _freeze(self, holds_s: float) -> None:
        self._service.signal(signal.SIGSTOP)
        time.sleep(holds_s)  # the length that was drawn
        self._service.signal(signal.SIGCONT)

    def _reload(self, choice: float) -> None:
        """Every time something else is changed that a reload takes up, and nothing that changes a row."""
        tables = self._service.tables
        tables["writer"] |= {"batch_rows": 1 + int(choice * 2000), "statement_timeout_s": 2 + choice}
        tables["log"] = {"level": "debug" if choice < 0.1 else "info"}
        tables["mqtt"] |= {"receive_maximum": 100 + int(choice * 4000)}
        if choice > 0.5:
            tables["mqtt"]["keepalive_s"] = 5 + int(choice * 10)  # makes a connection anew
        self._service.write_config()
        if choice * 10 % 1 < 0.5:
            self._service.signal(signal.SIGHUP)
        else:
            self._say("/reload")

    def _pause(self) -> None:
        self._say("/pause")
        wait_for(lambda: self._service.lane_state() == "paused", "the pause")

    def _resume(self) -> None:
        self._service.signal(signal.SIGUSR2)
        wait_for(lambda: self._service.lane_state() not in ("paused", ""), "the end of the pause")

    def _say(self, target: str) -> None:
        with contextlib.suppress(TessmonError):  # a database that is away is waited for, longer than we do
            tell(self._service.socket, target, "soak", 5)

    # the database

    def _stop_database(self, choice: float) -> Callable[[], Any]:
        return lambda: self._postgres.stop("fast" if choice < 0.5 else "immediate")

    def _terminate_sessions(self) -> None:
        with contextlib.suppress(psycopg2.OperationalError):
            fetch(
                f"{self._postgres.superuser_dsn()} connect_timeout=2",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tessmon'",
            )
