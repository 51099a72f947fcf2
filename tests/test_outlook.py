# SPDX-License-Identifier: MIT
"""What the last minutes say of the next ones, on made-up looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.interfaces import Waiting
from tessmon.outlook import FARTHEST_S, WINDOW_S, Look, Outlook

STEP_S = 2.0
FRAME_BYTES = 200


class Course:
    """An input that runs at given rates, looked at every two seconds."""

    def __init__(self) -> None:
        self.outlook = Outlook()
        self.at_s = 1e6
        self.journalled = self.taken = 0.0

    @property
    def waiting(self) -> Waiting:
        frames = int(self.journalled - self.taken)
        return Waiting(frames, frames * FRAME_BYTES, None)

    def run(self, seconds: float, arrival_hz: float, drain_hz: float, *, writes: bool = True) -> None:
        for _ in range(int(seconds / STEP_S)):
            self.at_s += STEP_S
            self.journalled += arrival_hz * STEP_S
            if writes:
                self.taken = min(self.journalled, self.taken + drain_hz * STEP_S)
            waiting_s = (self.journalled - self.taken) / arrival_hz if arrival_hz else 1e3
            oldest_s = self.at_s - waiting_s if self.taken < self.journalled else None
            self.outlook.note(Look(self.at_s, int(self.journalled), int(self.taken), writes, oldest_s))


@pytest.fixture
def course() -> Course:
    return Course()


def test_nothing_is_known_before_anything_was_seen(course: Course) -> None:
    waiting = Waiting(1000, 200_000, 1)
    for seconds in (0, STEP_S, STEP_S):
        course.run(seconds, 100, 100)
        assert course.outlook.arrival_hz is None
        assert course.outlook.full_in_s(1 << 30, waiting) is None
        assert course.outlook.drained_in_s(1000) is None


def test_a_lane_that_keeps_up_fills_no_journal(course: Course) -> None:
    course.run(60, 100, 10_000)
    assert course.outlook.arrival_hz == pytest.approx(100)
    assert course.outlook.full_in_s(1 << 20, Waiting(5, 1000, 1)) is None
    assert course.outlook.drained_in_s(0) == 0


def test_a_pause_shows_at_once_when_the_journal_will_be_full(course: Course) -> None:
    course.run(60, 100, 10_000)
    course.run(STEP_S, 100, 0, writes=False)
    assert course.outlook.full_in_s(7200 * 100 * FRAME_BYTES, course.waiting) == pytest.approx(7200)
    course.run(600, 50, 0, writes=False)  # half as many come in the night
    assert course.outlook.full_in_s(7200 * 100 * FRAME_BYTES, course.waiting) == pytest.approx(14_400)


def test_how_long_draining_takes_is_known_from_the_last_drain(course: Course) -> None:
    course.run(60, 100, 10_000)
    course.run(600, 100, 0, writes=False)
    assert course.outlook.drained_in_s(course.waiting.frames) is None
    course.run(20, 100, 1100)
    assert course.outlook.drained_in_s(course.waiting.frames) == pytest.approx(40, rel=0.05)
    assert course.outlook.full_in_s(1 << 30, course.waiting) is None
    course.run(200, 100, 1100)
    assert course.waiting.frames == 0
    course.run(600, 100, 0, writes=False)
    assert course.outlook.drained_in_s(course.waiting.frames) == pytest.approx(60, rel=0.05)


def test_a_lane_that_only_keeps_up_tells_nothing_of_how_fast_it_could_be(course: Course) -> None:
    course.run(600, 100, 100.5)
    assert course.outlook.drain_hz is None


def test_more_comes_than_goes(course: Course) -> None:
    course.run(600, 100, 0, writes=False)
    course.run(60, 100, 40)
    assert course.outlook.drained_in_s(course.waiting.frames) is None
    assert course.outlook.full_in_s(3600 * 60 * FRAME_BYTES, course.waiting) == pytest.approx(3600, rel=0.05)


def test_when_nothing_comes_nothing_grows(course: Course) -> None:
    course.run(2 * WINDOW_S, 0, 0, writes=False)
    assert course.outlook.full_in_s(1, Waiting(10, 1000, 1)) is None


def test_what_is_years_away_is_not_in_sight(course: Course) -> None:
    course.run(60, 1, 0, writes=False)
    assert course.outlook.full_in_s(1 << 50, course.waiting) is None
    assert course.outlook.full_in_s(int(FARTHEST_S) * FRAME_BYTES // 2, course.waiting) is not None


def test_a_clock_that_is_put_back_begins_anew(course: Course) -> None:
    course.run(60, 100, 0, writes=False)
    course.at_s -= 3600
    course.run(2 * STEP_S, 100, 0, writes=False)
    assert course.outlook.arrival_hz is None
    course.run(60, 100, 0, writes=False)
    assert course.outlook.arrival_hz == pytest.approx(100)


def test_a_clock_that_is_put_forward_is_forgotten_too(course: Course) -> None:
    course.run(60, 100, 0, writes=False)
    course.at_s += 3600
    course.run(20, 100, 0, writes=False)
    assert course.outlook.arrival_hz == pytest.approx(100)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e12),
            st.integers(0, 2**40),
            st.integers(0, 2**40),
            st.booleans(),
            st.none() | st.floats(0, 1e12),
        ),
        max_size=20,
    ),
    st.integers(-(2**60), 2**60),
    st.integers(0, 2**40),
)
def test_no_look_makes_it_stumble(
    looks: list[tuple[float, int, int, bool, float | None]], room_bytes: int, frames: int
) -> None:
    outlook = Outlook()
    for look in looks:
        outlook.note(Look(*look))
        full_in_s = outlook.full_in_s(room_bytes, Waiting(frames, frames * FRAME_BYTES, None))
        drained_in_s = outlook.drained_in_s(frames)
        assert full_in_s is None or 0 <= full_in_s <= FARTHEST_S
        assert drained_in_s is None or 0 <= drained_in_s <= FARTHEST_S
