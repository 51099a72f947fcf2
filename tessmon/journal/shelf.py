# SPDX-License-Identifier: MIT
"""The segments of one journal and the two files of them that are open: the one written, and the one read.

All of it belongs to the journal's thread.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from itertools import takewhile
from pathlib import Path

from tessmon.errors import JournalError
from tessmon.journal.appending import Group, Writer
from tessmon.journal.chain import Chain, Entry
from tessmon.journal.inspection import identity_of, inspect
from tessmon.journal.layout import (
    file_bytes,
    fsync_directory,
    has_wal,
    named_files,
    read_identity,
    segment_names,
    segment_path,
    tidy,
    unlink_parts,
    unlink_whole,
    write_identity,
)
from tessmon.journal.salvage import Salvage
from tessmon.journal.segment import UNKNOWN, DamagedError, Meta, Segment, Totals, connect


class Shelf:
    """A journal's segments.

    Attributes:
        chain: the segments on disk.
        low: the oldest segment that is not passed.
        salvages: what was salvaged and has not been reported yet.
    """

    def __init__(
        self, directory: Path, segment_bytes: int, reached: Callable[[str], None], now_ns: Callable[[], int]
    ) -> None:
        self.identity = ""
        self.chain = Chain()
        self.low = 0
        self.salvages: deque[Salvage] = deque()
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._reached = reached
        self._now_ns = now_ns
        self._floor = 0
        self._adopted = False
        self._writer: Writer | None = None
        self._reading: Segment | None = None

    def load(self) -> None:
        """Look at all segments on disk; salvage those that are damaged.

        Raises:
            OSError: the directory can't be read.
        """
        with suppress(OSError):  # litter that can't be removed now stays until the next start
            tidy(self._directory)
        names = segment_names(self._directory)
        self._floor = max((name for name, _, _ in named_files(self._directory)), default=0)
        self.identity = (
            read_identity(self._directory) or identity_of(self._directory, names) or str(uuid.uuid4())
        )
        successor: Entry | None = None
        for name in reversed(names):
            successor = self._sound(name, successor, None, None)
            self.chain.entries.insert(0, successor)
        self.low = max((entry.meta.passed for entry in self.chain), default=0)

    def is_later(self, name: int) -> bool:
        """Whether a segment of this name would be later than all there are and will be."""
        return name > self._floor

    def append(self, groups: Sequence[Group]) -> bool:
        """Write groups in one transaction; they are on disk when this returns. Whether a new segment was begun.

        Raises:
            sqlite3.Error, OSError: they are not; the segment is retired and the next call begins a new one.
        """
        writer = self._writer
        if writer is not None and file_bytes(writer.path) >= self._segment_bytes:
            self.rotate()
            writer = None
        begun = writer is None
        try:
            writer = writer or self._begin()
            writer.append(groups, self._reached)
        except (sqlite3.Error, OSError):
            self._retire()
            raise
        entry = self.chain.entries[-1]
        entry.totals = writer.totals
        entry.file_bytes = file_bytes(writer.path)
        return begun

    def rotate(self) -> None:
        """Close the segment that is written; the next append begins another one."""
        if self._writer is not None:
            self._close_writer(self._writer)
            self._reached("journal.rotate")

    def opened(self, entry: Entry) -> Segment:
        """An open segment to read from; it is open until another one is asked for.

        Raises:
            sqlite3.Error: it can't be opened.
        """
        if self._writer is not None and self._writer.name == entry.name:
            return self._writer
        if self._reading is None or self._reading.name != entry.name:
            self._close_reading()
            self._reading = Segment.open(self._directory, entry.name)
        return self._reading

    def repair(self, damage: DamagedError) -> None:
        """Salvage a segment that turned out damaged, or look again at one that could not be salvaged earlier.

        Raises:
            JournalError: it can't be salvaged now.
        """
        at = next(at for at, entry in enumerate(self.chain.entries) if entry.name == damage.name)
        if self._writer is not None and self._writer.name == damage.name:
            self._close_writer(self._writer)
        self._close_reading()
        known = self.chain.entries[at]
        successor = self.chain.entries[at + 1] if at + 1 < len(self.chain.entries) else None
        if known.sound:
            fresh = self._sound(damage.name, successor, damage, known.totals.last)
        else:
            fresh = self._sound(damage.name, successor, None, None)
        self.chain.entries[at] = fresh
        if not fresh.sound:
            raise JournalError(f"{damage}; it can't be salvaged now: {fresh.problem}")

    def unlink(self, entry: Entry) -> None:
        """Remove a segment.

        Raises:
            OSError: the disk does not let it.
        """
        if self._reading is not None and self._reading.name == entry.name:
            self._close_reading()
        parts = unlink_parts(segment_path(self._directory, entry.name))
        next(parts)
        self.chain.entries.remove(entry)
        self._reached("journal.unlink")
        for _ in parts:
            pass

    def adopt(self, position: int) -> None:
        """Learn the segment that the database's position is in, and rename what was written without knowing it
        where that would stand before the position.

        A kill in between leaves the segments in order and not confirmed, so that the next call goes on.

        Raises:
            JournalError: a segment can't be renamed as long as the disk is full.
            OSError: the disk does not let it.
        """
        self._floor = max(self._floor, position)
        self.low = min(self.low, position)
        unknowing = list(
            takewhile(lambda entry: entry.sound and not entry.meta.confirmed, reversed(self.chain))
        )
        if self.chain.entry(position) is None and any(entry.name < position for entry in unknowing):
            self._rename(unknowing)
        for entry in unknowing:
            self._confirm(entry)
        self._adopted = True

    def close(self) -> None:
        """Close all files."""
        self._close_reading()
        if self._writer is not None:
            self._close_writer(self._writer)

    def _begin(self) -> Writer:
        if read_identity(self._directory) != self.identity:
            write_identity(self._directory, self.identity)
        name = self._new_name()
        meta = Meta(self.identity, name, passed=self.low, confirmed=self._adopted)
        newest = self.chain.newest
        if newest is not None and newest.sound:
            meta = meta._replace(predecessor=newest.meta.born, predecessor_last=newest.totals.last)
        elif newest is not None:
            meta = meta._replace(predecessor=UNKNOWN)
        self._writer = Writer.begin(self._directory, name, meta)
        self.chain.entries.append(Entry(name, meta, Totals(), file_bytes(self._writer.path)))
        return self._writer

    def _new_name(self) -> int:
        self._floor = max(self._now_ns(), self._floor + 1)
        return self._floor

    def _close_writer(self, writer: Writer) -> None:
        self._writer = None
        with suppress(sqlite3.Error):
            writer.close()
        self.chain.entries[-1].file_bytes = file_bytes(writer.path)

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _retire(self) -> None:
        """A commit failed: whether its groups are on disk nobody knows, so the file takes no more. Without any valid
        group it goes at once, or each new try on a full disk would leave one."""
        if self._writer is None:
            return
        writer = self._writer
        self._close_writer(writer)
        if not writer.totals.last:
            with suppress(OSError):
                unlink_whole(writer.path)
                self.chain.entries.pop()
                fsync_directory(self._directory)

    def _rename(self, unknowing: Sequence[Entry]) -> None:
        """Give segments, the newest of all first, names later than all others; their order stays as it is."""
        self.close()
        stuck = next(
            (entry for entry in unknowing if has_wal(segment_path(self._directory, entry.name))), None
        )
        if stuck is not None:
            raise JournalError(f"segment {stuck.name} can't be renamed before there is room on the disk")
        first = self._new_name()
        self._floor = first + len(unknowing) - 1
        for name, entry in zip(range(self._floor, first - 1, -1), unknowing, strict=True):
            segment_path(self._directory, entry.name).rename(segment_path(self._directory, name))
            fsync_directory(self._directory)
            entry.name = name

    def _confirm(self, entry: Entry) -> None:
        """Note in a segment that its name stands; if the disk is full that is done the next time."""
        entry.meta = entry.meta._replace(confirmed=True)
        try:
            if self._writer is not None and self._writer.name == entry.name:
                self._writer.confirm()
                return
            self._close_reading()
            path = segment_path(self._directory, entry.name)
            with closing(connect(path, "mode=rw")) as connection:
                Writer(path, entry.name, connection).confirm()
        except sqlite3.Error:
            if self._writer is not None and self._writer.name == entry.name:
                self._retire()

    def _sound(
        self, name: int, successor: Entry | None, damage: DamagedError | None, groups: int | None
    ) -> Entry:
        entry, saved = inspect(self._directory, name, successor, damage, groups, self.identity)
        if saved is not None:
            self.salvages.append(saved)
        return entry
