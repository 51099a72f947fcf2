# SPDX-License-Identifier: MIT
"""Lines that were damaged in every way: nothing escapes, nothing takes long, and their neighbours are exact."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.decode.ndjson import NdjsonDecoder
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import Piece, TelemetryEvent
from tests.decode.ndjson_lines import (
    FILE,
    MAGAOX,
    MAX_RECORD_BYTES,
    RECEIVED_NS,
    USUAL,
    decode,
    line_of,
    read_otherwise,
)
from tests.postgres import Database
from tests.scale import MUTATED_LINES

SEED = 20241022
KIB = 1024
MAX_LINE_CPU_S = 0.05
MAX_PIECE_CPU_S = 0.4
"""A piece of 256 KiB takes 30 ms at worst here; the rest is for slower and busier machines."""

MAX_PIECE_MEMORY_BYTES = 8 << 20

LINES = [
    line
    for path in sorted(MAGAOX.glob("exao1/**/*.ndjson.gz"))
    for line in gzip.decompress(path.read_bytes()).splitlines()
] + (MAGAOX / "real-lines.ndjson").read_bytes().splitlines()[::9]

_TOKENS = (
    b"NaN", b"-inf", b"nan", b"-0.0", b"-0", b"1e999", b"1e-999", b"9" * 400, b"null", b"true", b"{}", b"[]", b'""',
    b'"\\u0000"', b'"\\ud800"', b'"\xff"', b'"\\', b'"', b"\\", b"[" * 200, b'{"":' * 200, b"\0", b"\r", b"\t", b"{",
    b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"ts": 5,', b'"msg": 1,', b'"device": "x",', b'"ec": "\\n",', b"2024-02-30",
    b"1900", b"T25", b"-", b"+1", b",", b":", b"}",
)  # fmt: skip


def _flip(random: Random, line: bytearray) -> None:
    for _ in range(random.randint(1, 4)):
        line[random.randrange(len(line))] ^= 1 << random.randrange(8)


def _put(random: Random, line: bytearray) -> None:
    at = random.randrange(len(line) + 1)
    line[at : at + random.choice((0, 0, 1, 5))] = random.choice(_TOKENS)


def _value(random: Random, line: bytearray) -> None:
    """Another value behind some colon."""
    colons = [at for at, byte in enumerate(line) if byte == ord(":")]
    at = random.choice(colons or [0]) + 1
    end = min((line.find(stop, at) for stop in b",}" if line.find(stop, at) > 0), default=at)
    line[at:end] = random.choice(_TOKENS)


def _stamp(random: Random, line: bytearray) -> None:
    at = line.find(b'"ts": "') + 7
    line[at : at + 4] = random.choice((b"1999", b"2031", b"9999", b"0000", b"2024"))


def _remove(random: Random, line: bytearray) -> None:
    at = random.randrange(len(line))
    del line[at : at + random.randint(1, 40)]


def _cut(random: Random, line: bytearray) -> None:
    del line[random.randrange(len(line)) :]


def _noise(random: Random, line: bytearray) -> None:
    at = random.randrange(len(line))
    line[at : at + random.randint(1, 60)] = random.randbytes(random.randint(1, 60))


_MUTATORS: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip, _put, _value, _stamp, _remove, _cut, _noise,
)  # fmt: skip


def mutated(random: Random) -> bytes:
    """A line that one to three accidents happened to; never more than one line."""
    line = bytearray(random.choice(LINES))
    for _ in range(random.randint(1, 3)):
        if line:
            random.choice(_MUTATORS)(random, line)
    return bytes(line).replace(b"\n", b"\v")


def assert_values_are_those_of(line: bytes, event: TelemetryEvent) -> None:
    """Another reader, which knows Python's words for what is not finite, finds the same values."""
    try:
        said = read_otherwise(line)
    except ValueError:
        return
    assert event.marked or read_otherwise(event.msg) == said["msg"], line


