# SPDX-License-Identifier: MIT
"""Which file on a disk is which row of ``file_origins``, and how far each has been read.

Everything here is one round trip and one transaction for up to `MAX_FILES` files, on the service's connection or on a
plain one. Processes that do it at once wait for each other, host by host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from tessmon.database.session import Session
from tessmon.files.tree import path_shown_as, shown
from tessmon.records.batch import Standing
from tessmon.records.position import Position
from tessmon.records.telemetry import TelemetryFile
from tessmon.sink.arrays import bytes_array, filled_number_array, text_array

LANE = "telemetry"
HEAD_BYTES = 64
"""Of a file's beginning, which is part of its identity [bytes]."""
MAX_FILES = 1000
"""In one call."""
MAX_PATH_BYTES = 2000
"""Of a path as it is stored [bytes]: longer ones don't fit into an index."""

FILE_START: Position = (0,)
"""The position before a file's first byte."""

_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_214_400_000_000
"""From the first day of year 1 to the last of 9999: what a disk says beyond is no time."""

_OPEN_SQL = (
    "SELECT * FROM tessmon_open_files(%s, %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bytea[], "
    "%s::bigint[], %s::bigint[], %s::bigint[])"
)
_LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('tessmon_files/' || %s, 0))"
_TOUCH_SQL = f"""{_LOCK_SQL};
UPDATE file_origins AS f
SET size_bytes = t.size_bytes, modification_time = to_timestamp(t.modified_us / 1e6), seen_at = now(),
    head_bytes = CASE WHEN t.begins_so THEN length(t.head) ELSE f.head_bytes END,
    head_digest = CASE WHEN t.begins_so THEN sha256(t.head) ELSE f.head_digest END
FROM (SELECT u.*, known.head_bytes < length(u.head)
             AND known.head_digest = sha256(substr(u.head, 1, known.head_bytes)) AS begins_so
      FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bytea[]) AS u (file_id, size_bytes, modified_us, head)
      JOIN file_origins AS known USING (file_id)) AS t
WHERE f.file_id = t.file_id AND f.origin_host = %s
  AND (t.begins_so OR (f.size_bytes, f.modification_time)
                      IS DISTINCT FROM (t.size_bytes, to_timestamp(t.modified_us / 1e6)))"""
_CUT_OFF_SQL = f"""{_LOCK_SQL};
UPDATE file_origins SET state = 'replaced', head_digest = NULL, seen_at = now()
WHERE file_id = %s AND origin_host = %s AND state IN ('present', 'unreadable')"""
_VANISHED_SQL = f"""{_LOCK_SQL};
UPDATE file_origins SET state = 'vanished', seen_at = now()
WHERE file_id = ANY(%s::bigint[]) AND origin_host = %s AND state IN ('present', 'unreadable')"""
_PATHS_VANISHED_SQL = f"""{_LOCK_SQL};
UPDATE file_origins SET state = 'vanished', seen_at = now()
WHERE origin_path = ANY(%s::text[]) AND origin_host = %s AND state IN ('present', 'unreadable')"""
_INGESTED_SQL = f"""
INSERT INTO file_ingest_times AS t (ts, device, ingested_at, origin_host, origin_path, file_id)
SELECT f.creation_time, f.device, now(), f.origin_host, f.origin_path, f.file_id FROM file_origins AS f
WHERE f.file_id = ANY(%s::bigint[]) AND NOT EXISTS (
    SELECT FROM file_ingest_times AS i
    LEFT JOIN positions AS p ON p.lane = '{LANE}' AND p.origin = f.origin_host || '/' || f.file_id
    WHERE i.file_id = f.file_id AND i.origin_path = f.origin_path AND i.ingested_at >= coalesce(p.updated_at, now()))
ORDER BY f.file_id
ON CONFLICT (file_id) DO UPDATE
SET ingested_at = excluded.ingested_at, origin_path = excluded.origin_path, ts = excluded.ts,
    device = excluded.device"""
_KNOWN_SQL = f"""
SELECT f.file_id, f.origin_path, f.device, f.kind, f.fsid, f.inode, f.size_bytes,
       (extract(epoch FROM f.modification_time) * 1000000)::bigint, f.state, p.position, p.low
FROM file_origins AS f LEFT JOIN positions AS p ON p.lane = '{LANE}' AND p.origin = f.origin_host || '/' || f.file_id
WHERE f.origin_host = %s AND f.file_id > %s AND f.state = ANY(%s::text[]) ORDER BY f.file_id LIMIT %s"""


