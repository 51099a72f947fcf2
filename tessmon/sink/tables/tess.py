# SPDX-License-Identifier: MIT
"""The fact tables of photometers: ``tess_readings_t`` (one channel) and ``tess_readings4c_t`` (four).

Source: tessdb's data model 04, with ``tstamp`` and ``received_at`` beside its dimension keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from tessmon.records.frame import Frame
from tessmon.records.photometer import Reading
from tessmon.sink.arrays import filled_number_array, number_array, text_array

DAY_S = 86_400
PUBLISHER, SUBSCRIBER = 1, 0
"""units_id: who gave the time."""

_BEFORE = (
    ("at_s", "bigint"),
    ("received_us", "bigint"),
    ("date_id", "int"),
    ("time_id", "int"),
    ("tess_id", "bigint"),
    ("location_id", "bigint"),
    ("observer_id", "bigint"),
    ("units_id", "int"),
)
_MEASURED = (
    ("sequence_number", "bigint"),
    ("box_temperature", "float8"),
    ("sky_temperature", "float8"),
    ("signal_strength", "int"),
    ("azimuth", "float8"),
    ("altitude", "float8"),
    ("longitude", "float8"),
    ("latitude", "float8"),
    ("elevation", "float8"),
    ("hash", "text"),
)


class ReadingRow(msgspec.Struct, frozen=True, gc=False):
    """A reading with the version, place and observer of its photometer."""

    reading: Reading
    tess_id: int
    location_id: int
    observer_id: int

    @property
    def frame(self) -> Frame:
        return self.reading.frame

    @property
    def received_ns(self) -> int:
        return self.reading.frame.received_ns

    @property
    def subject(self) -> str:
        return self.reading.name


class ReadingTable:
    """One of the two tables; they differ in the names of their channels' columns.

    Args:
        name: of the table.
        channels: per channel the names of the frequency [Hz] and the magnitude column.
    """

    replace_sql = ""

    def __init__(self, name: str, channels: Sequence[tuple[str, str]]) -> None:
        self.name = name
        self._channel_count = len(channels)
        measured = [column for pair in channels for column in pair]
        parameters = [*_BEFORE, *((column, "float8") for column in measured), *_MEASURED]
        unnest = ", ".join(f"%s::{kind}[]" for _, kind in parameters)
        names = [column for column, _ in parameters]
        stored = ", ".join(names[2:])
        values = [*measured, *(column for column, _ in _MEASURED)]
        equal = " AND ".join(f"t.{column} IS NOT DISTINCT FROM r.{column}" for column in values)
        self.insert_sql = (
            f"INSERT INTO {name} (tstamp, received_at, {stored}) "
            f"SELECT to_timestamp(at_s), to_timestamp(received_us / 1e6), {stored} "
            f"FROM unnest({unnest}) AS r({', '.join(names)})"
        )
        self.key_sql = "tess_id, extract(epoch FROM tstamp)::bigint"
        self.compare_sql = (
            f"SELECT r.ordinal, CASE WHEN t.tess_id IS NOT NULL THEN {equal} END "
            f"FROM unnest({unnest}) WITH ORDINALITY AS r({', '.join(names)}, ordinal) "
            f"LEFT JOIN {name} t ON t.tess_id = r.tess_id AND t.tstamp = to_timestamp(r.at_s) ORDER BY r.ordinal"
        )

    def columns(self, rows: Sequence[ReadingRow]) -> list[str]:
        readings = [row.reading for row in rows]
        stamps_s = [r.at_s for r in readings]
        date_ids = {at_s: date_id(at_s) for at_s in set(stamps_s)}
        time_ids = {at_s: time_id(at_s) for at_s in date_ids}
        channels: list[str] = []
        for channel in range(self._channel_count):
            channels.append(filled_number_array([r.frequencies_hz[channel] for r in readings]))
            channels.append(filled_number_array([r.magnitudes[channel] for r in readings]))
        return [
            filled_number_array(stamps_s),
            filled_number_array([r.frame.received_ns // 1000 for r in readings]),
            filled_number_array([date_ids[at_s] for at_s in stamps_s]),
            filled_number_array([time_ids[at_s] for at_s in stamps_s]),
            filled_number_array([row.tess_id for row in rows]),
            filled_number_array([row.location_id for row in rows]),
            filled_number_array([row.observer_id for row in rows]),
            filled_number_array([PUBLISHER if r.stamped else SUBSCRIBER for r in readings]),
            *channels,
            filled_number_array([r.sequence_number for r in readings]),
            filled_number_array([r.box_temperature_degc for r in readings]),
            filled_number_array([r.sky_temperature_degc for r in readings]),
            filled_number_array([r.signal_strength_dbm for r in readings]),
            number_array([r.azimuth_deg for r in readings]),
            number_array([r.altitude_deg for r in readings]),
            number_array([r.longitude_deg for r in readings]),
            number_array([r.latitude_deg for r in readings]),
            number_array([r.elevation_m for r in readings]),
            text_array([r.hash for r in readings]),
        ]

    def key(self, row: ReadingRow) -> tuple[int, int]:
        return row.tess_id, row.reading.at_s

    def months(self, rows: Sequence[ReadingRow]) -> set[tuple[int, int]]:
        return {month_of(day) for day in {row.reading.at_s // DAY_S for row in rows}}

    def marked(self, rows: Sequence[ReadingRow]) -> tuple[()]:
        """None: names and hashes are checked."""
        return ()


def date_id(at_s: int) -> int:
    """YYYYMMDD of an instant [s since 1970 UTC]."""
    return _day(at_s // DAY_S)[0]


def time_id(at_s: int) -> int:
    """HHMMSS of an instant [s since 1970 UTC]."""
    minutes, second = divmod(at_s % DAY_S, 60)
    hour, minute = divmod(minutes, 60)
    return hour * 10_000 + minute * 100 + second


def month_of(day: int) -> tuple[int, int]:
    """(year, month) of a day [days since 1970 UTC]."""
    return _day(day)[1]


@lru_cache(maxsize=4096)
def _day(day: int) -> tuple[int, tuple[int, int]]:
    date = datetime.fromtimestamp(day * DAY_S, UTC)
    return date.year * 10_000 + date.month * 100 + date.day, (date.year, date.month)


ONE_CHANNEL = ReadingTable("tess_readings_t", [("frequency", "magnitude")])
FOUR_CHANNELS = ReadingTable("tess_readings4c_t", [(f"freq{n}", f"mag{n}") for n in (1, 2, 3, 4)])


def table_of(reading: Reading) -> ReadingTable:
    """The table a reading belongs to."""
    return ONE_CHANNEL if len(reading.magnitudes) == 1 else FOUR_CHANNELS
