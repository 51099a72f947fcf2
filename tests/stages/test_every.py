# SPDX-License-Identifier: MIT
"""Decimation."""

from __future__ import annotations

from tessmon.errors import Cause
from tessmon.records.outcome import Filtered
from tessmon.stages.every import Every
from tests.stages.test_daylight import Step, records


def kept(stage: Every, steps: list[Step]) -> list[bool]:
    return [not isinstance(stage.take(record)[0], Filtered) for record in records(steps)]


def test_the_first_reading_goes_on_and_every_nth_behind_it() -> None:
    stage = Every({"stars1": 3}, 1, 3600)
    assert kept(stage, [Step("stars1")] * 8) == [True, False, False] * 2 + [True, False]


def test_others_are_left_alone_and_ticks_pass() -> None:
    assert kept(Every({"stars1": 3}, 1, 3600), [Step("stars2"), Step(""), Step("stars2")] * 3) == [True] * 9


def test_one_in_one_is_all_and_depends_on_nothing() -> None:
    stage = Every({"stars1": 1}, 1, 3600)
    assert kept(stage, [Step("stars1")] * 5) == [True] * 5
    assert stage.low() is None
    assert stage.notes() is None


def test_what_is_left_out_is_counted_for_its_photometer() -> None:
    stage = Every({"stars1": 2}, 1, 3600)
    _, (second,) = map(stage.take, records([Step("stars1")] * 2))
    assert isinstance(second, Filtered)
    assert (second.cause, second.subject) == (Cause.DECIMATED, "stars1")


def test_a_silent_photometer_begins_anew_and_holds_up_no_journal() -> None:
    stage = Every({"stars1": 3}, 1, 600)
    steps = [Step("stars1"), Step("stars1"), Step("stars2", after_s=601), Step("stars1"), Step("stars1")]
    assert kept(stage, steps) == [True, False, True, True, False]
    stage = Every({"stars1": 3}, 1, 600)
    kept(stage, [Step("stars1"), Step("", after_s=601)])
    assert stage.low() is None
