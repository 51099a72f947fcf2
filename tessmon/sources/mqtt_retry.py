# SPDX-License-Identifier: MIT
"""What an ended connection means, and when to try again."""

from __future__ import annotations

from typing import NamedTuple

from tessmon.sources.backoff import Backoff
from tessmon.sources.mqtt_ending import Ending, Kind

SHORT_S = 15.0
"""A connection that stood no longer and was closed without a word makes one suspicious."""
SHORT_ONES = 3
"""So many of them one behind the other: MQTT 3.1.1 says nothing to a client that was taken over."""
STOOD_S = 30.0
"""A connection that stood so long, and `_TIMES` as long as the last delay, was a good one."""
_TIMES = 4
"""Two services with one client id throw each other out: each stands as long as the other waits, which may be
the next delay already, plus a quarter. What is told by that must not count as good, or they never slow down."""

_STATES = {Kind.REFUSED: "refused", Kind.TAKEN_OVER: "taken_over"}


class Verdict(NamedTuple):
    """What to tell and how long to wait.

    Attributes:
        kind: as the connection's, or taken_over when that is probable; the name of the event.
        state: for the status.
        why: one sentence.
        delay_s: before the next attempt [s].
        news: it differs from the last.
    """

    kind: str
    state: str
    why: str
    delay_s: float
    news: bool


class Retry:
    """Delays: 1 s to a minute for what heals by itself, 10 s to 5 min for what a person must mend."""

    def __init__(self) -> None:
        self._soon = Backoff(1.0, 60.0)
        self._slow = Backoff(10.0, 300.0)
        self._short_ones = 0
        self._last = ""

    def reset(self) -> None:
        """Something changed: try at once and begin anew."""
        self._soon.reset()
        self._slow.reset()
        self._short_ones = 0
        self._last = ""

    def judge(self, ending: Ending) -> Verdict:
        """Take an ending that was not wanted into account."""
        kind, why = ending.kind, ending.why
        if ending.stood_s > max(STOOD_S, _TIMES * self._soon.delay_s, _TIMES * self._slow.delay_s):
            self.reset()
        if kind is Kind.CLOSED and ending.stood_s < SHORT_S + _TIMES * self._slow.delay_s:
            self._short_ones += 1
        elif kind is not Kind.TAKEN_OVER:
            self._short_ones = 0
        if kind is Kind.CLOSED:
            kind = Kind.LOST
            if self._short_ones >= SHORT_ONES:
                kind = Kind.TAKEN_OVER
                why = f"probably another client uses our client id: {self._short_ones} times in a row {why}"
        told = f"{kind} {ending.why}"
        news = ending.stood_s > 0 or told != self._last
        self._last = told
        delays = self._slow if kind in _STATES else self._soon
        return Verdict(kind.value, _STATES.get(kind, "connecting"), why, delays.next_s(), news)
