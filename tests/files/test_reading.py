# SPDX-License-Identifier: MIT
"""Files that are opened, grow, are replaced and read on; and what is not opened."""

from __future__ import annotations

import gzip
import os
import socket
import tracemalloc
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from random import Random

import pytest

from tessmon.decode.ndjson import NdjsonDecoder
from tessmon.errors import Reason
from tessmon.files.reading import (
    HEAD_BYTES,
    MAX_LINES_A_PIECE,
    PIECE_BYTES,
    FileReader,
    UnreadableError,
    identify,
    open_file,
)
from tessmon.files.unpacking import Ending
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import Piece, TelemetryEvent, TelemetryFile
from tests.files.gzipped import MAX_RECORD_BYTES, reads, whole
from tests.unprivileged import as_nobody, open_directory

__all__ = ["open_directory"]
SEED = 11
RECEIVED_NS = 1_800_000_000 * 10**9
FILE = TelemetryFile("h/1", "h", "/device.ndjson", "device", "ndjson", 1)


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open(tmp_path: Path) -> Iterator[None]:
    yield
    descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    opened = [os.readlink(descriptor) for descriptor in descriptors if os.path.islink(descriptor)]
    assert not [name for name in opened if name.startswith(str(tmp_path))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device_2024-10-22T050000.ndjson"


def line(number: int, filling: str = "") -> bytes:
    second = f"{number // 60 % 60:02}:{number % 60:02}"
    msg = f'{{"n": {number}, "x": "{filling}"}}'
    text = f'{{"ts": "2024-10-22T05:{second}.000001000", "prio": "TELM", "ec": "e", "msg": {msg}}}'
    return text.encode() + b"\n"


class Tail:
    """Follows a file as the service does: all it remembers over a restart is a position.

    Attributes:
        records: what came out.
        position: how far the file is done with.
    """

    def __init__(self, path: Path, kind: str, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._path, self._kind, self._max_record_bytes = path, kind, max_record_bytes
        self._reader: FileReader | None = None
        self.records: list[TelemetryEvent | Reject] = []
        self.position = 0

    def read(self, *, last: bool = False, calls: int = 1_000_000) -> Ending:
        """Read on to the end of the file, or for so many calls."""
        if self._reader is None:
            self._reader = FileReader(str(self._path), self._kind, self.position, self._max_record_bytes)
        for _ in range(calls):
            read = self._reader.read()
            if read.content:
                final = last and read.ending is not Ending.MORE
                piece = Piece(FILE, RECEIVED_NS, read.offset, read.content, final)
                decoded = NdjsonDecoder(UTC, self._max_record_bytes).decode(piece)
                self.records += decoded.records
                self._reader.used(decoded.used)
            self.position = self._reader.position
            if read.ending is not Ending.MORE:
                return read.ending
        return Ending.MORE

    def restart(self) -> None:
        """Forget all but the position."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None


def test_a_file_that_is_no_regular_one_is_not_opened(tmp_path: Path) -> None:
    regular, link, pipe, sock = (tmp_path / name for name in ("regular", "link", "pipe", "socket"))
    regular.touch()
    link.symlink_to(regular)
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sock))
        cases = {
            link: "symbolic link",
            pipe: "a pipe",
            sock: "a socket",
            tmp_path: "a directory",
            Path("/dev/null"): "a device",
            Path("/dev/tty"): "device",
            tmp_path / "absent": "No such file",
            regular / "below": "Not a directory",
            tmp_path / ("n" * 300): "File name too long",
        }
        for path, words in cases.items():
            with pytest.raises(UnreadableError, match=words):
                FileReader(str(path), "ndjson", 0, MAX_RECORD_BYTES)
    with pytest.raises(UnreadableError, match="NUL"):
        identify("/tmp/a\0b")


def test_a_file_that_may_not_be_read_says_so(open_directory: Path) -> None:
    path = open_directory / "secret.ndjson"
    path.write_bytes(b"x")
    path.chmod(0)
    with as_nobody(), pytest.raises(UnreadableError, match="Permission denied"):
        identify(str(path))


def test_a_descriptor_is_not_for_children(path: Path) -> None:
    path.touch()
    descriptor = open_file(str(path))
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_reader_that_is_closed_says_so_and_closes_twice(path: Path) -> None:
    path.touch()
    reader = FileReader(str(path), "ndjson", 0, MAX_RECORD_BYTES)
    reader.close()
    reader.close()
    with pytest.raises(UnreadableError):
        reader.read()


def test_the_identity_goes_with_the_file_and_not_with_the_path(path: Path) -> None:
    path.write_bytes(b"short")
    first = identify(str(path))
    assert first == (os.statvfs(path).f_fsid, path.stat().st_ino, b"short")
    with path.open("ab") as file:
        file.write(b"x" * 100)
    grown = identify(str(path))
    assert (grown.inode, len(grown.head)) == (first.inode, HEAD_BYTES)
    assert grown.head.startswith(first.head)
    moved = path.rename(path.with_name("caf\udce9"))
    assert identify(str(moved)) == grown
    path.write_bytes(b"short")
    assert identify(str(path)).inode != first.inode
    with FileReader(str(moved), "bintel", 0, MAX_RECORD_BYTES) as reader:
        assert reader.identity == grown


@pytest.mark.parametrize("kind", ["bintel", "ndjson"])
def test_a_large_file_comes_in_pieces(path: Path, kind: str) -> None:
    content = b"".join(line(n) for n in range(10_000))
    path.write_bytes(content)
    assert whole(path, kind) == (content, Ending.END, [])
    with FileReader(str(path), kind, 0, MAX_RECORD_BYTES) as reader:
        pieces = reads(reader)
    assert len(pieces) >= len(content) // PIECE_BYTES
    assert max(len(piece.content) for piece in pieces) < PIECE_BYTES + 200


def test_a_piece_has_no_more_lines_than_can_be_decoded_in_a_moment(path: Path) -> None:
    path.write_bytes(b"x\n" * 50_000)
    with FileReader(str(path), "ndjson", 0, MAX_RECORD_BYTES) as reader:
        pieces = reads(reader)
    assert max(piece.content.count(b"\n") for piece in pieces) == MAX_LINES_A_PIECE
    assert b"".join(piece.content for piece in pieces) == b"x\n" * 50_000


def test_a_binary_file_is_read_on_from_any_byte(path: Path) -> None:
    content = Random(SEED).randbytes(PIECE_BYTES * 2 + 100)
    path.write_bytes(content)
    for position in (0, 1, PIECE_BYTES, len(content) - 1, len(content)):
        assert whole(path, "bintel", position) == (content[position:], Ending.END, [])


def test_what_was_not_used_stands_in_front_of_what_comes_next(path: Path) -> None:
    path.write_bytes(b"0123456789")
    with FileReader(str(path), "bintel", 2, MAX_RECORD_BYTES) as reader:
        assert reader.read() == (b"23456789", 2, Ending.END, "")
        reader.used(3)
        assert reader.position == 5
        assert reader.read() == (b"56789", 5, Ending.END, "")
        with path.open("ab") as file:
            file.write(b"ab")
        assert reader.read() == (b"56789ab", 5, Ending.END, "")
        reader.used(7)
        assert (reader.position, reader.read()) == (12, (b"", 12, Ending.END, ""))


@pytest.mark.parametrize("kind", ["ndjson", "ndjson.gz"])
def test_a_growing_file_gives_the_same_records_however_it_grows(path: Path, kind: str) -> None:
    random = Random(SEED)
    lines = [line(n, "x" * random.choice((0, 10, 3000))) for n in range(300)]
    for _ in range(30):
        lines.insert(
            random.randrange(300), random.choice((b"\n", b"no record\n", b"y" * MAX_RECORD_BYTES * 3 + b"\n"))
        )
    content = b"".join(lines)
    path.write_bytes(content)
    alone = Tail(path, "ndjson")
    alone.read()
    alone.restart()
    assert sum(isinstance(record, TelemetryEvent) for record in alone.records) == 300
    refused = [record.reason for record in alone.records if isinstance(record, Reject)]
    assert set(refused) == {Reason.NOT_JSON, Reason.TOO_LONG}
    packed = gzip.compress(content[: len(content) // 2]) + gzip.compress(content[len(content) // 2 :])
    for _ in range(6):
        written = packed if kind == "ndjson.gz" else content
        cuts = [*sorted(random.randrange(len(written)) for _ in range(25)), len(written)]
        path.write_bytes(b"")
        tail, begin = Tail(path, kind), 0
        for cut in cuts:
            with path.open("ab") as file:
                file.write(written[begin:cut])
            begin = cut
            tail.read(calls=random.choice((1, 3, 1000)))
            if random.random() < 0.5:
                tail.restart()
        while tail.read() is Ending.MORE:
            pass
        tail.restart()
        assert as_stored(tail.records) == as_stored(alone.records)
        assert tail.position == len(content)


def as_stored(records: list[TelemetryEvent | Reject]) -> list[tuple[object, ...]]:
    """What can't differ: of a line that is too long it is only known how long it is at least."""
    return [
        (record.offset, record.msg, record.digest)
        if isinstance(record, TelemetryEvent)
        else (record.frame.position[0], record.reason, record.frame.payload)
        for record in records
    ]


def test_a_cut_line_that_was_refused_is_read_when_it_grows_after_all(path: Path) -> None:
    for cut in range(1, len(line(1)) + 1):
        path.write_bytes(line(0) + line(1)[:cut])
        tail = Tail(path, "ndjson")
        tail.read(last=True)
        refused = [record for record in tail.records if isinstance(record, Reject)]
        assert len(refused) == (cut < len(line(1)) - 1)
        if cut % 2:
            tail.restart()
        with path.open("ab") as file:
            file.write(line(1)[cut:] + line(2))
        tail.read()
        tail.restart()
        events = [record for record in tail.records if isinstance(record, TelemetryEvent)]
        assert {event.raw + b"\n" for event in events} == {line(0), line(1), line(2)}


def test_a_line_of_any_length_is_one_reject_and_bounded_memory(path: Path) -> None:
    with path.open("wb") as file:
        file.write(line(0))
        for _ in range(64):
            file.write(b"z" * (1 << 20))
        file.write(b"\n" + line(1))
    for calls in (1, 7, 1000):
        tail = Tail(path, "ndjson")
        tracemalloc.start()
        try:
            while tail.read(calls=calls) is Ending.MORE:
                tail.restart()
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()
            tail.restart()
        assert [type(record) for record in tail.records] == [TelemetryEvent, Reject, TelemetryEvent]
        assert tail.records[1].reason is Reason.TOO_LONG
        assert tail.position == path.stat().st_size


@pytest.mark.parametrize("kind", ["ndjson", "bintel"])
def test_a_long_record_that_waits_for_its_rest_is_not_kept_in_memory(path: Path, kind: str) -> None:
    readers = []
    cut = b"z" * (MAX_RECORD_BYTES - 100)
    tracemalloc.start()
    try:
        for number in range(40):
            copy = path.with_name(f"{number}_{path.name}")
            copy.write_bytes(cut * 4)
            readers.append(FileReader(str(copy), kind, 0, 8 * MAX_RECORD_BYTES))
            for _ in range(3):
                assert readers[-1].read() == (cut * 4, 0, Ending.END, "")
                readers[-1].used(0)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
        with copy.open("ab") as file:
            file.write(b"rest\n")
        assert readers[-1].read() == (cut * 4 + b"rest\n", 0, Ending.END, "")
    finally:
        tracemalloc.stop()
        for reader in readers:
            reader.close()


def test_a_truncated_file_is_told_and_not_read_elsewhere(path: Path) -> None:
    path.write_bytes(line(0) * 3)
    with FileReader(str(path), "ndjson", 0, MAX_RECORD_BYTES) as reader:
        reads(reader)
        path.write_bytes(line(0))
        shrunk = reader.read()
        assert (shrunk.content, shrunk.ending) == (b"", Ending.SHRUNK)
        assert shrunk.fault == f"it ends at byte {len(line(0))}, {3 * len(line(0))} were there before"
    for kind in ("ndjson", "bintel"):
        assert whole(path, kind, position=3 * len(line(0))).ending is Ending.SHRUNK


def test_a_file_that_is_removed_is_read_to_its_end(path: Path) -> None:
    path.write_bytes(line(0))
    with FileReader(str(path), "ndjson", 0, MAX_RECORD_BYTES) as reader:
        assert not reader.deleted
        path.unlink()
        assert reader.deleted
        assert reader.read() == (line(0), 0, Ending.END, "")
