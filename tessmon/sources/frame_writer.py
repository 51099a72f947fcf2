# SPDX-License-Identifier: MIT
"""How a source writes into its journal: strictly increasing times, events, and ticks when nothing came."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from tessmon.interfaces import IJournal
from tessmon.records.frame import Frame, FrameKind

TICK_AFTER_S = 60.0
"""A source that appended nothing for so long appends a tick."""
_LOOK_S = 5.0


class FrameWriter:
    """Stamps frames and appends them.

    Attributes:
        journal: where to.
        messages: how many messages were appended.
    """

    def __init__(self, journal: IJournal, clock: IReactorTime, now_ns: Callable[[], int]) -> None:
        self.journal = journal
        self.messages = 0
        self._now_ns = now_ns
        self._last_ns = 0
        self._early: list[tuple[str, dict[str, Any]]] | None = []
        self._silent_s = 0.0
        self._stamp_seen_ns = 0
        self._ticks = LoopingCall(self._look)
        self._ticks.clock = clock

    def begin(self, newest_ns: int) -> None:
        """Write from now on, later than the journal's newest frame, received at ``newest_ns``."""
        self._last_ns = newest_ns
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
        """The receive time of a frame that comes now [ns], later than that of each frame before."""
        now, last = self._now_ns(), self._last_ns
        self._last_ns = now if now > last else last + 1
        return self._last_ns

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
