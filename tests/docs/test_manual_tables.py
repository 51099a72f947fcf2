# SPDX-License-Identifier: MIT
"""The manual's tables are those of a real database, and its queries run there."""

from __future__ import annotations

import re
import time
from contextlib import closing

import psycopg2
import pytest

from tests.docs.conftest import Manual
from tests.postgres import Database

COLUMNS = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY c.relname
"""
FILLED = """
INSERT INTO location_t (location_id, longitude, latitude, elevation, place, town, sub_region, region, country) VALUES
    (1, -3.75, 40.5, 650, 'Roof', 'Madrid', 'Madrid', 'Madrid', 'Spain'),
    (2, 0.5, 51.25, 40, 'Garden', 'Kent', 'Kent', 'England', 'UK');
INSERT INTO tess_t (tess_id, mac_address, valid_since, model, nchannels, zp1, location_id, authorised) VALUES
    (1, 'AA:00:00:00:00:01', '2026-01-01 00:00:00+00', 'TESS-W', 1, 20.25, 1, 1),
    (2, 'AA:00:00:00:00:02', '2026-01-01 00:00:00+00', 'TESS-W', 1, 20.5, 1, 1),
    (3, 'AA:00:00:00:00:03', '2026-01-01 00:00:00+00', 'TESS4C', 4, 20.5, 1, 1);
INSERT INTO name_to_mac_t (name, mac_address, valid_since) VALUES
    ('stars1', 'AA:00:00:00:00:01', '2026-01-01 00:00:00+00'),
    ('stars2', 'AA:00:00:00:00:02', '2026-01-01 00:00:00+00'),
    ('stars3', 'AA:00:00:00:00:03', '2026-01-01 00:00:00+00');
SELECT tessmon_ensure_partitions(t, ARRAY[now()::date, (now() - interval '1 hour')::date])
FROM unnest(ARRAY['tess_readings_t', 'tess_readings4c_t']) AS t;
INSERT INTO tess_readings_t (date_id, time_id, tess_id, location_id, units_id, sequence_number, frequency, magnitude,
    box_temperature, sky_temperature, signal_strength, tstamp, received_at)
SELECT to_char(at, 'YYYYMMDD')::int, to_char(at, 'HH24MISS')::int, 1, 1, 0, 7, 8.25, 18.5, 9.5, -14.25, -70, at, at
FROM (SELECT date_trunc('second', now() - interval '1 hour')) AS t (at);
INSERT INTO tess_readings4c_t (date_id, time_id, tess_id, location_id, units_id, sequence_number, freq1, mag1, freq2,
    mag2, freq3, mag3, freq4, mag4, box_temperature, sky_temperature, signal_strength, tstamp, received_at)
SELECT to_char(at, 'YYYYMMDD')::int, to_char(at, 'HH24MISS')::int, 3, 1, 0, 7, 1, 18, 1, 18, 1, 18, 1, 18, 9.5, -14.25,
       -70, at, at
FROM (SELECT date_trunc('second', now() - interval '1 hour')) AS t (at);
INSERT INTO tallies (lane, subject, hour, cause, rejected)
VALUES ('photometer', '', date_trunc('hour', now() - interval '1 hour'), 'not_json', 1);
INSERT INTO source_events (at, lane, origin, position, source, what)
VALUES (now() - interval '1 hour', 'photometer', 'x', '{1,1,0}', 'mqtt', 'connected');
INSERT INTO rejects (lane, origin, position, received_at, reason, detail, topic, envelope, payload)
VALUES ('photometer', 'x', '{1,1,1}', now(), 'not_json', 'no JSON', 'STARS4ALL/x/reading', '', 'x');
INSERT INTO file_origins (origin_host, origin_path, modification_time, creation_time, size_bytes, device, kind, fsid,
                          inode, head_bytes)
VALUES ('exao1', '/telem/camwfs_20261120000000000000000.bintel', now(), now(), 500, 'camwfs', 'bintel', 1, 2, 0);
INSERT INTO positions (lane, origin, position, low) VALUES ('telemetry', 'exao1/1', '{400}', '{400}');
SELECT tessmon_ensure_partitions('telem', ARRAY[now()::date, (now() - interval '1 hour')::date]);
INSERT INTO telem (ts, ns, file_id, file_offset, digest, device, ec, prio, msg)
SELECT now() - n * interval '1 minute', 0, 1, 400 - n, n, e.device, e.ec, 'TELM', e.msg
FROM generate_series(1, 60) AS n, (VALUES
    ('camwfs', 'telem_stdcam', '{"fps": 990.5, "tempCtrl": {"temp": "NaN"}}'::jsonb),
    ('observers', 'telem_observer', '{"email": "ana@example.org", "obsName": "HD142527", "observing": true}')
) AS e (device, ec, msg);
SELECT tessmon_vlbimon_parameters('{weather_tau225,telescope_onSource,telescope_sourceName,mystery}',
    '{float,boolean,string}', '{}', '{}', '{}', '{}', '{}', '{NULL,is,"source name is"}');
