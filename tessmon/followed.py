# SPDX-License-Identifier: MIT
"""A file that is followed: how far it was read, and what of a piece goes on.

A file's position is (offset,), or (offset, told) where what stands from offset to told was rejected, and is read again
when the file has grown; told is `LOST` where that reject stands for all that follows. Of a packed file, where offsets
count the text, it is (offset, told or `NOTHING_TOLD`, size) when nothing is waited for: so large was the file when its
text was read to the end.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tessmon.breath import Breath
from tessmon.errors import Reason
from tessmon.files.reading import FileReader, Read
from tessmon.files.tree import shown
from tessmon.files.unpacking import Ending
from tessmon.records.batch import Batch, Item, Move, Standing
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record, Reject, SourceEvent, Withdrawn
from tessmon.records.position import Position
from tessmon.records.telemetry import Decoded, Piece, TelemetryEvent, record_frame
from tessmon.sink.files import Opened, Touched
from tessmon.sources.sightings import Sighting

LOST, NOTHING_TOLD = 2**63 - 1, -1
"""Nothing behind the offset can be told apart, now or later; nothing there was rejected."""
MAX_DETAIL_CHARACTERS = 500
PART_BYTES = 8 * 1024
"""So much is decoded before one looks how long it took."""


class Followed:
    """A file that is open.

    Attributes:
        file: what it is.
        standing: how far it was read.
        sighting: how it was seen last.
        reader: has it open.
        read_on: there may be more behind what was read.
        told, told_ns: what the database knows of its size, time and head, and since when [ns].
    """

    def __init__(
        self, opened: Opened, sighting: Sighting, head: bytes, reader: FileReader, now_ns: int
    ) -> None:
        """Args: the row, how the file was seen, and its head and the time when the database was told so."""
        self.file = opened.file
        self.standing = opened.standing
        self.sighting = sighting
        self.reader = reader
        self.read_on = True
        self.told, self.told_ns = self.touched._replace(head=head), now_ns

    @property
    def packed(self) -> bool:
        """Whether offsets count the text that it unpacks to."""
        return self.file.kind.endswith(".gz")

    @property
    def touched(self) -> Touched:
        """What the database should know of it."""
        size, modified_ns = self.sighting.size_bytes, self.sighting.mtime_ns
        return Touched(self.file.file_id, size, modified_ns, self.reader.identity.head)

    def stand(self, offset: int, told: int, waits_for_nothing: bool) -> None:
        """It was read up to here."""
        position: Position = (offset,) if told == NOTHING_TOLD else (offset, told)
        if waits_for_nothing and self.packed:
            position = (offset, told, self.sighting.size_bytes)
        self.standing = Standing(position, position)


class OpenFiles:
    """Those that are open, the one that was read longest ago first; each under one path."""

    def __init__(self) -> None:
        self._by_path: OrderedDict[str, Followed] = OrderedDict()
        self._by_origin: dict[str, Followed] = {}

    def at(self, path: str) -> Followed | None:
        """The file that was opened there."""
        return self._by_path.get(path)

    def add(self, followed: Followed) -> Followed | None:
        """Take one in; gives the one that was open under another name."""
        before = self._by_origin.get(followed.file.origin)
        if before is not None:
            self.remove(before)
        self._by_path[followed.sighting.path] = self._by_origin[followed.file.origin] = followed
        return before

    def remove(self, followed: Followed) -> None:
        """It is no longer one of them."""
        del self._by_path[followed.sighting.path], self._by_origin[followed.file.origin]

    def read(self, followed: Followed) -> None:
        """It is read now."""
        self._by_path.move_to_end(followed.sighting.path)

    def surplus(self, limit: int) -> list[Followed]:
        """Those that are too many; they are no longer among them."""
        surplus = list(self._by_path.values())[: max(0, len(self._by_path) - limit)]
        for followed in surplus:
            self.remove(followed)
        return surplus

    def clear(self) -> list[Followed]:
        """All of them, which are no longer so."""
        return self.surplus(0)


class Reached(NamedTuple):
    """How far a file was read, and how it was seen then."""

    standing: Standing
    sighting: Sighting


class Making:
    """A batch in the making; per origin, where it stood before, and where it stands and how it was seen last."""

    def __init__(self, events: Sequence[Item] = ()) -> None:
        self.events = list(events)
        self.items = list(events)
        self.size_bytes = 0
        self.olds: dict[str, Standing] = {}
        self.reached: dict[str, Reached] = {}
        self.moves: list[Move] = []

    def add(self, followed: Followed, read: Read, piece: Piece, decoded: Decoded) -> None:
        """What was read of a file, decoded; ``followed.read_on`` tells whether there may be more."""
        followed.reader.used(decoded.used)
        followed.read_on = read.ending is Ending.MORE and not decoded.lost
        origin = followed.file.origin
        self.olds.setdefault(origin, followed.standing)
        self.items += [Item((piece.offset,), record) for record in take(followed, piece, read, decoded)]
        self.size_bytes += len(read.content)
        self.reached[origin] = Reached(followed.standing, followed.sighting)

    def note(self, event: Item) -> None:
        """Something happened."""
        self.events.append(event)
        self.items.append(event)

    def batch(self) -> Batch:
        """It is made."""
        moves = [Move(origin, old, self.reached[origin].standing) for origin, old in self.olds.items()]
        self.moves = [move for move in moves if move.new != move.old]
        return Batch(self.items, self.moves)


def piece_of(followed: Followed, read: Read, now_ns: int) -> Piece:
    """What was read of a file, for its decoder."""
    is_last = read.ending is not Ending.MORE and (
        followed.sighting.finished or read.ending is Ending.DAMAGED or followed.reader.deleted
    )
    return Piece(followed.file, now_ns, read.offset, read.content, is_last)


async def decode_in_parts(piece: Piece, decode: Callable[[Piece], Decoded], breath: Breath) -> Decoded:
    """What ``decode`` makes of a piece, without holding the reactor for long: a piece of nothing but tiny records that
    are all refused takes 100 ms."""
    records: list[TelemetryEvent | Reject] = []
    content = piece.content
    at, part_bytes = 0, PART_BYTES
    while True:
        end = _part_end(piece, at, part_bytes)
        is_rest = end == len(content)
        part = Piece(
            piece.file, piece.received_ns, piece.offset + at, content[at:end], piece.last and is_rest
        )
        decoded = decode(part)
        if is_rest:
            return Decoded(records + decoded.records, at + decoded.used, decoded.lost)
        if decoded.lost:  # once in a file: its reject keeps as much as there is
            part_bytes = len(content)
        else:
            records += decoded.records
            at += decoded.used
            part_bytes = PART_BYTES if decoded.used else part_bytes * 2
        if breath.due:
            await breath.take()


def _part_end(piece: Piece, at: int, part_bytes: int) -> int:
    """Where a part ends: with a line, where there are lines."""
    content, end = piece.content, at + part_bytes
    if end < len(content) and piece.file.kind.startswith("ndjson"):
        end = content.rfind(b"\n", at, end) + 1 or content.find(b"\n", end) + 1 or len(content)
    return min(end, len(content))


class Underway:
    """Batches that were begun and are not in the database yet, the oldest first."""

    def __init__(self) -> None:
        self._makings: list[Making] = []

    def __contains__(self, origin: str) -> bool:
        return any(origin in making.reached for making in self._makings)

    def begin(self, events: Sequence[Item]) -> Making:
        """A new one."""
        self._makings.append(Making(events))
        return self._makings[-1]

    def standing(self, origin: str, sighting: Sighting) -> Standing | None:
        """How far a file was read that is seen so now; None when all that was read of it is in the database."""
        for making in reversed(self._makings):
            reached = making.reached.get(origin)
            if reached is not None:
                making.reached[origin] = Reached(reached.standing, sighting)
                return reached.standing
        return None

    def drop(self, making: Making) -> None:
        """There was nothing in it."""
        self._makings.remove(making)

    def committed(self, moves: object) -> None:
        """The batch with these moves is in the database."""
        self._makings = [making for making in self._makings if making.moves is not moves]

    def clear(self) -> list[Making]:
        """Those that failed: all."""
        makings, self._makings = self._makings, []
        return makings


def is_read(sighting: Sighting, position: Position) -> bool:
    """Whether a file has nothing new."""
    offset, told, packed_bytes = (*position, NOTHING_TOLD, NOTHING_TOLD)[:3]
    if told == LOST:
        return True
    if sighting.name.kind.endswith(".gz"):
        return packed_bytes == sighting.size_bytes
    return sighting.size_bytes in (offset, told)


def take(followed: Followed, piece: Piece, read: Read, decoded: Decoded) -> list[Record]:
    """What of a piece goes on; the file stands behind it then."""
    began, was_told = (*followed.standing.position, NOTHING_TOLD)[:2]
    offset, told = max(began, piece.offset + decoded.used), NOTHING_TOLD
    records: list[Record] = list(decoded.records)
    rest_bytes = 0 if decoded.lost else len(piece.content) - decoded.used
    if decoded.lost:
        offset, told = decoded.records[-1].frame.position[0], LOST
    elif piece.last and (rest_bytes or read.fault):
        told = LOST if read.ending is Ending.DAMAGED else offset + rest_bytes
        if read.fault:
            _tell_fault(records, piece, offset, read)
    if was_told != NOTHING_TOLD and offset == began and told != LOST:  # still cut: the reject is there
        records, told = [], max(told, was_told)
    elif was_told != NOTHING_TOLD:
        records.insert(0, Withdrawn(record_frame(followed.file, piece.received_ns, began, b"")))
    if read.fault and read.ending is Ending.MORE:
        records.append(_event(piece, offset, read.fault))
    is_whole = read.ending is Ending.END and not rest_bytes
    followed.stand(offset, told, told != NOTHING_TOLD or is_whole)
    return records


def _tell_fault(records: list[Record], piece: Piece, offset: int, read: Read) -> None:
    """A packed file whose text ends too early: one reject for that and for the line it ends in."""
    reason = Reason.DAMAGED if read.ending is Ending.DAMAGED else Reason.CUT
    detail = f"{shown(piece.file.path)} at byte {offset} of its text: {read.fault}"
    payload = b""
    if records and isinstance(records[-1], Reject) and records[-1].frame.position == (offset,):
        last = records.pop()
        payload = last.frame.payload
    frame = record_frame(piece.file, piece.received_ns, offset, payload)
    records.append(Reject(frame, reason, detail[-MAX_DETAIL_CHARACTERS:], piece.file.device))


def _event(piece: Piece, offset: int, fault: str) -> SourceEvent:
    """A wrong check sum: what was unpacked is stored, and may be wrong somewhere."""
    frame = Frame(
        FrameKind.EVENT,
        piece.received_ns,
        "check_sum",
        b"",
        0,
        position=(offset,),
        origin=piece.file.origin,
    )
    return SourceEvent(
        frame, "check_sum", json.dumps({"path": shown(piece.file.path), "offset": offset, "why": fault})
    )
