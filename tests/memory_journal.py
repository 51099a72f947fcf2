# SPDX-License-Identifier: MIT
"""A journal in memory, for tests of lanes that need to say exactly which frames stand where."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from tessmon.interfaces import Chunk, IJournal, JournalStatus, Waiting
from tessmon.records.frame import Frame
from tessmon.records.position import START, Position


@implementer(IJournal)
class MemoryJournal:
    """Frames in one segment and one group, at once "on disk"."""

    full: str | None = None
    pending_bytes = 0

    def __init__(self, identity: str = "memory") -> None:
        self.identity = identity
        self.frames: list[Frame] = []
        self.gap: str | None = None
        self.passed_up_to: Position = START
        self.adopted: Position | None = None
        self.reads: list[Position] = []
        self._watchers: list[Callable[[], None]] = []

    def take(self, frames: Iterable[Frame]) -> None:
        """Append several and tell the lane once."""
        for frame in frames:
            self._append(frame)
        for callback in self._watchers:
            callback()

    def _append(self, frame: Frame) -> None:
        values = {name: getattr(frame, name) for name in frame.__struct_fields__}
        self.frames.append(Frame(**{**values, "position": (1, 1, len(self.frames))}))

    def open(self) -> Deferred[None]:
        return succeed(None)

    def append(self, frame: Frame, receipt: object = None) -> None:
        self.take([frame])

    def tail(self, max_frames: int, max_bytes: int) -> Deferred[list[Frame]]:
        return succeed(self.frames[-max_frames:])

    def read(self, after: Position, max_frames: int, max_bytes: int) -> Deferred[Chunk]:
        self.reads.append(after)
        gap, self.gap = self.gap, None
        behind = [frame for frame in self.frames if frame.position > after]
        return succeed(Chunk(behind[:max_frames], gap))

    def watch(self, callback: Callable[[], None]) -> None:
        self._watchers.append(callback)

    def adopt(self, position: Position) -> Deferred[None]:
        self.adopted = position
        return succeed(None)

    def passed(self, low: Position) -> None:
        self.passed_up_to = low

    def status(self) -> JournalStatus:
        newest = self.frames[-1].position if self.frames else START
        return JournalStatus(1, 0, 0, 1, 1, None, newest, 0)

    def waiting(self, after: Position) -> Deferred[Waiting]:
        behind = [frame for frame in self.frames if frame.position > after]
        return succeed(Waiting(len(behind), 0, behind[0].received_ns if behind else None))

    def close(self) -> Deferred[None]:
        return succeed(None)
