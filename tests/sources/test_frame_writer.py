# SPDX-License-Identifier: MIT
"""Times increase strictly, events keep their order, silence ticks."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tessmon.records.frame import FrameKind
from tessmon.sources.frame_writer import FrameWriter
from tests.sources.mqttrig import CommandedJournal

S = 10**9


def writer_on(ahead: list[int]) -> tuple[FrameWriter, CommandedJournal, Clock]:
    """Its wall clock is so far ahead of the reactor's [ns]."""
    journal, clock = CommandedJournal(at_once=False), Clock()
    return FrameWriter(journal, clock, lambda: ahead[0] + int(clock.seconds() * S)), journal, clock


def writer_at(times: list[int]) -> tuple[FrameWriter, CommandedJournal, Clock]:
    journal, clock = CommandedJournal(at_once=False), Clock()
    return FrameWriter(journal, clock, lambda: times.pop(0) if len(times) > 1 else times[0]), journal, clock


def test_times_increase_strictly_though_the_clock_stands_or_goes_back() -> None:
    writer, _journal, _clock = writer_at([100, 100, 90, 200, 150])
    writer._early = None
    assert [writer.stamp() for _ in range(5)] == [100, 101, 102, 200, 201]


def test_the_first_time_is_later_than_the_journals_newest() -> None:
    writer, journal, _clock = writer_at([100])
    writer.begin(5000)
    writer.end()
    assert [frame.received_ns for frame in journal.appended] == [5001]


def test_times_catch_up_with_a_clock_that_was_put_back_at_half_its_pace() -> None:
    ahead = [3600 * S]
    writer, journal, clock = writer_on(ahead)
    writer.begin(0)
    clock.advance(10)
    assert writer.stamp() == 3610 * S
    ahead[0] = 3580 * S
    clock.advance(10)
    assert [writer.stamp(), writer.stamp()] == [3615 * S + 1, 3615 * S + 2]
    clock.advance(20)
    assert writer.stamp() == 3625 * S + 2
    clock.advance(15)
    assert writer.stamp() == 3635 * S
    ahead[0] = 3580 * S - 500_000_000
    assert writer.stamp() == 3635 * S + 1
    assert [event["by_s"] for event in journal.events("clock_put_back")] == [10]
    writer.end()


def test_a_journal_from_a_clock_that_was_ahead_is_gone_on_with_at_half_pace() -> None:
    writer, _journal, clock = writer_on([0])
    writer.begin(1000 * S)
    clock.advance(100)
    assert writer.stamp() == pytest.approx(1050 * S, abs=10)
    writer.end()


def test_a_clock_that_was_wrong_by_more_than_a_day_is_followed() -> None:
    ahead = [10**9 * S]
    writer, journal, clock = writer_on(ahead)
    writer.begin(0)
    ahead[0] = 0
    clock.advance(10)
    assert writer.stamp() == 10 * S + 1
    assert [frame.received_ns for frame in journal.appended] == [10**9 * S, 10 * S]
    assert journal.events("clock_put_back") == [{"by_s": 10**9 - 10}]
    writer.end()


def test_events_before_the_begin_come_after_started_and_in_order() -> None:
    writer, journal, _clock = writer_at([100])
    writer.event("paused", by="SIGUSR1")
    writer.event("resumed")
    assert journal.appended == []
    writer.begin(0)
    writer.end()
    assert [frame.topic for frame in journal.appended] == ["started", "paused", "resumed"]
    assert journal.events("paused") == [{"by": "SIGUSR1"}]


def test_a_minute_of_silence_ticks_and_any_frame_delays_the_tick() -> None:
    writer, journal, clock = writer_on([100])
    writer.begin(0)
    for _ in range(11):
        clock.advance(5)
    writer.event("something")
    for _ in range(11):
        clock.advance(5)
    assert [frame.kind for frame in journal.appended] == [FrameKind.EVENT] * 2
    for _ in range(2 + 12 + 1):
        clock.advance(5)
    assert [frame.kind for frame in journal.appended[2:]] == [FrameKind.TICK] * 2
    assert len({frame.received_ns for frame in journal.appended}) == len(journal.appended)
    journal.full = "no space"
    for _ in range(30):
        clock.advance(5)
    assert len(journal.appended) == 4
    writer.end()
    assert clock.getDelayedCalls() == []
