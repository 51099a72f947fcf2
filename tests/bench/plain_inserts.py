# SPDX-License-Identifier: MIT
"""The ceiling of the drain: the same ``unnest`` inserts of rows that are ready, through plain psycopg2.

A process of its own: ``python -m tests.bench.plain_inserts --dsn … --frames N``; prints one JSON line. Statements,
rows per statement and statements per transaction are the lane's; its positions and tallies are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from tessmon.config import model
from tessmon.decode.tess import TessDecoder
from tessmon.feed import STATEMENTS_PER_BATCH
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.photometer import Reading
from tessmon.sink.tables.tess import ONE_CHANNEL, ReadingRow
from tests.flood import readings
from tests.observatory import FIRST_STAMP_S

_ROOT = Path(__file__).parent.parent.parent
_NS = 1_000_000_000
_IDS_SQL = "SELECT name, tess_id FROM name_to_mac_t JOIN tess_t USING (mac_address)"


def run(dsn: str, frames: int, after_s: int = 0) -> dict[str, Any]:
    """Do it in a child process; gives the figures that it prints."""
    command = [sys.executable, "-m", "tests.bench.plain_inserts", f"--dsn={dsn}"]
    command += [f"--frames={frames}", f"--after-s={after_s}"]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def _rows(frames: int, after_s: int, ids: dict[str, int]) -> Iterator[ReadingRow]:
    decoder = TessDecoder(model.Mqtt(), model.Photometer())
    first_ns = (FIRST_STAMP_S + after_s) * _NS
    for number, (topic, payload) in enumerate(readings(frames, after_s)):
        reading = decoder.decode(
            Frame(FrameKind.MESSAGE, first_ns + number, topic, payload, len(payload), 1, packet_id=1)
        )
        assert isinstance(reading, Reading)
        yield ReadingRow(reading, ids[reading.name], -1, -1)


def _statements(rows: Iterator[ReadingRow], size: int) -> Iterator[list[str]]:
    """The parameters of one statement after the other."""
    chunk: list[ReadingRow] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield ONE_CHANNEL.columns(chunk)
            chunk = []
    if chunk:
        yield ONE_CHANNEL.columns(chunk)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--after-s", type=int, default=0)
    args = parser.parse_args()
    connection = psycopg2.connect(args.dsn, options="-c timezone=UTC")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(
        "SELECT tessmon_ensure_partitions('tess_readings_t', ARRAY[to_timestamp(%s)::date])",
        [FIRST_STAMP_S + args.after_s],
    )
    cursor.execute(_IDS_SQL)
    rows = _rows(args.frames, args.after_s, dict(cursor.fetchall()))
    ready = list(_statements(rows, model.Writer().batch_rows))
    transactions = [
        (
            ";\n".join([ONE_CHANNEL.insert_sql] * len(statements)),
            [parameter for parameters in statements for parameter in parameters],
        )
        for at in range(0, len(ready), STATEMENTS_PER_BATCH)
        if (statements := ready[at : at + STATEMENTS_PER_BATCH])
    ]
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for sql, parameters in transactions:
        cursor.execute(sql, parameters)
    seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    print(json.dumps({"seconds": seconds, "cpu_us": cpu_s / args.frames * 1e6}), flush=True)


if __name__ == "__main__":
    main()
