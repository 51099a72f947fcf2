# SPDX-License-Identifier: MIT
"""The drain into a month that holds 50 million rows already, beside that into an empty one.

Run as ``python -m tests.bench.bench_large_table [--rows N] [--frames N]``. The rows are those of the same photometers,
earlier in the month, put there in the order of their times; the drained readings follow them. Both databases are on
one server, and take the same journal in turns.
"""

from __future__ import annotations

import argparse
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import ground, lane_alone
from tests.flood import PHOTOMETERS
from tests.observatory import FIRST_STAMP_S, fetch
from tests.postgres import Database

ROWS, FRAMES, ROUNDS = 50_000_000, 1_000_000, 5
GOAL = 0.8
NEEDED_BYTES = 20_000_000_000
MONTH_S = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
FILLED_S = 26 * 86_400
"""What is filled of the month; the drained readings come behind it."""

_FILL_SQL = """
INSERT INTO tess_readings_t (date_id, time_id, tess_id, units_id, sequence_number, frequency, magnitude,
                             box_temperature, sky_temperature, signal_strength, tstamp, received_at)
SELECT to_char(at.stamp, 'YYYYMMDD')::int, to_char(at.stamp, 'HH24MISS')::int, p.tess_id, 1, at.n, 8.215, 18.21,
       9.5, -14.3, -61, at.stamp, at.stamp
FROM (SELECT n, to_timestamp(%s + n * %s) AS stamp FROM generate_series(%s, %s - 1) AS n OFFSET 0) AS at
CROSS JOIN tess_t AS p"""
_CHUNK = 2_000
"""Instants of one INSERT."""


def fill(database: Database, rows: int) -> None:
    """So many rows in the month, in the order of their times."""
    instants = rows // PHOTOMETERS
    step_s = max(1, FILLED_S // max(instants, 1))
    assert instants * step_s <= FILLED_S, f"{rows} rows do not fit into a month"
    database.execute(
        "SELECT tessmon_ensure_partitions('tess_readings_t', ARRAY[to_timestamp(%s)::date])", [MONTH_S]
    )
    for first in range(0, instants, _CHUNK):
        database.execute(_FILL_SQL, [MONTH_S, step_s, first, min(first + _CHUNK, instants)])
    database.execute("ANALYZE tess_readings_t")
    database.execute("CHECKPOINT")


def measure(
    large: Database, empty: Database, directory: Path, rows: int, frames: int, rounds: int
) -> dict[str, Any]:
    """Rows/s into both, in alternating rounds; each round has readings of its own."""
    fill(large, rows)
    there = rows // PHOTOMETERS * PHOTOMETERS
    pairs = []
    for number in range(rounds):
        place = directory / str(number)
        after_s = MONTH_S + FILLED_S + number * (frames // PHOTOMETERS + 1) - FIRST_STAMP_S
        lane_alone.run("fill", place, "", frames, after_s=after_s)
        ground.empty(empty)
        large.execute("CHECKPOINT")
        into_empty = lane_alone.run("drain", place, empty.dsn, frames)
        into_large = lane_alone.run("drain", place, large.dsn, frames)
        there += frames
        pairs.append((frames / into_large["seconds"], frames / into_empty["seconds"]))
        shutil.rmtree(place)
    counted = fetch(large.reader_dsn, "SELECT count(*) FROM tess_readings_t")[0][0]
    assert counted == there, f"{counted} rows instead of {there}"
    return ground.figure(
        "large_table",
        [one for one, _ in pairs],
        [other for _, other in pairs],
        "rows/s",
        GOAL,
        rows=rows,
        frames=frames,
        photometers=PHOTOMETERS,
        size_gb=round(
            fetch(large.superuser_dsn, "SELECT pg_database_size(current_database())")[0][0] / 1e9, 1
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with ground.directory() as directory:
        free = shutil.disk_usage(directory).free
        if args.rows >= ROWS and free < NEEDED_BYTES:
            why = f"skipped: {args.rows} rows need {NEEDED_BYTES / 1e9:.0f} GB, {free / 1e9:.1f} GB are free"
            ground.tell({"name": "large_table", "skipped": why})
            return
        with ground.database("large", "empty") as (large, empty):
            ground.register(large)
            ground.register(empty)
            ground.tell(measure(large, empty, directory, args.rows, args.frames, args.rounds))


if __name__ == "__main__":
    main()
