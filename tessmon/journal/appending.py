# SPDX-License-Identifier: MIT
"""Making a segment and writing to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tessmon.journal.layout import NEW, beside, fsync_directory, fsync_file, segment_path, unlink_whole
from tessmon.journal.segment import COLUMNS, META_COLUMNS, Meta, Segment, Totals, checksum, connect

PAGE_BYTES = 8192
"""Measured: pages of 4 KiB cost a third of the throughput of large groups, pages of 64 KiB multiply what a small
group writes."""

CHECKPOINT_PAGES = 512
"""The WAL goes into the file each 4 MiB; measured: a longer one makes single commits slow (16 MiB: 34 ms)."""

_TABLES = (
    """CREATE TABLE meta (
        journal BLOB NOT NULL, born INTEGER NOT NULL, predecessor INTEGER NOT NULL,
        predecessor_last INTEGER NOT NULL, passed INTEGER NOT NULL, confirmed INTEGER NOT NULL,
        tail_lost INTEGER NOT NULL, crc32 INTEGER NOT NULL)""",
    """CREATE TABLE groups (
        number INTEGER PRIMARY KEY, frames INTEGER NOT NULL, first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL, frames_so_far INTEGER NOT NULL, bytes_so_far INTEGER NOT NULL,
        crc32 INTEGER NOT NULL, packed BLOB NOT NULL)""",
)


class Group(NamedTuple):
    """Frames that go into one row: packed, with first and last receive time [ns] and their size [bytes]."""

    packed: Sequence[bytes]
    first_ns: int
    last_ns: int
    size_bytes: int


class Writer(Segment):
    """The segment that takes frames."""

    totals = Totals()

    @classmethod
    def begin(cls, directory: Path, name: int, meta: Meta) -> Writer:
        """Make a segment; it appears under its name whole, and lasts.

        Raises:
            sqlite3.Error, OSError: the disk does not take it; nothing is left of it then.
        """
        path = segment_path(directory, name)
        new = beside(path, NEW)
        try:
            with closing(make_file(new, meta)):
                pass
            fsync_file(new)
            new.rename(path)
            fsync_directory(directory)
            connection = connect(path, "mode=rw")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        except (sqlite3.Error, OSError):
            unlink_whole(new)
            unlink_whole(path)
            raise
        return cls(path, name, connection)

    def append(self, groups: Sequence[Group], reached: Callable[[str], None]) -> None:
        """Write groups in one transaction; they are on disk when this returns.

        Raises:
            sqlite3.Error: they are not, or nobody knows.
        """
        self.connection.execute("BEGIN IMMEDIATE")
        totals = self.totals
        for group in groups:
            totals = insert(self.connection, totals, totals.last + 1, group)
        reached("journal.before_commit")
        self.connection.execute("COMMIT")
        reached("journal.after_commit")
        self.totals = totals

    def confirm(self) -> None:
        """Note in the file that the database's position has been adopted.

        Raises:
            sqlite3.Error: the disk does not take it.
        """
        meta = self.meta()._replace(confirmed=True)
        self.connection.execute("BEGIN IMMEDIATE")
        write_meta(self.connection, meta)
        self.connection.execute("COMMIT")


def make_file(path: Path, meta: Meta) -> sqlite3.Connection:
    """A new database with nothing but ``meta``; it is not safe on disk before it is closed and synced.

    Raises:
        sqlite3.Error: the disk does not take it.
    """
    connection = connect(path, "mode=rwc")
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        for table in _TABLES:
            connection.execute(table)
        write_meta(connection, meta)
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def insert(connection: sqlite3.Connection, before: Totals, number: int, group: Group) -> Totals:
    """Write one row within the open transaction; returns the sums with it.

    Raises:
        sqlite3.Error: the disk does not take it.
    """
    frames, size_bytes = before.frames + len(group.packed), before.size_bytes + group.size_bytes
    packed = b"".join(group.packed)
    numbers = (number, len(group.packed), group.first_ns, group.last_ns, frames, size_bytes)
    connection.execute(
        f"INSERT INTO groups ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*numbers, checksum(numbers, packed), packed),
    )
    oldest_ns = group.first_ns if before.oldest_ns is None else before.oldest_ns
    return Totals(number, len(group.packed), frames, size_bytes, oldest_ns, group.last_ns)


def write_meta(connection: sqlite3.Connection, meta: Meta) -> None:
    """Write what a segment knows about itself in the place of what it knew, within the open transaction.

    Raises:
        sqlite3.Error: the disk does not take it.
    """
    numbers, journal = tuple(map(int, meta[1:])), meta.journal.encode("ascii")
    connection.execute("DELETE FROM meta")
    connection.execute(
        f"INSERT INTO meta ({META_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (journal, *numbers, checksum(numbers, journal)),
    )
