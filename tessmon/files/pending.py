# SPDX-License-Identifier: MIT
"""Files that hold more than was read of them, as the database knows them; the oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tessmon.config.model import Files
from tessmon.database.session import Rows, Session
from tessmon.files.inventory import Inventory, Run
from tessmon.files.looking import GoneError, sighting_of
from tessmon.files.tree import Entry, path_shown_as
from tessmon.followed import is_read
from tessmon.records.position import Position
from tessmon.sink.arrays import text_array
from tessmon.sink.files import FILE_START, LANE, MAX_FILES

_SQL = f"""
SELECT f.creation_time, f.file_id, f.origin_path, f.size_bytes,
       (extract(epoch FROM f.modification_time) * 1000000)::bigint, p.position
FROM file_origins AS f LEFT JOIN positions AS p ON p.lane = '{LANE}' AND p.origin = f.origin_host || '/' || f.file_id
WHERE f.origin_host = %s AND f.state = 'present' AND f.kind <> '' AND f.creation_time >= %s
  AND (f.creation_time, f.file_id) > (%s, %s) AND (%s OR f.device = ANY(%s::text[]))
ORDER BY f.creation_time, f.file_id LIMIT {MAX_FILES}"""

ALWAYS = datetime.fromisoformat("0001-01-02T00:00:00+00:00")


class Wanted(NamedTuple):
    """Which files to read.

    Attributes:
        devices: only of these; empty for all.
        since: only those that began then or later, by their names.
        limit: only so many, the oldest; None for all.
    """

    devices: Sequence[str] = ()
    since: datetime = ALWAYS
    limit: int | None = None


class PendingFile(NamedTuple):
    """A file to read.

    Attributes:
        path: where it is.
        newest: its device has not begun another file.
        left_bytes: what is to be read of it [bytes on the disk].
    """

    path: str
    newest: bool
    left_bytes: int


def pending(
    settings: Files, inventory: Inventory, run: Run, wanted: Wanted, now_ns: int
) -> Iterator[PendingFile]:
    """Files to read, in pages: memory holds one."""
    last, left = (wanted.since, -1), wanted.limit
    while True:

        async def page(session: Session, after: tuple[datetime, int] = last) -> Rows:
            devices = text_array(wanted.devices)
            return await session.query(
                _SQL, [settings.host, wanted.since, *after, not wanted.devices, devices]
            )

        rows = run(page)
        for *key, shown_path, size_bytes, modified_us, position in rows:
            last = key[0], key[1]
            path = path_shown_as(shown_path)
            found = _pending(settings, inventory, path, size_bytes, modified_us * 1000, position, now_ns)
            if found is None:
                continue
            if left is not None:
                if not left:
                    return
                left -= 1
            yield found
        if len(rows) < MAX_FILES:
            return


def _pending(
    settings: Files,
    inventory: Inventory,
    path: str,
    size_bytes: int,
    mtime_ns: int,
    position: list[int] | None,
    now_ns: int,
) -> PendingFile | None:
    if not inventory.is_below(path):
        return None
    entry = Entry(path, path.rpartition("/")[2], 0, 0, size_bytes, mtime_ns)
    try:
        seen = sighting_of(entry, settings.zone, True, now_ns)
        newest = inventory.is_newest(path, seen.name)
        seen = sighting_of(entry, settings.zone, newest, now_ns)
    except GoneError:
        return None
    stands = tuple(position) if position else FILE_START
    if is_read(seen, stands):
        return None
    return PendingFile(path, newest, left_bytes(seen.name.kind, size_bytes, stands))


def left_bytes(kind: str, size_bytes: int, position: Position) -> int:
    """What is to be read of a file [bytes on the disk]; of a packed one all, for it is unpacked from its begin."""
    return size_bytes if kind.endswith(".gz") else max(0, size_bytes - position[0])
