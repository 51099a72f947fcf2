# SPDX-License-Identifier: MIT
"""The reading half of the lane `telemetry`: from files that grow, through decoders, to batches."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.logger import Logger
from zope.interface import implementer

from tessmon.breath import Breath
from tessmon.config.model import Writer as WriterSettings
from tessmon.errors import Reason
from tessmon.feed import STATEMENTS_PER_BATCH
from tessmon.files.naming import FileName
from tessmon.files.reading import UnreadableError, open_file
from tessmon.files.tree import shown
from tessmon.files.unpacking import Ending
from tessmon.followed import Followed, Making, Underway, decode_in_parts, piece_of
from tessmon.interfaces import Ask, IFeed
from tessmon.records.batch import Batch, Item, Move
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record, Reject, SourceEvent
from tessmon.records.telemetry import Decoded, Piece, TelemetryFile
from tessmon.sink.telemetry import KnownCodes
from tessmon.sources.sightings import ISightings
from tessmon.turns import Turns

MAX_MOVES = 500
"""Files in one batch: each takes a statement."""


class Decoders(Protocol):
    """Who decodes what."""

    max_record_bytes: int
    codes: frozenset[int]

    def decode(self, piece: Piece) -> Decoded:
        """By the kind of its file."""

    def name_of(self, file_name: str) -> FileName | None:
        """What a file's name says; None for other files."""


