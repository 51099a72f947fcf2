# SPDX-License-Identifier: MIT
"""How the bridge itself does: points about the polls, under the names that its dashboards and alerts ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tessmon.records.frame import Frame
from tessmon.records.outcome import Record, Tick
from tessmon.records.vlbimon import BRIDGE, Point, Poll, Value
from tessmon.records.vlbimon_walk import is_name
from tessmon.stages.transform import Transform

MAX_STATIONS = 100
"""The array has eleven; names come from outside."""

_NS = 1_000_000_000


class Bridge(Transform):
    """Each poll, well or not, is followed by ``bridge_points`` (points in the snapshot), ``bridge_bridgeLag`` (how
    long it took [s]) and ``bridge_totalLag`` [s]; a minute without a poll by the last only.

    The total lag is how old the newest stamp is, of all stations under the station "bridge", and of each. It is never
    negative, and as nothing but points makes it smaller, it grows while none come, whatever the cause. A stamp that is
    ahead of its arrival counts as its arrival, or not at all when it is far ahead. Before the first point ever the lag
    is counted from the first poll.
    """

    name = "bridge"

    def __init__(self) -> None:
        self._newest: dict[str, int | float] = {}
        self._since_s: float | None = None

    def take(self, record: Record) -> tuple[Record, ...]:
        if isinstance(record, Point):
            if not record.derived:
                self._look_at(record)
        elif isinstance(record, Poll):
            return (*self._about_poll(record), *self._lags(record.frame), record)
        elif isinstance(record, Tick):
            return (*self._lags(record.frame), record)
        return (record,)

    def _look_at(self, point: Point) -> None:
        station = point.station
        stamp = min(point.stamp, point.received_ns / _NS)
        if point.ahead or stamp <= self._newest.get(station, 0):
            return
        self._newest[station] = stamp
        if len(self._newest) > MAX_STATIONS:
            del self._newest[min(self._newest, key=lambda name: (self._newest[name], name))]

    def _about_poll(self, poll: Poll) -> Iterator[Point]:
        frame, exchange = poll.frame, poll.exchange
        yield _point(frame, "bridge_points", BRIDGE, sum(exchange.counts.values()))
        for station, count in exchange.counts.items():
            if is_name(station) and station != BRIDGE:
                yield _point(frame, "bridge_points", station, count)
        yield _point(frame, "bridge_bridgeLag", BRIDGE, exchange.took_s)

    def _lags(self, frame: Frame) -> Iterator[Point]:
        now_s = frame.received_ns / _NS
        if self._since_s is None:
            self._since_s = now_s
        newest_s = max(self._newest.values(), default=self._since_s)
        yield _point(frame, "bridge_totalLag", BRIDGE, max(0.0, now_s - newest_s))
        for station in sorted(self._newest):
            if station != BRIDGE:
                yield _point(frame, "bridge_totalLag", station, max(0.0, now_s - self._newest[station]))

    def notes(self) -> Any:
        if self._since_s is None and not self._newest:
            return None
        return {"since": self._since_s, "newest": dict(self._newest)}

    def reset(self, notes: Any = None) -> None:
        noted = notes or {}
        self._since_s = noted.get("since")
        self._newest = dict(noted.get("newest", {}))


def _point(frame: Frame, parameter: str, station: str, value: Value) -> Point:
    return Point(frame, parameter, station, frame.received_ns / _NS, value, derived=True)
