# SPDX-License-Identifier: MIT
"""What the tests of the journal share: a listener that remembers, frames, journals that are closed in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater
from zope.interface import implementer

from tessmon.interfaces import IJournalListener
from tessmon.journal.journal import Journal
from tessmon.journal.layout import segment_names, segment_path
from tessmon.records.frame import Frame
from tessmon.records.position import START, Position

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0
EVERYTHING = 1 << 40


@implementer(IJournalListener)
class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.receipts: list[Any] = []
        self.commits = 0
        self.states: list[str] = []

    def settled(self, receipts: list[Any]) -> None:
        self.commits += 1
        self.receipts.extend(receipts)

    def journal_full(self, why: str) -> None:
        self.states.append("full")

    def journal_has_room(self) -> None:
        self.states.append("room")


def a_frame(number: int, payload: bytes = b"") -> Frame:
    """A message whose receive time is its number."""
    payload = payload or f'{{"seq": {number}}}'.encode()
    return Frame(0, number, f"STARS4ALL/stars{number}/reading", payload, len(payload), 1, False, False, 7, 1)


def numbers(frames: list[Frame]) -> list[int]:
    """The numbers that the frames were made with; events of the journal itself have none."""
    return [frame.received_ns for frame in frames if frame.kind == 0]


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so, with a deadline."""
    from twisted.internet import reactor

    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not become so in time"
        await deferLater(reactor, 0.005, lambda: None)


class Desk:
    """Opens journals in one directory, one after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[Journal] = []

    def make(self, listener: Listener | None = None, **options: Any) -> Journal:
        from twisted.internet import reactor

        settings = {
            "max_bytes": EVERYTHING,
            "min_free_bytes": 0,
            "retention_s": 1e9,
            "gather_s": 0.0,
            **options,
        }
        journal = Journal(self.directory, listener or Listener(), reactor, **settings)
        self.made.append(journal)
        return journal

    async def open(self, **options: Any) -> Journal:
        journal = self.make(**options)
        await journal.open()
        return journal

    async def close(self) -> None:
        for journal in self.made:
            await journal.close()

    def names(self) -> list[int]:
        return segment_names(self.directory)

    def path(self, index: int) -> Path:
        """The file of the segment that is ``index`` places from the oldest."""
        return segment_path(self.directory, self.names()[index])


async def write(journal: Journal, first: int, last: int, payload: bytes = b"", group: int = 10) -> None:
    """Append frames first..last, in groups."""
    for number in range(first, last + 1):
        journal.append(a_frame(number, payload))
        if (number - first) % group == group - 1 or number == last:
            await until(lambda: not journal.pending_bytes)


async def read_all(
    journal: Journal, after: Position = START, max_frames: int = 100, max_bytes: int = 1 << 20
) -> tuple[list[Frame], list[str]]:
    """All frames behind a position, and the gaps that were told."""
    frames: list[Frame] = []
    gaps: list[str] = []
    while True:
        chunk = await journal.read(after, max_frames, max_bytes)
        if chunk.gap:
            gaps.append(chunk.gap)
        if not chunk.frames:
            return frames, gaps
        frames += chunk.frames
        after = frames[-1].position
