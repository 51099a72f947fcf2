# SPDX-License-Identifier: MIT
"""The benches of the array's monitor run: small, for their figures mean something only on a machine of its own."""

from __future__ import annotations

from pathlib import Path

from tests.bench import bench_vlbimon
from tests.postgres import Database


def test_a_snapshot_and_polls_are_measured(database: Database, tmp_path: Path) -> None:
    found = bench_vlbimon.huge_snapshot(tmp_path / "huge", database, 3000)
    figure = bench_vlbimon.snapshot_figure(found, 3000)
    assert 0 < figure["ours"] < figure["goal"]
    assert 10 < figure["conditions"]["rss_anon_mb"] < 500
    figure = bench_vlbimon.ordinary_polls(tmp_path / "polls", database, 5)
    assert figure["ours"] > 0


def test_full_sets_are_measured_beside_an_empty_table_and_sqlite(
    database: Database, other_database: Database, tmp_path: Path
) -> None:
    figure = bench_vlbimon.full_sets(tmp_path, database, other_database, 12_000, 1)
    assert figure["ours"] > 0
    assert min(figure["conditions"][name] for name in ("empty_table_s", "sqlite_s")) > 0
    assert figure["conditions"]["rows"] > 10_000
