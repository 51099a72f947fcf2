# SPDX-License-Identifier: MIT
"""What stages have in common that hold no record back: it goes on alone, behind points made of it, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zope.interface import implementer

from tessmon.interfaces import IStage
from tessmon.records.outcome import Record
from tessmon.records.position import Position
from tessmon.records.vlbimon import Point, Value


@implementer(IStage)
class Transform:
    """A stage that holds no record back. What it remembers, if anything, are its notes.

    One that makes a point of a point is its name and a ``take``::

        class Fahrenheit(Transform):
            name = "fahrenheit"

            def take(self, record: Record) -> tuple[Record, ...]:
                if isinstance(record, Point) and record.parameter == "weather_temperature":
                    return (derived(record, "weather_fahrenheit", record.value * 9 / 5 - 459.67), record)
                return (record,)
    """

    name = "transform"
    holds = True
    lasting = True

    def take(self, record: Record) -> Iterable[Record]:
        return (record,)

    def again(self, record: Record) -> Iterable[Record]:
        return (record,) if self.holds else self.take(record)

    def release(self) -> tuple[Record, ...]:
        return ()

    def held(self) -> int:
        return 0

    def low(self) -> Position | None:
        return None

    def notes(self) -> Any:
        return None

    def reset(self, notes: Any = None) -> None:
        pass


def derived(point: Point, parameter: str, value: Value) -> Point:
    """A point of another parameter, of the same station and time."""
    return Point(point.frame, parameter, point.station, point.stamp, value, derived=True)
