# SPDX-License-Identifier: MIT
"""From frames of a vlbimon server to what the sink is given: the cases file as far as no database decides, and replay
after a restart anywhere."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from tessmon.breath import LongBreath
from tessmon.config.model import Writer
from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.errors import Reason
from tessmon.feed import Feed
from tessmon.interfaces import Track
from tessmon.records.batch import Standing
from tessmon.records.frame import Frame
from tessmon.records.outcome import Record, Reject
from tessmon.records.vlbimon import HISTORY, SNAPSHOT, Point
from tessmon.records.vlbimon_walk import text_of, walker_of
from tessmon.stages.bridge import Bridge
from tessmon.stages.coordinates import Coordinates
from tessmon.stages.swept import Sweep
from tests.memory_journal import MemoryJournal
from tests.vlbimon_frames import (
    CASES_FILE,
    RECEIVED_NS,
    frames_of,
    masterlist_frame,
    placed,
    poll_frames,
    swept_frame,
    tick_frame,
)
from tests.vlbimon_mutator import mutated_replies

CASES: dict[str, dict[str, Any]] = {
    case["name"]: case for case in json.loads(CASES_FILE.read_text())["cases"]
}
REJECTED = {
    "null coordinate": Reason.NULL_VALUE,
    "null source name": Reason.NULL_VALUE,
    "null time": Reason.BAD_TIME,
    "list in the middle": Reason.LIST_VALUE,
    "huge integer in the status": Reason.OVER_64_BITS,
    "pair too short": Reason.BAD_PAIR,
    "time from far ahead": Reason.IMPLAUSIBLE_TIME,
}
"""A stamp of 2033 is a day ahead and more: what a wrong clock says is kept there and in no row."""
NOT_WITH_THE_PEER = {
    "unknown parameter": ("mystery_1_knob", "KP", 1712345600, 1.5),
    "unknown station, status value": ("telescope_sourceName", "NEWT", 1712345600, "M87"),
    "huge integer in the status": ("if_1_systemTemp", "KP", 1712345600, 100.0),
}
"""It drops these points, or dies of them."""
NO_LAG = ("empty snapshot", "time from far ahead", "status clock never goes back")
"""Here the peer's lag is a constant, negative, or the age of the newest point of one snapshot only."""
S = 1_000_000_000
Row = tuple[str, str, int, Any]


def track(settings: str) -> Track:
    return Track(VlbimonDecoder(), [Coordinates(), Bridge(), Sweep()])


