# SPDX-License-Identifier: MIT
"""The lane: what it commits together, what it does again, what it rebuilds, in a real PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tessmon.breath import Breath
from tessmon.config.model import Config, Daylight, Photometer, Rejects, Writer
from tessmon.control.door import Door
from tessmon.database.connection import Connector
from tessmon.database.partitions import Partitions
from tessmon.feed import Feed
from tessmon.lane import Lane
from tessmon.records.frame import Frame, FrameKind
from tessmon.sink import writer as writer_module
from tessmon.sink.photometer import PhotometerSink
from tessmon.track import lay, settings_of
from tests.memory_journal import MemoryJournal
from tests.postgres import Database

BORN_NS = 1_772_000_000 * 10**9
MINUTE_NS = 60 * 10**9


class House:
    """A lane with a journal in memory and a real database."""

    def __init__(
        self,
        database: Database,
        directory: Path,
        *,
        daylight: dict[str, Any] | None = None,
        **photometer: Any,
    ):
        self.database = database
        self.directory = directory
        self.journal = MemoryJournal()
        self.settings = Photometer(**photometer)
        self.daylight = Daylight(**(daylight or {}))
        self.lanes: list[Lane] = []
        self._sent = 0

    def lane(self, reached: Callable[[str], None] = lambda point: None) -> Lane:
        """A new lane on the same journal, as a new process would have it."""
        settings = Writer(batch_delay_s=0, statement_timeout_s=5)
        breath = Breath(reactor)
        writer = writer_module.Writer("mqtt", Partitions(), settings.batch_rows, breath, reached)
        feed = Feed(self.journal, lay, self.track_settings(), settings, breath)
        sink = PhotometerSink("photometer", self.journal, self.settings, Rejects(), writer, breath)
        connector = Connector(self.database.settings, reactor, statement_timeout_s=5)
        door = Door(self.directory / "paused", time.time_ns)
        lane = Lane("photometer", feed, sink, connector, door, reactor)
        self.lanes.append(lane)
        return lane

    def track_settings(self) -> str:
        """Of the present configuration."""
        return settings_of(Config(photometer=self.settings, daylight=self.daylight))

    def message(self, topic: str, payload: dict[str, Any] | bytes, **more: Any) -> Frame:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._sent += 1
        values = {"received_ns": BORN_NS + self._sent * 10**9, "length": len(raw), "qos": 1, **more}
        return Frame(FrameKind.MESSAGE, topic=topic, payload=raw, **values)

    def register(
        self, name: str = "stars1", mac: str = "AA:BB:CC:DD:EE:01", calib: float = 20.25, **more: Any
    ) -> Frame:
        return self.message(
            "STARS4ALL/register", {"name": name, "mac": mac, "calib": calib, "rev": 2}, **more
        )

    def reading(self, seq: int, name: str = "stars1", **more: Any) -> Frame:
        received = {key: more.pop(key) for key in ("received_ns", "retain") if key in more}
        payload = {
            "seq": seq,
            "name": name,
            "freq": 8.5,
            "mag": 18.25,
            "tamb": 9.5,
            "tsky": -14.3,
            "rev": 2,
            **more,
        }
        return self.message(f"STARS4ALL/{name}/reading", payload, **received)

    async def settle(self, count: int | None = None) -> None:
        """Until the newest frame is committed, and so many messages are accounted for."""
        await until(lambda: self.lanes[-1].status().position == self.journal.frames[-1].position)
        if count is not None:
            assert self.accounted() == count

    def accounted(self) -> int:
        ((total,),) = self.database.fetch(
            "SELECT coalesce(sum(stored + duplicate + filtered + rejected), 0)::int FROM tallies"
        )
        return int(total)

    def tally(self) -> dict[str, int]:
        rows = self.database.fetch(
            "SELECT cause, sum(stored)::int, sum(duplicate)::int, sum(filtered)::int, sum(rejected)::int "
            "FROM tallies GROUP BY cause"
        )
        names = ("stored", "duplicate", "filtered", "rejected")
        return {
            f"{name} {cause}".strip(): number
            for cause, *numbers in rows
            for name, number in zip(names, numbers, strict=True)
            if number
        }

    def sequence_numbers(self) -> list[int]:
        return [
            row[0]
            for row in self.database.fetch("SELECT sequence_number FROM tess_readings_t ORDER BY tstamp, 1")
        ]

    async def stop(self) -> None:
        for lane in self.lanes:
            if lane.running:
                await lane.stopService()


async def until(condition: Callable[[], Any], timeout_s: float = 20, pace_s: float = 0.01) -> None:
    """Look again each so many seconds; with 0 in each turn of the reactor."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await deferLater(reactor, pace_s)


