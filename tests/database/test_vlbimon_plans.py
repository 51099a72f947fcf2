# SPDX-License-Identifier: MIT
"""Dashboards' queries look where the answer is: by index, in the months that they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tessmon.demo.servers import PostgresServer
from tests.postgres import Database, fresh_database, run

APRIL_5_S, DAY_S = 1_712_345_600, 86_400
FILLED = """
SELECT tessmon_ensure_partitions('vlbimon_points',
    ARRAY(SELECT generate_series('2024-01-01'::date, '2024-12-01', interval '1 month')::date));
SELECT tessmon_vlbimon_parameters(ARRAY['weather_tau225', 'telescope_onSource', 'telescope_sourceName'] || others,
    ARRAY['float', 'boolean', 'string'] || array_fill('float'::text, ARRAY[20]), '{}', '{}', '{}', '{}', '{}',
    ARRAY[NULL, 'is', 'source name is'])
FROM (SELECT array_agg('other_' || n) AS others FROM generate_series(1, 20) AS n) AS o;
INSERT INTO vlbimon_points (parameter_id, station, time, stamp, received_at, kind, number, whole, word)
SELECT q.parameter_id, station, t, t, to_timestamp(t), k.kind, CASE k.kind WHEN 'f' THEN t / 7.0 END,
       CASE k.kind WHEN 'b' THEN t / 43200 % 2 END,
       CASE k.kind WHEN 't' THEN (ARRAY['M87', '3C279'])[1 + t / 86400 % 2] END
FROM vlbimon_parameters AS q
CROSS JOIN LATERAL (
    SELECT CASE q.datatype WHEN 'float' THEN 'f' WHEN 'string' THEN 't' ELSE 'b' END::"char"
) AS k (kind)
CROSS JOIN unnest(ARRAY['ALMA', 'APEX', 'KP', 'LMT', 'SMA', 'SPT']) AS station
CROSS JOIN generate_series(1704067200, 1735689599, 43200) AS t
WHERE q.parameter !~ '^bridge_';
ANALYZE;
"""
SPAN = f"time >= {APRIL_5_S} AND time <= {APRIL_5_S + DAY_S}"


@pytest.fixture(scope="module")
def year(postgres: PostgresServer) -> Iterator[Database]:
    """Twelve months of points."""
    with fresh_database(postgres) as fresh:
        fresh.execute(FILLED)
        [(count,)] = fresh.fetch("SELECT count(*) FROM vlbimon_points")
        assert count > 100_000
        yield fresh


def scans(database: Database, query: str) -> list[tuple[str, str, int]]:
    """(partition, kind of scan, rows looked at) of those that were carried out."""
    [(plan,)] = run(database.reader_dsn, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
    found = []

    def look(node: dict[str, Any]) -> None:
        loops = node["Actual Loops"]
        if loops and node.get("Relation Name", "").startswith("vlbimon_points"):
            seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            found.append((node["Relation Name"], node["Node Type"], round(seen * loops)))
        for child in node.get("Plans", []):
            look(child)

    look(plan[0]["Plan"])
    return found


@pytest.mark.parametrize(
    ("query", "rows", "looked_at"),
    [
        (f"SELECT time, value FROM ts_param_weather_Tau225 WHERE station = 'KP' AND {SPAN}", 2, 2),
        (
            f"SELECT time, value, station AS metric FROM ts_param_weather_tau225 WHERE {SPAN} ORDER BY time",
            12,
            12,
        ),
        (
            f"SELECT time, value FROM ts_param_telescope_onSource WHERE station = 'KP' AND {SPAN} ORDER BY time",
            2,
            2,
        ),
        (f"SELECT time, station, value FROM ts_param_bridge_events WHERE {SPAN} ORDER BY time", 18, 50),
        (
            f"SELECT time, value FROM ts_param_bridge_events WHERE station = 'KP' AND {SPAN} ORDER BY time",
            3,
            10,
        ),
    ],
)
def test_a_days_query_reads_by_index_and_in_its_month_alone(
    year: Database, query: str, rows: int, looked_at: int
) -> None:
    assert len(run(year.reader_dsn, query)) == rows
    found = scans(year, query)
    assert {name for name, _, _ in found} == {"vlbimon_points_2024_04"}
    assert all("Index" in kind or "Bitmap" in kind for _, kind, _ in found)
    assert sum(seen for _, _, seen in found) <= looked_at


def test_an_event_at_the_begin_of_a_month_is_compared_with_the_month_before(year: Database) -> None:
    first_s = 1_711_929_600
    query = f"SELECT time, value FROM ts_param_bridge_events WHERE time >= {first_s} AND time <= {first_s}"
    assert len(run(year.reader_dsn, query)) == 12
    found = scans(year, query)
    assert {name for name, _, _ in found} == {"vlbimon_points_2024_03", "vlbimon_points_2024_04"}
    assert sum(seen for _, _, seen in found) <= 24 + 12


def test_the_newest_value_of_each_station_takes_one_look_each(year: Database) -> None:
    query = """SELECT s.station, n.time, n.value FROM unnest(ARRAY['KP', 'SMA']) AS s (station)
               CROSS JOIN LATERAL (SELECT time, value FROM ts_param_weather_tau225 AS t
                                   WHERE t.station = s.station ORDER BY time DESC LIMIT 1) AS n"""
    assert len(run(year.reader_dsn, query)) == 2
    assert sum(seen for _, _, seen in scans(year, query)) == 2


def test_all_events_are_found_without_a_sort_of_all_points(year: Database) -> None:
    [(count,)] = run(year.reader_dsn, "SELECT count(*) FROM ts_param_bridge_events")
    [(points,)] = year.fetch("SELECT count(*) FROM vlbimon_points WHERE time % 86400 = 0 AND kind <> 'f'")
    assert count == points + points // 2
    [(plan,)] = run(year.reader_dsn, "EXPLAIN (FORMAT JSON) SELECT * FROM ts_param_bridge_events")
    assert "WindowAgg" not in str(plan)
    assert '"Sort"' not in str(plan).replace("'", '"')
