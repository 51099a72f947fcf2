# SPDX-License-Identifier: MIT
"""The bench of followed files runs: small, for what it says of speed means something only on a machine of its own."""

from __future__ import annotations

from pathlib import Path

from tessmon.demo.servers import Broker
from tests.bench import bench_following, ground
from tests.postgres import Database


def test_the_time_from_a_write_to_a_row_is_measured_beside_photometers(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    ground.register(database)
    one = bench_following.measured(broker, database, tmp_path / "round", 1, 5, 200, 200)
    for figure in bench_following.figures([one]):
        assert 0 < figure["ours"] <= figure["conditions"]["worst_ms"][0] + 0.1
        assert figure["goal"] == bench_following.GOALS_MS[figure["name"]]