class Fate(StrEnum):
    """What a sighting turned out to be."""

    NEW = "new"
    REPLACING = "replacing"
    """A new file where another was; the row of that one is ``replaced`` now."""
    RENAMED = "renamed"
    GROWN = "grown"
    KNOWN = "known"
    SHRUNK = "shrunk"
    """Shorter than it was when its row was written, which was left as it is: cut off, or seen before somebody else
    saw it. Look again, and call `reopen_cut_off` when it is."""


class State(StrEnum):
    """What became of a file; ``file_origins.state``."""

    PRESENT = "present"
    VANISHED = "vanished"
    REPLACED = "replaced"
    UNREADABLE = "unreadable"


THERE = (State.PRESENT, State.UNREADABLE)


class Seen(NamedTuple):
    """A file as it was seen.

    Attributes:
        path: where; odd bytes as surrogates.
        device, kind: from its name; empty when it is no telemetry file, which has no position then.
        fsid, inode: its identity on that host, unsigned numbers of 64 bits.
        head: its first `HEAD_BYTES` bytes or all it has, read together with the other figures; None when it can't be
            read.
        size_bytes: its size.
        modified_ns: its last change [ns since 1970 UTC].
        created_ns: the start stamp in its name, else when it was made [ns since 1970 UTC].
    """

    path: str
    device: str
    kind: str
    fsid: int
    inode: int
    head: bytes | None
    size_bytes: int
    modified_ns: int
    created_ns: int


class Opened(NamedTuple):
    """A file and how far it has been read.

    Attributes:
        file: with its id, and the path under which it was seen.
        standing: the position, (offset,) of the next byte to read.
        fate: what the sighting turned out to be.
    """

    file: TelemetryFile
    standing: Standing
    fate: Fate

    @property
    def file_id(self) -> int:
        return self.file.file_id

    @property
    def origin(self) -> str:
        """Its key in ``positions``."""
        return self.file.origin

    @property
    def offset(self) -> int:
        """Of the next byte to read; of a ``.gz``, in the text it unpacks to."""
        return self.standing.position[0]


class Touched(NamedTuple):
    """What is new about a file that is open: as in `Seen`."""

    file_id: int
    size_bytes: int
    modified_ns: int
    head: bytes


class KnownFile(NamedTuple):
    """A row of ``file_origins``.

    Attributes:
        file: with host, path and id.
        fsid, inode: as in `Seen`.
        size_bytes: as it was seen last.
        modified_us: as it was seen last [µs since 1970 UTC].
        state: what became of it.
        standing: how far it has been read.
    """

    file: TelemetryFile
    fsid: int
    inode: int
    size_bytes: int
    modified_us: int
    state: State
    standing: Standing


def origin_of(host: str, file_id: int) -> str:
    """The key of a file in ``positions``."""
    return f"{host}/{file_id}"


async def open_files(session: Session, host: str, seen: Sequence[Seen]) -> list[Opened | None]:
    """Find the row of each file, or make one; paths, sizes and times are brought up to date.

    A file is known by file system, inode and head; after a restart of the host, which may number its file systems
    anew, by path, inode and head. A row whose path another file has now is ``replaced``. A second call with the same
    files writes nothing.

    Args:
        session: outside a transaction: those who wait for each other wait for its end.
        host: the computer that the files are of.
        seen: at most `MAX_FILES`; of a file that has moved meanwhile, the later path last.

    Returns:
        One for each, in order; None for a path that is longer than `MAX_PATH_BYTES`.
    """
    paths = [shown(each.path) for each in seen]
    taken = [n for n, path in enumerate(paths) if len(path.encode()) <= MAX_PATH_BYTES]
    opened: list[Opened | None] = [None] * len(seen)
    if not taken:
        return opened
    files = [seen[n] for n in taken]
    rows = await session.query(
        _OPEN_SQL,
        [
            host,
            text_array(paths[n] for n in taken),
            text_array(each.device for each in files),
            text_array(each.kind for each in files),
            filled_number_array([signed(each.fsid) for each in files]),
            filled_number_array([signed(each.inode) for each in files]),
            bytes_array(each.head and each.head[:HEAD_BYTES] for each in files),
            filled_number_array([each.size_bytes for each in files]),
            filled_number_array([_microseconds(each.modified_ns) for each in files]),
            filled_number_array([_microseconds(each.created_ns) for each in files]),
        ],
    )
    for n, (file_id, position, low, fate) in zip(taken, rows, strict=True):
        each = seen[n]
        file = TelemetryFile(origin_of(host, file_id), host, each.path, each.device, each.kind, file_id)
        opened[n] = Opened(file, _standing(position, low), Fate(fate))
    return opened