@implementer(IFeed)
class FileFeed:
    """Makes batches of what files have.

    Args:
        source: says which files to look at.
        decoders: see `take_up`.
        writer: sizes of batches; replaced at a reload.
        host: whose files they are.
        breath: lets the reactor do other things.
        now_ns: wall clock, for when bytes were read.

    Attributes:
        retry: called when rejects were made due.
    """

    log = Logger()
    standing = None
    held = 0

    def __init__(
        self,
        source: ISightings,
        decoders: Decoders,
        writer: WriterSettings,
        host: str,
        breath: Breath,
        now_ns: Callable[[], int],
    ) -> None:
        self.writer = writer
        self.retry: Callable[[], None] = lambda: None
        self._source = source
        self._host = host
        self._breath = breath
        self._now_ns = now_ns
        self._decoders = self._wanted = decoders
        self._reopen = False
        self._codes: frozenset[int] = frozenset()
        self._underway = Underway()
        self._turns = Turns(source, self._underway, decoders.max_record_bytes, breath, now_ns)
        self._events: list[Item] = []
        self._event_ns = 0
        self._callback: Callable[[], None] = lambda: None

    def take_up(self, decoders: Decoders, reopen: bool) -> None:
        """From the next batch on these decode.

        Args:
            reopen: the source gives all files out again, and other readers are wanted, too.
        """
        self._wanted = decoders
        if reopen:
            self._turns.forget_line()
            self._reopen = True

    def watch(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._source.watch(callback)

    async def begin(self, ask: Ask) -> str:
        self._ask = ask
        failed = self._underway.clear()
        self._events = [event for making in failed for event in making.events] + self._events
        sightings = {
            origin: reached.sighting for making in failed for origin, reached in making.reached.items()
        }
        await self._turns.begin(ask, sightings)
        await self._use_wanted()
        return f"what grew on {self._host}"

    def close(self) -> None:
        """Let go of all files."""
        self._turns.close()

    @property
    def line(self) -> int:
        """Files that wait to be read [count]."""
        return len(self._turns)

    def again(self, frame: Frame) -> Sequence[Record]:
        """By the bytes that the reject kept, and the rest of them from the file where it is still there."""
        return [self._again(frame)]

    def _again(self, frame: Frame) -> Record:
        file = self._file_of(frame)
        raw = frame.payload if frame.length == len(frame.payload) else _whole(frame, file.kind)
        if raw is None:
            detail = f"of {frame.length} bytes only the first {len(frame.payload)} were kept: see the file"
            return Reject(frame, Reason.TOO_LONG, detail, file.device)
        if not raw:
            return Reject(frame, Reason.CUT, "nothing of it was kept: see the file", file.device)
        piece = Piece(file, frame.received_ns, frame.position[0], raw, True)
        records = self._wanted.decode(piece).records
        if len(records) != 1:
            detail = f"these bytes hold {len(records)} records: see the file"
            return Reject(frame, Reason.FRAMING, detail, file.device)
        [record] = records
        if isinstance(record, Reject):
            return Reject(frame, record.reason, record.detail, record.subject)
        return record

    def here(self) -> Sequence[Move]:
        return []

    def committed(self, moves: Sequence[Move]) -> None:
        self._underway.committed(moves)
        if self._turns.waits_for_commit:
            self._callback()

    async def next(self) -> Batch:
        self._events += [
            self._event(what.what, what.detail, what.at_ns) for what in self._source.occurrences()
        ]
        events, self._events = self._events, []
        making = self._underway.begin(events)
        await self._use_wanted()
        await self._turns.look()
        while not self._is_full(making):
            followed = await self._turns.next()
            if followed is not None:
                await self._read(followed, making)
            elif making.reached or not await self._turns.look():
                break
            if self._breath.due:
                await self._breath.take()
        await self._turns.tell()
        batch = making.batch()
        if not batch.items and not batch.moves:
            self._underway.drop(making)
        return batch

    async def _use_wanted(self) -> None:
        """Take up new decoders; rejects whose code is known now are tried again."""
        self._decoders = self._wanted
        if self._reopen:
            self._reopen = False
            self._turns.reopen(self._decoders.max_record_bytes)
        codes = self._decoders.codes
        if codes != self._codes:
            await self._ask([KnownCodes(sorted(codes))])
            self._codes = codes
            self.retry()

    def _is_full(self, making: Making) -> bool:
        return (
            len(making.items) >= self.writer.batch_rows * STATEMENTS_PER_BATCH
            or making.size_bytes >= self.writer.batch_bytes
            or len(making.reached) >= MAX_MOVES
        )

    async def _read(self, followed: Followed, making: Making) -> None:
        """One piece of a file, which is decoded."""
        path = followed.sighting.path
        try:
            read = followed.reader.read()
        except UnreadableError as error:
            self._turns.give_up(followed, str(error))
            return
        if read.ending is Ending.SHRUNK:
            self.log.warn(
                "{path} was cut off and is read from its begin: {why}", path=shown(path), why=read.fault
            )
            detail = json.dumps({"path": shown(path), "why": read.fault})
            making.note(self._event("cut_off", detail, self._now_ns()))
            await self._turns.cut_off(followed)
            return
        piece = piece_of(followed, read, self._now_ns())
        making.add(followed, read, piece, await decode_in_parts(piece, self._decoders.decode, self._breath))
        if not followed.read_on:
            self._turns.leave(followed)

    def _file_of(self, frame: Frame) -> TelemetryFile:
        name = self._wanted.name_of(os.path.basename(frame.topic))
        device, kind = (name.device, name.kind) if name is not None else ("", "bintel")
        host, _, file_id = frame.origin.rpartition("/")
        return TelemetryFile(frame.origin, host, frame.topic, device, kind, int(file_id))

    def _event(self, what: str, detail: str, at_ns: int) -> Item:
        """Two at one instant are told apart by the position."""
        self._event_ns = max(at_ns, self._event_ns + 1)
        position = (self._event_ns,)
        frame = Frame(FrameKind.EVENT, at_ns, what, b"", 0, position=position)
        return Item(position, SourceEvent(frame, what, detail))


def _whole(frame: Frame, kind: str) -> bytes | None:
    """A record of which a reject has the beginning, from its file; None where that is gone or another one."""
    if kind.endswith(".gz"):
        return None
    try:
        descriptor = open_file(frame.topic)
    except UnreadableError:
        return None
    try:
        raw = os.pread(descriptor, frame.length, frame.position[0])
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return raw if len(raw) == frame.length and raw.startswith(frame.payload) else None
