# SPDX-License-Identifier: MIT
"""The daylight filter, beside a model of it that keeps everything."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.config.model import Daylight as Settings
from tessmon.errors import Cause
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, SourceEvent, Tick
from tessmon.records.photometer import Reading
from tessmon.stages.daylight import Daylight

NS = 10**9


class Step(NamedTuple):
    """What comes next: a reading of a photometer, dark or saturated, a tick (no name), or a flush (name "!")."""

    name: str
    after_s: int = 60
    saturated: bool = False
    seq_step: int = 1


def records(steps: list[Step]) -> list[Record]:
    made: list[Record] = []
    now_s, numbers = 1_772_000_000, dict[str, int]()
    for place, step in enumerate(steps):
        now_s += step.after_s
        kind = FrameKind.MESSAGE if step.name not in ("", "!") else FrameKind.EVENT
        frame = Frame(kind, now_s * NS, "t", b"{}", 2, position=(1, 1 + place // 3, place % 3))
        if step.name == "":
            made.append(Tick(frame))
        elif step.name == "!":
            made.append(SourceEvent(frame, "flush", "{}"))
        else:
            number = numbers[step.name] = numbers.get(step.name, 0) + step.seq_step
            magnitudes = (0.0,) if step.saturated else (18.5,)
            made.append(Reading(frame, step.name, now_s, True, number, (1.0,), magnitudes, 1.0, 1.0, 1))
    return made


def verdicts(gone_on: list[Record]) -> dict[tuple[int, ...], bool]:
    """Position of each reading → whether it was kept."""
    return {
        one.frame.position: not isinstance(one, Filtered)
        for one in gone_on
        if isinstance(one, (Reading, Filtered))
    }


def modelled(taken: list[Record], settings: Settings) -> dict[tuple[int, ...], bool]:
    """The rules, read off for each photometer by itself, from all that came of it."""
    half = settings.depth // 2
    kept: dict[tuple[int, ...], bool] = {}
    for name in {one.name for one in taken if isinstance(one, Reading)}:
        run: list[Reading] = []
        for one in [*taken]:
            silent = run and one.frame.received_ns - run[-1].frame.received_ns > settings.max_age_s * NS
            if silent or isinstance(one, SourceEvent):
                kept.update((late.frame.position, True) for late in run[-half:])
                run = []
            if not isinstance(one, Reading) or one.name != name:
                continue
            run.append(one)
            if len(run) > half:
                window = run[-settings.depth :]
                numbers = [each.sequence_number for each in window]
                first = [b - a for a, b in pairwise(numbers)]
                steady = all(b == a for a, b in pairwise(first))
                dark = any(sum(each.magnitudes) for each in window)
                kept[run[-1 - half].frame.position] = dark or (len(window) == settings.depth and not steady)
    return kept


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["stars1", "stars1", "stars1", "stars2", "stars3", "", "!"]),
        st.sampled_from([1, 60, 60, 60, 300, 601]),
        st.sampled_from([True, True, False]),
        st.sampled_from([1, 1, 1, 1, 1, 0, 2, -5]),
    ),
    max_size=80,
)


@given(STEPS, st.sampled_from([3, 5, 7]))
def test_readings_are_kept_as_the_rules_have_it(steps: list[Step], depth: int) -> None:
    settings = Settings(enabled=True, depth=depth, max_age_s=600)
    stage, taken = Daylight(settings), records(steps)
    gone_on = [out for record in taken for out in stage.take(record)]
    assert verdicts(gone_on) == modelled(taken, settings)
    rest = stage.release()
    assert len(gone_on) + len(rest) == len(taken)
    assert all(isinstance(one, Reading) for one in rest)


def test_a_day_costs_all_readings_but_those_next_to_the_night() -> None:
    night, day = [Step("stars1")] * 20, [Step("stars1", saturated=True)] * 100
    stage = Daylight(Settings(enabled=True, depth=7))
    gone_on = [out for record in records(night + day + night) for out in stage.take(record)]
    kept = list(verdicts(gone_on).values())
    assert kept == [True] * 23 + [False] * 94 + [True] * 20
    filtered = [one for one in gone_on if isinstance(one, Filtered)]
    assert {(one.cause, one.subject) for one in filtered} == {(Cause.DAYLIGHT, "stars1")}


def test_four_channels_are_saturated_together_only() -> None:
    stage = Daylight(Settings(enabled=True, depth=3))
    for place, magnitudes in enumerate(
        [(0.0,) * 4, (0.0, 0.0, 0.0, 17.0), (0.0,) * 4, (0.0,) * 4, (0.0,) * 4]
    ):
        frame = Frame(FrameKind.MESSAGE, place, "t", b"{}", 2, position=(1, 1, place))
        gone_on = stage.take(
            Reading(frame, "stars701", place, True, place, (1.0,) * 4, magnitudes, 1.0, 1.0, 1)
        )
        if place:
            assert [one.frame.position for one in gone_on] == [(1, 1, place - 1)]
            assert isinstance(gone_on[0], Filtered) == (place == 4)


@pytest.mark.parametrize("settings", [Settings(), Settings(enabled=True, disabled_for=("stars1",))])
def test_who_is_left_alone_is_not_held(settings: Settings) -> None:
    stage = Daylight(settings)
    for record in records([Step("stars1", saturated=True)] * 10):
        assert stage.take(record) == [record]
    assert stage.low() is None


def test_a_clock_that_went_back_far_begins_a_window_anew() -> None:
    stage = Daylight(Settings(enabled=True, max_age_s=600))
    first, second, tick = records([Step("stars1"), Step("stars1"), Step("", after_s=-100_000)])
    assert stage.take(first) == stage.take(second) == []
    assert stage.take(tick) == [first, second, tick]
    assert stage.low() is None


def test_made_up_names_and_long_messages_find_an_end() -> None:
    stage = Daylight(Settings(enabled=True), max_windows=100, max_held_bytes=200_000)
    most = 0
    for number in range(1000):
        frame = Frame(FrameKind.MESSAGE, number, "t", b" " * (number % 7 * 3000), 2, position=(1, 1, number))
        stage.take(Reading(frame, f"n{number}", 1, True, 1, (1.0,), (0.0,), 1.0, 1.0, 1))
        most = max(most, stage.held())
    assert 10 < most <= 100
