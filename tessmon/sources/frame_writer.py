# SPDX-License-Identifier: MIT
"""How a source writes into its journal: strictly increasing times, events, and ticks when nothing came."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tessmon.interfaces import IJournal
from tessmon.records.frame import Frame, FrameKind

TICK_AFTER_S = 60.0
"""A source that appended nothing for so long appends a tick."""
_LOOK_S = 5.0

CATCH_UP = 2
"""When the clock was put back, times go on at one part in so many of its pace until it has caught up. Without a
distance between them, all readings without a time stamp would get one second, in which each photometer can have
but one reading; and what is wrong gets less."""
FOLLOWED_STEP_NS = 86_400 * 10**9
"""A clock that is put back by more than this was so wrong that it is followed at once."""
_TOLD_STEP_NS = 10**9


class FrameWriter:
    """Stamps frames and appends them.

    Args:
        journal: where to.
        clock: that of the reactor; nobody sets it.
        now_ns: wall clock.

    Attributes:
        journal: where to.
        messages: how many messages were appended.
    """

    log = Logger()

    def __init__(self, journal: IJournal, clock: IReactorTime, now_ns: Callable[[], int]) -> None:
        self.journal = journal
        self.messages = 0
        self._clock = clock
        self._now_ns = now_ns
        self._last_ns = 0
        self._stamped_s = clock.seconds()
        self._behind = False
        self._early: list[tuple[str, dict[str, Any]]] | None = []
        self._silent_s = 0.0
        self._stamp_seen_ns = 0
        self._ticks = LoopingCall(self._look)
        self._ticks.clock = clock

    def begin(self, newest_ns: int) -> None:
        """Write from now on, later than the journal's newest frame, received at ``newest_ns``."""
        self._last_ns, self._stamped_s = newest_ns, self._clock.seconds()
        early, self._early = self._early or [], None
        self.event("started")
        for what, detail in early:
            self.event(what, **detail)
        self._ticks.start(_LOOK_S, now=False)

    def end(self) -> None:
        """No more ticks."""
        if self._ticks.running:
            self._ticks.stop()

    def stamp(self) -> int:
        """The receive time of a frame that comes now [ns], later than that of each frame before, unless the clock
        was put back by more than a day."""
        now_ns, steady_s = self._now_ns(), self._clock.seconds()
        if self._behind or now_ns <= self._last_ns:
            now_ns = self._catching_up(now_ns, steady_s)
        self._last_ns, self._stamped_s = now_ns, steady_s
        return now_ns

    def _catching_up(self, now_ns: int, steady_s: float) -> int:
        """The time to go on with when the clock is behind or was so just now."""
        earliest_ns = self._last_ns + max(1, int((steady_s - self._stamped_s) * 1e9 / CATCH_UP))
        if now_ns >= earliest_ns:
            self._behind = False
            return now_ns
        step_ns = self._last_ns - now_ns
        if step_ns > _TOLD_STEP_NS and not self._behind:
            self._behind = True
            self.log.warn("the clock was put back by {by_s:.0f} s", by_s=step_ns / 1e9)
            self.event("clock_put_back", by_s=round(step_ns / 1e9))
            return self._catching_up(now_ns, steady_s)
        self._behind = True
        return now_ns if step_ns > FOLLOWED_STEP_NS else earliest_ns

    def message(self, frame: Frame, receipt: object | None) -> None:
        """Append what an instrument sent."""
        self.messages += 1
        self.journal.append(frame, receipt)

    def event(self, what: str, **detail: Any) -> None:
        """Append something that happened; before `begin` it waits for that."""
        if self._early is not None:
            self._early.append((what, detail))
        else:
            self._append(FrameKind.EVENT, what, json.dumps(detail, ensure_ascii=False, default=str).encode())

    def _look(self) -> None:
        if self._last_ns != self._stamp_seen_ns:
            self._stamp_seen_ns, self._silent_s = self._last_ns, 0.0
            return
        self._silent_s += _LOOK_S
        if self._silent_s >= TICK_AFTER_S and self.journal.full is None:
            self._append(FrameKind.TICK, "", b"")
            self._stamp_seen_ns, self._silent_s = self._last_ns, 0.0

    def _append(self, kind: FrameKind, topic: str, payload: bytes) -> None:
        self.journal.append(Frame(kind, self.stamp(), topic, payload, len(payload)))
