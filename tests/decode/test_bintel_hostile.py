# SPDX-License-Identifier: MIT
"""Whatever happens to a file's bytes: what stands before is exact, what stands behind is exact or one reject."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessmon.decode.bintel import BintelDecoder
from tessmon.decode.schemas import Schemas
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import Decoded, TelemetryEvent
from tests import flatlogs, scale
from tests.decode.bintel_pieces import DECODER, PATH, RECEIVED_NS, compared, decode, first, piece, spans

CPU_LIMIT_S = 0.050
LARGE_BYTES = 32 * 1024
SMALL = (
    first("tcsi_*.bintel", 7)
    + flatlogs.record(1001, {}, flatlogs.BEGAN_NS, 5)
    + first("camwfs_*.bintel", 3)
    + flatlogs.framed(31337, bytes(range(1, 17)))
    + first("tweeterSpeck_*.bintel", 3)
)
"""All kinds of things, in about a kilobyte."""


class Sound:
    """A sound file: where its records stand, what they give, and which bytes are lengths."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.spans = spans(content)
        self.records = [*map(compared, decode(content, last=True).records)]
        self.lengths = {at for begin, message, _ in self.spans for at in range(begin + 11, message)}
        assert len(self.records) == len(self.spans)

    def at(self, place: int) -> int:
        """Which record a byte belongs to."""
        return next(n for n, (begin, _, end) in enumerate(self.spans) if begin <= place < end)


def check(content: bytes) -> tuple[Decoded, float]:
    """What becomes of any bytes, and the time it took [s]: nothing is made up, nothing is lost."""
    began = time.thread_time()
    decoded = decode(content, last=True)
    took_s = time.thread_time() - began
    at = 0
    for record in decoded.records:
        if isinstance(record, Reject):
            assert PATH in record.detail
            assert "stumbled" not in record.detail
            assert record.frame.position == (at,)
            assert record.frame.payload == content[at : at + record.frame.length][:65536]
            at += record.frame.length
        else:
            assert (record.offset, content[at : at + len(record.raw)]) == (at, record.raw)
            check_event(record)
            at += len(record.raw)
    assert at == len(content), "every byte is part of one record"
    return decoded, took_s


def check_event(event: TelemetryEvent) -> None:
    """PostgreSQL takes it."""
    assert "\\u0000" not in event.msg.replace("\\\\", "")
    event.msg.encode()
    json.loads(event.msg, parse_constant=pytest.fail)
    assert 946_684_800 * 10**9 <= event.ts_ns <= RECEIVED_NS + 86_401 * 10**9


def assert_one_reject_at_most_behind(sound: Sound, damaged: int, decoded: Decoded) -> None:
    """Records before the damage are exact; behind it, all is one reject at most."""
    found = [*map(compared, decoded.records)]
    assert found[:damaged] == sound.records[:damaged]
    behind = decoded.records[damaged + 1 :]
    assert [type(record) for record in behind] in ([], [Reject])


def test_any_flipped_bit_costs_its_record_or_when_it_is_the_length_the_rest() -> None:
    sound = Sound(SMALL)
    for place in range(len(SMALL)):
        damaged = sound.at(place)
        for bit in range(8):
            content = bytearray(SMALL)
            content[place] ^= 1 << bit
            decoded, _ = check(bytes(content))
            if place in sound.lengths:
                assert_one_reject_at_most_behind(sound, damaged, decoded)
            else:
                found = [*map(compared, decoded.records)]
                assert found[:damaged] == sound.records[:damaged], (place, bit)
                assert found[damaged + 1 :] == sound.records[damaged + 1 :], (place, bit)


def mutated(chance: random.Random, content: bytes) -> tuple[str, int, bytes]:
    """How it was changed, from where on, and what came of it."""
    kind = chance.choice(("random", "zeros", "ones", "inserted", "deleted", "cut", "tail", "again"))
    at, count = chance.randrange(len(content)), chance.randint(1, 12)
    begin, old, rest = content[:at], content[at : at + count], content[at + count :]
    changed = {
        "random": begin + chance.randbytes(len(old)) + rest,
        "zeros": begin + bytes(len(old)) + rest,
        "ones": begin + b"\xff" * len(old) + rest,
        "inserted": begin + chance.randbytes(count) + old + rest,
        "deleted": begin + rest,
        "cut": begin,
        "tail": begin + chance.randbytes(chance.randint(1, 400)),
        "again": begin + content[at : at + 10 * count] + content[at:],
    }
    return kind, at, changed[kind]


