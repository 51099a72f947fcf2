# SPDX-License-Identifier: MIT
"""The segments of a journal in order, and what their records of each other say.

Each segment names its predecessor and the last group of it that counts. So groups of a commit that failed, which may
be on disk or not, are not read (their frames went into the next segment), and a segment or a tail that is gone is seen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from tessmon.journal.segment import UNKNOWN, Meta, Totals
from tessmon.records.position import START, Position


@dataclass(slots=True)
class Entry:
    """A segment on disk.

    Attributes:
        name: as its file is named; the first number of its positions.
        meta: what it knows about itself.
        totals: sums over its valid groups.
        file_bytes: what it takes on disk [bytes].
        problem: why it can't be read; None when it can, as far as is known.
    """

    name: int
    meta: Meta
    totals: Totals
    file_bytes: int
    problem: str | None = None

    @property
    def sound(self) -> bool:
        """Whether it can be read."""
        return self.problem is None

    @property
    def newest_ns(self) -> int:
        """When its newest frame came, or when it was made if it has none [ns]."""
        return self.totals.newest_ns or self.meta.born


class Chain:
    """The segments on disk, oldest first."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __reversed__(self) -> Iterator[Entry]:
        return reversed(self.entries)

    @property
    def newest(self) -> Entry | None:
        """The segment with the latest name."""
        return self.entries[-1] if self.entries else None

    def entry(self, name: int) -> Entry | None:
        """The segment of this name."""
        at = bisect_left(self.entries, name, key=_name)
        return self.entries[at] if at < len(self.entries) and self.entries[at].name == name else None

    def newest_position(self) -> Position:
        """The position of the newest frame."""
        for entry in reversed(self.entries):
            if entry.totals.last:
                return (entry.name, entry.totals.last, entry.totals.last_frames - 1)
        return START

    def behind(self, name: int) -> list[Entry]:
        """The segments with a later name."""
        return self.entries[bisect_right(self.entries, name, key=_name) :]

    def size_bytes(self) -> int:
        """What all of them take on disk [bytes]."""
        return sum(entry.file_bytes for entry in self.entries)

    def unpassed_bytes(self, low: int) -> int:
        """What those take on disk that are not before ``low`` [bytes]."""
        return sum(entry.file_bytes for entry in self.entries if entry.name >= low)

    def passed(self, low: int) -> list[Entry]:
        """Those before ``low``, oldest first, without the newest of all."""
        return [entry for entry in self.entries[:-1] if entry.name < low]


def hole(first: Entry, second: Entry) -> str | None:
    """What is missing between two neighbours, as one sentence; None when nothing is."""
    if first.meta.tail_lost:
        return f"segment {first.name} was damaged and the groups behind {first.totals.last} may be lost"
    expected = (second.meta.predecessor, second.meta.predecessor_last)
    if expected == (first.meta.born, first.totals.last):
        return None
    if expected[0] == UNKNOWN:
        return f"segment {second.name} was damaged and nobody knows what stood before it"
    if expected[0] == first.meta.born:
        return f"groups {first.totals.last + 1} to {expected[1]} of segment {first.name} are gone"
    return f"segment {second.name} was written behind segment {expected[0]}, which is not there"


def _name(entry: Entry) -> int:
    return entry.name
