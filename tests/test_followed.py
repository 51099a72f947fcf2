# SPDX-License-Identifier: MIT
"""Pieces of files are decoded in parts, so that the reactor is never held for long."""

from __future__ import annotations

import gc
import json
import random
import time

import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.breath import Breath, LongBreath
from tessmon.config.model import Files
from tessmon.database.session import at_once
from tessmon.files.decoding import Decoders
from tessmon.followed import PART_BYTES, decode_in_parts
from tessmon.records.telemetry import Decoded, Piece, TelemetryFile
from tests.flatlogs import mixed_records

NOW_NS = 1_767_225_600_000_000_000
DECODERS = Decoders(Files())
BINARY = TelemetryFile("h/1", "h", "/t/camwfs_20241022032000000000000.bintel", "camwfs", "bintel", 1)
LINES = TelemetryFile("h/2", "h", "/t/maggieo_x_2024-10-22T031405.ndjson", "maggieo_x", "ndjson", 2)
PIECE_BYTES = 256 * 1024
RECORDS = b"".join(mixed_records(500))


def _lines(count: int, random_: random.Random) -> bytes:
    texts = []
    for n in range(count):
        text = {
            "ts": f"2024-10-22T03:14:05.{n:06}000",
            "prio": "TELM",
            "ec": "t",
            "msg": {"n": "é" * random_.randrange(90)},
        }
        texts.append(
            json.dumps(text, ensure_ascii=False).encode()
            if random_.random() < 0.9
            else b" x" * random_.randrange(9)
        )
    return b"\n".join(texts)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_parts_hold_what_the_whole_holds(seed: int, last: bool) -> None:
    random_ = random.Random(seed)
    content = bytearray(RECORDS if seed % 2 else _lines(500, random_))
    for _ in range(seed % 5):  # behind some of these nobody can tell records apart any more
        at = random_.randrange(len(content))
        content[at : at + random_.randrange(3)] = random_.randbytes(random_.randrange(3))
    piece = Piece(
        BINARY if seed % 2 else LINES, NOW_NS, 77, bytes(content[: random_.randrange(len(content))]), last
    )
    assert at_once(decode_in_parts(piece, DECODERS.decode, LongBreath())) == DECODERS.decode(piece)


@pytest.mark.parametrize(
    "length", [PART_BYTES - 1, PART_BYTES, 5 * PART_BYTES, 33 * PART_BYTES, 40 * PART_BYTES]
)
@pytest.mark.parametrize("last", [False, True])
def test_a_long_line_is_whole_in_its_part(length: int, last: bool) -> None:
    """33 and 40 parts: longer than a record may be."""
    piece = Piece(LINES, NOW_NS, 0, b'{"a":1}\n' + b"y" * length + b"\n" + b'{"b":1}\n' + b"z" * length, last)
    assert at_once(decode_in_parts(piece, DECODERS.decode, LongBreath())) == DECODERS.decode(piece)


def test_lines_that_are_all_refused_let_the_reactor_go() -> None:
    called: list[float] = []

    def decode(piece: Piece) -> Decoded:
        begun = time.thread_time()
        decoded = DECODERS.decode(piece)
        called.append(time.thread_time() - begun)
        return decoded

    piece = Piece(LINES, NOW_NS, 0, b"x\n" * (PIECE_BYTES // 2), False)
    gc.disable()  # all that the tests before made would be looked through
    try:
        decoded = at_once(decode_in_parts(piece, decode, LongBreath()))
    finally:
        gc.enable()
    assert len(decoded.records) == PIECE_BYTES // 2
    assert max(called) < 0.050


@pytest_twisted.ensureDeferred
async def test_it_breathes() -> None:
    turns = []
    reactor.callLater(0, lambda: turns.append(1))  # type: ignore[attr-defined]
    await decode_in_parts(
        Piece(LINES, NOW_NS, 0, b"x\n" * (PIECE_BYTES // 2), False), DECODERS.decode, Breath(reactor)
    )
    assert turns
