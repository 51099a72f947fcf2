# SPDX-License-Identifier: MIT
"""Reads one file into the database, from where it stands to its end now: as the live tail does, file by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tessmon.breath import LongBreath
from tessmon.config.model import Config, Files
from tessmon.database.meanwhile import meanwhile
from tessmon.database.partitions import Partitions
from tessmon.database.session import Session, at_once
from tessmon.files.decoding import Decoders
from tessmon.files.link import Link
from tessmon.files.looking import GoneError, entry_at, seen_of, sighting_of
from tessmon.files.reading import FileReader, UnreadableError
from tessmon.files.unpacking import Ending
from tessmon.followed import Followed, Making, is_read, piece_of
from tessmon.records.batch import Batch
from tessmon.sink.files import Opened, Seen, note_ingested, open_files, reopen_cut_off, touch_files
from tessmon.sink.plan import Stored
from tessmon.sink.telemetry import TelemetrySink
from tessmon.sink.writer import FencedError, Writer
from tessmon.sources.sightings import Sighting

SOURCE = "files"
STATEMENT_ROWS = 400
"""At most. Measured with mixed records in PostgreSQL 15, CPU of the server per row: 4.7 to 5.6 µs with 100 to 400 rows,
6.3 to 7.0 µs with 1000; COPY takes 3.7 to 4.5 µs."""
STATEMENTS_PER_BATCH = 30
"""More than the live tail has: nobody waits for a row, and each commit waits for the disk."""
MAX_BATCH_BYTES = 2 << 20
FENCED_S = 0.2
"""When somebody else reads the same file, they get so long before we look how far they are, longer each time [s]."""
MAX_TRIES = 50


class Told(NamedTuple):
    """Progress with a file.

    Attributes:
        read_bytes: of the file on disk, since the last time.
        outcomes: records by what became of them, since the last time.
        offset: up to where the file is done with.
    """

    read_bytes: int
    outcomes: Counter[str]
    offset: int


class LeftOutError(Exception):
    """A file can't be read; the text says why."""


class _ShrunkError(Exception):
    """A file ends before the place up to which it was read."""


class _Ahead:
    """The next batch, made while the database works on the one before.

    Args:
        make: makes it; what it raises, `take` raises.
    """

    def __init__(self, make: Callable[[], Batch | None]) -> None:
        self._make = make
        self._is_made = False
        self._batch: Batch | None = None
        self._error: Exception | None = None

    def make(self) -> None:
        """Make it, if it is not made."""
        if self._is_made:
            return
        self._is_made = True
        try:
            self._batch = self._make()
        except Exception as error:
            self._error = error

    def take(self) -> Batch | None:
        """The batch; the next `make` makes the one behind it."""
        self.make()
        if self._error is not None:
            raise self._error
        batch, self._batch, self._is_made = self._batch, None, False
        return batch


