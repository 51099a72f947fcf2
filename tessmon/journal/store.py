# SPDX-License-Identifier: MIT
"""What the journal's thread does: commit, keep within the bounds of the disk, read."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from tessmon.errors import JournalError
from tessmon.interfaces import Chunk, JournalStatus, Waiting
from tessmon.journal.appending import Group
from tessmon.journal.chain import Entry
from tessmon.journal.layout import damaged_files, fsync_directory, lock, make_directory
from tessmon.journal.reader import Reader
from tessmon.journal.segment import DamagedError
from tessmon.journal.shelf import Shelf
from tessmon.records.frame import Frame
from tessmon.records.position import START, Position

SWITCH_INTERVAL_S = 0.0005
"""How long a thread keeps the interpreter's lock [s]; with the default of 5 ms a commit beside a busy reactor waits
that long each time it needs the lock back."""

FREE_SPACE_PERIOD_S = 1.0
"""How often the disk is asked for its free space at most [s]."""

SEGMENTS_PER_JOURNAL = 8
"""A segment is no larger than this part of what the journal may hold, so that reading it makes room."""

_ROOM_AGAIN = 0.9
_FLOOR_AGAIN = 1.1
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}

T = TypeVar("T")


class Store:
    """A journal's disk. Its methods run in the journal's thread; its attributes may be looked at from any.

    Attributes:
        full: None, or why no more should be taken; what was taken is written all the same.
        status: the journal at a glance as of the last call.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        min_free_bytes: int,
        retention_s: float,
        segment_bytes: int,
        reached: Callable[[str], None],
        now_ns: Callable[[], int],
    ) -> None:
        self.full: str | None = None
        self.status = JournalStatus(0, 0, 0, max_bytes, 0, None, START, 0)
        self._directory = directory
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._retention_ns = int(retention_s * 1e9)
        self._now_ns = now_ns
        self._shelf = Shelf(directory, min(segment_bytes, max_bytes // SEGMENTS_PER_JOURNAL), reached, now_ns)
        self._reader = Reader(self._shelf.chain, self._shelf)
        self._lock: int | None = None
        self._free_bytes = 0
        self._free_asked_s = float("-inf")
        self._damaged = 0
        self._told: Position | None = None
        self.salvages = self._shelf.salvages

    @property
    def identity(self) -> str:
        """The journal's UUID."""
        return self._shelf.identity

    def open(self) -> None:
        """Lock, tidy, salvage.

        Raises:
            JournalInUseError: another process has the journal.
            JournalError: the directory can't be used.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        make_directory(self._directory)
        self._lock = lock(self._directory)
        try:
            self._shelf.load()
            self._damaged = len(damaged_files(self._directory))
        except OSError as error:
            self.close()
            raise JournalError(f"the journal in {self._directory} can't be read: {error.strerror}") from error
        self._judge()

    def commit(self, groups: Sequence[Group]) -> None:
        """Write groups in one transaction.

        Raises:
            JournalError: they are not on disk.
        """
        try:
            self._append(groups)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal in {self._directory} can't be written ({error}): make room on its disk or mend it"
            ) from error
        self._judge()

    def pass_to(self, low: int) -> None:
        """Segments before this one are passed; called from any thread."""
        self._shelf.low = low

    def tend(self) -> None:
        """Unlink what is old enough and see whether there is room."""
        self._unlink_old()
        self._free_asked_s = float("-inf")
        self._judge()

    def read(self, after: Position, max_frames: int, max_bytes: int) -> Chunk:
        """See `IJournal.read`.

        Raises:
            JournalError: a segment can't be read now.
        """
        chunk = self._mended(lambda: self._reader.read(after, max_frames, max_bytes))
        if not chunk.frames and self._shelf.is_later(after[0]) and after != self._told:
            self._told = after
            return Chunk([], f"the position {after} is later than all this journal has; was it restored?")
        return chunk

    def tail(self, max_frames: int, max_bytes: int) -> list[Frame]:
        """See `IJournal.tail`.

        Raises:
            JournalError: a segment can't be read now.
        """
        return self._mended(lambda: self._reader.tail(max_frames, max_bytes))

    def waiting(self, after: Position) -> Waiting:
        """See `IJournal.waiting`.

        Raises:
            JournalError: a segment can't be read now.
        """
        return self._mended(lambda: self._reader.waiting(after))

    def adopt(self, position: Position) -> None:
        """See `IJournal.adopt`.

        Raises:
            JournalError: the disk does not let it.
        """
        self._reader.forget()
        try:
            self._shelf.adopt(position[0])
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal in {self._directory} can't be renamed behind {position}: {error}"
            ) from error
        self._judge()

    def close(self) -> None:
        """Close all files and give the lock back."""
        self._shelf.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _append(self, groups: Sequence[Group]) -> None:
        try:
            begun = self._shelf.append(groups)
        except (sqlite3.Error, OSError) as error:
            if not _no_space(error) or not self._unlink_passed():
                raise
            begun = self._shelf.append(groups)
        if begun:
            self._unlink_old()

    def _mended(self, look: Callable[[], T]) -> T:
        """Read; salvage what turns out damaged, and read again."""
        try:
            while True:
                try:
                    return look()
                except DamagedError as damage:
                    self._reader.forget()
                    self._shelf.repair(damage)
                    self._damaged = len(damaged_files(self._directory))
                    self._judge()
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"the journal in {self._directory} can't be read: {error}") from error

    def _judge(self) -> None:
        """Unlink what is passed when the disk is short of space; then say whether there is room, and how things are."""
        chain, low = self._shelf.chain, self._shelf.low
        unpassed = chain.unpassed_bytes(low)
        self._ask_free_bytes()
        floor = self._min_free_bytes * (1 if self.full is None else _FLOOR_AGAIN)
        while self._free_bytes < floor and self._unlink_passed(1):
            self._ask_free_bytes(at_once=True)
        if unpassed >= self._max_bytes * (1 if self.full is None else _ROOM_AGAIN):
            self.full = (
                f"{unpassed} bytes wait in the journal {self._directory}, which may hold {self._max_bytes}: "
                "see why the database does not take them or raise [journal] max_bytes"
            )
        elif self._free_bytes < floor:
            self.full = (
                f"{self._free_bytes} bytes are free on the disk of the journal {self._directory}: "
                f"make room, or lower [journal] min_free_bytes from {self._min_free_bytes}"
            )
        else:
            self.full = None
        newest = chain.newest_position()
        self.status = JournalStatus(
            len(chain.entries),
            chain.size_bytes(),
            unpassed,
            self._max_bytes,
            self._free_bytes,
            self.full,
            newest,
            self._damaged,
        )

    def _ask_free_bytes(self, *, at_once: bool = False) -> None:
        now_s = time.monotonic()
        if not at_once and now_s - self._free_asked_s < FREE_SPACE_PERIOD_S:
            return
        self._free_asked_s = now_s
        try:
            disk = os.statvfs(self._directory)
        except OSError:
            return
        self._free_bytes = disk.f_bavail * disk.f_frsize

    def _unlink_old(self) -> None:
        oldest_ns = self._now_ns() - self._retention_ns
        passed = self._shelf.chain.passed(self._shelf.low)
        self._unlink(takewhile(lambda entry: entry.newest_ns < oldest_ns, passed))

    def _unlink_passed(self, count: int | None = None) -> bool:
        return self._unlink(self._shelf.chain.passed(self._shelf.low)[:count])

    def _unlink(self, entries: Iterable[Entry]) -> bool:
        """Unlink passed segments; whether there were any."""
        unlinked = False
        with suppress(OSError):  # what can't be unlinked now will be the next time
            for entry in entries:
                self._shelf.unlink(entry)
                unlinked = True
            if unlinked:
                fsync_directory(self._directory)
        return unlinked


def _no_space(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
