# SPDX-License-Identifier: MIT
"""Loads trees of CSV files into the database.

A file is an origin. Its position is the place in it up to which it is stored, with the lines before and a digest of the
first bytes: a file that grows is read on, and one that was replaced is read anew. Points have the types of the
masterlist that the database knows. They were received when their file was last changed, line by line: what a server
said later has precedence.
"""

from __future__ import annotations

import hashlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from tessmon.past.csv_lines import Line, lines, time_text, value_text
from tessmon.past.csv_tree import CsvFile, LeftOut, open_to_read, survey
from tessmon.past.storing import BATCH_RECORDS, Storing
from tessmon.records.batch import Item, Move, Standing
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Reject
from tessmon.records.vlbimon import HISTORY, Exchange
from tessmon.records.vlbimon_walk import PIECE_BYTES, PIECE_POINTS, POINT, Part, frame_text, payload_of

MAX_TOLD = 20
"""Bad lines, and files that are left out, which are told one by one."""
_HEAD_BYTES, _DIGEST_BYTES = 64, 8
_FIRST_S = 946_771_200
"""A file that was last changed before this has lost its time: it is received now [s since 1970 UTC]."""
_NS_PER_LINE = 1000
_TOPIC = Exchange(HISTORY).topic()
_STANDINGS_AT_ONCE = 500
_MAX_PATH_CHARACTERS = 200


@dataclass
class Loaded:
    """What a load did so far.

    Attributes:
        files: read to their end now, or before [count].
        read_bytes, passed_bytes: of them now, and before.
        outcomes: points by what became of them: stored, replaced, duplicate, filtered, rejected.
        bad: sentences about lines that are rejected, the first of them.
        left_out: files, or what is none, that are not read.
        unfinished: files whose last line has no end yet.
    """

    files: int = 0
    read_bytes: int = 0
    passed_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)


class _Chunk(NamedTuple):
    """Lines of a file that go in one frame, and the parts that they become."""

    lines: list[Line]
    parts: list[Part]


class Load:
    """One run.

    Args:
        directory: of the tree.
        storing: the way to the database.
        datatypes: parameter → ``number``, ``boolean``, ``text``; what is missing is not known.
        now_ns: wall clock.
        told: called now and then.
    """

    def __init__(
        self,
        directory: Path,
        storing: Storing,
        datatypes: Mapping[str, str],
        now_ns: Callable[[], int],
        told: Callable[[Loaded], None],
    ) -> None:
        self.loaded = Loaded()
        self._directory = directory
        self._root = f"csv/{socket.gethostname()}{directory.resolve()}"
        self._storing = storing
        storing.why = self._where
        self._datatypes = datatypes
        self._now_ns = now_ns
        self._told = told
        self._items: list[Item] = []
        self._moves: dict[str, Move] = {}
        self._path = ""
        self._numbers: list[int] = []

    def run(self) -> Loaded:
        """Read what is not read.

        Raises:
            DatabaseError: the database refuses it, and time will not mend that.
            OSError: the directory can't be read.
        """
        some: list[CsvFile] = []
        for found in survey(self._directory):
            if isinstance(found, LeftOut):
                self.loaded.left_out.append(found)
                continue
            some.append(found)
            if len(some) == _STANDINGS_AT_ONCE:
                self._read_all(some)
                some.clear()
        self._read_all(some)
        self._store()
        return self.loaded

    def _read_all(self, files: list[CsvFile]) -> None:
        origins = ["/".join((self._root, *file.path)) for file in files]
        for file, origin, standing in zip(files, origins, self._storing.stands(origins), strict=True):
            try:
                with open_to_read(self._directory, file.path) as opened:
                    self._read(opened, file, origin, standing)
            except OSError as error:
                self.loaded.left_out.append(LeftOut("/".join(file.path), error.strerror or str(error)))
            self._told(self.loaded)

    def _read(self, opened: BinaryIO, file: CsvFile, origin: str, standing: Standing) -> None:
        offset, passed, head = standing.position
        if head != _digest(opened, offset):
            offset = passed = 0
        self._path = "/".join(file.path)
        self.loaded.passed_bytes += offset
        new = standing
        for chunk in self._chunks(file, lines(opened, offset, passed + 1)):
            end, number = chunk.lines[-1].end, chunk.lines[-1].last
            self._take(file, chunk, origin)
            place = (end, number, _digest(opened, end))
            new = new._replace(position=place, low=place)
            old = self._moves[origin].old if origin in self._moves else standing
            self._moves[origin] = Move(origin, old, new)
            self.loaded.read_bytes += end - offset
            offset = end
            if len(self._items) >= BATCH_RECORDS:
                self._store()
                standing = new
            self._told(self.loaded)
        self.loaded.files += 1

    def _chunks(self, file: CsvFile, found: Iterator[Line]) -> Iterator[_Chunk]:
        chunk, size_bytes = _Chunk([], []), 0
        datatype = self._datatypes.get(file.series.parameter)
        for line in found:
            if not line.whole:
                self.loaded.unfinished.append(self._path)
                break
            part = _part(file, line, datatype)
            part_bytes = len(part.text)
            full = len(chunk.parts) == PIECE_POINTS or size_bytes + part_bytes > PIECE_BYTES
            if chunk.lines and full:
                yield chunk
                chunk, size_bytes = _Chunk([], []), 0
            chunk.lines.append(line)
            chunk.parts.append(part)
            size_bytes += part_bytes
        if chunk.lines:
            yield chunk

    def _take(self, file: CsvFile, chunk: _Chunk, origin: str) -> None:
        payload = payload_of(frame_text(HISTORY, chunk.parts))
        first = chunk.lines[0]
        received_ns = file.stat.st_mtime_ns
        if received_ns < _FIRST_S * 10**9:
            received_ns = self._now_ns()
        frame = Frame(
            FrameKind.MESSAGE,
            received_ns + first.number * _NS_PER_LINE,
            _TOPIC,
            payload,
            len(payload),
            position=(first.offset, first.number, 0),
            origin=origin,
        )
        self._numbers = [line.number for line in chunk.lines]
        self._items += self._storing.items(frame)

    def _where(self, reject: Reject) -> str:
        """What is wrong with a line, and which it is."""
        position = reject.frame.position
        number = self._numbers[position[3] - 1 if len(position) > 3 else 0]
        return f"{self._path[:_MAX_PATH_CHARACTERS]}, line {number}: {reject.detail}"[:500]

    def _store(self) -> None:
        if not self._moves:
            return
        taken = self._storing.store(self._items, list(self._moves.values()))
        self._items, self._moves = [], {}
        self.loaded.outcomes += taken.outcomes
        room = MAX_TOLD - len(self.loaded.bad)
        self.loaded.bad += [reject.detail for reject in taken.refused[:room]]


def _part(file: CsvFile, line: Line, datatype: str | None) -> Part:
    """What a server would have said; of a line that is none, something of which the decoder says what is wrong."""
    if line.value is None:
        pair = f"[{msgspec.json.encode(line.time[:PIECE_BYTES].encode('ascii', 'backslashreplace').decode()).decode()}]"
    else:
        pair = f"[{time_text(line.time)},{value_text(line.value, datatype)}]"
    return Part(POINT, file.series.station, file.series.parameter, pair)


def _digest(opened: BinaryIO, offset: int) -> int:
    """Of the first bytes of what was read."""
    opened.seek(0)
    head = opened.read(min(_HEAD_BYTES, offset))
    return int.from_bytes(hashlib.blake2b(head, digest_size=_DIGEST_BYTES).digest(), "big") >> 1
