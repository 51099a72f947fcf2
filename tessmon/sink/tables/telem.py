# SPDX-License-Identifier: MIT
"""The fact table of devices' telemetry events: ``telem``."""

from __future__ import annotations

from collections.abc import Sequence

from tessmon.records.telemetry import TelemetryEvent
from tessmon.sink.arrays import filled_number_array, repeated_text_array
from tessmon.sink.tables.tess import DAY_S, month_of

_DAY_NS = DAY_S * 1_000_000_000
_US_PER_S, _NS_PER_US = 1_000_000, 1000

_COLUMNS = """unnest(%s::bigint[]) AS at_us, unnest(%s::smallint[]) AS ns, unnest(%s::text[]) AS device,
       unnest(%s::text[]) AS ec, unnest(%s::text[]) AS prio, unnest(%s::bigint[]) AS digest,
       unnest(%s::bigint[]) AS file_id, unnest(%s::bigint[]) AS file_offset, jsonb_array_elements(%s::jsonb) AS msg"""
"""Set-returning functions side by side step together, and a list that is too short is filled with NULL, which no column
takes. All messages of a statement are one JSON array: a ``text[]`` of them would have each quotation mark escaped here
and twice read there. Measured with mixed records of 157 bytes in PostgreSQL 15, CPU of the server and of this process
per row: 5.3 + 1.0 µs; ``unnest(text[])`` with a cast 6.1 + 1.7 µs; COPY, which this connection can't do, 4.2 µs."""

_TOO_MANY = "('a message that is no JSON value' || left(msg::text, 0))::bigint"
"""Fails for a row that has a message and nothing else: without a time it would pass for one whose partition is missing.
It is made of the message so that it is not computed before."""


def _comparing(answer: str) -> str:
    """A query that finds the row of each key, and gives an expression over both."""
    return f"""SELECT r.ordinal, {answer}
FROM (SELECT row_number() OVER () AS ordinal, c.* FROM (SELECT {_COLUMNS}) AS c) AS r
LEFT JOIN telem AS t ON t.device = r.device AND t.ts = to_timestamp(r.at_us / 1e6) AND t.ns = r.ns
     AND t.ec = r.ec AND t.digest = r.digest
ORDER BY r.ordinal"""


class TelemTable:
    """The table; its rows are `TelemetryEvent`s as they are.

    A row with an equal key comes from the same bytes, so it is a duplicate and never in conflict: where its values are
    others, the schemas have changed since, and reading a file again must not fill ``rejects``.
    """

    name = "telem"
    insert_sql = f"""INSERT INTO telem (ts, file_id, file_offset, digest, ns, device, ec, prio, msg)
SELECT to_timestamp(coalesce(at_us, {_TOO_MANY}) / 1e6), file_id, file_offset, digest, ns, device, ec, prio, msg
FROM (SELECT {_COLUMNS}) AS r"""
    key_sql = "device, (extract(epoch FROM ts) * 1000000)::bigint, ns, ec, digest"
    compare_sql = _comparing("CASE WHEN t.device IS NOT NULL THEN true END")
    replace_sql = ""
    same_sql = _comparing("t.msg = r.msg AND t.prio = r.prio")
    """As `compare_sql`, and tells whether the values are the same as well."""

    def columns(self, rows: Sequence[TelemetryEvent]) -> list[str]:
        return [
            filled_number_array([row.ts_ns // _NS_PER_US for row in rows]),
            filled_number_array([row.ts_ns % _NS_PER_US for row in rows]),
            repeated_text_array([row.file.device for row in rows]),
            repeated_text_array([row.ec for row in rows]),
            repeated_text_array([row.prio for row in rows]),
            filled_number_array([row.digest for row in rows]),
            filled_number_array([row.file.file_id for row in rows]),
            filled_number_array([row.offset for row in rows]),
            f"[{','.join([row.msg for row in rows])}]",
        ]

    def key(self, row: TelemetryEvent) -> tuple[str, int, int, str, int]:
        return row.file.device, row.ts_ns // _NS_PER_US, row.ts_ns % _NS_PER_US, row.ec, row.digest

    def months(self, rows: Sequence[TelemetryEvent]) -> set[tuple[int, int]]:
        return {month_of(day) for day in {row.ts_ns // _DAY_NS for row in rows}}

    def marked(self, rows: Sequence[TelemetryEvent]) -> list[TelemetryEvent]:
        return [row for row in rows if row.marked]


TELEM = TelemTable()
