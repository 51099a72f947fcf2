# SPDX-License-Identifier: MIT
"""What a vlbimon server knows: each point that it received, in order, and what of them a snapshot or history says.

A snapshot has one pair for each series (station and parameter): the value received last, if that came after the cursor.
Cursors are of the server's clock of receiving; times in replies are the stations'. What was replaced between two
snapshots is only in the history.
"""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

PLACEHOLDER_S = 946_684_800
"""2000-01-01: a last point of some history lists has this stamp [s since 1970 UTC]."""

Series = tuple[str, str]


class Raw(str):
    """JSON text that goes on the wire as it is, odd or not."""


def wire(value: Any) -> str:
    """The text of a value on the wire."""
    return str(value) if isinstance(value, Raw) else json.dumps(value, ensure_ascii=False)


class Received(NamedTuple):
    """A point that a station sent.

    Attributes:
        number: in the order of receiving, from 0.
        station, parameter: names.
        stamp_text, value_text: as on the wire.
        at_s: by the server's clock [s since 1970 UTC]; those of one `Array.receive` are told apart by nothing.
    """

    number: int
    station: str
    parameter: str
    stamp_text: str
    value_text: str
    at_s: float

    @property
    def series(self) -> Series:
        return self.station, self.parameter

    @property
    def stamp(self) -> Any:
        return json.loads(self.stamp_text)

    @property
    def value(self) -> Any:
        return json.loads(self.value_text)

    @property
    def pair(self) -> str:
        """As it stands in a reply."""
        return f"[{self.stamp_text},{self.value_text}]"


class Reply(NamedTuple):
    """What is answered.

    Attributes:
        body: text.
        numbers: of the points that were asked for.
        pairs: station → pairs of time and value in the body, those that nobody asked for too [count].
        cursor_s: receive time up to which a snapshot is whole [s].
    """

    body: str
    numbers: Sequence[int] = ()
    pairs: Mapping[str, int] = {}
    cursor_s: float = 0.0


class Array:
    """All that stations sent.

    Attributes:
        received: every point.
        clients: station → client → what a snapshot says of it.
        placeholder_every: each so manieth list of a history ends with a point of 2000-01-01; 0: none does.
        early_point: a point from before the window heads the lists of a history that are not empty.
        vexfiles: what a snapshot has under that key, None for no such key.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.received: list[Received] = []
        self.clients: dict[str, dict[str, dict[str, Any]]] = {}
        self.placeholder_every = 7
        self.early_point = True
        self.vexfiles: Any = {"e24a01": {"KP": "e24a01_kp.vex"}}
        self._clock = clock
        self._now_s = 0.0
        self._newest: dict[Series, Received] = {}
        self._stamped: dict[Series, list[tuple[float, int]]] = {}
        self._lists = 0

    def receive(self, points: Iterable[Sequence[Any]]) -> int:
        """Take (station, parameter, stamp, value) as `json` writes them, or as `Raw` text; how many there are now."""
        at_s = self._tick()
        for station, parameter, stamp, value in points:
            self._take(Received(len(self.received), station, parameter, wire(stamp), wire(value), at_s))
        return len(self.received)

    def _take(self, point: Received) -> None:
        self.received.append(point)
        self._newest.pop(point.series, None)  # to the end: the dictionary is in the order of receiving
        self._newest[point.series] = point
        stamp = point.stamp
        if isinstance(stamp, int | float) and not isinstance(stamp, bool) and math.isfinite(stamp):
            insort(self._stamped.setdefault(point.series, []), (stamp, point.number))

    def _tick(self) -> float:
        """Now; no two calls give the same, so that a cursor tells what came before it from what came after."""
        self._now_s = max(self._clock(), math.nextafter(self._now_s, math.inf))
        return self._now_s

    def snapshot(self, cursor_s: float | None, *, again: bool = False) -> Reply:
        """The newest of each series of which one came after the cursor, or at its time where `again`."""
        chosen: list[Received] = []
        for point in reversed(self._newest.values()):
            if cursor_s is not None and (point.at_s < cursor_s if again else point.at_s <= cursor_s):
                break
            chosen.append(point)
        stations: dict[str, list[Received]] = {}
        for point in reversed(chosen):
            stations.setdefault(point.station, []).append(point)
        parts = [] if self.vexfiles is None else [f'"vexfiles": {json.dumps(self.vexfiles)}']
        parts += [
            f"{wire(station)}: {self._station(station, stations.get(station))}"
            for station in dict.fromkeys([*stations, *self.clients])
        ]
        pairs = {station: len(points) for station, points in stations.items()}
        return Reply(
            "{" + ", ".join(parts) + "}", [point.number for point in reversed(chosen)], pairs, self._tick()
        )

    def _station(self, station: str, points: list[Received] | None) -> str:
        parts = []
        if station in self.clients:
            parts.append(f'"clients": {json.dumps(self.clients[station])}')
        if points:
            pairs = ", ".join(f"{wire(point.parameter)}: {point.pair}" for point in points)
            parts.append(f'"data": {{{pairs}}}')
        return "{" + ", ".join(parts) + "}"

    def history(self, stations: Sequence[str], fields: Sequence[str], start_s: int, end_s: int) -> Reply:
        """All points of these series that are stamped in the window, both ends included, and what else heads or ends
        a list."""
        numbers: list[int] = []
        pairs: Counter[str] = Counter()
        found = []
        for station in stations:
            lists = []
            for field in fields:
                stamped = self._stamped.get((station, field), [])
                first = bisect_left(stamped, (start_s, -1))
                inside = [number for _, number in stamped[first : bisect_left(stamped, (end_s, math.inf))]]
                if inside:
                    numbers += inside
                    early = [stamped[first - 1][1]] if first and self.early_point else []
                    texts = self._list(early + inside)
                    pairs[station] += len(texts)
                    lists.append(f"{wire(field)}: [{', '.join(texts)}]")
            if lists:
                found.append(f"{wire(station)}: {{{', '.join(lists)}}}")
        return Reply("{" + ", ".join(found) + "}", numbers, pairs)

    def _list(self, numbers: Sequence[int]) -> list[str]:
        pairs = [self.received[number].pair for number in numbers]
        self._lists += 1
        if self.placeholder_every and self._lists % self.placeholder_every == 0:
            pairs.append(f"[{PLACEHOLDER_S},{self.received[numbers[-1]].value_text}]")
        return pairs
