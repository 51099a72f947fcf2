# SPDX-License-Identifier: MIT
"""The fact table of what vlbimon stations say: ``vlbimon_points``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

import msgspec

from tessmon.records.frame import Frame, FrameKind
from tessmon.records.vlbimon import HISTORY, SNAPSHOT, Exchange, Point, Value, exchange_of
from tessmon.records.vlbimon_walk import PIECE_BYTES, POINT, Part, frame_text, payload_of
from tessmon.sink.arrays import filled_number_array, number_array, repeated_text_array, text_array
from tessmon.sink.tables.tess import DAY_S, month_of

_NS_PER_US = 1000
_FIRST_ORDINAL = 1_000_000
"""Rejects of the decoder count from 1 in their frame; those of rows stand behind all of them."""
_PLACE_OF_FRAME = 3
"""Numbers in the position of a frame of the journal; that of a part of one has one more."""

Key = tuple[int, str, int]

_COLUMNS = (
    ("parameter_id", "int"),
    ("station", "text"),
    ("at_s", "bigint"),
    ("stamp", "float8"),
    ("received_us", "bigint"),
    ("kind", '"char"'),
    ("whole", "bigint"),
    ("number", "float8"),
    ("word", "text"),
)
_UNNEST = ", ".join(f"%s::{kind}[]" for _, kind in _COLUMNS)
_NAMES = ", ".join(name for name, _ in _COLUMNS)


class PointRow(msgspec.Struct, frozen=True, gc=False):
    """A point with the number of its parameter, and its ordinal among those that are written with it."""

    point: Point
    parameter_id: int
    ordinal: int

    @property
    def key(self) -> Key:
        return self.parameter_id, self.point.station, self.point.time_s

    @property
    def received_ns(self) -> int:
        return self.point.frame.received_ns

    @property
    def received_us(self) -> int:
        """As the table keeps it [µs since 1970 UTC]."""
        return self.point.frame.received_ns // _NS_PER_US

    @property
    def subject(self) -> str:
        return self.point.subject

    @property
    def frame(self) -> Frame:
        """What to keep of it when it is rejected: a reply with this point alone."""
        point = self.point
        whole = point.frame
        if not point.derived and len(whole.position) > _PLACE_OF_FRAME:
            return whole  # it was rejected before
        exchange = exchange_of(whole.topic) if whole.kind == FrameKind.MESSAGE else Exchange(SNAPSHOT)
        if exchange.what not in (SNAPSHOT, HISTORY):
            exchange = Exchange(SNAPSHOT, exchange.server)
        pair = json.dumps([point.stamp, point.value])
        text = frame_text(exchange.what, [Part(POINT, point.station, point.parameter, pair)])
        payload = payload_of(text)
        position = (*whole.position, _FIRST_ORDINAL + self.ordinal)
        return Frame(
            FrameKind.MESSAGE,
            whole.received_ns,
            exchange.topic(),
            payload[:PIECE_BYTES],
            len(payload),
            position=position,
            origin=whole.origin,
        )


def same(one: Value, other: Value) -> bool:
    """Whether two values are equal as the database sees it: NaN is, true and 1 are not."""
    if type(one) is not type(other):
        return False
    return one == other or (one != one and other != other)


class PointTable:
    """The table. The value that was received last has the row of a second; what it took the place of is only counted,
    and one that comes later than another that was received after it changes nothing. Of points with equal values the
    latest stamp has the row, however they come: it is the one that snapshots have, and where a history cuts stamps to
    whole seconds, asking it changes no row."""

    name = "vlbimon_points"
    insert_sql = f"""INSERT INTO vlbimon_points AS t
       (parameter_id, station, time, stamp, received_at, kind, whole, number, word)
SELECT parameter_id, station, at_s, stamp, to_timestamp(received_us / 1e6), kind, whole, number, word
FROM unnest({_UNNEST}) AS r({_NAMES})"""
    key_sql = "parameter_id, station, time"
    replace_sql = """(parameter_id, station, time) DO UPDATE
SET stamp = excluded.stamp, received_at = greatest(t.received_at, excluded.received_at), kind = excluded.kind,
    whole = excluded.whole, number = excluded.number, word = excluded.word, replaced = least(t.replaced + 1, 32767)
WHERE CASE WHEN (excluded.kind, excluded.whole, excluded.number, excluded.word)
                IS DISTINCT FROM (t.kind, t.whole, t.number, t.word)
           THEN excluded.received_at >= t.received_at ELSE excluded.stamp > t.stamp END"""
    compare_sql = f"""SELECT r.ordinal, t.equal
FROM unnest({_UNNEST}) WITH ORDINALITY AS r({_NAMES}, ordinal)
LEFT JOIN LATERAL (
    SELECT (r.kind, r.whole, r.number, r.word) IS NOT DISTINCT FROM (p.kind, p.whole, p.number, p.word) AS equal
    FROM vlbimon_points AS p
    WHERE p.parameter_id = r.parameter_id AND p.station = r.station AND p.time = r.at_s LIMIT 1
) AS t ON true ORDER BY r.ordinal"""
    """LIMIT keeps the planner from reading all partitions for a join: with it, a row is looked up in its own."""

    def columns(self, rows: Sequence[PointRow]) -> list[str]:
        points = [row.point for row in rows]
        values = [point.value for point in points]
        return [
            filled_number_array([row.parameter_id for row in rows]),
            repeated_text_array([point.station for point in points]),
            filled_number_array([point.time_s for point in points]),
            filled_number_array([point.stamp for point in points]),
            filled_number_array([row.received_us for row in rows]),
            "{" + ",".join([_KINDS[type(value)] for value in values]) + "}",
            number_array([int(value) if isinstance(value, int) else None for value in values]),
            _float_array(values),
            text_array([value if isinstance(value, str) else None for value in values]),
        ]

    def key(self, row: PointRow) -> Key:
        return row.key

    def months(self, rows: Sequence[PointRow]) -> set[tuple[int, int]]:
        return {month_of(day) for day in {row.point.time_s // DAY_S for row in rows}}

    def marked(self, rows: Sequence[PointRow]) -> list[PointRow]:
        return [row for row in rows if row.point.marked]


_KINDS: dict[type, str] = {bool: "b", int: "i", float: "f", str: "t"}


def _float_array(values: Iterable[Value]) -> str:
    """The floats among values, others as NULL: with NaN and infinities, for which JSON has no words."""
    items = [
        None if type(value) is not float else value if math.isfinite(value) else repr(value)
        for value in values
    ]
    return "{" + msgspec.json.encode(items)[1:-1].decode() + "}"


POINTS = PointTable()