def test_mutations_cost_what_they_hit() -> None:
    sound = Sound(first("tcsi_*.bintel", 9) + first("camwfs_*.bintel", 4) + flatlogs.mixed(9))
    chance = random.Random(20_261_123)
    told: Counter[str] = Counter()
    for _ in range(scale.MUTATED_FILES):
        kind, place, content = mutated(chance, sound.content)
        decoded, took_s = check(content)
        assert took_s < CPU_LIMIT_S
        found = [*map(compared, decoded.records)]
        assert found[: sound.at(place)] == sound.records[: sound.at(place)], (kind, place)
        if kind in ("random", "zeros", "ones"):
            differ = {at for at in range(place, len(content)) if content[at] != sound.content[at]}
            hit = {sound.at(at) for at in differ}
            if differ & sound.lengths:
                told["length hurt"] += 1
            elif len(hit) == 1:
                told["length unhurt"] += 1
                [damaged] = hit
                assert found[:damaged] == sound.records[:damaged], (kind, place)
                assert found[damaged + 1 :] == sound.records[damaged + 1 :], (kind, place)
            continue
        told[kind] += 1
    print(f"{scale.MUTATED_FILES} mutations: {dict(told)}")
    assert len(told) == 7
    assert told["length unhurt"] > scale.MUTATED_FILES // 10


@settings(max_examples=scale.HYPOTHESIS_PAYLOADS)
@given(content=st.binary(max_size=600))
def test_any_bytes_give_records_and_rejects(content: bytes) -> None:
    check(content)
    check(SMALL[: spans(SMALL)[4][2]] + content)


@pytest.mark.parametrize("seed", range(20))
def test_where_pieces_are_cut_makes_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    content = flatlogs.mixed(60, seed) + flatlogs.framed(31337, bytes(16)) + flatlogs.mixed(20, seed)
    if seed % 2:
        at = chance.randrange(len(content))
        content = content[:at] + chance.randbytes(3) + content[at + 3 :]
    whole = decode(content, last=True)
    found, at, end = [], 0, 0
    while end < len(content):
        end = min(len(content), max(end, at) + chance.randint(1, 200))
        decoded = DECODER.decode(piece(content[at:end], offset=at, last=end == len(content)))
        found += decoded.records
        at += decoded.used
        if decoded.lost:
            break
    events = [compared(record) for record in found if isinstance(record, TelemetryEvent)]
    assert events == [compared(record) for record in whole.records if isinstance(record, TelemetryEvent)]
    if not whole.lost:
        assert [*map(compared, found)] == [*map(compared, whole.records)]


def hostile_vtables() -> bytes:
    """Records with another vtable each: none has the same fields as one before."""
    names = [field.name for field in flatlogs.event(12100).fields or ()]
    sets = random.Random(1).sample(range(1 << len(names)), LARGE_BYTES // 70)
    made = [
        flatlogs.record(12100, {name: 1 for bit, name in enumerate(names) if chosen & 1 << bit})
        for chosen in sets
    ]
    return b"".join(made)[:LARGE_BYTES]


FAT = {
    "floats": flatlogs.record(20825, {"temps": [random.Random(1).gauss(20, 3) for _ in range(LARGE_BYTES // 4)]}),
    "empty strings": flatlogs.record(20827, {"diskName": [""] * (LARGE_BYTES // 8)}),
    "one-byte strings": flatlogs.record(10, {"message": b"\xff" * LARGE_BYTES}),
    "unknown codes": flatlogs.framed(31337, b"") * (LARGE_BYTES // 12),
    "no messages": flatlogs.framed(1001, b"") * (LARGE_BYTES // 12),
    "own vtables": hostile_vtables(),
    "damaged": flatlogs.framed(20, b"\xff" * 12) * (LARGE_BYTES // 24),
    "zeros": bytes(LARGE_BYTES),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAT)
def test_32_kilobytes_cost_bounded_time_whatever_they_are(kind: str) -> None:
    decoder = BintelDecoder(Schemas.load(), 1 << 20)
    took_s = []
    for _ in range(3):
        began = time.thread_time()
        decoder.decode(piece(FAT[kind], last=True))
        took_s.append(time.thread_time() - began)
    print(f"{kind}: {len(FAT[kind])} bytes in {min(took_s) * 1000:.1f} ms")
    assert min(took_s) < CPU_LIMIT_S
