# SPDX-License-Identifier: MIT
"""Gzip files: whole, growing, cut, damaged, hostile."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from pathlib import Path
from random import Random

import pytest

from tessmon.files.reading import FileReader
from tessmon.files.unpacking import FREE_TEXT_BYTES, MAX_RATIO, Ending
from tests.bench.ground import rss_anon_bytes
from tests.files.gzipped import HEADER, MAX_RECORD_BYTES, bomb, member, reads, whole

SEED = 5
MIB = 1 << 20
MAX_CALL_CPU_S = 0.1
"""It takes 5 ms at worst here."""
TEXT = b"".join(b'{"ts": "2024-10-22T05:00:%02d000", "n": %d}\n' % (n % 60, n * n) for n in range(40))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device_2024-10-22T050000.ndjson.gz"


def random_lines(random: Random, size: int) -> bytes:
    """Text that packs badly, so that a file of it is long."""
    lines = []
    while size > 0:
        lines.append(random.randbytes(random.randint(1, 60)).hex().encode() + b"\n")
        size -= len(lines[-1])
    return b"".join(lines)


def test_members_one_behind_the_other_are_one_text(path: Path) -> None:
    path.write_bytes(
        gzip.compress(TEXT) + member(b"") + member(TEXT) + bytes(700) + member(b"x\n") + bytes(9)
    )
    assert whole(path) == (TEXT + TEXT + b"x\n", Ending.END, [])


@pytest.mark.parametrize(
    ("flags", "extra"),
    [
        (4, b"\x03\x00abc"),
        (8, b"name\0"),
        (16, b"words\0"),
        (2, b"\x12\x34"),
        (31, b"\x00\x00n\0w\0\x12\x34"),
        (8, b"n" * 100_000 + b"\0"),
    ],
    ids=["extra", "name", "comment", "checked", "all", "long_name"],
)
def test_all_headers_are_read(path: Path, flags: int, extra: bytes) -> None:
    path.write_bytes(member(TEXT, flags=flags, extra=extra))
    assert whole(path) == (TEXT, Ending.END, [])


@pytest.mark.parametrize("size", [1000, 256 * 1024, 256 * 1024 + 1, 3_000_000])
def test_text_of_any_size_is_whole(path: Path, size: int) -> None:
    text = random_lines(Random(size), size)
    path.write_bytes(gzip.compress(text))
    assert whole(path) == (text, Ending.END, [])


def test_a_file_that_is_cut_anywhere_gives_what_it_has_and_the_rest_when_it_grows(path: Path) -> None:
    packed = member(TEXT[:700], flags=8, extra=b"name\0") + member(TEXT[700:])
    for cut in range(len(packed)):
        path.write_bytes(packed[:cut])
        with FileReader(str(path), "ndjson.gz", 0, MAX_RECORD_BYTES) as reader:
            first = reads(reader)
            begin = b"".join(read.content[: read.content.rfind(b"\n") + 1] for read in first)
            assert TEXT.startswith(begin)
            ended = first[-1]
            assert ended.ending is (Ending.END if cut in (0, packed.index(HEADER[:3], 1)) else Ending.CUT)
            assert (f"byte {cut}" in ended.fault) == (ended.ending is Ending.CUT)
            with path.open("ab") as file:
                file.write(packed[cut:])
            rest = reads(reader)
            assert begin + b"".join(read.content[: read.content.rfind(b"\n") + 1] for read in rest) == TEXT
            assert (rest[-1].ending, reader.position) == (Ending.END, len(TEXT))
        assert whole(path, position=len(begin)) == (TEXT[len(begin) :], Ending.END, [])
    assert begin == TEXT, "all but the check sum was there"


def test_text_is_read_on_from_any_position(path: Path) -> None:
    random = Random(SEED)
    text = random_lines(random, 2_000_000)
    path.write_bytes(gzip.compress(text[:900_000]) + gzip.compress(text[900_000:]))
    for _ in range(10):
        position = text.rfind(b"\n", 0, random.randrange(1, len(text))) + 1
        assert whole(path, position=position) == (text[position:], Ending.END, [])
    assert whole(path, position=len(text)) == (b"", Ending.END, [])


def test_every_changed_byte_is_harmless_or_told(path: Path) -> None:
    packed = member(TEXT[:700], flags=8, extra=b"name\0") + member(TEXT[700:])
    unseen = 0
    for at in range(len(packed)):
        changed = bytearray(packed)
        changed[at] ^= 0x55
        path.write_bytes(changed)
        content, ending, faults = whole(path)
        if faults or ending is not Ending.END:
            assert faults, at
            assert ending in (Ending.END, Ending.CUT, Ending.DAMAGED)
        else:
            unseen += 1
            assert content == TEXT
    assert unseen <= 2 * 6 + len("name\0"), "times and names in headers"


def test_what_stands_before_damage_is_given(path: Path) -> None:
    text = random_lines(Random(SEED), 600_000)
    packed = gzip.compress(text)
    cut = len(packed) * 2 // 3
    damage = b"\xff" * 64  # a block of a kind that does not exist, wherever it begins
    path.write_bytes(packed[:cut] + damage + packed[cut + 64 :])
    content, ending, faults = whole(path)
    assert ending is Ending.DAMAGED
    assert len(faults) == 1
    assert "gzip member 1 is damaged" in faults[0]
    same = next(
        (at for at, pair in enumerate(zip(content, text, strict=False)) if pair[0] != pair[1]), len(content)
    )
    assert same > len(text) * 0.65
    assert len(content) - same < 1000, "what is wrong ends soon"
    assert whole(path) == (content, ending, faults), "the same each time"


@pytest.mark.parametrize(
    "garbage", [b"x", b"garbage", b"\x1f\x8c", b"\x1f\x8b\x07" + bytes(20), bytes(5) + b"\xff"]
)
def test_garbage_behind_a_member_is_told_and_the_member_given(path: Path, garbage: bytes) -> None:
    path.write_bytes(member(TEXT) + garbage)
    content, ending, [fault] = whole(path)
    assert (content, ending) == (TEXT, Ending.DAMAGED)
    at = len(member(TEXT)) + len(garbage) - len(garbage.lstrip(b"\0"))
    assert fault == f"what begins at byte {at}, behind gzip member 1, is not gzip"


@pytest.mark.parametrize("garbage", [b"hello", bytes(100), b'{"ts": 1}\n' * 100])
def test_a_file_that_is_not_gzip_is_told(path: Path, garbage: bytes) -> None:
    path.write_bytes(garbage)
    assert whole(path) == (b"", Ending.DAMAGED, ["what begins at byte 0 is not gzip"])


def test_an_empty_file_has_nothing_yet(path: Path) -> None:
    path.touch()
    assert whole(path) == (b"", Ending.END, [])


def test_a_header_without_end_is_damage(path: Path) -> None:
    path.write_bytes(HEADER[:3] + b"\x08" + HEADER[4:] + b"n" * 1_000_000)
    assert whole(path) == (b"", Ending.DAMAGED, ["the header of gzip member 1 has no end"])


def test_a_wrong_check_sum_is_told_once_and_the_next_member_read(path: Path) -> None:
    path.write_bytes(member(TEXT, crc=1) + member(b"next\n"))
    content, ending, [fault] = whole(path)
    assert (content, ending) == (TEXT + b"next\n", Ending.END)
    assert "gzip member 1 has another check sum" in fault
    assert whole(path, position=len(TEXT) + 2).faults == [], "whoever read that far told it"


def test_a_bomb_is_one_sentence_and_costs_little(path: Path) -> None:
    bomb(path, 10)
    assert 9 * MIB < path.stat().st_size < 12 * MIB
    before = rss_anon_bytes()
    began_s = time.thread_time()
    with FileReader(str(path), "ndjson.gz", 0, MAX_RECORD_BYTES) as reader:
        tracemalloc.start()
        try:
            given, slowest_s, last = 0, 0.0, None
            while last is None or last.ending is Ending.MORE:
                call_s = time.thread_time()
                last = reader.read()
                slowest_s = max(slowest_s, time.thread_time() - call_s)
                given += len(last.content)
                reader.used(len(last.content))
            assert tracemalloc.get_traced_memory()[1] < 3 * MIB
        finally:
            tracemalloc.stop()
        assert FREE_TEXT_BYTES < reader.position < FREE_TEXT_BYTES + 2 * MIB
    assert last.ending is Ending.DAMAGED
    assert f"over {MAX_RATIO} times as many" in last.fault
    assert given < 2 * MIB, "a line is given up when it is too long, the rest only passed"
    assert time.thread_time() - began_s < 10
    assert slowest_s < MAX_CALL_CPU_S
    assert rss_anon_bytes() - before < 20 * MIB


def test_repetitive_text_is_no_bomb(path: Path) -> None:
    line = b'{"ts": "2024-10-22T05:%02d:%02d.000123000", "msg": {"a": 0.0, "b": 0.0, "state": "Ok"}}\n'
    hour = b"".join(line % (second // 60, second % 60) for second in range(3600))
    packer, size = zlib.compressobj(6, zlib.DEFLATED, 31), 0
    with path.open("wb") as file:
        while size < FREE_TEXT_BYTES * 1.2:
            file.write(packer.compress(hour))
            size += len(hour)
        file.write(packer.flush())
    with FileReader(str(path), "ndjson.gz", 0, MAX_RECORD_BYTES) as reader:
        assert reads(reader)[-1].ending is Ending.END
        assert reader.position == size


def dynamic_block_without_text() -> bytes:
    """Eight of the dearest blocks: each has its own tables and nothing else, 90 bits in all."""
    fields = [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)]
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    fields += [(int(symbol in (1, 18)), 3) for symbol in order]
    fields += [
        (1, 1),
        (127, 7),
        (1, 1),
        (107, 7),
        (0, 1),
        (0, 1),
        (0, 1),
    ]  # 138 + 118 zeros, two codes, the end
    bits = size = 0
    for value, width in fields:
        bits |= value << size
        size += width
    return sum(bits << (n * size) for n in range(8)).to_bytes(size, "little")


@pytest.mark.parametrize(
    "packed",
    [
        member(b"") * 20_000,
        HEADER + b"\x00\x00\x00\xff\xff" * 200_000,
        HEADER + dynamic_block_without_text() * 10_000,
    ],
    ids=["members", "stored_blocks", "dynamic_blocks"],
)
def test_packed_nothing_costs_little_in_each_call(path: Path, packed: bytes) -> None:
    path.write_bytes(packed)
    with FileReader(str(path), "ndjson.gz", 0, MAX_RECORD_BYTES) as reader:
        ending, slowest_s = Ending.MORE, 0.0
        while ending is Ending.MORE:
            began_s = time.thread_time()
            ending = reader.read().ending
            slowest_s = max(slowest_s, time.thread_time() - began_s)
    assert slowest_s < MAX_CALL_CPU_S


def test_a_file_that_was_truncated_is_told(path: Path) -> None:
    text = random_lines(Random(SEED), 200_000)
    packed = gzip.compress(text)
    path.write_bytes(packed)
    with FileReader(str(path), "ndjson.gz", 0, MAX_RECORD_BYTES) as reader:
        reads(reader)
        with path.open("r+b") as file:
            file.truncate(5000)
        shrunk = reader.read()
    assert shrunk.ending is Ending.SHRUNK
    assert shrunk.fault == f"it ends at byte 5000, {len(packed)} were there before"
    assert whole(path, position=len(text)).ending is Ending.SHRUNK
