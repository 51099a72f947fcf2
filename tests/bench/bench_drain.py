# SPDX-License-Identifier: MIT
"""The drain of a full journal into PostgreSQL, beside the same inserts of rows that stand ready.

Run as ``python -m tests.bench.bench_drain [--frames N]``. The journal is filled once, through the Journal class; each
round drains it with the real lane into an empty table, and then inserts the same rows through plain psycopg2.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tests.bench import ground, lane_alone, plain_inserts
from tests.flood import PHOTOMETERS
from tests.observatory import fetch
from tests.postgres import Database

FRAMES, ROUNDS = 1_000_000, 3
GOAL = 0.8
MAX_RSS_ANON_MB = 120


def measure(database: Database, directory: Path, frames: int, rounds: int) -> dict[str, Any]:
    """Rows/s of both, and the memory of the lane's process."""
    lane_alone.run("fill", directory, "", frames)
    drained, inserted = [], []
    for _ in range(rounds):
        ground.empty(database)
        drained.append(lane_alone.run("drain", directory, database.dsn, frames))
        _check(database, frames)
        ground.empty(database)
        inserted.append(plain_inserts.run(database.dsn, frames))
        _check(database, frames)
    rss_anon_mb = max(one["rss_anon_mb"] for one in drained)
    return ground.figure(
        "drain",
        [frames / one["seconds"] for one in drained],
        [frames / one["seconds"] for one in inserted],
        "rows/s",
        GOAL,
        frames=frames,
        photometers=PHOTOMETERS,
        cpu_us_per_row=[
            [round(ours["cpu_us"], 2), round(bare["cpu_us"], 2)]
            for ours, bare in zip(drained, inserted, strict=True)
        ],
        rss_anon_mb=round(rss_anon_mb, 1),
        rss_anon_within=rss_anon_mb < MAX_RSS_ANON_MB,
    )


def _check(database: Database, frames: int) -> None:
    rows = fetch(database.reader_dsn, "SELECT count(*) FROM tess_readings_t")[0][0]
    assert rows == frames, f"{rows} rows of {frames} frames"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with ground.database("bench") as (database,), ground.directory() as directory:
        ground.register(database)
        figures = measure(database, directory, args.frames, args.rounds)
        ground.tell(figures)
        assert figures["conditions"]["rss_anon_within"], "the lane took more memory than it may"


if __name__ == "__main__":
    main()
