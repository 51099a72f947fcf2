# SPDX-License-Identifier: MIT
"""Which stations are wanted, where not all of them are."""

from __future__ import annotations

from collections.abc import Collection

from tessmon.errors import Cause
from tessmon.records.outcome import Filtered, Record
from tessmon.records.vlbimon import Contact, Point
from tessmon.stages.transform import Transform


class Stations(Transform):
    """Points of other stations are filtered, and who speaks for them is forgotten.

    Args:
        wanted: names of stations.
    """

    name = "stations"
    holds = False

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = frozenset(wanted)

    def take(self, record: Record) -> tuple[Record, ...]:
        if isinstance(record, Point) and record.station not in self._wanted:
            return (Filtered(record.frame, Cause.DENIED, record.station),)
        if isinstance(record, Contact) and record.station not in self._wanted:
            return ()
        return (record,)
