# SPDX-License-Identifier: MIT
"""What stands in the schema ``public`` of a database of ours, partitions aside, and who may do what there."""

from __future__ import annotations

TABLES = (
    "bridge_stationstatus",
    "date_t",
    "file_ingest_times",
    "file_origins",
    "file_replicas",
    "location_t",
    "name_to_mac_t",
    "observer_t",
    "positions",
    "rejects",
    "schema_migrations",
    "source_events",
    "tallies",
    "telem",
    "tess_readings4c_t",
    "tess_readings_t",
    "tess_t",
    "tess_units_t",
    "time_t",
    "ts_param_bridge_avgwindspeed",
    "ts_param_bridge_forecasttau225",
    "ts_param_bridge_windgust",
    "ts_param_schedule",
    "vlbimon_clients",
    "vlbimon_parameters",
    "vlbimon_points",
    "vlbimon_stations",
    "vlbimon_status",
)
VIEWS = ("observations", "tess_v", "ts_param_bridge_events")
"""Those of parameters aside, which come with their parameters: ``vlbimon_parameters`` has their names."""
INDEXES = (
    "file_ingest_times_device_idx",
    "file_origins_identity_idx",
    "file_origins_path_key",
    "file_replicas_file_idx",
    "name_to_mac_t_current_mac_key",
    "name_to_mac_t_current_name_key",
    "name_to_mac_t_mac_idx",
    "name_to_mac_t_name_idx",
    "rejects_due_idx",
    "rejects_reason_idx",
    "rejects_received_at_idx",
    "source_events_at_idx",
    "tess_t_current_mac_key",
    "tess_t_mac_idx",
    "ts_param_bridge_avgwindspeed_idx",
    "ts_param_bridge_forecasttau225_idx",
    "ts_param_bridge_windgust_idx",
    "ts_param_schedule_time_idx",
)
"""Those that no constraint makes."""
FUNCTIONS = (
    "tessmon_add_dates",
    "tessmon_advance",
    "tessmon_ensure_partitions",
    "tessmon_notify",
    "tessmon_open_files",
    "tessmon_vlbimon_meaning",
    "tessmon_vlbimon_parameters",
    "tessmon_vlbimon_status",
    "tessmon_vlbimon_text",
    "tessmon_vlbimon_truth",
)
PARTITIONED = ("tess_readings_t", "tess_readings4c_t", "telem", "vlbimon_points")
"""Tables with a partition per month."""
TRIGGERS = ("tell on location_t", "tell on name_to_mac_t", "tell on rejects", "tell on tess_t")

EXPECTED = frozenset(
    (kind, name)
    for kind, names in (
        ("table", TABLES),
        ("view", VIEWS),
        ("index", INDEXES),
        ("function", FUNCTIONS),
        ("trigger", TRIGGERS),
    )
    for name in names
)
"""(kind, name) of everything that the migrations make."""

PRESENT_SQL = """
SELECT CASE WHEN c.relkind IN ('r', 'p') THEN 'table' WHEN c.relkind IN ('v', 'm') THEN 'view'
            WHEN c.relkind IN ('i', 'I') THEN 'index' ELSE 'other' END,
       c.relname::text, pg_get_userbyid(c.relowner)::text
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND c.relkind NOT IN ('S', 'c')
  AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid AND c.relkind IN ('i', 'I'))
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'function', p.proname::text, pg_get_userbyid(p.proowner)::text
FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT 'trigger', t.tgname || ' on ' || c.relname, pg_get_userbyid(c.relowner)::text
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal AND t.tgenabled <> 'D'
"""
"""Kind, name, owner of what is there; sequences, partitions and what extensions bring left out."""

WRITER_TABLE_RIGHTS = {
    "date_t": "SELECT",
    "time_t": "SELECT",
    "location_t": "SELECT",
    "observer_t": "SELECT",
    "tess_units_t": "SELECT",
    "tess_v": "SELECT",
    "schema_migrations": "SELECT",
    "tess_t": "SELECT, INSERT, UPDATE",
    "name_to_mac_t": "SELECT, INSERT, UPDATE",
    "tess_readings_t": "SELECT, INSERT",
    "tess_readings4c_t": "SELECT, INSERT",
    "positions": "SELECT, INSERT, UPDATE",
    "tallies": "SELECT, INSERT, UPDATE",
    "source_events": "SELECT, INSERT",
    "rejects": "SELECT, INSERT, UPDATE, DELETE",
    "telem": "SELECT, INSERT",
    "file_origins": "SELECT, INSERT, UPDATE",
    "file_ingest_times": "SELECT, INSERT, UPDATE",
    "file_replicas": "SELECT",
    "observations": "SELECT",
    "vlbimon_parameters": "SELECT",
    "vlbimon_stations": "SELECT, INSERT, UPDATE",
    "vlbimon_points": "SELECT, INSERT, UPDATE",
    "vlbimon_clients": "SELECT, INSERT, UPDATE",
    "vlbimon_status": "SELECT, INSERT, UPDATE",
    "bridge_stationstatus": "SELECT",
    "ts_param_bridge_events": "SELECT",
}
"""What the service must be allowed, by table."""

_OF_STATUS = ("time", "source", "onsource", "mode", "recording", "tsys", "tau225")
WRITER_COLUMN_RIGHTS = (
    ("bridge_stationstatus", "INSERT", ("station", *_OF_STATUS)),
    ("bridge_stationstatus", "UPDATE", _OF_STATUS),
)
"""What it must be allowed on some columns of a table; ``scan`` is not ours."""

WRITER_FUNCTIONS = (
    "tessmon_advance(text, text, bigint[], bigint[], bigint[], bigint[], text, jsonb)",
    "tessmon_ensure_partitions(text, date[])",
    "tessmon_open_files(text, text[], text[], text[], bigint[], bigint[], bytea[], bigint[], bigint[], bigint[])",
    "tessmon_vlbimon_parameters(text[], text[], text[], text[], text[], float8[], float8[], text[])",
    "tessmon_vlbimon_status(text[], text[], bigint[], bigint[], text[])",
)
"""What it must be allowed to call."""
