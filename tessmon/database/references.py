# SPDX-License-Identifier: MIT
"""Whether rows of fact tables refer to rows that exist. They have no foreign keys, so it is looked up."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tessmon.database.driver import psycopg2
from tessmon.database.objects import PARTITIONED
from tessmon.database.plain import rows

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

_OF_READINGS = {
    "tess_id": "tess_t",
    "location_id": "location_t",
    "observer_id": "observer_t",
    "units_id": "tess_units_t",
    "date_id": "date_t",
    "time_id": "time_t",
}
_REFERENCES = {
    "tess_readings_t": ("to_timestamp(%s) <= r.tstamp AND r.tstamp < to_timestamp(%s)", _OF_READINGS),
    "tess_readings4c_t": ("to_timestamp(%s) <= r.tstamp AND r.tstamp < to_timestamp(%s)", _OF_READINGS),
    "telem": ("to_timestamp(%s) <= r.ts AND r.ts < to_timestamp(%s)", {"file_id": "file_origins"}),
    "vlbimon_points": ("%s <= r.time AND r.time < %s", {"parameter_id": "vlbimon_parameters"}),
}
"""Fact table → what is true for rows between two times [s since 1970 UTC], and the key → the table that has it."""

_PARTITIONS_SQL = """
SELECT p.relname::text, c.relname::text
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_class AS p ON p.oid = i.inhparent
WHERE p.relname = ANY(%s::text[]) AND p.relnamespace = 'public'::regnamespace
ORDER BY right(c.relname, 7) DESC, c.relname
"""
"""Newest month first; names end in the month."""


def check_references(connection: PlainConnection, budget_s: float) -> tuple[bool, str]:
    """Look through the partitions, newest first, until time is up.

    Args:
        connection: in autocommit.
        budget_s: no more time than this [s].

    Returns:
        Whether every row looked at refers to existing rows, and a sentence; running out of time is no
        fault, the sentence says how far it got.
    """
    deadline = time.monotonic() + budget_s
    partitions = rows(connection, _PARTITIONS_SQL, [list(PARTITIONED)])
    faults: list[str] = []
    verified = 0
    try:
        for parent, name in partitions:
            faults += _dangling(connection, parent, name, deadline - time.monotonic())
            verified += 1
    except psycopg2.errors.QueryCanceled:
        pass
    finally:
        rows(connection, "RESET statement_timeout")
    if verified == len(partitions):
        extent = f"all {verified} partitions looked through"
    else:
        extent = f"time was up after the newest {verified} of {len(partitions)} partitions"
    if not faults:
        return True, f"no reading, telemetry event or point refers to a missing row; {extent}"
    return False, f"{', '.join(faults)}; {extent}: restore the missing rows"


def _dangling(connection: PlainConnection, parent: str, partition: str, left_s: float) -> list[str]:
    """References of one partition that lead nowhere, in one scan of it.

    It is read through its parent, where the rights are: to the partitions themselves nobody is granted any.
    """
    between, references = _REFERENCES[parent]
    counts = ", ".join(f"count(*) FILTER (WHERE {table}.{key} IS NULL)" for key, table in references.items())
    joins = " ".join(f"LEFT JOIN {table} ON {table}.{key} = r.{key}" for key, table in references.items())
    first_day = datetime(int(partition[-7:-3]), int(partition[-2:]), 1, tzinfo=UTC)
    following = (first_day + timedelta(days=31)).replace(day=1)
    rows(connection, "SELECT set_config('statement_timeout', %s, false)", [str(max(1, int(left_s * 1000)))])
    [found] = rows(
        connection,
        f"SELECT {counts} FROM public.{psycopg2.extensions.quote_ident(parent, connection)} AS r {joins} "
        f"WHERE {between}",
        [int(first_day.timestamp()), int(following.timestamp())],
    )
    return [
        f"{count} rows of {partition} with a {key} that {table} lacks"
        for count, (key, table) in zip(found, references.items(), strict=True)
        if count
    ]