def ran(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing."""
    found: list[Any] = []
    ensureDeferred(coroutine).addCallback(found.append)
    [result] = found
    return result


class Lane:
    """A feed over a journal, which is committed batch by batch, and can begin again from there as a new process.

    Attributes:
        records: all that was committed.
    """

    def __init__(self, frames: Sequence[Frame], batch_rows: int = 1000) -> None:
        self.journal = MemoryJournal()
        self.journal.take(frames)
        self.standing = Standing()
        self.records: list[Record] = []
        self._batch_rows = batch_rows
        self.restart()

    def restart(self) -> None:
        """Forget all but what was committed."""
        self.standing = self.standing._replace(notes=json.loads(json.dumps(dict(self.standing.notes))))
        self.feed = Feed(self.journal, track, "1", Writer(batch_rows=self._batch_rows), LongBreath())
        ran(self.feed.begin(self._ask))

    async def _ask(self, identities: Sequence[Any]) -> list[Standing]:
        return [self.standing]

    def step(self) -> bool:
        """Commit the next batch, if there is one."""
        batch = ran(self.feed.next())
        if not batch.moves:
            return False
        self.records += [item.record for item in batch.items]
        self.standing = batch.moves[0].new
        self.feed.committed(batch.moves)
        return True

    def drain(self) -> Lane:
        while self.step():
            pass
        return self

    def rows(self) -> list[Row]:
        return [
            (record.parameter, record.station, record.time_s, record.value)
            for record in self.records
            if isinstance(record, Point)
        ]


def of_case(case: dict[str, Any]) -> Lane:
    """What becomes of a case; the word RESTART is one."""
    lane = Lane([masterlist_frame()]).drain()
    for snapshot in case["snapshots"]:
        if snapshot == "RESTART":
            lane.restart()
            continue
        text = snapshot if case.get("raw") else json.dumps(snapshot)
        last_ns = lane.journal.frames[-1].received_ns
        lane.journal.take(
            list(placed([*lane.journal.frames, *poll_frames(text, last_ns)]))[len(lane.journal.frames) :]
        )
        lane.drain()
    return lane


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    found: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"] is LogLevel.warn:
            found.append(event)

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def is_half(parameter: str) -> bool:
    return parameter.endswith(("_az", "_el", "_ra", "_dec"))


def wanted_rows(case: dict[str, Any]) -> list[Row]:
    """The rows of stations, raw and split: the peer's, but where the file has it otherwise."""
    wanted = case["wanted"] or {}
    rows = [(*row[:4],) for row in case["peer"]["rows"] if not row[0].startswith("bridge_")]
    if "rows" in wanted:
        if any(is_half(row[0]) for row in [*rows, *wanted["rows"]]):
            rows = [row for row in rows if not is_half(row[0])]
        rows += [tuple(row) for row in wanted["rows"] if row[0] != "bridge_events" and tuple(row) not in rows]
    if case["name"] in NOT_WITH_THE_PEER:
        rows.append(NOT_WITH_THE_PEER[case["name"]])
    if case["name"] == "time from far ahead":
        rows = [row for row in rows if row[2] < 2_000_000_000]
    return [
        (*row[:3], row[3].replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(row[3], str) else row[3])
        for row in rows
    ]


@pytest.mark.parametrize("name", CASES)
def test_case_gives_the_rows_that_are_wanted(name: str, lines: list[LogEvent]) -> None:
    case = CASES[name]
    lane = of_case(case)
    own = [row for row in lane.rows() if not row[0].startswith("bridge_")]
    assert sorted(own, key=repr) == sorted(((*row,) for row in _typed(wanted_rows(case), own)), key=repr)
    reasons = [record.reason for record in lane.records if isinstance(record, Reject)]
    assert reasons == ([REJECTED[name]] if name in REJECTED else [])
    marked = name == "messages with any text"
    assert len(lines) == len(reasons) + bool((case["wanted"] or {}).get("warning")) + marked


def _typed(wanted: Sequence[Row], own: Sequence[Row]) -> Iterator[Row]:
    """SQLite knows no truth values: 1 stands for true there."""
    truths = {row[:3] for row in own if isinstance(row[3], bool)}
    for row in wanted:
        yield (*row[:3], bool(row[3])) if row[:3] in truths else row


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case["peer"]["crash"]])
def test_case_gives_the_bridge_s_own_rows(name: str) -> None:
    case = CASES[name]
    found = [row for row in of_case(case).rows() if row[0].startswith("bridge_")]
    told = [tuple(row[:4]) for row in case["peer"]["rows"]]
    for parameter in ("bridge_points", "bridge_bridgeLag"):
        assert sorted(row for row in found if row[0] == parameter) == sorted(
            row for row in told if row[0] == parameter
        )
    lags = [row[3] for row in found if row[:2] == ("bridge_totalLag", "bridge")]
    assert min(lags) >= 0
    if name not in NO_LAG:
        theirs = [row[3] for row in told if row[0] == "bridge_totalLag"]
        assert lags == pytest.approx(theirs, abs=1e-3)


def night(seed: int) -> list[Frame]:
    """Polls good and bad, ticks, masterlists, sweeps, hostile replies."""
    random = Random(seed)
    frames = [masterlist_frame()]
    at_ns = RECEIVED_NS
    for what, body in mutated_replies(seed, 60):
        at_ns += random.randrange(1, 20 * S)
        text = text_of(body)
        try:
            list(walker_of(what)(text))
        except ValueError:
            frames += poll_frames(None, at_ns)
        else:
            if what == SNAPSHOT:
                frames += poll_frames(text, at_ns)
            else:
                frames += frames_of(HISTORY, text, at_ns, start_s=1_712_345_100)
                frames.append(swept_frame(1_712_345_100 + len(frames), at_ns))
        if random.random() < 0.1:
            frames.append(tick_frame(at_ns))
        if random.random() < 0.05:
            names = random.sample(
                ["telescope_azimuthElevation", "telescope_apparentRaDec", "mystery_1_knob"], 2
            )
            entries = {name: {"datatype": "AzElCoordinates"} for name in names}
            frames.append(masterlist_frame(json.dumps({"default": entries}), at_ns))
    return list(placed(frames))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_restart_anywhere_gives_the_same(seed: int) -> None:
    frames = night(seed)
    undisturbed = Lane(frames).drain()
    assert any(isinstance(record, Point) and is_half(record.parameter) for record in undisturbed.records)
    for batch_rows in (1, 2):
        lane = Lane(frames, batch_rows)
        while lane.step():
            lane.restart()
        assert repr(lane.records) == repr(undisturbed.records)  # NaN is there
        assert lane.standing == undisturbed.standing


def test_batch_that_was_not_committed_comes_again() -> None:
    lane = Lane(night(4), 2)
    while True:
        lost = ran(lane.feed.next())
        lane.restart()
        if not lost.moves:
            break
        again = ran(lane.feed.next())
        assert repr(again.items) == repr(lost.items)
        assert again.moves == lost.moves
        lane.restart()
        lane.step()


def test_everything_goes_on_in_order_and_derived_points_before_what_they_come_of() -> None:
    records = Lane(night(5)).drain().records
    plain = [
        record.frame.position for record in records if not (isinstance(record, Point) and record.derived)
    ]
    assert plain == sorted(plain)
    positions = [record.frame.position for record in records]
    assert positions == sorted(positions)