async def reopen_cut_off(session: Session, host: str, file_id: int, seen: Seen) -> Opened | None:
    """A file that has become shorter than its position, or than its head was: what it holds from now on is another
    file's content. Its row is ``replaced`` and never found again.

    Args:
        file_id: the row that is to end; when another process has ended it already, its new row is taken.
        seen: the file as it is after the shortening.
    """
    await session.execute(_CUT_OFF_SQL, [host, file_id, host])
    [opened] = await open_files(session, host, [seen])
    return opened


async def touch_files(session: Session, host: str, touched: Sequence[Touched]) -> None:
    """Keep sizes, times and heads of open files fresh; a head is only ever replaced by a longer one that begins with
    it. Rows that are so already are not written."""
    await session.execute(
        _TOUCH_SQL,
        [
            host,
            filled_number_array([each.file_id for each in touched]),
            filled_number_array([each.size_bytes for each in touched]),
            filled_number_array([_microseconds(each.modified_ns) for each in touched]),
            bytes_array(each.head and each.head[:HEAD_BYTES] for each in touched),
            host,
        ],
    )


async def mark_vanished(session: Session, host: str, file_ids: Collection[int]) -> int:
    """Files that are gone; they come back when they are seen again. Gives how many were there still."""
    return await session.execute(_VANISHED_SQL, [host, filled_number_array(file_ids), host])


async def mark_paths_vanished(session: Session, host: str, paths: Collection[str]) -> int:
    """The same for paths that nothing stands at."""
    return await session.execute(_PATHS_VANISHED_SQL, [host, text_array(map(shown, paths)), host])


async def note_ingested(session: Session, file_ids: Collection[int]) -> None:
    """All that these files hold now is stored: note the time in ``file_ingest_times``, once."""
    await session.execute(_INGESTED_SQL, [filled_number_array(file_ids)])


async def known_files(
    session: Session, host: str, states: Collection[State] = THERE, page: int = MAX_FILES
) -> AsyncIterator[KnownFile]:
    """All files of a host in the order in which they became known, read in pages: memory holds one."""
    after = 0
    while True:
        rows = await session.query(_KNOWN_SQL, [host, after, text_array(states), page])
        for file_id, path, device, kind, fsid, inode, size_bytes, modified_us, state, position, low in rows:
            file = TelemetryFile(origin_of(host, file_id), host, path_shown_as(path), device, kind, file_id)
            yield KnownFile(
                file,
                _unsigned(fsid),
                _unsigned(inode),
                size_bytes,
                modified_us,
                State(state),
                _standing(position, low),
            )
            after = file_id
        if len(rows) < page:
            return


async def standings(session: Session, origins: Sequence[str]) -> list[Standing]:
    """How far these files have been read."""
    rows = await session.query(
        "SELECT origin, position, low FROM positions WHERE lane = %s AND origin = ANY(%s::text[])",
        [LANE, text_array(origins)],
    )
    known = {origin: _standing(position, low) for origin, position, low in rows}
    return [known.get(origin, _standing(None, None)) for origin in origins]


def _standing(position: list[int] | None, low: list[int] | None) -> Standing:
    return Standing(tuple(position or FILE_START), tuple(low or FILE_START))


def _microseconds(at_ns: int) -> int:
    return max(_FIRST_US, min(at_ns // 1000, _LAST_US))


def signed(number: int) -> int:
    """An unsigned number of 64 bits as ``bigint`` has it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _unsigned(number: int) -> int:
    return number + (1 << 64) if number < 0 else number
