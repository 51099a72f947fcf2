# SPDX-License-Identifier: MIT
"""What ``tessmon db check`` finds."""

from __future__ import annotations

import pytest

from tessmon.database.check import Finding, check
from tests.postgres import Database

READING = """
SELECT tessmon_ensure_partitions('tess_readings_t', '{2026-03-01,2026-04-01}');
INSERT INTO tess_t (mac_address, valid_since, zp1) VALUES ('m', now(), 20);
INSERT INTO tess_readings_t (date_id, time_id, tess_id, location_id, observer_id, units_id, sequence_number, frequency,
    magnitude, box_temperature, sky_temperature, signal_strength, tstamp, received_at)
VALUES (20260301, 0, 1, -1, -1, 0, 1, 1, 1, 1, 1, 1, '2026-03-01', now()),
       (20260401, 61, 7, 8, 9, 10, 1, 1, 1, 1, 1, 1, '2026-04-01', now());
"""
TELEMETRY = """
SELECT tessmon_ensure_partitions('telem', '{2026-03-01,2026-04-01}');
INSERT INTO file_origins (origin_host, origin_path, modification_time, creation_time, size_bytes, device, kind, fsid,
                          inode, head_bytes)
VALUES ('exao1', '/telem/camwfs', now(), now(), 0, 'camwfs', 'bintel', 1, 1, 0);
INSERT INTO telem (ts, ns, file_id, file_offset, digest, device, ec, prio, msg)
SELECT '2026-03-31 23:59:59.999999+00'::timestamptz + n * interval '1 us', 2 - n, 1, 0, 0, 'camwfs', 'x', 'TELM', '{}'
FROM generate_series(0, 2) AS n;
UPDATE telem SET ns = 0 WHERE ts >= '2026-04-01';
INSERT INTO telem SELECT ts, file_id, file_offset, digest, 5, device, ec, prio, msg FROM telem WHERE ns = 2;
"""


def faults(database: Database) -> dict[str, str]:
    return {one.name: one.sentence for one in check(database.owner_dsn) if not one.ok}


def finding(database: Database, name: str, **options: float) -> Finding:
    [found] = [one for one in check(database.owner_dsn, **options) if one.name == name]
    return found


def test_a_fresh_database_is_as_it_should_be(database: Database) -> None:
    assert faults(database) == {}
    as_the_service = check(database.dsn)
    assert [one.name for one in as_the_service if not one.ok] == []
    assert as_the_service[-1].name == "references"


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ("UPDATE schema_migrations SET digest = 'x' WHERE version = 2", "migrations", "migrations 2 differ"),
        ("DROP TRIGGER tell ON tess_t", "objects", "trigger tell on tess_t is missing"),
        ("ALTER TABLE rejects DISABLE TRIGGER tell", "objects", "trigger tell on rejects is missing"),
        ("DROP FUNCTION tessmon_advance", "objects", "function tessmon_advance is missing"),
        ("ALTER VIEW tess_v OWNER TO postgres", "objects", "belongs to postgres instead of tessmon"),
        ("REVOKE INSERT ON tess_readings_t FROM tessmon_writer", "writer", "lacks INSERT on tess_readings_t"),
        (
            "REVOKE UPDATE (mode) ON bridge_stationstatus FROM tessmon_writer",
            "writer",
            "lacks UPDATE on bridge_stationstatus.mode",
        ),
        ("DROP VIEW ts_param_bridge_points", "parameter views", "ts_param_bridge_points is missing"),
        ("DROP TABLE vlbimon_parameters CASCADE", "objects", "table vlbimon_parameters is missing"),
        ("GRANT CREATE ON SCHEMA public TO tessmon_writer", "writer", "may make objects in schema public"),
        ("DROP TABLE tess_readings4c_t", "objects", "table tess_readings4c_t is missing"),
        ("DELETE FROM date_t WHERE date_id = 20240229", "calendar", "lacks 1 days from 2024-02-29 on"),
        ("DELETE FROM time_t WHERE time_id < 2", "calendar", "time_t 2 seconds"),
        (
            "DROP INDEX tess_t_current_mac_key; CREATE INDEX tess_t_current_mac_key ON tess_t (mac_address); "
            "ALTER INDEX tess_t_current_mac_key OWNER TO tessmon; "
            "INSERT INTO tess_t (mac_address, valid_since, zp1) VALUES ('m', now(), 20), ('m', now(), 20)",
            "current rows",
            "tess_t: MAC m",
        ),
    ],
)
def test_what_is_wrong_is_found_and_said(database: Database, change: str, name: str, words: str) -> None:
    database.execute(change)
    assert words in faults(database)[name]


def test_missing_partitions_are_named(database: Database) -> None:
    [(name, month)] = database.fetch(
        "SELECT format('tess_readings_t_%s', to_char(now() + interval '1 month', 'YYYY_MM')), "
        "to_char(date_trunc('month', now()) + interval '1 month', 'YYYY-MM')"
    )
    database.execute(f"DROP TABLE {name}")
    assert f"tess_readings_t {month}" in faults(database)["partitions"]


def test_references_that_lead_nowhere_are_counted(database: Database) -> None:
    database.execute(READING)
    sentence = faults(database)["references"]
    for key in ("tess_id", "location_id", "observer_id", "units_id", "time_id"):
        assert f"1 rows of tess_readings_t_2026_04 with a {key}" in sentence
    assert "date_id" not in sentence
    assert "2026_03" not in sentence


def test_telemetry_of_files_that_nobody_knows_is_counted(database: Database) -> None:
    database.execute(TELEMETRY)
    assert finding(database, "references").ok
    database.execute("UPDATE telem SET file_id = 7 WHERE ns > 0")
    assert "2 rows of telem_2026_03 with a file_id that file_origins lacks" in faults(database)["references"]
    assert "2026_04" not in faults(database)["references"]


def test_looking_for_references_ends_in_time_and_says_how_far_it_came(database: Database) -> None:
    database.execute(READING)
    database.execute(
        "INSERT INTO tess_readings_t SELECT date_id, time_id, 1, -1, -1, 0, n, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, NULL, "
        "tstamp + n * interval '1 s', now() FROM tess_readings_t, generate_series(1, 100000) n WHERE date_id = 20260301"
    )
    found = finding(database, "references", references_budget_s=0.001)
    assert found.ok
    assert "time was up after the newest" in found.sentence


def test_an_unknown_schema_is_all_that_is_said(database: Database) -> None:
    database.execute("INSERT INTO schema_migrations VALUES (99, 'later', '', now(), '7.1')")
    [only] = check(database.owner_dsn)
    assert not only.ok
    assert "99" in only.sentence


def test_objects_of_others_are_named_and_left_alone(database: Database) -> None:
    database.execute("CREATE VIEW my_report AS SELECT 1 AS x")
    found = finding(database, "foreign objects")
    assert found.ok
    assert found.sentence.endswith("view my_report")
