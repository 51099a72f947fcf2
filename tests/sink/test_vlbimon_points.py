# SPDX-License-Identifier: MIT
"""Points become rows: what is sent is what is read back, once, and the value received last has the second."""

from __future__ import annotations

import gc
import math
import random
import time
from collections import Counter
from itertools import pairwise, permutations
from typing import Any

import msgspec
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import LoopingCall, deferLater

from tessmon.errors import Reason
from tessmon.records.frame import FrameKind
from tessmon.records.outcome import Filtered, Reject
from tessmon.records.vlbimon import HISTORY, Exchange, Point
from tessmon.records.vlbimon_walk import walk_history, walk_snapshot
from tessmon.sink.tables.vlbimon import same
from tests.vlbimon_rows import NOW_S, Rows, rows, tallies, used_database

__all__ = ["rows", "used_database"]

ensure = pytest_twisted.ensureDeferred
T = 1_712_345_600
LARGE = 20_000
"""Points; a batch of the configured size has as many."""


@ensure
async def test_every_value_is_read_back_as_it_was_sent(rows: Rows) -> None:
    values: list[Any] = [
        *(0.05, 271.5, 5e-324, 1.7976931348623157e308, 1 / 3, -0.0, math.inf, -math.inf),
        *(0, 1, -1, (1 << 63) - 1, -(1 << 63)),
        *(True, False),
        *(
            "",
            " ",
            "M87",
            "névé, -8 °C ❄",
            'line 1\nline 2 "q"',
            "a\ufffdb",
            "{NULL}",
            "NULL",
            "\\",
            "%s",
            "x" * 50_000,
        ),
    ]
    sent = [rows.point("p", "KP", T + n, value) for n, value in enumerate(values)]
    sent.insert(7, rows.point("p", "KP", T - 1, math.nan))
    assert await rows.write(*sent) == {"stored": len(sent)}
    nan, *found = [value for _, _, _, value, _ in rows.rows()]
    assert math.isnan(nan)
    assert [(type(value), repr(value)) for value in found] == [(type(value), repr(value)) for value in values]


@ensure
async def test_a_stamp_is_kept_beside_its_whole_second(rows: Rows) -> None:
    await rows.write(
        rows.point("p", "SMA", T + 0.71875, 1), rows.point("p", "SMA", T + 1, 1, NOW_S + 0.000_001)
    )
    assert rows.database.fetch(
        "SELECT time, stamp, extract(epoch FROM received_at)::text FROM vlbimon_points ORDER BY time"
    ) == [(T, T + 0.71875, f"{NOW_S}.000000"), (T + 1, T + 1.0, f"{NOW_S}.000001")]


@ensure
async def test_the_value_received_last_has_the_second_and_the_other_is_counted(rows: Rows) -> None:
    assert await rows.write(rows.point("p", "KP", T, 0.05)) == {"stored": 1}
    assert await rows.write(rows.point("p", "KP", T, 0.05, NOW_S + 1)) == {"duplicate": 1}
    assert await rows.write(
        rows.point("p", "KP", T, 0.06, NOW_S + 2), rows.point("q", "KP", T, 1, NOW_S + 2)
    ) == {
        "stored": 1,
        "stored replaced": 1,
    }
    assert await rows.write(rows.point("p", "KP", T, 0.05, NOW_S + 1)) == {"filtered superseded": 1}
    assert rows.rows() == [("p", "KP", T, 0.06, 1), ("q", "KP", T, 1, 0)]
    assert await rows.write(rows.point("p", "KP", T, True, NOW_S + 2)) == {"stored replaced": 1}
    assert rows.rows()[0] == ("p", "KP", T, True, 2)
    assert tallies(rows.database) == {
        "KP": {"stored": 2, "stored replaced": 2, "duplicate": 1, "filtered superseded": 1}
    }


@ensure
async def test_text_that_was_changed_is_counted_as_such(rows: Rows) -> None:
    changed = msgspec.structs.replace(rows.point("p", "KP", T, "a\ufffdb"), marked=True)
    assert await rows.write(changed, rows.point("p", "KP", T + 1, "ab")) == {"stored": 1, "stored marked": 1}
    assert await rows.write(changed) == {"duplicate": 1}
    assert tallies(rows.database) == {"KP": {"stored": 1, "stored marked": 1, "duplicate": 1}}


@ensure
async def test_two_values_of_one_second_in_one_batch_are_settled_before(rows: Rows) -> None:
    assert await rows.write(
        rows.point("p", "KP", T, 1, NOW_S),
        rows.point("p", "KP", T, 1, NOW_S + 1),
        rows.point("p", "KP", T, 2, NOW_S + 2),
        rows.point("p", "KP", T, 3, NOW_S + 2),
        rows.point("p", "KP", T, 4, NOW_S + 1),
        rows.point("p", "APEX", T, 1, NOW_S),
    ) == {"stored": 2, "stored replaced": 2, "duplicate": 1, "filtered superseded": 1}
    assert rows.rows() == [("p", "APEX", T, 1, 0), ("p", "KP", T, 3, 0)]


