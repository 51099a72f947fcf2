# SPDX-License-Identifier: MIT
"""The benches run: small, for what they say of speed means something only when they have the machine for themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessmon.demo.servers import Broker, PostgresServer
from tests.bench import bench_drain, bench_large_table, ground
from tests.bench.bench_end_to_end import EndToEnd
from tests.bench.bench_end_to_end import measure as measure_end_to_end
from tests.bench.bench_latency import Latency
from tests.bench.bench_latency import measure as measure_latency
from tests.bench.sampled import sampler, table
from tests.postgres import TEMPLATE, Database, run

MESSAGES, FRAMES = 400, 1200


@pytest.fixture
def photometers(database: Database) -> Database:
    """A database that knows those of the benches."""
    ground.register(database)
    return database


@pytest.fixture
def other(postgres: PostgresServer) -> Iterator[Database]:
    """A second one."""
    run(postgres.superuser_dsn(), f"CREATE DATABASE bench_other OWNER tessmon TEMPLATE {TEMPLATE}")
    database = Database(postgres, "bench_other")
    ground.register(database)
    yield database
    run(postgres.superuser_dsn(), "DROP DATABASE bench_other WITH (FORCE)")


def assert_figure(figures: dict[str, Any], name: str) -> None:
    assert figures["name"] == name
    assert figures["ours"] > 0
    assert figures["ceiling"] > 0
    assert figures["conditions"]["rounds"] == [[figures["ours"], figures["ceiling"]]]


def test_end_to_end_stores_what_the_bare_client_receives_and_tells_where_its_time_goes(
    broker: Broker, photometers: Database, tmp_path: Path
) -> None:
    samples = tmp_path / "samples"
    bench = EndToEnd(broker, photometers, tmp_path, MESSAGES, prefix=sampler(samples))
    live, queued = measure_end_to_end(bench, 1, MESSAGES)
    assert_figure(live, "end_to_end_live")
    assert_figure(queued, "end_to_end_queued")
    profile = table(samples, MESSAGES)
    assert sum(profile["rooms_us"].values()) == pytest.approx(profile["cpu_us"], rel=0.01)
    assert profile["rooms_us"]["twisted"] > 0


def test_latency_knows_when_each_row_was_seen(broker: Broker, photometers: Database, tmp_path: Path) -> None:
    p50, p99 = measure_latency(Latency(broker, photometers, tmp_path, 1000, MESSAGES, 0.02), 1)
    assert_figure(p50, "latency_p50_ms")
    assert_figure(p99, "latency_p99_ms")
    assert p50["ours"] > p50["ceiling"], "nothing is visible before it is received"
    assert p50["ours"] <= p99["ours"]


def test_a_drain_is_measured_beside_bare_inserts(photometers: Database, tmp_path: Path) -> None:
    figures = bench_drain.measure(photometers, tmp_path, FRAMES, 1)
    assert_figure(figures, "drain")
    assert 10 < figures["conditions"]["rss_anon_mb"] < bench_drain.MAX_RSS_ANON_MB


def test_a_large_table_is_measured_beside_an_empty_one(
    photometers: Database, other: Database, tmp_path: Path
) -> None:
    assert_figure(bench_large_table.measure(photometers, other, tmp_path, 2000, FRAMES, 1), "large_table")
