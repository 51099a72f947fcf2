# SPDX-License-Identifier: MIT
"""One file of a journal: a SQLite database in WAL mode with a row a group and one row about itself."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from tessmon.journal.layout import has_wal, segment_path
from tessmon.records.frame import Frame, FrameFormatError, unpack_frames

BUSY_S = 1.0
"""How long to wait for a command that looks at the journal [s]."""

UNKNOWN = -1
"""The predecessor of a salvaged file whose own record of it was lost."""

NO_LIMIT = 2**63 - 1
"""A group number that none reaches."""

META_COLUMNS = "journal, born, predecessor, predecessor_last, passed, confirmed, tail_lost, crc32"
COLUMNS = "number, frames, first_ns, last_ns, frames_so_far, bytes_so_far, crc32, packed"

_DAMAGE = {
    sqlite3.SQLITE_ERROR,  # "no such table": not a file of ours any more
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
}
_NUMBERS = struct.Struct("<6q")


class DamagedError(Exception):
    """A segment's file does not hold what was written to it."""

    def __init__(self, name: int, why: str) -> None:
        super().__init__(f"segment {name} is damaged: {why}")
        self.name = name
        self.why = why


class Meta(NamedTuple):
    """What a segment knows about itself.

    Attributes:
        journal: the journal's identity.
        born: the name it was made under, by which its successor knows it even when it is renamed.
        predecessor: ``born`` of the segment before it; 0 for a journal's first, `UNKNOWN` when that was lost.
        predecessor_last: the last valid group of the one before: a commit behind it failed, maybe on disk or not.
        passed: the oldest segment not passed when this one was made.
        confirmed: the database's position was known when this one was made, or has been adopted since.
        tail_lost: salvaged, and nobody knows how many groups stood at its end.
    """

    journal: str
    born: int
    predecessor: int = 0
    predecessor_last: int = 0
    passed: int = 0
    confirmed: bool = False
    tail_lost: bool = False


class Totals(NamedTuple):
    """A segment up to a group: that group's number and its frames, frames and packed bytes so far, oldest and
    newest receive time [ns], None when there is no frame."""

    last: int = 0
    last_frames: int = 0
    frames: int = 0
    size_bytes: int = 0
    oldest_ns: int | None = None
    newest_ns: int | None = None


class Stored(NamedTuple):
    """A row: its number and its frames."""

    number: int
    frames: list[Frame]


class Segment:
    """An open segment, read. Only the thread that opened it may use it."""

    def __init__(self, path: Path, name: int, connection: sqlite3.Connection) -> None:
        self.path = path
        self.name = name
        self.connection = connection

    @classmethod
    def open(cls, directory: Path, name: int) -> Self:
        """Open a segment that nobody writes.

        One with a WAL (its last commit failed, or the process was killed) is locked for this process alone: SQLite
        then keeps the WAL's index in memory, where a full disk does not refuse it. One without needs no lock at all.

        Raises:
            sqlite3.Error: it can't be opened.
        """
        path = segment_path(directory, name)
        if has_wal(path):
            connection = connect(path, "mode=rw")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        else:
            connection = connect(path, "mode=ro&immutable=1")
        return cls(path, name, connection)

    def meta(self) -> Meta:
        """The segment about itself.

        Raises:
            DamagedError: it can't be read.
        """
        with judged(self.name):
            row = self.connection.execute(f"SELECT {META_COLUMNS} FROM meta").fetchone()
        try:
            if checksum(row[1:7], row[0]) != row[7]:
                raise DamagedError(self.name, "the checksum of its record of itself is wrong")
        except (struct.error, TypeError) as error:
            raise DamagedError(self.name, "its record of itself is gone") from error
        journal, born, predecessor, predecessor_last, passed, confirmed, tail_lost, _ = row
        return Meta(
            journal.decode("ascii"),
            born,
            predecessor,
            predecessor_last,
            passed,
            bool(confirmed),
            bool(tail_lost),
        )

    def look(self, upto: int = NO_LIMIT) -> Totals:
        """Sums over all groups up to one, from two rows.

        Raises:
            DamagedError: one of these can't be read.
        """
        select = f"SELECT {COLUMNS} FROM groups WHERE number <= ? ORDER BY number"
        with judged(self.name):
            last = self.connection.execute(f"{select} DESC LIMIT 1", (upto,)).fetchone()
            first = self.connection.execute(f"{select} LIMIT 1", (upto,)).fetchone()
        if last is None:
            return Totals()
        _checked(self.name, last)
        _checked(self.name, first)
        return Totals(last[0], last[1], last[4], last[5], first[2], last[3])

    def highest(self) -> int:
        """The highest group number, checked or not.

        Raises:
            DamagedError: it can't be read.
        """
        with judged(self.name):
            (number,) = self.connection.execute("SELECT max(number) FROM groups").fetchone()
        return number or 0

    def groups(self, after: int, upto: int, *, backwards: bool = False) -> Iterator[Stored]:
        """The groups ``after < number <= upto``, in order, or from the last to the first.

        Raises:
            DamagedError: one of them is not what was written.
        """
        order = "DESC" if backwards else "ASC"
        select = f"SELECT {COLUMNS} FROM groups WHERE number > ? AND number <= ? ORDER BY number {order}"
        with (
            judged(self.name),
            closing(self.connection.cursor()) as rows,
        ):  # an open cursor keeps the file from closing
            for row in rows.execute(select, (after, upto)):
                yield _checked(self.name, row)

    def group(self, number: int) -> Stored | None:
        """One group; None when there is no such.

        Raises:
            DamagedError: it is not what was written.
        """
        return next(self.groups(number - 1, number), None)

    def close(self) -> None:
        """Give the file back; SQLite moves its WAL into it, when the disk lets it."""
        self.connection.close()


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode.

    Raises:
        sqlite3.Error: the file can't be opened.
    """
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", timeout=BUSY_S, isolation_level=None, uri=True
    )


def checksum(numbers: tuple[int, ...], packed: bytes) -> int:
    """CRC-32 of a row: of its six numbers and its blob.

    Raises:
        struct.error, TypeError: they are something else.
    """
    return zlib.crc32(packed, zlib.crc32(_NUMBERS.pack(*numbers)))


@contextmanager
def judged(name: int) -> Iterator[None]:
    """Tell a damaged file (`DamagedError`) from what may be better next time (`sqlite3.Error`)."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & 0xFF in _DAMAGE or code == sqlite3.SQLITE_IOERR_READ:
            raise DamagedError(name, str(error)) from error
        raise


def _checked(name: int, row: tuple[Any, ...]) -> Stored:
    number, packed = row[0], row[7]
    try:
        if checksum(row[:6], packed) != row[6]:
            raise DamagedError(name, f"the checksum of group {number} is wrong")
        frames = unpack_frames(packed, name, number)
    except (struct.error, TypeError, FrameFormatError) as error:
        raise DamagedError(name, f"group {number} is no group: {error}") from error
    if not frames:
        raise DamagedError(name, f"group {number} is empty")
    return Stored(number, frames)
