# SPDX-License-Identifier: MIT
"""What an operator says about photometers reaches the running service, and what waits is treated by its own time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tessmon.demo.servers import Broker
from tests.cli.observatory_command import Command, tessmon, unchanged_database
from tests.observatory import Publisher, Service, in_background, reading, tally, wait_accounted, wait_for

__all__ = ["tessmon", "unchanged_database"]

ROOT = Path(__file__).parents[2]
MAC = "AA:BB:CC:00:00:01"
DAY_S = 86_400
RATE_HZ = 300
NOW_S = int(time.time())


def stamp(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%S}"


class Running:
    """A service that stores readings of authorised photometers only, with one that registered three days ago."""

    def __init__(self, service: Service, publisher: Publisher, tessmon: Command) -> None:
        self.service = service
        self.publisher = publisher
        self.tessmon = tessmon
        self._seq = count(1)

    def send(self, at_s: int, name: str = "stars1") -> None:
        self.publisher.publish(*reading(name, next(self._seq), tstamp=stamp(at_s)))

    def settle(self) -> dict[str, int]:
        """Until all that was sent is accounted for."""
        self.publisher.flush()
        return wait_accounted(self.tessmon.database.dsn, len(self.publisher.sent), self.service)

    def order(self, *arguments: str) -> None:
        """Run a command; the service has heard of it when a message is stored that came afterwards: the server tells
        a session what it listens for when its transaction ends."""
        self.tessmon.done(*arguments)
        self.publisher.publish("STARS4ALL/stars1/reading", b"nonsense")
        self.settle()

    def steer(self, verb: str) -> None:
        """Have the service pause or resume."""
        done = subprocess.run(
            [sys.executable, "-m", "tessmon", verb, "--config", str(self.service.config)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
        )
        assert done.returncode == 0

    def stored(self) -> list[tuple[Any, ...]]:
        """(second, place) of each reading, in the order in which they came."""
        return self.tessmon.database.fetch(
            "SELECT extract(epoch FROM tstamp)::bigint, place FROM tess_readings_t"
            " JOIN location_t USING (location_id) ORDER BY sequence_number"
        )


@pytest.fixture
def running(
    make_service: Callable[..., Service], broker: Broker, publisher: Publisher, tessmon: Command
) -> Iterator[Running]:
    service = make_service(broker, tessmon.database, photometer={"require_authorised": True})
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the service to subscribe")
    publisher.register("stars1", MAC, tstamp=stamp(NOW_S - 3 * DAY_S))
    running = Running(service, publisher, tessmon)
    running.settle()
    yield running
    assert service.stop() == 0
    service.assert_quick()


def test_the_service_does_what_its_operator_says(running: Running) -> None:
    """One walk through all: a service of its own for each would cost more than it tells."""
    for place, latitude in (("Peak", 40.0), ("Valley", 41.0), ("Coast", 42.0)):
        running.tessmon.location(place, latitude)
    _an_authorisation_counts_from_the_next_reading_on(running)
    _a_place_given_while_readings_arrive_holds_from_its_time_on(running)
    _what_waits_keeps_the_place_of_its_time(running)
    _what_is_revoked_is_filtered_from_then_on(running)
    _a_new_name_brings_its_rejected_readings_back(running)


def _an_authorisation_counts_from_the_next_reading_on(running: Running) -> None:
    running.send(NOW_S - 2 * DAY_S)
    assert running.settle()["filtered unauthorised"] == 1
    running.order("photometer", "authorise", "stars1")
    running.send(NOW_S - 2 * DAY_S + 1)
    assert running.settle()["stored"] == 1
    assert running.stored() == [(NOW_S - 2 * DAY_S + 1, "Unknown")]


def _a_place_given_while_readings_arrive_holds_from_its_time_on(running: Running) -> None:
    """Readings from around the time that the place holds from, turn by turn before and after it."""
    since_s = NOW_S - 2 * DAY_S + 10_000
    stamps = [since_s + sign * step for step in range(1, 301) for sign in (-1, 1)]
    messages = [reading("stars1", next(running._seq), tstamp=stamp(at_s)) for at_s in stamps]
    already = len(running.stored())
    with in_background(running.publisher.at_rate, messages, RATE_HZ):
        wait_for(lambda: len(running.stored()) > already + 100, "the readings to arrive")
        running.tessmon.done("photometer", "locate", "stars1", "Peak", "--since", stamp(since_s))
    running.settle()
    stored = running.stored()[already:]
    assert len(stored) == len(stamps)
    assert {place for at_s, place in stored if at_s < since_s} == {"Unknown"}
    places = [place for at_s, place in stored if at_s >= since_s]
    switch = places.index("Peak")
    assert set(places[:switch]) == {"Unknown"}, "what was stored before stays as it is"
    assert set(places[switch:]) == {"Peak"}


def _what_waits_keeps_the_place_of_its_time(running: Running) -> None:
    service, already = running.service, len(running.stored())
    yesterday_s, today_s = NOW_S - DAY_S, NOW_S - DAY_S // 2
    running.steer("pause")
    for at_s in (yesterday_s, today_s - 1, today_s, NOW_S):
        running.send(at_s)
    running.publisher.flush()
    wait_for(lambda: (service.status() or {})["waiting"]["photometer"]["frames"] >= 4, "the readings to wait")
    running.tessmon.done("photometer", "locate", "stars1", "Valley", "--since", stamp(today_s))
    running.steer("resume")
    running.settle()
    assert running.stored()[already:] == [
        (yesterday_s, "Peak"),
        (today_s - 1, "Peak"),
        (today_s, "Valley"),
        (NOW_S, "Valley"),
    ]


def _what_is_revoked_is_filtered_from_then_on(running: Running) -> None:
    filtered = tally(running.tessmon.database.dsn)["filtered unauthorised"]
    stored = len(running.stored())
    running.order("photometer", "authorise", "stars1", "--revoke")
    running.send(NOW_S - 100)
    running.send(int(time.time()) + 60)
    assert running.settle()["filtered unauthorised"] == filtered + 1
    assert [row[0] for row in running.stored()[stored:]] == [NOW_S - 100]
    running.order("photometer", "authorise", "stars1")


def _a_new_name_brings_its_rejected_readings_back(running: Running) -> None:
    stored = len(running.stored())
    running.send(NOW_S - 50, "stars2")
    assert running.settle()["rejected unregistered"] == 1
    running.tessmon.done("photometer", "rename", "stars1", "Stars2")
    wait_for(lambda: len(running.stored()) > stored, "the rejected reading to be stored")
    running.send(NOW_S - 40, "stars2")
    counted = running.settle()
    assert "rejected unregistered" not in counted
    assert running.stored()[stored:] == [(NOW_S - 50, "Valley"), (NOW_S - 40, "Valley")]
