# SPDX-License-Identifier: MIT
"""Reads a journal: frames behind a position over the borders of segments, the newest frames, what waits.

What is a gap: a position whose segment is not on disk, or whose group or frame its segment does not have; a group
missing between two others; a segment that does not continue the one before it (`tessmon.journal.chain.hole`). What is
not: nothing at all before the oldest segment when a lane starts from `START`, since older ones may have been unlinked
as passed. A gap is told with the first frames behind it, so that it is told once to a reader who goes on from what it
took. A position later than everything a journal has or will have is the exception: it is told with no frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tessmon.interfaces import Chunk, Waiting
from tessmon.journal.chain import Chain, Entry, hole
from tessmon.journal.segment import DamagedError, Segment, Stored
from tessmon.records.frame import Frame, pack_frame
from tessmon.records.position import Position


class Files(Protocol):
    """Where a reader gets an open segment from; it stays open until another one is asked for."""

    def opened(self, entry: Entry) -> Segment: ...


class Reader:
    """The one reader of a journal. It keeps the group it is in the middle of, so as not to unpack it anew."""

    def __init__(self, chain: Chain, files: Files) -> None:
        self._chain = chain
        self._files = files
        self._kept: tuple[tuple[int, int], Stored] | None = None

    def forget(self) -> None:
        """The files have changed."""
        self._kept = None

    def read(self, after: Position, max_frames: int, max_bytes: int) -> Chunk:
        """Frames behind a position; the gap is what is missing right before them.

        Raises:
            DamagedError: a segment must be salvaged first.
        """
        frames: list[Frame] = []
        gap: str | None = None
        room = max_bytes
        for missing, run in self._runs(after):
            if missing and frames:
                break
            gap = gap or missing
            for frame in run:
                room -= _size(frame)
                if frames and (room < 0 or len(frames) >= max_frames):
                    return Chunk(frames, gap)
                frames.append(frame)
            if len(frames) >= max_frames or room <= 0:
                break
        return Chunk(frames, gap if frames else None)

    def tail(self, max_frames: int, max_bytes: int) -> list[Frame]:
        """The newest frames, oldest first.

        Raises:
            DamagedError: a segment must be salvaged first.
        """
        groups: list[list[Frame]] = []
        missing, room = max_frames, max_bytes
        for entry in reversed(self._chain):
            if missing <= 0 or room <= 0:
                break
            for stored in self._open(entry).groups(0, entry.totals.last, backwards=True):
                groups.append(stored.frames[-missing:])
                missing -= len(groups[-1])
                room -= sum(map(_size, groups[-1]))
                if missing <= 0 or room <= 0:
                    break
        return [frame for group in reversed(groups) for frame in group]

    def waiting(self, after: Position) -> Waiting:
        """What stands behind a position, from sums.

        Raises:
            DamagedError: a segment must be salvaged first.
        """
        here = self._chain.entry(after[0])
        behind = [entry.totals for entry in self._chain.behind(after[0]) if entry.totals.last]
        frames = sum(totals.frames for totals in behind)
        size_bytes = sum(totals.size_bytes for totals in behind)
        oldest_ns = behind[0].oldest_ns if behind else None
        if here is None or after[1] > here.totals.last:
            return Waiting(frames, size_bytes, oldest_ns)
        read = self._open(here).look(after[1])
        _, rest = self._rest(here, after)
        frames += here.totals.frames - read.frames + len(rest)
        size_bytes += here.totals.size_bytes - read.size_bytes + sum(len(pack_frame(frame)) for frame in rest)
        first = rest or next((stored.frames for _, stored in self._groups(here, after[1])), rest)
        return Waiting(frames, size_bytes, first[0].received_ns if first else oldest_ns)

    def _runs(self, after: Position) -> Iterator[tuple[str | None, list[Frame]]]:
        """Frames behind a position, a group or the rest of one at a time, each with what is missing before it."""
        missing: str | None = None
        previous = self._chain.entry(after[0])
        entries = self._chain.behind(after[0])
        if previous is not None:
            missing, rest = self._rest(previous, after)
            if rest:
                yield missing, rest
            entries = [previous, *entries]
        elif after[0]:
            missing = f"segment {after[0]}, which was read last, is not there"
        for entry in entries:
            if previous is not None and previous is not entry:
                missing = missing or hole(previous, entry)
            for gap, stored in self._groups(entry, after[1] if entry.name == after[0] else 0):
                yield missing or gap, stored.frames
                missing = None
            previous = entry

    def _rest(self, entry: Entry, after: Position) -> tuple[str | None, list[Frame]]:
        """What is left of the group that ``after`` is in; first what is wrong with that group, or None."""
        _, number, index = after
        if not number:
            return None, []
        stored = self._group(entry, number)
        if stored is None:
            return f"group {number} of segment {entry.name}, which was read last, is not there", []
        if index >= len(stored.frames):
            return (
                f"frame {index} of group {number} of segment {entry.name}, which was read last, is not there",
                [],
            )
        return None, stored.frames[index + 1 :]

    def _group(self, entry: Entry, number: int) -> Stored | None:
        if self._kept and self._kept[0] == (entry.name, number):
            return self._kept[1]
        if number > entry.totals.last:
            return None
        return self._open(entry).group(number)

    def _groups(self, entry: Entry, after: int) -> Iterator[tuple[str | None, Stored]]:
        """The groups of a segment behind one, each with what is missing before it."""
        if after >= entry.totals.last and entry.sound:
            return
        number = after
        for stored in self._open(entry).groups(after, entry.totals.last):
            gap = None
            if stored.number != number + 1:
                gap = f"groups {number + 1} to {stored.number - 1} of segment {entry.name} are gone"
            number = stored.number
            self._kept = ((entry.name, number), stored)
            yield gap, stored

    def _open(self, entry: Entry) -> Segment:
        if entry.problem is not None:
            raise DamagedError(entry.name, entry.problem)
        return self._files.opened(entry)


def _size(frame: Frame) -> int:
    """What comes from outside of it [characters and bytes]: a topic may be as long as 64 KiB, too."""
    return len(frame.topic) + len(frame.payload)