@pytest_twisted.async_yield_fixture
async def make_house(database: Database, tmp_path: Path) -> AsyncIterator[Callable[..., House]]:
    made: list[House] = []

    def make(**more: Any) -> House:
        made.append(House(database, tmp_path, **more))
        return made[-1]

    yield make
    for house in made:
        await house.stop()


@pytest_twisted.ensureDeferred
async def test_a_registration_and_its_readings_become_rows(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.journal.take([house.register(), *(house.reading(n) for n in range(100))])
    house.lane().startService()
    await house.settle(101)
    assert house.sequence_numbers() == list(range(100))
    assert house.tally() == {"stored": 100, "stored new": 1}
    ((received_at, stamp, units),) = house.database.fetch(
        "SELECT received_at::text, tstamp::text, units_id FROM tess_readings_t WHERE sequence_number = 7"
    )
    assert (received_at, stamp, units) == ("2026-02-25 06:13:29+00", "2026-02-25 06:13:29+00", 0)


@pytest_twisted.ensureDeferred
async def test_readings_before_the_registration_come_back_in_order(make_house: Callable[..., House]) -> None:
    """The reading that came first wins its second, though it was stored last."""
    house = make_house()
    first = house.reading(1, mag=10.0, tstamp="2026-02-25T07:00:00")
    house.journal.take([first])
    house.lane().startService()
    await house.settle(1)
    assert house.tally() == {"rejected unregistered": 1}
    rival = house.reading(2, mag=20.0, tstamp="2026-02-25T07:00:00")
    house.journal.take([house.register(), rival])
    await house.settle(3)
    assert house.database.fetch("SELECT sequence_number, magnitude FROM tess_readings_t") == [(1, 10.0)]
    assert house.tally() == {"stored new": 1, "stored": 1, "rejected conflict": 1}
    assert house.database.fetch("SELECT reason, subject FROM rejects") == [("conflict", "stars1")]


@pytest_twisted.ensureDeferred
async def test_an_unregistered_reading_never_goes_to_the_next_owner(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.journal.take(
        [
            house.register(mac="AA:AA:AA:AA:AA:01"),
            house.register(name="stars2", mac="AA:AA:AA:AA:AA:01"),
            house.reading(1),  # the name was lost by :01
            house.register(mac="AA:AA:AA:AA:AA:02"),
            house.reading(2),
        ]
    )
    house.lane().startService()
    await house.settle(5)
    assert house.sequence_numbers() == [2]
    assert house.tally()["rejected unregistered"] == 1


@pytest_twisted.ensureDeferred
async def test_a_hash_of_another_device_is_rejected_also_when_it_was_kept(
    make_house: Callable[..., House],
) -> None:
    house = make_house()
    house.journal.take([house.reading(1, hash="E02"), house.register(), house.reading(2, hash="e01")])
    house.lane().startService()
    await house.settle(3)
    await until(lambda: house.tally().get("rejected hash_mismatch"))
    assert house.sequence_numbers() == [2]


@pytest_twisted.ensureDeferred
async def test_duplicates_are_told_from_conflicts(make_house: Callable[..., House]) -> None:
    house = make_house()
    at = "2026-02-25T07:00:00"
    house.journal.take([house.register(), house.reading(1, tstamp=at), house.reading(1, tstamp=at)])
    house.lane().startService()
    await house.settle(3)
    house.journal.take([house.reading(1, tstamp=at), house.reading(1, tstamp=at, mag=3.0), house.reading(5)])
    await house.settle(6)
    assert house.tally() == {"stored new": 1, "stored": 2, "duplicate": 2, "rejected conflict": 1}


@pytest_twisted.ensureDeferred
async def test_the_first_reading_of_an_interval_is_stored(make_house: Callable[..., House]) -> None:
    house = make_house(seconds_resolution=60)
    stamps = ["07:00:10", "07:00:31", "07:00:59", "07:01:00", "23:59:45"]
    readings = [house.reading(n, tstamp=f"2026-02-25T{at}") for n, at in enumerate(stamps)]
    house.journal.take([house.register(), *readings])
    house.lane().startService()
    await house.settle(6)
    assert house.database.fetch("SELECT sequence_number, time_id FROM tess_readings_t ORDER BY 2") == [
        (0, 70000),
        (3, 70100),
        (4, 235900),
    ]
    assert house.tally()["filtered resolution"] == 2


@pytest_twisted.ensureDeferred
async def test_what_may_not_be_stored_is_counted(make_house: Callable[..., House]) -> None:
    house = make_house(require_authorised=True, deny=("stars9",))
    house.journal.take(
        [house.register(), house.reading(1), house.reading(2, name="stars9"), house.reading(3, retain=True)]
    )
    lane = house.lane()
    lane.startService()
    await house.settle(4)
    assert house.tally() == {
        "stored new": 1,
        "filtered unauthorised": 1,
        "filtered denied": 1,
        "filtered retained": 1,
    }
    house.database.execute("UPDATE tess_t SET authorised = 1")
    await until(lambda: lane.sink._changed_elsewhere)  # the hint crossed the server
    house.journal.take([house.reading(4)])
    await house.settle(5)
    assert house.sequence_numbers() == [4]


@pytest_twisted.ensureDeferred
async def test_a_new_version_keeps_what_a_registration_does_not_say(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.journal.take([house.register()])
    house.lane().startService()
    await house.settle(1)
    kept = "authorised, registered, cover_offset, fov, azimuth, altitude"
    house.database.execute(f"UPDATE tess_t SET ({kept}) = (1, 'Manual', 0.5, 20, 90, 45)")
    house.journal.take([house.register(calib=20.5)])
    await house.settle(2)
    assert house.database.fetch(f"SELECT zp1, {kept} FROM tess_t ORDER BY tess_id") == [
        (20.25, 1, "Manual", 0.5, 20, 90, 45),
        (20.5, 1, "Manual", 0.5, 20, 90, 45),
    ]


@pytest_twisted.ensureDeferred
async def test_a_new_lane_rebuilds_what_a_stage_held(make_house: Callable[..., House]) -> None:
    house = make_house(daylight={"enabled": True, "depth": 5})
    house.journal.take([house.register(), *(house.reading(n) for n in range(5))])
    lane = house.lane()
    lane.startService()
    await house.settle(4)
    assert house.sequence_numbers() == [0, 1, 2]
    status = lane.status()
    assert status.position == (1, 1, 5)
    assert status.low == (1, 1, 0)
    assert status.held == 2
    await lane.stopService()
    house.lane().startService()
    house.journal.take([house.reading(5), house.reading(6)])
    await house.settle(6)
    assert house.sequence_numbers() == [0, 1, 2, 3, 4]
    assert house.journal.passed_up_to == (1, 1, 2)


@pytest_twisted.ensureDeferred
async def test_what_was_held_under_other_settings_is_stored_once(make_house: Callable[..., House]) -> None:
    """Also when nobody told the lane of the change, because the service was down."""
    house = make_house(daylight={"enabled": True, "depth": 9})
    house.journal.take([house.register(), *(house.reading(n) for n in range(6))])
    lane = house.lane()
    lane.startService()
    await house.settle(3)
    assert house.sequence_numbers() == [0, 1]
    await lane.stopService()
    house.daylight = Daylight(enabled=True, depth=3)
    lane = house.lane()
    lane.startService()
    await until(lambda: len(house.sequence_numbers()) == 6)
    house.journal.take([house.reading(n) for n in range(6, 9)])
    await house.settle(9)
    assert house.sequence_numbers() == list(range(8))
    house.daylight = Daylight()
    lane.feed.take_up(house.track_settings())  # a reload, with nothing new in the journal
    lane.look()
    await until(lambda: len(house.sequence_numbers()) == 9)
    assert lane.status().low == lane.status().position
    assert house.tally() == {"stored new": 1, "stored": 9}


@pytest_twisted.ensureDeferred
async def test_frames_that_a_replay_misses_are_recorded(make_house: Callable[..., House]) -> None:
    house = make_house(daylight={"enabled": True})
    house.journal.take([house.register(), house.reading(0)])
    lane = house.lane()
    lane.startService()
    await house.settle(1)
    await lane.stopService()
    house.journal.gap = "a segment is gone"
    house.lane().startService()
    house.journal.take([house.reading(1)])
    await house.settle(1)
    assert house.database.fetch("SELECT what, detail->>'why' FROM source_events") == [
        ("gap", "what stages held back is not whole: a segment is gone")
    ]


@pytest_twisted.ensureDeferred
async def test_flush_stores_what_is_held(make_house: Callable[..., House]) -> None:
    house = make_house(daylight={"enabled": True})
    house.journal.take([house.register(), house.reading(0, mag=0.0), house.reading(1, mag=0.0)])
    house.lane().startService()
    await house.settle(1)
    house.journal.take([Frame(FrameKind.EVENT, BORN_NS + 10**12, "flush", b"{}", 2)])
    await house.settle(3)
    assert house.sequence_numbers() == [0, 1]


@pytest_twisted.ensureDeferred
async def test_a_decimation_goes_on_in_step_in_a_new_lane(make_house: Callable[..., House]) -> None:
    """Two photometers whose counts are out of step, so that none can be told from where the replay begins."""
    house = make_house(every={"stars1": 3, "stars2": 4})
    house.journal.take([house.register(), house.register("stars2", "AA:BB:CC:DD:EE:02")])
    for seq in range(24):
        house.journal.take([house.reading(seq), house.reading(100 + seq, "stars2")])
        house.lane().startService()
        await until(lambda: house.lanes[-1].status().position == house.journal.frames[-1].position)
        await house.lanes[-1].stopService()
    assert sorted(house.sequence_numbers()) == [*range(0, 24, 3), *range(100, 124, 4)]
    assert house.tally() == {"stored new": 2, "stored": 14, "filtered decimated": 34}


@pytest_twisted.ensureDeferred
async def test_a_moved_position_is_read_back(make_house: Callable[..., House]) -> None:
    """Another service with the same origin went on: what it stored is not stored again."""
    house = make_house()
    house.journal.take([house.register(), house.reading(0)])
    house.lane().startService()
    await house.settle(2)
    house.database.execute("UPDATE positions SET position = '{1,1,2}', low = '{1,1,2}'")
    house.journal.take([house.reading(1)])  # stands at (1, 1, 2): passed by the other
    house.journal.take([house.reading(2)])
    await house.settle()
    assert house.sequence_numbers() == [0, 2]


@pytest_twisted.ensureDeferred
async def test_a_gap_is_recorded(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.journal.gap = "frames are missing"
    house.journal.take([house.register(), house.reading(0)])
    house.lane().startService()
    await house.settle(2)
    assert house.database.fetch("SELECT what, detail->>'why', source FROM source_events") == [
        ("gap", "frames are missing", "mqtt")
    ]


@pytest_twisted.ensureDeferred
async def test_events_are_kept(make_house: Callable[..., House]) -> None:
    house = make_house()
    detail = b'{"session_present": false}'
    event = Frame(FrameKind.EVENT, BORN_NS, "connected", detail, len(detail))
    house.journal.take([event, Frame(FrameKind.TICK, BORN_NS + MINUTE_NS, "", b"", 0)])
    house.lane().startService()
    await house.settle(0)
    assert house.database.fetch("SELECT what, detail FROM source_events") == [
        ("connected", {"session_present": False})
    ]


@pytest_twisted.ensureDeferred
async def test_a_reject_is_retried_when_it_is_due(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.journal.take([house.register(calib=2.0), house.reading(0)])
    lane = house.lane()
    lane.startService()
    await house.settle(2)
    assert house.tally() == {"rejected zero_point": 1, "rejected unregistered": 1}
    lane.sink.settings = Photometer(zero_point_min_mag=1.0)
    house.database.execute("UPDATE rejects SET due = true WHERE reason = 'zero_point'")
    await until(lambda: house.tally() == {"stored new": 1, "stored": 1})
    assert house.database.fetch("SELECT count(*) FROM rejects") == [(0,)]
    assert house.sequence_numbers() == [0]


@pytest_twisted.ensureDeferred
async def test_a_retried_reject_that_is_refused_again_is_not_due_any_more(
    make_house: Callable[..., House],
) -> None:
    house = make_house()
    house.journal.take([house.message("STARS4ALL/stars1/reading", b"nonsense")])
    house.lane().startService()
    await house.settle(1)
    house.database.execute("UPDATE rejects SET due = true")
    await until(lambda: house.database.fetch("SELECT due FROM rejects") == [(False,)])
    assert house.tally() == {"rejected not_json": 1}


@pytest_twisted.ensureDeferred
async def test_old_rejects_are_dropped_and_counted(make_house: Callable[..., House]) -> None:
    house = make_house()
    later_ns = BORN_NS + 91 * 86_400 * 10**9
    house.journal.take([house.message("STARS4ALL/stars1/reading", b"nonsense")])
    house.lane().startService()
    await house.settle(1)
    house.journal.take([house.message("STARS4ALL/stars1/reading", b"later", received_ns=later_ns)])
    await house.settle(2)
    assert house.database.fetch("SELECT count(*) FROM rejects") == [
        (2,)
    ]  # the database's clock says otherwise
    house.database.execute("UPDATE rejects SET rejected_at = now() - interval '91 days'")
    again = house.message("STARS4ALL/stars1/reading", b"later", received_ns=later_ns + 3600 * 10**9)
    house.journal.take([again])
    await until(
        lambda: (
            house.database.fetch("SELECT encode(payload, 'escape') FROM rejects") == [("later",), ("later",)]
        )
    )
    assert house.database.fetch("SELECT what, detail FROM source_events") == [
        ("rejects_expired", {"not_json": 1})
    ]


@pytest_twisted.ensureDeferred
async def test_a_partition_that_vanished_is_made_again(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.journal.take([house.register(), house.reading(0)])
    house.lane().startService()
    await house.settle(2)
    ((name,),) = house.database.fetch("SELECT tableoid::regclass::text FROM tess_readings_t")
    house.database.execute(f"DROP TABLE {name}")
    house.journal.take([house.reading(1)])
    await house.settle(3)
    assert house.sequence_numbers() == [1]


@pytest_twisted.ensureDeferred
async def test_a_clock_that_was_far_ahead_costs_its_own_readings_only(
    make_house: Callable[..., House],
) -> None:
    house = make_house()
    in_2038_ns = 2_147_483_650 * 10**9
    house.journal.take(
        [house.register(), house.reading(0), house.reading(1, received_ns=in_2038_ns), house.reading(2)]
    )
    house.lane().startService()
    await house.settle(4)
    assert house.sequence_numbers() == [0, 2]
    assert house.tally() == {"stored new": 1, "stored": 2, "rejected implausible_time": 1}


@pytest_twisted.ensureDeferred
async def test_the_door_closes_the_connection_and_opens_it_again(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.journal.take([house.register()])
    lane = house.lane()
    lane.startService()
    await house.settle(1)
    lane._door.lock("test")
    await lane.shut()
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tessmon'"
    await until(lambda: house.database.fetch(sessions) == [(0,)])
    house.journal.take([house.reading(1)])
    assert lane.status().state == "paused"
    lane._door.open()
    lane._door.lock("test")  # before anybody could notice
    await lane.shut()
    assert house.database.fetch(sessions) == [(0,)]
    lane._door.open()
    await until(lambda: lane.status().state == "starting", pace_s=0)
    lane._door.lock("test")  # while it connects
    await lane.shut()
    await until(lambda: house.database.fetch(sessions) == [(0,)])
    lane._door.open()
    await house.settle(2)


@pytest_twisted.ensureDeferred
async def test_a_door_that_is_locked_while_rejects_are_asked_for_is_seen(
    make_house: Callable[..., House],
) -> None:
    """All that came is stored, so nothing comes later that would wake the lane."""
    house = make_house()
    house.journal.take([house.register()])
    first = house.lane()
    first.startService()
    await house.settle(1)
    await first.stopService()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%rejects%'"
    with psycopg2.connect(house.database.dsn) as other:
        other.cursor().execute("LOCK TABLE rejects IN ACCESS EXCLUSIVE MODE")
        lane = house.lane()
        lane.startService()
        await until(lambda: house.database.fetch(asked) == [(1,)])
        lane._door.lock("test")
        other.rollback()
        await lane.shut().addTimeout(20, reactor)
    other.close()
    assert lane.status().state == "paused"


@pytest_twisted.ensureDeferred
async def test_a_name_of_the_past_finds_its_photometer_whose_versions_changed_since(
    make_house: Callable[..., House],
) -> None:
    house = make_house()
    then, later, now = ("2026-02-25T0" + at for at in ("1:00:00", "2:00:00", "3:00:00"))

    def register(name: str, calib: float, at: str) -> Frame:
        payload = {"name": name, "mac": "AA:AA:AA:AA:AA:01", "calib": calib, "rev": 2, "tstamp": at}
        return house.message("STARS4ALL/register", payload)

    house.journal.take(
        [
            register("stars1", 20.25, then),
            house.reading(1, tstamp="2026-02-25T01:30:00"),
            register("stars2", 20.25, later),
            house.reading(2, tstamp="2026-02-25T01:31:00"),
            register("stars2", 20.5, now),
            house.reading(3, tstamp="2026-02-25T01:32:00"),
            house.reading(4, "stars2", tstamp="2026-02-25T03:30:00"),
        ]
    )
    house.lane().startService()
    await house.settle(7)
    rows = house.database.fetch("SELECT sequence_number, tess_id FROM tess_readings_t ORDER BY 1")
    assert rows == [(1, 1), (2, 1), (3, 1), (4, 2)]


@pytest.mark.parametrize("outcome", ["stored", "renamed", "replaced"])
@pytest_twisted.ensureDeferred
async def test_a_batch_is_split_behind_each_registration_that_changes_something(
    outcome: str, make_house: Callable[..., House]
) -> None:
    """Readings and registrations in one batch: each reading finds its photometer as it was then."""
    house = make_house()
    frames = [house.register(mac="AA:AA:AA:AA:AA:01"), house.reading(1)]
    if outcome == "renamed":
        frames += [house.register("stars2", "AA:AA:AA:AA:AA:01"), house.reading(2, "stars2")]
    elif outcome == "replaced":
        frames += [house.register(mac="AA:AA:AA:AA:AA:02"), house.reading(2)]
    else:
        frames += [house.register(mac="AA:AA:AA:AA:AA:01", calib=20.5), house.reading(2)]
    house.journal.take(frames)
    house.lane().startService()
    await house.settle(4)
    rows = house.database.fetch("SELECT sequence_number, tess_id FROM tess_readings_t ORDER BY 1")
    assert rows == ([(1, 1), (2, 1)] if outcome == "renamed" else [(1, 1), (2, 2)])


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("change", ["nothing", "its place", "the settings"])
async def test_what_was_looked_at_ahead_is_looked_at_again_when_anything_changed(
    make_house: Callable[..., House], change: str
) -> None:
    house = make_house()
    lane = house.lane()
    house.journal.take([house.register()])
    connection = await Connector(house.database.settings, reactor, statement_timeout_s=5).connect()
    try:
        await lane.feed.begin(partial(lane.sink.ask, connection))
        await lane.sink.write(connection, await lane.feed.next())
        house.journal.take([house.reading(1)])
        batch = await lane.feed.next()
        await lane.sink.prepare(batch)  # nobody has asked for the name yet: no draft
        await lane.sink.write(connection, batch)
        house.journal.take([house.reading(2)])
        batch = await lane.feed.next()
        await lane.sink.prepare(batch)
        if change == "its place":
            house.database.execute(
                "INSERT INTO location_t (location_id, place, town, sub_region, region, country) "
                "VALUES (7, 'there', '', '', '', '')"
            )
            house.database.execute("UPDATE tess_t SET location_id = 7")
            lane.sink.photometers_changed()
        elif change == "the settings":
            lane.sink.settings = Photometer(require_authorised=True)
        await lane.sink.write(connection, batch)
    finally:
        connection.close()
    places = house.database.fetch("SELECT location_id FROM tess_readings_t ORDER BY sequence_number")
    assert places == {"nothing": [(-1,), (-1,)], "its place": [(-1,), (7,)], "the settings": [(-1,)]}[change]
    assert house.tally().get("filtered unauthorised", 0) == (change == "the settings")
