# SPDX-License-Identifier: MIT
"""The sweep: what of the history is owed, and in which questions it is asked for.

A snapshot has the newest value of each parameter only, so what was replaced between two snapshots, or came while nobody
asked, is in the history and nowhere else. One moving second says up to where that was asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence

from twisted.logger import Logger

from tessmon.records.vlbimon_walk import is_name
from tessmon.sources.vlbimon_questions import MAX_QUERY_BYTES, Question, questions

WINDOW_S = 3600
"""A call asks for no more; and so far before `Sweep.swept_s` each sweep begins, for what came late [s]."""
AHEAD_S = 600
"""A clock that was so far ahead when something was swept was wrong [s]."""
LOOK_BACK_S = 86_400
"""From where to sweep when it was [s before now]."""
_FAILURES = 3
_LEAST_QUERY_BYTES = 500
_PATIENCE = 3
"""A sweep begins no sooner than so many times as long after the last one as that one took."""

Names = tuple[Sequence[str], Sequence[str]]


class Sweep:
    """Goes through the windows that are owed, question by question.

    Args:
        names: stations and parameters to ask for.

    Attributes:
        swept_s: history is whole up to here [s since 1970 UTC], None while nobody knows.
        asked_s: only for sweeps of names that no masterlist has told: they were asked for up to here, and `swept_s`
            stands still, because nobody knows what else there is [s since 1970 UTC]. None when there was none.
        wanted: one is to begin as soon as may be.
    """

    log = Logger()

    def __init__(self, names: Callable[[], Names]) -> None:
        self.swept_s: int | None = None
        self.asked_s: int | None = None
        self.wanted = True
        self._names = names
        self._listed = True
        self._windows: deque[tuple[int, int]] = deque()
        self._questions: deque[Question] = deque()
        self._query_bytes = MAX_QUERY_BYTES
        self._failures = 0
        self._began_s = self._ended_s = 0.0

    @property
    def going(self) -> bool:
        """Whether it is under way."""
        return bool(self._windows)

    def due_s(self, period_s: float) -> float:
        """When the next one may begin [s of the clock that `begin` and `advance` are told]."""
        rested_s = self._ended_s + _PATIENCE * (self._ended_s - self._began_s)
        return rested_s if self.wanted else max(rested_s, self._began_s + period_s)

    def begin(self, ours_s: int, theirs_s: int, clock_s: float, *, listed: bool = True) -> None:
        """Plan all windows up to now, which is the earlier of two clocks: history of a time that has not come yet is
        empty, and would count as whole.

        Args:
            ours_s: this machine's wall clock; it may have woken up in 1970 [s since 1970 UTC].
            theirs_s: the server's, as far as it is known [s since 1970 UTC].
            clock_s: a steady one [s].
            listed: a masterlist tells the names. The first such sweep goes over all that those without went over.
        """
        now_s, latest_s = sorted((ours_s, theirs_s))
        swept_s = self.swept_s
        if swept_s is None:  # nobody ever asked for any
            swept_s = self.swept_s = theirs_s - WINDOW_S
        elif swept_s > latest_s + AHEAD_S:
            self.log.warn(
                "history is whole up to {swept_s}, which is yet to come: it is asked for from a day ago",
                swept_s=swept_s,
            )
            swept_s = self.swept_s = now_s - LOOK_BACK_S
        if listed or (self.asked_s or 0) > latest_s + AHEAD_S:
            self.asked_s = None
        self._listed = listed
        self._query_bytes, self._failures = MAX_QUERY_BYTES, 0
        starts = range(min(max(swept_s, self.asked_s or 0), now_s) - WINDOW_S, now_s, WINDOW_S)
        self._windows = deque((start_s, min(start_s + WINDOW_S, now_s)) for start_s in starts)
        self._began_s, self.wanted = clock_s, False
        self._ask_window()

    def question(self) -> Question:
        """The next one of a sweep that is going."""
        return self._questions[0]

    def answered(self, question: Question, clock_s: float) -> int | None:
        """A question's answer is on disk; the second up to which history is whole now, when that is news."""
        if not self._questions or self._questions[0] is not question:
            return None  # given up meanwhile
        self._failures = 0
        self._questions.popleft()
        if self._questions:
            return None
        _, end_s = self._windows.popleft()
        if self._windows:
            self._ask_window()
        else:
            self._ended_s = clock_s
        if not self._listed:
            self.asked_s = max(end_s, self.asked_s or 0)
            return None
        return end_s if self.swept_s is None or end_s > self.swept_s else None

    def failed(self) -> None:
        """The question must be asked again. When that does not help, smaller ones are: a server may have limits that
        nobody knows. When they are as small as may be, the others have their turn before it is asked once more."""
        self._failures += 1
        if not self.going or self._failures % _FAILURES:
            return
        if self._query_bytes > _LEAST_QUERY_BYTES:
            self._query_bytes //= 2
            self._ask_window()
        else:
            self._questions.rotate(-1)

    def give_up(self) -> None:
        """Another server is asked from now on, which has other gaps; or for other names."""
        self._windows.clear()
        self._questions.clear()
        self.wanted = True

    def _ask_window(self) -> None:
        start_s, end_s = self._windows[0]
        asked = questions(*self._names(), self._query_bytes)
        self._questions = deque(Question(stations, fields, start_s, end_s) for stations, fields in asked)


class Known:
    """Names of stations and parameters: those of the masterlist, and those that snapshots had besides.

    Attributes:
        listed: whether there was a masterlist; without one, nobody knows what else there is.
    """

    _MOST = 10_000

    def __init__(self) -> None:
        self.listed = False
        self._stations: dict[str, None] = {}
        self._fields: dict[str, None] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self._stations and self._fields)

    def list(self, stations: Collection[str], fields: Collection[str]) -> None:
        """Names of a masterlist."""
        self.listed = True
        for station in stations:
            self.see(station, "")
        for field in fields:
            self.see("", field)

    def see(self, station: str, field: str) -> None:
        """Names of a point."""
        for known, name in ((self._stations, station), (self._fields, field)):
            if name not in known and is_name(name) and len(known) < self._MOST:
                known[name] = None

    def names(self, only: Collection[str]) -> Names:
        """All stations, or only some of them, and all parameters."""
        return list(only or self._stations), list(self._fields)
