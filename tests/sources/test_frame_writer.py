# SPDX-License-Identifier: MIT
"""Times increase strictly, events keep their order, silence ticks."""

from __future__ import annotations

from twisted.internet.task import Clock

from tessmon.records.frame import FrameKind
from tessmon.sources.frame_writer import FrameWriter
from tests.sources.mqttrig import CommandedJournal


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
    writer, journal, clock = writer_at([100])
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