@ensure
async def test_a_second_holds_the_same_value_however_points_are_cut_into_batches(rows: Rows) -> None:
    chance = random.Random(4)
    given_points = [
        rows.point("p", station, T + chance.randrange(3), chance.choice([1, 1.0, "a", True]), NOW_S + n // 2)
        for n, station in enumerate("ABC" * 60)
    ]
    wanted: dict[tuple[str, int], Any] = {}
    for point in given_points:
        wanted[point.station, point.time_s] = point.value
    left = list(given_points)
    counted = 0
    while left:
        some = chance.randrange(1, 20)
        counted += sum((await rows.write(*left[:some])).values())
        del left[:some]
    assert counted == len(given_points)
    found = {(station, at_s): value for _, station, at_s, value, _ in rows.rows()}
    assert {key: repr(value) for key, value in found.items()} == {
        key: repr(value) for key, value in wanted.items()
    }


@ensure
async def test_of_equal_values_the_latest_stamp_has_the_second_whatever_their_order(rows: Rows) -> None:
    orders = list(permutations([(0.25, 0), (0.5, 2), (0.5, 1), (0.0, 3)]))  # fraction, when it came [s]
    sent = [
        [rows.point("p", f"S{n}", T + fraction, math.nan, NOW_S + came) for fraction, came in order]
        for n, order in enumerate(orders)
    ]
    counted: Counter[str] = Counter()
    for some in zip(*sent[: len(sent) // 2], strict=True):  # one of each order
        counted.update(await rows.write(*some))
    counted.update(await rows.write(*(point for order in sent[len(sent) // 2 :] for point in order)))
    assert counted.keys() == {"stored", "stored replaced", "duplicate"}
    assert counted["stored"] == len(orders)
    assert counted.total() == 4 * len(orders)
    assert rows.database.fetch("SELECT DISTINCT stamp FROM vlbimon_points") == [(T + 0.5,)]
    again = [point for order in sent for point in order if point.stamp != T + 0.5]
    before = rows.database.fetch("SELECT * FROM vlbimon_points ORDER BY station")
    assert await rows.write(*again[::2]) == {"duplicate": len(orders)}  # one of each
    assert repr(rows.database.fetch("SELECT * FROM vlbimon_points ORDER BY station")) == repr(before)


@ensure
async def test_a_point_that_only_moves_the_stamp_does_not_make_the_value_older(rows: Rows) -> None:
    await rows.write(rows.point("p", "KP", T, 1, NOW_S + 5))
    assert await rows.write(rows.point("p", "KP", T + 0.5, 1, NOW_S)) == {"stored replaced": 1}
    assert await rows.write(rows.point("p", "KP", T + 0.75, 2, NOW_S + 1)) == {"filtered superseded": 1}
    assert rows.rows() == [("p", "KP", T, 1, 1)]


@ensure
async def test_points_that_come_again_are_duplicates_and_nothing_else(rows: Rows) -> None:
    points = [
        rows.point(f"p{n % 40}", f"S{n % 7}", T + n / 3, value)
        for n in range(1500)
        for value in [[1.5, 7, True, f"w{n}", math.nan][n % 5]]
    ]
    first = await rows.write(*points)
    assert first == {"stored": 1500}
    before = rows.database.fetch("SELECT * FROM vlbimon_points ORDER BY parameter_id, station, time")
    await rows.begin()
    again = [Point(rows.frame(NOW_S + 9), p.parameter, p.station, p.stamp, p.value) for p in points]
    random.Random(1).shuffle(again)
    assert await rows.write(*again) == {"duplicate": 1500}
    after = rows.database.fetch("SELECT * FROM vlbimon_points ORDER BY parameter_id, station, time")
    assert repr(after) == repr(before)


@ensure
async def test_rows_of_any_month_find_a_partition_in_seconds(rows: Rows) -> None:
    times = [946_684_801, 951_868_799, 951_868_800, T, T + 30 * 86_400]
    assert await rows.write(*(rows.point("p", "KP", at_s, 1) for at_s in times)) == {"stored": 5}
    assert rows.database.fetch("SELECT tableoid::regclass::text, time FROM vlbimon_points ORDER BY time") == [
        ("vlbimon_points_2000_01", times[0]),
        ("vlbimon_points_2000_02", times[1]),
        ("vlbimon_points_2000_03", times[2]),
        ("vlbimon_points_2024_04", times[3]),
        ("vlbimon_points_2024_05", times[4]),
    ]


@ensure
async def test_every_outcome_is_accounted_to_its_station_and_derived_ones_to_the_bridge(rows: Rows) -> None:
    far_s = NOW_S + 20 * 365 * 86_400  # this machine's clock was wrong when it came
    frame = rows.frame()
    counted = await rows.write(
        rows.point("p", "KP", T, 1),
        rows.point("p_az", "KP", T, 1.5, derived=True),
        rows.point("bridge_points", "APEX", T, 3, derived=True),
        Filtered(frame, "stale", "APEX"),
        Reject(rows.frame(), Reason.BAD_TIME, "why", "SMA"),
        rows.point("p", "LMT", far_s, 5, far_s),
        rows.point("p", "LMT", far_s + 1, 6, far_s),
    )
    assert counted == {
        "stored": 3,
        "filtered stale": 1,
        "rejected bad_time": 1,
        "rejected implausible_time": 2,
    }
    assert tallies(rows.database) == {
        "KP": {"stored": 1},
        "bridge": {"stored": 2},
        "APEX": {"filtered stale": 1},
        "SMA": {"rejected bad_time": 1},
        "LMT": {"rejected implausible_time": 2},
    }


@ensure
async def test_a_row_that_is_refused_is_kept_as_a_reply_of_its_own_and_can_be_tried_again(rows: Rows) -> None:
    far_s = NOW_S + 20 * 365 * 86_400
    frame = rows.frame(far_s, Exchange(HISTORY, "https://one.example", start_s=5, end_s=6).topic())
    points = [
        Point(frame, "p", "LMT", far_s + n, value) for n, value in enumerate([1.5, "ü\n", True, math.nan])
    ]
    derived = Point(frame, "p_az", "LMT", far_s, 2.5, derived=True)
    polled = Point(
        rows.frame(far_s, Exchange("poll", "s").topic()), "bridge_points", "bridge", far_s, 3, True
    )
    ticked = msgspec.structs.replace(rows.frame(far_s), kind=FrameKind.TICK, topic="tick")
    tick = Point(ticked, "bridge_points", "bridge", far_s + 1, 3, True)
    refused = [*points, derived, polled, tick]
    assert await rows.write(*refused) == {"rejected implausible_time": len(refused)}
    due = await rows.sink.load_due(rows.connection, 10)
    assert due == []
    rows.database.execute("UPDATE rejects SET due = true")
    due = await rows.sink.load_due(rows.connection, 10)
    assert len(due) == len(refused)
    parts = []
    for one in due:
        text = one.frame.payload.decode()
        walk = walk_history if '"history"' in one.frame.topic else walk_snapshot
        [part] = walk(text)
        parts.append((part.station, part.name, part.text))
        assert one.frame.position[:3] in {point.frame.position for point in refused}
    assert parts[:5] == [
        ("LMT", "p", f"[{far_s}, 1.5]"),
        ("LMT", "p", f'[{far_s + 1}, "\\u00fc\\n"]'),
        ("LMT", "p", f"[{far_s + 2}, true]"),
        ("LMT", "p", f"[{far_s + 3}, NaN]"),
        ("LMT", "p_az", f"[{far_s}, 2.5]"),
    ]
    assert [part[:2] for part in parts[5:]] == [("bridge", "bridge_points")] * 2
    # the clock was put right meanwhile, say: the first is found to be of another time, the second is refused again
    records = [
        Point(due[0].frame, "p", "LMT", T, 1.5),
        Point(due[1].frame, "p", "LMT", far_s + 1, "ü\n"),
    ]
    counted = await rows.write(*records, due=due[:2])
    assert counted == {"stored": 1, "rejected implausible_time": -1}
    left = rows.database.fetch("SELECT position, due FROM rejects ORDER BY position")
    assert len(left) == len(refused) - 1
    assert (list(due[1].frame.position), False) in left


@given(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text()),
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text()),
)
def test_values_are_the_same_when_they_are_written_alike(one: Any, other: Any) -> None:
    def written(value: Any) -> tuple[type, str]:
        return type(value), "0.0" if value == 0 and isinstance(value, float) else repr(value)

    assert same(one, other) is (written(one) == written(other))
    assert same(one, one)


@ensure
async def test_a_large_batch_is_stored_without_holding_the_reactor(rows: Rows) -> None:
    sent = [
        rows.point(f"p{n % 500}", f"S{n % 11}", T + n // 500 + 0.25, value)
        for n in range(LARGE)
        for value in [[1.5, 7, True, "some words that are long enough"][n % 4]]
    ]
    turns: list[float] = []
    beat = LoopingCall(lambda: turns.append(time.thread_time()))
    gc.collect()
    gc.freeze()  # as the service does when it starts: what the tests have in memory is not what is measured
    try:
        beat.start(0)
        assert await rows.write(*sent) == {"stored": LARGE}
        assert await rows.write(*sent) == {"duplicate": LARGE}
        await deferLater(reactor, 0)
    finally:
        beat.stop()
        gc.unfreeze()
    assert max(later - earlier for earlier, later in pairwise(turns)) < 0.05