SELECT tessmon_ensure_partitions('vlbimon_points', ARRAY[now()::date, (now() - interval '1 hour')::date]);
INSERT INTO vlbimon_points (parameter_id, station, time, stamp, received_at, kind, number, whole, word)
SELECT q.parameter_id, v.station, t.at, t.at, now(), v.kind::"char", v.number, v.whole, v.word
FROM (SELECT extract(epoch FROM now())::bigint - 60) AS t (at), (VALUES
    ('weather_tau225', 'KP', 'f', 0.05, NULL, NULL), ('weather_tau225', 'SMA', 't', NULL, NULL, 'n/a'),
    ('telescope_onSource', 'KP', 'b', NULL, 1, NULL), ('telescope_sourceName', 'KP', 't', NULL, NULL, 'M87'),
    ('mystery', 'KP', 'i', NULL, 7, NULL), ('bridge_totalLag', 'bridge', 'f', 12.5, NULL, NULL)
) AS v (parameter, station, kind, number, whole, word) JOIN vlbimon_parameters AS q USING (parameter);
INSERT INTO bridge_stationstatus (time, station) VALUES (extract(epoch FROM now())::bigint - 60, 'KP');
INSERT INTO vlbimon_clients VALUES ('KP', 'KP central', '1.0', now() - interval '1 minute');
"""
PHOTOMETERS = ("stars1", "stars2", "stars3")


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute("SET timezone = 'UTC';" + FILLED)
    return database


def expanded(query: str, photometer: str) -> str:
    """A query as Grafana or psql sends it; of Grafana's macros those that the manual uses."""
    query = re.sub(r"\$__timeFilter\(([\w.]+)\)", r"\1 BETWEEN now() - interval '6 hours' AND now()", query)
    query = re.sub(
        r"\$__timeGroupAlias\(([\w.]+),\s*\$__interval\)",
        r"""floor(extract(epoch from \1) / 300) * 300 AS "time" """,
        query,
    )
    query = re.sub(r"\$__unixEpochFilter\((\w+)\)", r"\1 >= $__from / 1000 AND \1 <= $__to / 1000", query)
    query = re.sub(
        r"\$__unixEpochGroupAlias\((\w+),\s*\$__interval\)", r"""floor(\1 / 300) * 300 AS "time" """, query
    )
    now_ms = int(time.time() * 1000)
    query = query.replace("$__from", str(now_ms - 6 * 3_600_000)).replace("$__to", str(now_ms))
    query = query.replace("$photometer", photometer).replace(":'name'", f"'{photometer}'")
    assert "$" not in query
    return query.replace("'stars1'", f"'{photometer}'")


SAMPLE_DATABASE = "host=db.example.org dbname=tessmon user=ana"


def test_every_table_and_column_is_explained(manual: Manual, database: Database) -> None:
    there = {table: set(columns) for table, columns in database.fetch(COLUMNS)}
    named = {name.removeprefix("columns-") for name in manual.tables("tables") if name.startswith("columns-")}
    assert named == there.keys()
    for table, columns in there.items():
        rows = manual.table("tables", f"columns-{table}")
        assert {row[0] for row in rows} == columns, table
        assert len(rows) == len(columns)


def test_every_query_runs_for_a_reader_and_finds_what_is_there(manual: Manual, filled: Database) -> None:
    queries = manual.blocks("sql")
    assert len(queries) > 25
    with closing(psycopg2.connect(filled.reader_dsn)) as connection, connection.cursor() as cursor:
        for page, query in queries:
            found = 0
            for photometer in PHOTOMETERS:
                cursor.execute(expanded(query, photometer))
                found += cursor.rowcount
            assert found > 0, (page, query)


def test_every_script_runs_and_prints_what_is_there(
    manual: Manual, filled: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = [script for _, script in manual.blocks("python")]
    assert len(scripts) >= 3
    for script in scripts:
        assert SAMPLE_DATABASE in script
        exec(compile(script.replace(SAMPLE_DATABASE, filled.reader_dsn), "script", "exec"), {})
        assert re.search(r"NaN|60|990\.5", capsys.readouterr().out), script
