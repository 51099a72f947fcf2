# SPDX-License-Identifier: MIT
"""The figures in the log: right for every outcome, for the time since the last line, and those of tessdb's names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from tessmon.demo.servers import Broker
from tessmon.errors import Cause, Reason
from tessmon.sink.registration import Outcome
from tessmon.statistics import (
    DISCARDED,
    NOT_UNDERSTOOD,
    OF_FILES,
    OF_VLBIMON,
    READINGS,
    REGISTRATIONS,
    Statistics,
)
from tests.observatory import Publisher, Service, reading, stamp, wait_accounted, wait_for
from tests.standin import lane_status, source_status


def figures(statistics: Statistics, received: int, redelivered: int, **outcomes: int) -> dict[str, list[int]]:
    """First word or two of a line → its figures; ``outcomes`` are like ``rejected_not_json=3``."""
    counted = {(key.split("_")[0], key.partition("_")[2]): count for key, count in outcomes.items()}
    source = source_status(received=received, redelivered=redelivered)
    lines = list(statistics.period(source, lane_status(outcomes=counted)).lines())
    return {line.title.partition(" [")[0]: line.figures for line in lines}


def test_every_outcome_has_exactly_one_place() -> None:
    placed = Counter([*READINGS, *REGISTRATIONS, *DISCARDED, *NOT_UNDERSTOOD, *OF_FILES, *OF_VLBIMON])
    possible = [
        *[("stored", ""), ("duplicate", "")],
        *(("stored", str(outcome)) for outcome in Outcome),
        *(("filtered", str(cause)) for cause in Cause),
        *(("rejected", str(reason)) for reason in Reason),
    ]
    assert placed == Counter(possible)


def test_known_counts_give_known_figures() -> None:
    found = figures(
        Statistics(),
        received=1002,
        redelivered=2,
        stored_=700,
        duplicate_=20,
        filtered_daylight=100,
        filtered_unauthorised=30,
        filtered_resolution=4,
        filtered_decimated=50,
        filtered_retained=6,
        filtered_denied=7,
        filtered_stale=1,
        rejected_unregistered=40,
        rejected_conflict=3,
        rejected_hash_mismatch=2,
        rejected_database_refused=1,
        rejected_zero_point=2,
        rejected_not_json=5,
        rejected_bad_time=6,
        stored_new=3,
        stored_rebooted=11,
        stored_renamed=2,
        stored_changed=4,
        stored_replaced=1,
        stored_overridden=2,
    )
    assert found == {
        "MQTT Stats": [1000, 950, 26, 13],
        "DB Stats Readings": [950, 700, 250],
        "DB Stats Register": [26, 3, 11, 2, 4, 1, 2],
        "DB Stats NOK details": [40, 30, 100, 27, 53],
    }


def test_a_line_tells_what_is_new_since_the_last() -> None:
    statistics = Statistics()
    figures(statistics, 100, 1, stored_=60, rejected_unregistered=40)
    assert figures(statistics, 150, 1, stored_=145, rejected_unregistered=5) == {
        "MQTT Stats": [50, 50, 0, 0],
        "DB Stats Readings": [50, 85, -35],
        "DB Stats Register": [0, 0, 0, 0, 0, 0, 0],
        "DB Stats NOK details": [-35, 0, 0, 0, 0],
    }


def test_a_quiet_hour_is_told_with_zeros() -> None:
    statistics = Statistics()
    figures(statistics, 100, 0, stored_=100)
    period = statistics.period(
        source_status(received=100, redelivered=0), lane_status(outcomes={("stored", ""): 100})
    )
    assert {figure for line in period.lines() for figure in line.figures} == {0}
    assert str(period) == "0 received; 0 redelivered; no records"


def test_the_service_logs_them_when_it_stops_too(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    for seq in range(5):
        publisher.publish(*reading("stars1", seq, tstamp=stamp(seq)))
    publisher.publish(*reading("stars1", 4, tstamp=stamp(4)))
    publisher.publish(*reading("stars2", 1, tstamp=stamp(0)))
    publisher.publish("STARS4ALL/stars1/reading", b"no JSON")
    publisher.flush()
    wait_accounted(database.dsn, 9, service)
    assert service.stop() == 0
    logged = re.findall(
        r"#info\] (\w[\w ]+ Stats? [^=]*|\w+ Stats [^=]*) = \[([-\d, ]+)\]", service.log.read_text()
    )
    assert [(title, [int(each) for each in numbers.split(",")]) for title, numbers in logged] == [
        ("MQTT Stats [Total, Reads, Register, Discard]", [9, 7, 1, 0]),
        ("DB Stats Readings [Total, OK, NOK]", [7, 5, 2]),
        (
            "DB Stats Register [Total, New, Rebooted, Renamed, ZP Changed, Replaced, Overriden]",
            [1, 1, 0, 0, 0, 0, 0],
        ),
        ("DB Stats NOK details [Not Reg, Not Auth, Daylight, Dup, Other]", [1, 0, 0, 1, 0]),
    ]
