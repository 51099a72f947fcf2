# SPDX-License-Identifier: MIT
"""What a lane has done since the process started: for status, metrics and one log line a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.logger import Logger

from tessmon.interfaces import LaneStatus
from tessmon.records.batch import Standing
from tessmon.sink.plan import Written

LOG_EVERY_NS = 1_000_000_000
OUTCOMES = ("stored", "duplicate", "filtered", "rejected")


class Account:
    """Counts of one lane.

    Args:
        lane: the lane's name.
        now_ns: the clock.
    """

    log = Logger()

    def __init__(self, lane: str, now_ns: Callable[[], int]) -> None:
        self.state, self.detail = "starting", "the database has not been asked yet"
        self.last_frame_ns = 0
        self._lane = lane
        self._now_ns = now_ns
        self._since_ns = now_ns()
        self._batches = 0
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._retried: Counter[str] = Counter()
        self._last_commit_ns = 0
        self._commit_s = 0.0
        self._unlogged: Counter[str] = Counter()
        self._logged_ns = 0

    def enter(self, state: str, detail: str) -> None:
        """The lane is in this state now."""
        if state != self.state:
            self._since_ns = self._now_ns()
        self.state, self.detail = state, detail

    def add(self, written: Written, commit_s: float, newest_ns: int) -> None:
        """A transaction was committed.

        Args:
            written: what it counted.
            commit_s: how long it took [s].
            newest_ns: receive time of its newest frame [ns], 0 when it took retried rejects.
        """
        self._batches += 1
        self._commit_s = commit_s
        self._last_commit_ns = self._now_ns()
        self.last_frame_ns = max(self.last_frame_ns, newest_ns)
        for key, count in written.tallies.items():
            self._outcomes[key.outcome, key.cause] += count
            self._retried[key.cause] -= min(count, 0)
            self._unlogged[key.outcome] += count
        self.log_batches()

    def log_batches(self, force: bool = False) -> None:
        """One line a batch, or a second where there are more."""
        now_ns = self._now_ns()
        if not self._unlogged or (not force and now_ns - self._logged_ns < LOG_EVERY_NS):
            return
        self.log.info(
            "{lane}: {stored} stored, {duplicate} duplicate, {filtered} filtered, {rejected} rejected; "
            "commit {commit_s:.3f} s, lag {lag_s:.1f} s",
            lane=self._lane,
            commit_s=self._commit_s,
            lag_s=max(0, self._last_commit_ns - self.last_frame_ns) / 1e9,
            **{outcome: self._unlogged[outcome] for outcome in OUTCOMES},
        )
        self._unlogged.clear()
        self._logged_ns = now_ns

    def status(self, committed: Standing | None, held: int) -> LaneStatus:
        """The lane at a glance, ``held`` being what its stages hold back."""
        return LaneStatus(
            self._lane,
            self.state,
            self.detail,
            self._since_ns,
            committed and committed.position,
            committed and committed.low,
            self._batches,
            dict(self._outcomes),
            {cause: count for cause, count in self._retried.items() if count},
            self._last_commit_ns,
            self.last_frame_ns,
            self._commit_s,
            held,
        )


class Tally:
    """What became of records since the last time, of counts that only grow."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()

    def new(self, status: LaneStatus) -> dict[str, int]:
        """Outcome → records since the last call, or since the start of the process."""
        total: Counter[str] = Counter()
        for (outcome, _), count in status.outcomes.items():
            total[outcome] += count
        counted, self._counted = self._counted, total
        return {outcome: total[outcome] - counted[outcome] for outcome in OUTCOMES}
