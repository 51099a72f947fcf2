# SPDX-License-Identifier: MIT
"""The bench of back-fills runs; what it says of speed means something only on a quiet machine."""

from __future__ import annotations

from pathlib import Path

from tests.bench import bench_backfill
from tests.postgres import Database

RECORDS = 1000


def test_a_back_fill_is_measured_beside_a_copy_of_the_same_rows(database: Database, tmp_path: Path) -> None:
    figures = bench_backfill.measure(database, tmp_path, RECORDS, 1)
    conditions = figures["conditions"]
    assert figures["name"] == "backfill"
    assert conditions["rounds"] == [[figures["ours"], figures["ceiling"]]]
    assert 10 < conditions["rss_anon_mb"] < bench_backfill.MAX_RSS_ANON_MB
    assert conditions["cpu_us_per_row"]["ours"][0]["client"] > 0
