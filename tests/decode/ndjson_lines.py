# SPDX-License-Identifier: MIT
"""Lines of Python devices, and what a decoder makes of them."""

from __future__ import annotations

import json
from datetime import UTC, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

from tessmon.decode.ndjson import NdjsonDecoder
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import Decoded, Piece, TelemetryEvent, TelemetryFile

MAGAOX = Path(__file__).parent.parent / "magaox"
MAX_RECORD_BYTES = 1 << 20
RECEIVED_NS = 1_800_000_000 * 10**9
FILE = TelemetryFile(
    "exao1/7", "exao1", "/telem/maggieo_x_2024-10-22T050000.ndjson", "maggieo_x", "ndjson", 7
)
USUAL_NS = 1_729_573_200_000_007_000
USUAL = b'{"ts": "2024-10-22T05:00:00.000007000", "prio": "TELM", "ec": "telem_indi_set", "msg": {"a": 1}}'


def line_of(msg: bytes = b'{"a": 1}', ts: str = "2024-10-22T05:00:00.000007000", **others: Any) -> bytes:
    """A line with this text as its ``msg``; other keys stand in front of it, and None leaves one out."""
    outside = {"ts": ts, "prio": "TELM", "ec": "telem_indi_set"} | others
    outside = {key: value for key, value in outside.items() if value is not None}
    return json.dumps(outside)[:-1].encode() + b', "msg": ' + msg + b"}"


def decode(
    content: bytes,
    *,
    last: bool = False,
    offset: int = 0,
    timezone: tzinfo = UTC,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Decoded:
    """One piece through a new decoder."""
    piece = Piece(FILE, RECEIVED_NS, offset, content, last)
    return NdjsonDecoder(timezone, max_record_bytes).decode(piece)


def event_of(line: bytes, **how: Any) -> TelemetryEvent:
    """The event of one line, which must be one."""
    [record] = decode(line + b"\n", **how).records
    assert isinstance(record, TelemetryEvent), record
    return record


def reject_of(line: bytes, **how: Any) -> Reject:
    """The reject of one line, which must be one."""
    [record] = decode(line + b"\n", **how).records
    assert isinstance(record, Reject), record
    return record


def literal(text: str) -> Any:
    """A number or a constant of JSON, exactly; what a database's numeric does not know as a string."""
    if text in ("NaN", "Infinity", "-Infinity"):
        return text
    number = Decimal(text)
    return "-0.0" if number == 0 and number.is_signed() else number


def read_otherwise(text: str | bytes) -> Any:
    return json.loads(text, parse_float=literal, parse_int=literal, parse_constant=literal)
