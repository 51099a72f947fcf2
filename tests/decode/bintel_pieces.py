# SPDX-License-Identifier: MIT
"""Pieces of binary telemetry for tests, and what is compared of their records."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

from tessmon.decode.bintel import BintelDecoder
from tessmon.decode.flatlogs import header_at
from tessmon.decode.schemas import Schemas
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import Decoded, Piece, TelemetryEvent, TelemetryFile

MAGAOX = Path(__file__).parents[1] / "magaox"
RECEIVED_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
MAX_RECORD_BYTES = 1 << 20
PATH = "/opt/MagAOX/telem/tcsi_20241022031500123456789.bintel"
SCHEMAS = Schemas.load()
DECODER = BintelDecoder(SCHEMAS, MAX_RECORD_BYTES)


def piece(content: bytes, *, last: bool = False, offset: int = 0, path: str = PATH) -> Piece:
    """Bytes as if read from a file."""
    file = TelemetryFile("exao1/7", "exao1", path, "tcsi", "bintel", 7)
    return Piece(file, RECEIVED_NS, offset, content, last)


def decode(content: bytes, *, last: bool = False, decoder: BintelDecoder = DECODER) -> Decoded:
    """What becomes of bytes at the beginning of a file."""
    return decoder.decode(piece(content, last=last))


def event(content: bytes, decoder: BintelDecoder = DECODER) -> TelemetryEvent:
    """The one event that these bytes are."""
    decoded = decode(content, last=True, decoder=decoder)
    [record] = decoded.records
    assert isinstance(record, TelemetryEvent), record
    assert (decoded.used, decoded.lost) == (len(content), False)
    return record


def reject(content: bytes, *, last: bool = True, decoder: BintelDecoder = DECODER) -> Reject:
    """The one reject that these bytes are."""
    [record] = decode(content, last=last, decoder=decoder).records
    assert isinstance(record, Reject), record
    return record


def rejects(decoded: Decoded) -> list[Reject]:
    """What was refused."""
    return [record for record in decoded.records if isinstance(record, Reject)]


def compared(record: TelemetryEvent | Reject) -> Hashable:
    """All that matters of a record."""
    if isinstance(record, Reject):
        frame: Any = record.frame
        return record.reason, frame.position, frame.payload, frame.length
    return (
        record.offset,
        record.ts_ns,
        record.ec,
        record.prio,
        record.msg,
        record.digest,
        record.raw,
        record.marked,
    )


def spans(content: bytes) -> list[tuple[int, int, int]]:
    """Of each record of a sound file: where it begins, where its message begins, where it ends."""
    found = []
    at = 0
    while (header := header_at(content, at)) is not None:
        end = at + header.size + header.length
        found.append((at, at + header.size, end))
        at = end
    assert at == len(content)
    return found


def first(path: str, count: int) -> bytes:
    """The first records of a file of the data set."""
    content = next(MAGAOX.rglob(path)).read_bytes()
    return content[: spans(content)[count - 1][2]]
