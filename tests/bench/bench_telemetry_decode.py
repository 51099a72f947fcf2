# SPDX-License-Identifier: MIT
"""Binary telemetry from bytes to events, type by type; prints one JSON line for each.

The ceiling beside it knows all in advance: one `struct.unpack` of the scalars and one `json.dumps` of a dictionary that
is there already. What FlatBuffers' own accessors take for the same values stands in the conditions.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from typing import Any

from flatbuffers import number_types
from flatbuffers.table import Table

from tessmon.decode.bintel import BintelDecoder
from tessmon.decode.schemas import Field, Schemas
from tessmon.records.telemetry import Piece, TelemetryEvent, TelemetryFile
from tests import flatlogs
from tests.bench.ground import figure, tell

RECORDS = 5_000
ROUNDS = 5
GOAL_RATIO = 0.5
HEADER_BYTES = 12
FILE = TelemetryFile("exao1/1", "exao1", "/opt/MagAOX/telem/bench.bintel", "bench", "bintel", 1)
RECEIVED_NS = flatlogs.BEGAN_NS + 86_400 * flatlogs.SECOND_NS
FLAGS: dict[str, Any] = {
    name: getattr(number_types, f"{name.capitalize()}Flags") for name in flatlogs.FORMATS
}


def rate_hz(work: Callable[[], object], count: int) -> float:
    """Records a second of CPU time."""
    began = time.thread_time_ns()
    work()
    return count / (time.thread_time_ns() - began) * 1e9


def by_type(count: int) -> dict[str, list[bytes]]:
    """Records of all types of `flatlogs.mixed`, so many of each."""
    found: dict[str, list[bytes]] = {}
    for record in flatlogs.mixed_records(count * len(flatlogs.KINDS)):
        code = int.from_bytes(record[1:3], "little")
        found.setdefault(flatlogs.event(code).name, []).append(record)
    return found


def ours(decoder: BintelDecoder, content: bytes) -> list[Any]:
    """What the decoder makes of it."""
    decoded = decoder.decode(Piece(FILE, RECEIVED_NS, 0, content))
    assert decoded.used == len(content)
    return list(decoded.records)


def ceiling(records: list[bytes], values: dict[str, Any], width: int) -> None:
    """One call that reads numbers, and one that writes JSON, for each."""
    unpack = struct.Struct(f"<{width // 8}d").unpack_from
    for record in records:
        unpack(record, HEADER_BYTES)
        json.dumps(values)


def accessors(records: list[bytes], fields: tuple[Field, ...]) -> None:
    """All values through FlatBuffers' own accessors, as generated code does; nothing is checked."""
    for record in records:
        message = record[HEADER_BYTES:]
        values_of(Table(message, int.from_bytes(message[:4], "little")), fields)


def values_of(table: Table, fields: tuple[Field, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for slot, field in enumerate(fields):
        at = table.Offset(4 + 2 * slot)
        if not at:
            if field.type in FLAGS and not field.vector:
                values[field.name] = field.default
        elif field.vector:
            begin = table.Vector(at)
            width = struct.calcsize(flatlogs.FORMATS[field.type])
            values[field.name] = [
                table.Get(FLAGS[field.type], begin + width * place) for place in range(table.VectorLen(at))
            ]
        elif field.table is not None:
            values[field.name] = values_of(Table(table.Bytes, table.Indirect(table.Pos + at)), field.table)
        elif field.type == "string":
            values[field.name] = table.String(table.Pos + at).decode()
        else:
            values[field.name] = table.Get(FLAGS[field.type], table.Pos + at)
    return values


def measure(name: str, records: list[bytes], rounds: int) -> dict[str, Any]:
    """Rates [records/s of CPU] of one type."""
    decoder = BintelDecoder(Schemas.load(), 1 << 20)
    content = b"".join(records)
    [*_, event] = ours(decoder, content)
    assert isinstance(event, TelemetryEvent)
    values, width = json.loads(event.msg), len(records[-1]) - HEADER_BYTES
    fields = flatlogs.event(int.from_bytes(records[-1][1:3], "little")).fields or ()
    count = len(records)
    rates = []
    for _ in range(rounds):
        one = rate_hz(lambda: ours(decoder, content), count)
        other = rate_hz(lambda: ceiling(records, values, width), count)
        rates.append((one, other, rate_hz(lambda: accessors(records, fields), count)))
    best = max(rate for rate, _, _ in rates)
    return figure(
        f"telemetry_decode_{name}",
        [rate for rate, _, _ in rates],
        [rate for _, rate, _ in rates],
        "records/s",
        GOAL_RATIO,
        record_bytes=round(len(content) / count, 1),
        best_us=round(1e6 / best, 2),
        accessors_hz=round(max(rate for _, _, rate in rates)),
    )


def main(count: int = RECORDS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """All types, and all together."""
    kinds = by_type(count)
    return [measure(name, records, rounds) for name, records in kinds.items()]


if __name__ == "__main__":
    for figures in main():
        tell(figures)
