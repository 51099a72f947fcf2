# SPDX-License-Identifier: MIT
"""What the last minutes say of the next ones: when a journal will be full, and how long draining it will take.

Plain sums without a clock. The figures are for people: they take it that all goes on as it did.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import NamedTuple

from tessmon.interfaces import Waiting

WINDOW_S = 300.0
"""What lies longer back says nothing of the present rates [s]."""
MIN_SPAN_S = 4.0
"""Rates over a shorter time are noise [s]."""
FARTHEST_S = 366 * 86_400.0
"""What is farther away is not in sight [s]."""


class Look(NamedTuple):
    """One look at an input.

    Attributes:
        at_s: when [s, from any beginning].
        journalled: messages appended to the journal since the process started.
        taken: records that were stored, filtered or rejected since then.
        writes: whether the lane has its database.
        oldest_s: when the oldest frame came that waits [s, from the same beginning]; None when none does.
    """

    at_s: float
    journalled: int
    taken: int
    writes: bool
    oldest_s: float | None


class Outlook:
    """The rates of one input, measured between looks.

    Attributes:
        drain_hz: how many frames a second the lane took when last it had more of them than it could take; None
            when that has not been seen yet.
    """

    def __init__(self) -> None:
        self.drain_hz: float | None = None
        self._looks: deque[Look] = deque()

    def note(self, look: Look) -> None:
        """Take one more look into account; a clock that went back begins anew."""
        if self._looks and look.at_s <= self._looks[-1].at_s:
            self._looks.clear()
        self._looks.append(look)
        while look.at_s - self._looks[0].at_s > WINDOW_S:
            self._looks.popleft()
        behind = self._behind()
        if behind is not None:
            self.drain_hz = (look.taken - behind.taken) / (look.at_s - behind.at_s)

    @property
    def arrival_hz(self) -> float | None:
        """Messages a second that came lately; None when nobody has looked long enough."""
        if not self._looks or self._looks[-1].at_s - self._looks[0].at_s < MIN_SPAN_S:
            return None
        first, last = self._looks[0], self._looks[-1]
        return (last.journalled - first.journalled) / (last.at_s - first.at_s)

    def full_in_s(self, room_bytes: int, waiting: Waiting) -> float | None:
        """When the journal will be full if all goes on so [s]; None when it does not grow, or that is not known.

        Args:
            room_bytes: what the journal may still take.
            waiting: what stands in it behind the lane's position.
        """
        arrival_hz = self.arrival_hz
        if arrival_hz is None or not waiting.frames:
            return None
        growth_hz = arrival_hz - self._present_drain_hz(arrival_hz)
        growth_bytes = growth_hz * waiting.size_bytes / waiting.frames
        return _in_sight(max(0, room_bytes), growth_bytes)

    def drained_in_s(self, frames: int) -> float | None:
        """How long it takes to store what waits, as soon as the database is there [s]; None when that is not
        known, or more comes than goes.

        Args:
            frames: how many wait.
        """
        if not frames:
            return 0.0
        if self.drain_hz is None:
            return None
        return _in_sight(frames, self.drain_hz - (self.arrival_hz or 0.0))

    def _behind(self) -> Look | None:
        """The look since which the lane has had more than it could take without a break; None when there is none, or
        it was a moment ago."""
        since = None
        for later, earlier in pairwise(reversed(self._looks)):
            busy = earlier.writes and later.writes
            if not busy or later.oldest_s is None or later.oldest_s > earlier.at_s:
                break
            since = earlier
        if since is None or self._looks[-1].at_s - since.at_s < MIN_SPAN_S:
            return None
        return since

    def _present_drain_hz(self, arrival_hz: float) -> float:
        """A lane that is not behind takes what comes."""
        if not self._looks[-1].writes:
            return 0.0
        if self._behind() is None or self.drain_hz is None:
            return arrival_hz
        return self.drain_hz


def _in_sight(amount: float, rate: float) -> float | None:
    """How long the amount lasts at a rate [s]."""
    if rate <= 0 or amount > rate * FARTHEST_S:
        return None
    return amount / rate