class Filler:
    """Reads files into the database, one after the other.

    Args:
        config: with its files table.
        link: to the database.
        told: is called after each transaction; what it raises ends the reading there.
        pauses: waits so long [s].
        now_ns: wall clock.
        reached: called at the writer's kill points.
    """

    def __init__(
        self,
        config: Config,
        settings: Files,
        link: Link,
        told: Callable[[Told], None],
        pauses: Callable[[float], None],
        now_ns: Callable[[], int],
        reached: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._settings = settings
        self._link = link
        self._told = told
        self._pauses = pauses
        self._now_ns = now_ns
        self._offset = 0
        self._decoders = Decoders(settings)
        statement_rows = min(config.writer.batch_rows, STATEMENT_ROWS)
        self._batch_rows = statement_rows * STATEMENTS_PER_BATCH
        breath = LongBreath()
        writer = Writer(SOURCE, Partitions(), statement_rows, breath, reached)
        self._sink = TelemetrySink(settings.host, config.rejects, writer, breath)
        link.on_connect = self._sink.forget

    def fill(self, path: str, newest: bool) -> None:
        """Read a file from where it stands to its end.

        Args:
            newest: its device has not begun another one: what is cut at its end waits.

        Raises:
            LeftOutError: it can't be read.
            GoneError: it is no more.
        """
        for attempt in range(MAX_TRIES):
            followed = self._open(path, newest)
            if followed is None:
                return
            try:
                self._fill(followed)
                return
            except _ShrunkError:
                self._begin_anew(followed)
            except FencedError:
                self._pauses(FENCED_S * (attempt + 1))
            except UnreadableError as error:
                raise LeftOutError(str(error)) from error
            finally:
                followed.reader.close()
        raise LeftOutError("somebody else reads it all the time")

    def _open(self, path: str, newest: bool) -> Followed | None:
        """None when all of it is read already."""
        sighting, seen = self._look(path, newest)
        opened = self._ask(seen)
        if is_read(sighting, opened.standing.position):
            self._end(sighting, opened)
            return None
        try:
            reader = FileReader(path, seen.kind, opened.standing.position[0], self._settings.max_record_bytes)
        except UnreadableError as error:
            raise LeftOutError(str(error)) from error
        if (reader.identity.fsid, reader.identity.inode) != (seen.fsid, seen.inode):
            reader.close()
            raise GoneError
        return Followed(opened, sighting, seen.head or b"", reader, self._now_ns())

    def _look(self, path: str, newest: bool) -> tuple[Sighting, Seen]:
        try:
            entry = entry_at(path)
        except OSError as error:
            raise LeftOutError(error.strerror or str(error)) from error
        sighting = sighting_of(entry, self._settings.zone, newest, self._now_ns())
        seen, why = seen_of(entry, sighting.name)
        if why:
            self._ask(seen)
            raise LeftOutError(why)
        return sighting, seen

    def _ask(self, seen: Seen) -> Opened:
        host = self._settings.host

        async def asked(session: Session) -> Opened | None:
            [opened] = await open_files(session, host, [seen])
            return opened

        opened = self._link.run(asked)
        if opened is None:
            raise LeftOutError("its path is too long to be stored")
        return opened

    def _fill(self, followed: Followed) -> None:
        """Give batches to the database, to the end.

        Raises:
            _ShrunkError: the file must be opened anew.
            FencedError: somebody else has read it on.
        """
        ahead = _Ahead(lambda: self._next(followed))
        while (batch := ahead.take()) is not None:
            with meanwhile(ahead.make):
                self._write(batch, followed)
        self._end(followed.sighting, followed)

    def _next(self, followed: Followed) -> Batch | None:
        """The next batch of a file, ready to be written; None at its end."""
        while followed.read_on:
            making = Making()
            while followed.read_on and not self._is_full(making):
                read = followed.reader.read()
                if read.ending is Ending.SHRUNK:
                    raise _ShrunkError
                piece = piece_of(followed, read, self._now_ns())
                making.add(followed, read, piece, self._decoders.decode(piece))
            batch = making.batch()
            if batch.items or batch.moves:
                at_once(self._sink.prepare(batch))
                return batch
        return None

    def _is_full(self, making: Making) -> bool:
        return len(making.items) >= self._batch_rows or making.size_bytes >= MAX_BATCH_BYTES

    def _write(self, batch: Batch, followed: Followed) -> None:
        stored: Stored = self._link.run(lambda session: self._sink.write(session, batch))
        outcomes: Counter[str] = Counter()
        for key, count in stored.written.tallies.items():
            outcomes[key.outcome] += count
        read_bytes = 0
        for move in batch.moves:
            self._offset = move.new.position[0]
            if not followed.packed:
                read_bytes += self._offset - move.old.position[0]
        self._told(Told(read_bytes, outcomes, self._offset))

    def _begin_anew(self, followed: Followed) -> None:
        """The file was cut off: what it holds from now on is another file's content."""
        path, newest = followed.sighting.path, followed.sighting.newest
        _, seen = self._look(path, newest)
        if seen.fsid != followed.sighting.fsid or seen.inode != followed.sighting.inode:
            return
        host, file_id = self._settings.host, followed.file.file_id
        self._link.run(lambda session: reopen_cut_off(session, host, file_id, seen))

    def _end(self, sighting: Sighting, what: Followed | Opened) -> None:
        """Note that all is stored, if nothing more will come."""

        async def noted(session: Session) -> None:
            if isinstance(what, Followed):
                await touch_files(session, self._settings.host, [what.touched])
            if sighting.finished:
                await note_ingested(session, [what.file.file_id])

        self._link.run(noted)