def test_damage_costs_the_damaged_line_and_nothing_escapes(database: Database) -> None:
    random = Random(SEED)
    decoder = NdjsonDecoder(UTC, MAX_RECORD_BYTES)
    before, behind = USUAL, line_of(b'{"behind": NaN}')
    [first], [third] = decode(before + b"\n").records, decode(behind + b"\n").records
    slowest_s, fates, messages = 0.0, {}, []
    for number in range(MUTATED_LINES):
        line = mutated(random)
        content = b"\n".join((before, line, behind, b""))
        began_s = time.thread_time()
        decoded = decoder.decode(Piece(FILE, RECEIVED_NS, 0, content))
        slowest_s = max(slowest_s, time.thread_time() - began_s)
        records = decoded.records
        assert decoded.used == len(content), line
        assert records[0] == first, line
        assert (records[-1].raw, records[-1].msg) == (behind, third.msg), line
        assert len(records) == 3 or not line.strip(), line
        for record in records[1:-1]:
            if isinstance(record, Reject):
                assert record.frame.payload == line, "fits into a reject"
                assert "stumbled" not in record.detail, (line, record.detail)
                fate = str(record.reason)
            else:
                assert record.raw == line
                json.loads(record.msg, parse_constant=pytest.fail)
                assert_values_are_those_of(line, record)
                fate = "marked" if record.marked else "event"
                if number % 20 == 0 or record.marked:
                    messages.append(record.msg)
            fates[fate] = fates.get(fate, 0) + 1
    assert slowest_s < MAX_LINE_CPU_S
    assert fates.keys() >= {
        "event",
        "marked",
        "not_json",
        "cut",
        "invalid",
        "bad_time",
        "implausible_time",
    }, fates
    print(fates)
    sql = "SELECT count(m::jsonb) FROM unnest(%s::text[]) AS m"
    assert database.fetch(sql, [messages[:20_000]]) == [(len(messages[:20_000]),)]


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_decoded_without_an_exception(content: bytes, last: bool) -> None:
    decoded = decode(content, last=last)
    assert decoded.used <= len(content)
    assert len(decoded.records) <= content.count(b"\n") + last


def filled(part: bytes, size: int) -> bytes:
    return part * (size // len(part))


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "lists": lambda size: line_of(b'{"a":[' + filled(b"[],", size) + b"0]}"),
    "objects": lambda size: line_of(b'{"a":[' + filled(b"{},", size) + b"0]}"),
    "strings_and_a_nan": lambda size: line_of(b'{"a":[' + filled(b'"",', size) + b"NaN]}"),
    "numbers_and_a_nan": lambda size: line_of(b'{"a":[' + filled(b"1,", size) + b"NaN]}"),
    "nans": lambda size: line_of(b'{"a":[' + filled(b"NaN,", size) + b"0]}"),
    "negative_zeros": lambda size: line_of(b'{"a":[' + filled(b"-0,", size) + b"0]}"),
    "tiny": lambda size: line_of(b'{"a":[' + filled(b"1e-300,", size) + b"0]}"),
    "nuls": lambda size: line_of(b'{"a":"' + filled(b"\\u0000", size) + b'"}'),
    "backslashes_and_a_nul": lambda size: line_of(b'{"a":"' + filled(b"\\\\", size) + b'\\u0000"}'),
    "bad_bytes": lambda size: line_of(b'{"a":"' + filled(b"\xff", size) + b'"}'),
    "quotes_without_end": lambda size: line_of(b'{"a":' + filled(b'\\"', size)),
    "opening": lambda size: line_of(b'{"a":' + filled(b"[", size)),
    "runs_of_digits": lambda size: line_of(b'{"a":[' + filled(b"1" * 299 + b",", size) + b"NaN]}"),
    "digits": lambda size: line_of(b'{"a":' + filled(b"1", size) + b"}"),
    "minus_signs": lambda size: line_of(b'{"a":"' + filled(b"-", size) + b'"}'),
    "zeros_in_a_string": lambda size: line_of(b'{"a":"' + filled(b"-0.00000000e", size) + b'"}'),
    "zeros": bytes,
    "blank_lines": lambda size: filled(b"\n", size),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lines_cost_time_in_proportion_and_little_memory(name: str) -> None:
    cost_s = {}
    for size in (64 * KIB, 256 * KIB):
        content = HOSTILE[name](size) + b"\n"
        runs_s = []
        for _ in range(3):
            began_s = time.thread_time()
            decode(content)
            runs_s.append(time.thread_time() - began_s)
        cost_s[size] = min(runs_s)
    assert cost_s[256 * KIB] < MAX_PIECE_CPU_S
    assert cost_s[256 * KIB] < 12 * cost_s[64 * KIB] + 0.005, "no square of the length"
    tracemalloc.start()
    try:
        decode(content)
        assert tracemalloc.get_traced_memory()[1] < MAX_PIECE_MEMORY_BYTES
    finally:
        tracemalloc.stop()


def test_the_fullest_piece_of_refused_lines_takes_no_longer() -> None:
    content = b"x\n" * 2000
    began_s = time.thread_time()
    assert len(decode(content).records) == 2000
    assert time.thread_time() - began_s < MAX_PIECE_CPU_S


def test_the_same_piece_gives_the_same_records_whatever_came_before() -> None:
    random = Random(SEED)
    decoder = NdjsonDecoder(UTC, MAX_RECORD_BYTES)
    contents = [b"\n".join(mutated(random) for _ in range(5)) + b"\n" for _ in range(50)]
    first = [decoder.decode(Piece(FILE, RECEIVED_NS, 0, content)) for content in contents]
    again = [decoder.decode(Piece(FILE, RECEIVED_NS, 0, content)) for content in reversed(contents)]
    assert first == again[::-1]
    assert any(isinstance(record, TelemetryEvent) for decoded in first for record in decoded.records)
