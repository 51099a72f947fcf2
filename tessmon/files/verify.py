# SPDX-License-Identifier: MIT
"""Compares a file with the database, record by record; memory holds a batch, however large the file is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from tessmon.config.model import Files
from tessmon.errors import TessmonError
from tessmon.files.decoding import Decoders
from tessmon.files.looking import GoneError, entry_at, sighting_of
from tessmon.files.reading import FileReader, UnreadableError
from tessmon.files.tree import shown
from tessmon.files.unpacking import Ending
from tessmon.records.telemetry import Piece, TelemetryEvent, TelemetryFile
from tessmon.sink.files import LANE, origin_of, signed
from tessmon.sink.tables.telem import TELEM

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

_FILE_SQL = f"""
SELECT f.file_id, p.position
FROM file_origins AS f LEFT JOIN positions AS p ON p.lane = '{LANE}' AND p.origin = f.origin_host || '/' || f.file_id
WHERE f.origin_host = %s AND f.inode = %s AND (f.fsid = %s OR f.origin_path = %s)
ORDER BY f.fsid = %s DESC, f.state = 'present' DESC, f.file_id DESC LIMIT 1"""
_ROWS_SQL = """
SELECT file_offset, digest FROM telem WHERE device = %s AND file_id = %s ORDER BY file_offset, digest"""
_AHEAD = 5000


class Difference(NamedTuple):
    """A record that is on one side only.

    Attributes:
        what: ``missing``: in the file and not in the database; ``other``: its values there are others; ``waiting``: not
            read yet; ``extra``: in the database as of this file, which has it not.
        offset: where in the file [bytes]; of a ``.gz``, in its text.
        detail: which record.
    """

    what: str
    offset: int
    detail: str


class Verdict(NamedTuple):
    """What a comparison found: records in the file, how many of them stand in the database as they should, places that
    can't be decoded, and differences by what they are [counts]."""

    records: int
    equal: int
    undecodable: int
    missing: int
    other: int
    waiting: int
    extra: int

    @property
    def differs(self) -> bool:
        return bool(self.missing or self.other or self.waiting or self.extra)


class Verifier:
    """Compares one file.

    Args:
        connection: in a transaction, for a cursor of the server.
        settings: as the file is read with.
        told: is called with each difference.
        now_ns: wall clock.
    """

    def __init__(
        self,
        connection: PlainConnection,
        settings: Files,
        told: Callable[[Difference], None],
        now_ns: int,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._told = told
        self._now_ns = now_ns
        self._counts = dict.fromkeys(Verdict._fields, 0)

    def verify(self, path: str) -> Verdict:
        """Read it and compare.

        Raises:
            TessmonError: it can't be read, or is no telemetry file.
        """
        try:
            entry = entry_at(path)
            sighting = sighting_of(entry, self._settings.zone, False, self._now_ns)
        except GoneError as error:
            raise TessmonError(f"{shown(path)} is not there, or is no telemetry file") from error
        file_id, offset = self._known(path, entry.fsid, entry.inode)
        host, name = self._settings.host, sighting.name
        file = TelemetryFile(origin_of(host, file_id), host, path, name.device, name.kind, file_id)
        with closing(self._connection.cursor("tessmon_verify")) as cursor:
            cursor.itersize = _AHEAD
            cursor.execute(_ROWS_SQL, [name.device, file_id])
            self._compare(file, _Rows(iter(cursor)), offset)
        return Verdict(**self._counts)

    def _known(self, path: str, fsid: int, inode: int) -> tuple[int, int]:
        """Id and position of the file; (0, 0) when the database knows none."""
        with self._connection.cursor() as cursor:
            at = signed(fsid)
            cursor.execute(_FILE_SQL, [self._settings.host, signed(inode), at, shown(path), at])
            found = cursor.fetchone()
        return (0, 0) if found is None else (found[0], found[1][0] if found[1] else 0)

    def _compare(self, file: TelemetryFile, rows: _Rows, position: int) -> None:
        for events in self._events(file):
            at_home = rows.up_to(events[-1].offset)
            self._count("records", len(events))
            for event, there in zip(events, self._there(events), strict=True):
                at_home.discard((event.offset, event.digest))
                self._judge(event, there, position)
            self._tell_extra(sorted(at_home))
        self._tell_extra(rows.rest())

    def _events(self, file: TelemetryFile) -> Iterator[list[TelemetryEvent]]:
        """All records of the file, piece by piece."""
        decoders = Decoders(self._settings)
        try:
            with FileReader(file.path, file.kind, 0, self._settings.max_record_bytes) as reader:
                ending = Ending.MORE
                while ending is Ending.MORE:
                    read = reader.read()
                    ending = read.ending
                    decoded = decoders.decode(Piece(file, self._now_ns, read.offset, read.content))
                    reader.used(decoded.used)
                    events = [one for one in decoded.records if isinstance(one, TelemetryEvent)]
                    self._count("undecodable", len(decoded.records) - len(events))
                    if events:
                        yield events
                    if decoded.lost:
                        return
        except UnreadableError as error:
            raise TessmonError(f"{shown(file.path)}: {error}") from error

    def _there(self, events: Sequence[TelemetryEvent]) -> list[bool | None]:
        """Whether each stands in the database with equal values; None where it does not stand there."""
        with self._connection.cursor() as cursor:
            cursor.execute(TELEM.same_sql, TELEM.columns(events))
            return [equal for _, equal in cursor.fetchall()]

    def _judge(self, event: TelemetryEvent, there: bool | None, position: int) -> None:
        if there:
            self._count("equal")
            return
        what = "other" if there is not None else "waiting" if event.offset >= position else "missing"
        self._count(what)
        self._told(Difference(what, event.offset, f"{event.ec} at {_stamp(event)}"))

    def _tell_extra(self, rows: Iterable[tuple[int, int]]) -> None:
        for offset, digest in rows:
            self._count("extra")
            self._told(Difference("extra", offset, f"digest {digest}"))

    def _count(self, what: str, count: int = 1) -> None:
        self._counts[what] += count


class _Rows:
    """Where rows of the file stand in it, in order."""

    def __init__(self, rows: Iterator[tuple[int, int]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def up_to(self, offset: int) -> set[tuple[int, int]]:
        """The next ones, up to this offset."""
        found = set()
        while self._next is not None and self._next[0] <= offset:
            found.add(self._next)
            self._next = next(self._rows, None)
        return found

    def rest(self) -> Iterator[tuple[int, int]]:
        """All that are left."""
        while self._next is not None:
            yield self._next
            self._next = next(self._rows, None)


def _stamp(event: TelemetryEvent) -> str:
    second, ns = divmod(event.ts_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09}Z"
