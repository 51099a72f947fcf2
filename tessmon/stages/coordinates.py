# SPDX-License-Identifier: MIT
"""The splitter: coordinates that stations send as one text become two numbers beside it."""

from __future__ import annotations

import math
import re
from typing import Any

from twisted.logger import Logger

from tessmon.records.outcome import Record
from tessmon.records.vlbimon import HALVES, Masterlist, Point
from tessmon.stages.transform import Transform, derived
from tessmon.told import Told

MAX_PARAMETERS = 500
"""The array has a dozen of them."""

_MAX_CHARACTERS = 100
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PAIR = re.compile(rf"([+-]?{_NUMBER})(?:\+(?=-))?([+-]{_NUMBER})")
"""The second number's sign is what parts them. At negative elevation the SMA writes a plus all the same."""


def halves_of(text: object) -> tuple[float, float] | None:
    """The two numbers of ``"123.40+45.60"``, None for everything that is not just that."""
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        return None
    match = _PAIR.fullmatch(text)
    if match is None:
        return None
    first, second = float(match[1]), float(match[2])
    return (first, second) if math.isfinite(first) and math.isfinite(second) else None


class Coordinates(Transform):
    """Points of coordinates are followed by their halves: azimuth and elevation [deg], or right ascension [h] and
    declination [deg]. What is not two numbers has none, and the log is told once for each parameter of a station.

    Which parameters these are the newest masterlist says.

    Args:
        told: what the log knows; shared by those who are made one after the other.
    """

    name = "coordinates"
    log = Logger()

    def __init__(self, told: Told | None = None) -> None:
        self._told = Told() if told is None else told
        self._datatypes: dict[str, str] = {}

    def take(self, record: Record) -> tuple[Record, ...]:
        if isinstance(record, Point):
            datatype = self._datatypes.get(record.parameter)
            return (record,) if datatype is None else (*self._split(record, datatype), record)
        if isinstance(record, Masterlist):
            split = [each for each in record.parameters if each.datatype in HALVES]
            self._datatypes = {each.name: each.datatype for each in split[:MAX_PARAMETERS]}
        return (record,)

    def again(self, record: Record) -> tuple[Record, ...]:
        return self.take(record) if isinstance(record, Point) else (record,)

    def _split(self, point: Point, datatype: str) -> tuple[Record, ...]:
        halves = halves_of(point.value)
        if halves is not None:
            endings = HALVES[datatype]
            return tuple(
                derived(point, point.parameter + ending, half)
                for ending, half in zip(endings, halves, strict=True)
            )
        if self._told.is_new(point.parameter, point.station, "halves"):
            self.log.warn(
                "{parameter} of {station} is {value}, not two numbers, and is not split; said once",
                parameter=ascii(point.parameter),
                station=ascii(point.station),
                value=ascii(point.value)[:_MAX_CHARACTERS],
            )
        return ()

    def notes(self) -> dict[str, str] | None:
        return self._datatypes or None

    def reset(self, notes: Any = None) -> None:
        self._datatypes = {name: datatype for name, datatype in (notes or {}).items() if datatype in HALVES}
