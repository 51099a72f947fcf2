# SPDX-License-Identifier: MIT
"""When the next snapshot is asked for, from which cursor, and what a failed poll means."""

from __future__ import annotations

from typing import NamedTuple

from tessmon.sources.backoff import Backoff
from tessmon.sources.vlbimon_client import VlbimonError

GAP_PERIODS = 1.5
"""Two snapshots further apart than so many periods: what came between them may be in none."""
LONGEST_S = 180.0
_SLOW_S = 60.0, 300.0
_AFTER_BAD_ANSWERS = 3


class Verdict(NamedTuple):
    """What a failed poll means.

    Attributes:
        kind: lost, unreachable, refused; the name of the event.
        state: for the status.
        why: one sentence.
        delay_s: before the next attempt [s].
        news: it was not told since the last snapshot.
    """

    kind: str
    state: str
    why: str
    delay_s: float
    news: bool


class Success(NamedTuple):
    """What a snapshot means: whether the one before it is long ago, and whether polls failed before it."""

    gap: bool
    news: bool


class Polling:
    """Keeps the pace.

    Args:
        period_s: from the beginning of a poll to that of the next [s].

    Attributes:
        cursors: server → where its snapshots go on.
        due_s: when the next poll is to begin, began_s: when the last one did [s by a steady clock].
        good, failed: polls that brought a snapshot, and those that brought none; failures: the last ones in a row.
        last_ns: when the newest snapshot came [ns], 0 before the first.
        took_s: how long its answer took [s].
        left_alone: the next poll waits because the server asked for that.
    """

    def __init__(self, period_s: float) -> None:
        self.cursors: dict[str, str] = {}
        self.due_s = self.began_s = 0.0
        self.good = self.failed = self.failures = 0
        self.last_ns = 0
        self.took_s = 0.0
        self.left_alone = False
        self._last_s: float | None = None
        self._excused_s = 0.0
        self._bad_answers = 0
        self._told: set[tuple[object, ...]] = set()
        self._slow = Backoff(*_SLOW_S)
        self.take_up(period_s)

    def take_up(self, period_s: float) -> None:
        """Another pace from now on; whatever failed is tried again at once."""
        self.period_s = period_s
        self._soon = Backoff(period_s, max(period_s, LONGEST_S))
        self._slow.reset()
        self.due_s = 0.0
        self.left_alone = False

    def begin(self, now_s: float) -> float:
        """A poll begins; when."""
        if now_s - self.due_s > self.period_s:  # too late to keep step with what was meant
            self.due_s = now_s
        self.began_s = now_s
        return now_s

    def cursor(self, server: str) -> str | None:
        """What to send; now and then nothing, when a server can do nothing with what is sent."""
        if self._bad_answers and self._bad_answers % _AFTER_BAD_ANSWERS == 0:
            return None
        return self.cursors.get(server)

    def excuse(self, took_s: float) -> None:
        """A poll had to wait for a call for history [s]: no new history is asked for because of that."""
        self._excused_s += took_s

    def succeeded(self, server: str, cursor: str | None, took_s: float, now_s: float, now_ns: int) -> Success:
        """A snapshot is on disk."""
        apart_s = 0.0 if self._last_s is None else self.began_s - self._last_s - self._excused_s
        success = Success(apart_s > GAP_PERIODS * self.period_s, self.failures > 0 or not self.good)
        if cursor is not None:
            self.cursors[server] = cursor
        self.good += 1
        self.left_alone = False
        self.failures = self._bad_answers = 0
        self._last_s, self._excused_s = self.began_s, 0.0
        self.last_ns, self.took_s = now_ns, took_s
        self._soon.reset()
        self._slow.reset()
        self._told.clear()
        self.due_s = max(self.due_s + self.period_s, now_s)
        return success

    def fail(
        self, server: str, error: VlbimonError, now_s: float, *, other_server: bool, on_trial: bool = False
    ) -> Verdict:
        """A poll failed.

        Args:
            other_server: another one is asked now, which need not wait.
            on_trial: this one was only looked at, and the one that does well is asked now.
        """
        self.failed += 1
        if on_trial:
            self.due_s = now_s
            return Verdict("lost", "connected", str(error), 0.0, news=False)
        stood = self.good > 0 and self.failures == 0
        self.failures += 1
        if error.status == 400:
            self.cursors.pop(server, None)  # what it says of a cursor that it does not know
        elif error.is_bad_answer:
            self._bad_answers += 1
        kind = "refused" if error.for_good else "lost" if stood else "unreachable"
        key = (server, type(error), error.status, error.for_good)
        news = key not in self._told
        self._told.add(key)
        delay_s = self._delay_s(error, other_server)
        self.left_alone = delay_s > 0 and not error.for_good and error.retry_after_s == delay_s
        self.due_s = now_s + delay_s
        return Verdict(kind, "refused" if error.for_good else "connecting", str(error), delay_s, news)

    def _delay_s(self, error: VlbimonError, other_server: bool) -> float:
        if other_server:
            return 0.0
        if error.for_good:
            return self._slow.next_s()
        if error.retry_after_s is not None:
            return max(error.retry_after_s, self.period_s)
        return self._soon.next_s()
