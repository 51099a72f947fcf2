# SPDX-License-Identifier: MIT
"""How far the database is with the files of each device: reads both sides, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from tessmon.config.model import Files
from tessmon.database.session import Session
from tessmon.files.looking import GoneError, sighting_of
from tessmon.files.naming import FileName, name_of
from tessmon.files.pending import left_bytes
from tessmon.files.tree import Entry, shown, walk
from tessmon.followed import is_read
from tessmon.records.position import Position
from tessmon.sink.arrays import filled_number_array, text_array
from tessmon.sink.files import FILE_START, LANE, MAX_FILES, signed

_NS_PER_S = 1_000_000_000

_FIND_SQL = f"""
SELECT found.file_id, p.position
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) WITH ORDINALITY AS u (path, fsid, inode, ordinal)
LEFT JOIN LATERAL (
    SELECT f.file_id FROM file_origins AS f
    WHERE f.origin_host = %s AND f.inode = u.inode AND (f.fsid = u.fsid OR f.origin_path = u.path)
      AND f.state IN ('present', 'unreadable')
    ORDER BY f.fsid = u.fsid DESC, f.file_id DESC LIMIT 1
) AS found ON true
LEFT JOIN positions AS p ON p.lane = '{LANE}' AND p.origin = %s || '/' || found.file_id
ORDER BY u.ordinal"""
_LAST_SQL = """
SELECT d.device, (SELECT max(t.ts) FROM telem AS t WHERE t.device = d.device)
FROM unnest(%s::text[]) AS d (device)"""
_REJECTS_SQL = f"""
SELECT subject, count(*) FROM rejects WHERE lane = '{LANE}' AND starts_with(origin, %s || '/') GROUP BY subject"""
_KNOWN_SQL = """
SELECT DISTINCT device FROM file_origins WHERE origin_host = %s AND device <> ''"""


@dataclass
class DeviceSurvey:
    """A device at a glance.

    Attributes:
        device: its name.
        files, size_bytes: on disk.
        pending_files, pending_bytes: those that hold more than was read of them, and how much that is on disk; a packed
            file counts with all of it.
        rejects: of its files, as long as they are kept [count].
        last_at: the time of its newest record in the database; None where there is none.
        lag_s: from there to the last change of a file that is pending; 0 where none is, None without a record.
    """

    device: str
    files: int = 0
    size_bytes: int = 0
    pending_files: int = 0
    pending_bytes: int = 0
    rejects: int = 0
    last_at: datetime | None = None
    lag_s: float | None = None
    changed_ns: int = 0

    def look_back(self, last_at: datetime | None) -> None:
        """The time of its newest record is known now."""
        self.last_at = None if last_at is None else last_at.astimezone(UTC)
        if not self.pending_files:
            self.lag_s = 0.0
        elif last_at is not None:
            self.lag_s = max(0.0, self.changed_ns / _NS_PER_S - last_at.timestamp())


class _Place(NamedTuple):
    """A telemetry file on disk."""

    entry: Entry
    name: FileName


async def survey(session: Session, settings: Files, now_ns: int) -> list[DeviceSurvey]:
    """All devices that have files, on disk or in the database, by name. Memory holds them, and a page of files.

    Args:
        session: of a user who may read.
    """
    devices: dict[str, DeviceSurvey] = {}
    for [device] in await session.query(_KNOWN_SQL, [settings.host]):
        devices[device] = DeviceSurvey(device)
    places = _places(settings)
    while page := list(islice(places, MAX_FILES)):
        for place, position in zip(page, await _positions(session, settings.host, page), strict=True):
            device = devices.setdefault(place.name.device, DeviceSurvey(place.name.device))
            _add(device, place, position, settings, now_ns)
    for device, count in await session.query(_REJECTS_SQL, [settings.host]):
        devices.setdefault(device, DeviceSurvey(device)).rejects = count
    for device, last_at in await session.query(_LAST_SQL, [text_array(devices)]):
        devices[device].look_back(last_at)
    return [devices[device] for device in sorted(devices)]


def _places(settings: Files) -> Iterator[_Place]:
    roots = [str(directory) for directory in settings.directories]
    for found in walk(roots, settings.ignore):
        if isinstance(found, Entry):
            name = name_of(found.name, settings.zone)
            if name is not None:
                yield _Place(found, name)


async def _positions(session: Session, host: str, page: Sequence[_Place]) -> list[Position]:
    rows = await session.query(
        _FIND_SQL,
        [
            text_array(shown(place.entry.path) for place in page),
            filled_number_array(signed(place.entry.fsid) for place in page),
            filled_number_array(signed(place.entry.inode) for place in page),
            host,
            host,
        ],
    )
    return [tuple(position) if position else FILE_START for _, position in rows]


def _add(device: DeviceSurvey, place: _Place, position: Position, settings: Files, now_ns: int) -> None:
    entry = place.entry
    device.files += 1
    device.size_bytes += entry.size_bytes
    try:
        seen = sighting_of(entry, settings.zone, True, now_ns)
    except GoneError:
        return
    if not is_read(seen, position):
        device.pending_files += 1
        device.pending_bytes += left_bytes(place.name.kind, entry.size_bytes, position)
        device.changed_ns = max(device.changed_ns, entry.mtime_ns)


def totals(devices: Iterable[DeviceSurvey]) -> DeviceSurvey:
    """All of them together; the lag is the longest."""
    whole = DeviceSurvey("")
    for each in devices:
        whole.files += each.files
        whole.size_bytes += each.size_bytes
        whole.pending_files += each.pending_files
        whole.pending_bytes += each.pending_bytes
        whole.rejects += each.rejects
        whole.lag_s = max((lag for lag in (whole.lag_s, each.lag_s) if lag is not None), default=None)
        whole.last_at = max((at for at in (whole.last_at, each.last_at) if at is not None), default=None)
    return whole
