# SPDX-License-Identifier: MIT
"""Decimation: of some photometers only one reading in N goes on."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from zope.interface import implementer

from tessmon.errors import Cause
from tessmon.interfaces import IStage
from tessmon.records.outcome import JOURNAL_FULL, Filtered, Record, SourceEvent
from tessmon.records.photometer import Reading
from tessmon.records.position import Position, just_before

NS_PER_S = 1_000_000_000


class _Count:
    """One photometer: how many readings were left out since one went on, and where the last of those stand."""

    def __init__(self, remembered: int) -> None:
        self.left_out = 0
        self.kept: deque[Position] = deque(maxlen=remembered)
        self.last_ns = 0


@implementer(IStage)
class Every:
    """The first reading of a photometer goes on, then every Nth; the others are filtered.

    The count can't be told from a few frames, as a window can: a replay must begin with a reading that went on. So
    the notes say, for each photometer on the list, where such a one stands; readings before it are out of the replay.

    Args:
        every: lower-case name → N.
        depth: how many of the readings that went on a later stage may still depend on; at least 1.
        max_age_s: after so long a silence between frames the count begins anew [s].
    """

    name = "every"
    holds = True
    lasting = False

    def __init__(self, every: Mapping[str, int], depth: int, max_age_s: int) -> None:
        self._every = {name: number for name, number in every.items() if number > 1}
        self._depth = depth
        self._max_age_ns = max_age_s * NS_PER_S
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._begins: dict[str, Position] = {}

    def take(self, record: Record) -> tuple[Record]:
        self._forget_silent(record.frame.received_ns)
        if isinstance(record, SourceEvent) and record.what == JOURNAL_FULL:
            self._counts.clear()
        if not isinstance(record, Reading) or record.name not in self._every:
            return (record,)
        frame, name = record.frame, record.name
        if self._begins and frame.position < self._begins.get(name, ()):
            return (Filtered(frame, Cause.DECIMATED, name),)
        count = self._counts.get(name)
        if count is None:
            count = self._counts[name] = _Count(self._depth)
        self._counts.move_to_end(name)
        count.last_ns = frame.received_ns
        if count.kept and count.left_out + 1 < self._every[name]:
            count.left_out += 1
            return (Filtered(frame, Cause.DECIMATED, name),)
        count.left_out = 0
        count.kept.append(frame.position)
        return (record,)

    def _forget_silent(self, now_ns: int) -> None:
        """A silent photometer must not keep the journal from being passed; counts stand in the order of their newest
        readings, and a clock that went back far is a silence too."""
        while self._counts:
            name, count = next(iter(self._counts.items()))
            if abs(now_ns - count.last_ns) <= self._max_age_ns:
                return
            del self._counts[name]

    def again(self, record: Record) -> tuple[Record]:
        return (record,)

    def release(self) -> Iterable[Record]:
        self.reset()
        return ()

    def held(self) -> int:
        return 0

    def low(self) -> Position | None:
        return min((just_before(count.kept[0]) for count in self._counts.values()), default=None)

    def notes(self) -> Any:
        return {name: list(count.kept[0]) for name, count in self._counts.items()} or None

    def reset(self, notes: Any = None) -> None:
        self._counts.clear()
        self._begins = {name: tuple(position) for name, position in (notes or {}).items()}
