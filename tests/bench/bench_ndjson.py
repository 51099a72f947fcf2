# SPDX-License-Identifier: MIT
"""Lines of Python devices from file to event, beside ``json.loads`` and ``json.dumps`` of the same lines.

The ceiling reads the file in one go and checks nothing. Run ``python -m tests.bench.bench_ndjson``.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

from tessmon.decode.ndjson import NdjsonDecoder
from tessmon.files.reading import FileReader
from tessmon.files.unpacking import Ending
from tessmon.records.telemetry import Piece, TelemetryFile
from tests.bench import ground

LINES = 200_000
ROUNDS = 5
GOAL = 1.0
MAX_RECORD_BYTES = 1 << 20
RECEIVED_NS = 1_800_000_000 * 10**9
_FILE = TelemetryFile(
    "exao1/7", "exao1", "/telem/maggieo_x_2024-10-22T000000.ndjson", "maggieo_x", "ndjson", 7
)

_ELEMENTS = {
    "usual": '"per_sec": {n}.54957293284294, "since_startup": {n}',
    "odd": '"a": NaN, "b": -0.0, "since_startup": {n}',
    "vector": '"since_startup": {n}, "v": [' + ", ".join(f"{n}.{n}e-07" for n in range(1, 200)) + "]",
}
"""What differs between kinds of lines: those with values that become strings are looked at more closely."""


def text_of(kind: str, lines: int) -> bytes:
    """A file's text: one record a tenth of a second, with microseconds."""
    msg = (
        '{{"device": "maggieo_x", "name": "records", "state": "Ok", "elements": {{' + _ELEMENTS[kind] + "}}}}"
    )
    line = (
        '{{"ts": "2024-10-22T{at}.{us:06}000", "prio": "TELM", "ec": "telem_indi_set", "msg": ' + msg + "}}\n"
    )
    parts = []
    for n in range(lines):
        second = n // 10
        at = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
        parts.append(line.format(at=at, us=n % 10 * 100_000 + n * 7919 % 100_000, n=n))
    return "".join(parts).encode()


def read(path: Path) -> int:
    """The events of a file, as a worker of a back-fill gets them."""
    decoder = NdjsonDecoder(UTC, MAX_RECORD_BYTES)
    events = 0
    with FileReader(str(path), path.name.partition(".")[2], 0, MAX_RECORD_BYTES) as reader:
        while True:
            piece = reader.read()
            decoded = decoder.decode(Piece(_FILE, RECEIVED_NS, piece.offset, piece.content, False))
            reader.used(decoded.used)
            events += len(decoded.records)
            if piece.ending is not Ending.MORE:
                return events


def read_bare(path: Path) -> int:
    """The same lines as Python's own parts read and write them."""
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    for line in lines:
        json.dumps(json.loads(line)["msg"])
    return len(lines)


def _rate_hz(work: Callable[[Path], int], path: Path, lines: int) -> float:
    began_s = time.thread_time()
    assert work(path) == lines
    return lines / (time.thread_time() - began_s)


def measure(directory: Path, lines: int, rounds: int) -> list[dict[str, Any]]:
    """Records a second of CPU time, by kind of line, plain and packed."""
    figures = []
    for kind in _ELEMENTS:
        count = lines // 10 if kind == "vector" else lines
        text = text_of(kind, count)
        plain, packed = directory / f"{kind}.ndjson", directory / f"{kind}.ndjson.gz"
        plain.write_bytes(text)
        packed.write_bytes(gzip.compress(text, 6))
        for path in (plain, packed):
            pairs = [(_rate_hz(read, path, count), _rate_hz(read_bare, path, count)) for _ in range(rounds)]
            ours, ceiling = zip(*pairs, strict=True)
            name = f"decode_{path.name.replace('.', '_')}"
            figures.append(
                ground.figure(
                    name, ours, ceiling, "records/s", GOAL, mb_per_s=round(ours[0] * len(text) / count / 1e6)
                )
            )
    return figures


if __name__ == "__main__":
    with ground.directory() as place:
        for figures in measure(place, LINES, ROUNDS):
            ground.tell(figures)
