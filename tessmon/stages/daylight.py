# SPDX-License-Identifier: MIT
"""The daylight filter: long runs of saturated readings are left out, but for those next to real ones."""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import pairwise
from typing import Any, NamedTuple

from zope.interface import implementer

from tessmon.config.model import Daylight as DaylightSettings
from tessmon.errors import Cause
from tessmon.interfaces import IStage
from tessmon.records.outcome import FLUSH, JOURNAL_FULL, Filtered, Record, SourceEvent
from tessmon.records.photometer import Reading
from tessmon.records.position import Position, just_before

NS_PER_S = 1_000_000_000
MAX_WINDOWS = 50_000
MAX_HELD_BYTES = 32 * 1024 * 1024
"""Names are made up by whoever publishes: at either of these everything held goes on, and all windows begin anew.
A replay begins behind that moment, so it comes to the same windows."""
READING_BYTES = 1000
"""What a reading takes in memory beside its payload, about [bytes]."""


class _Sample(NamedTuple):
    """What a window keeps of each of its readings."""

    position: Position
    sequence_number: int
    saturated: bool


class _Window:
    """The last readings of one photometer, and those among them about which nothing is decided yet."""

    __slots__ = ("last_ns", "samples", "undecided")

    def __init__(self, depth: int) -> None:
        self.samples: deque[_Sample] = deque(maxlen=depth)
        self.undecided: deque[Reading] = deque()
        self.last_ns = 0

    def steady(self) -> bool:
        """The sequence numbers have no second differences: no reading is missing, and the device did not boot."""
        numbers = [sample.sequence_number for sample in self.samples]
        steps = [after - before for before, after in pairwise(numbers)]
        return len(set(steps)) <= 1


@implementer(IStage)
class Daylight:
    """A reading is decided about when half a window of others has come behind it.

    With h = depth // 2: when a photometer's window is full, its middle reading is left out if all readings in the
    window are saturated and their sequence numbers go on steadily. Until the window is full, the reading h places
    back goes on unless all so far are saturated. When a photometer was silent for ``max_age_s`` between two frames,
    when the operator asks for it, and when the journal is full, its newest h readings go on whatever they are, and
    its window begins anew.

    Args:
        settings: depth (odd), names left alone, age [s]; a filter that is not enabled holds nothing.
        max_windows, max_held_bytes: the bounds of its memory.

    Source: behaviour of tessdb-server 4.0.9 for full windows, of 5.1.0 before.
    """

    name = "daylight"
    holds = True
    lasting = False

    def __init__(
        self,
        settings: DaylightSettings,
        max_windows: int = MAX_WINDOWS,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        self._enabled = settings.enabled
        self._left_alone = frozenset(settings.disabled_for)
        self._depth = settings.depth
        self._half = settings.depth // 2
        self._max_age_ns = settings.max_age_s * NS_PER_S
        self._max_windows = max_windows
        self._max_held_bytes = max_held_bytes
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._held = 0
        self._held_bytes = 0

    def take(self, record: Record) -> list[Record]:
        gone_on = self._expire(record.frame.received_ns)
        if isinstance(record, SourceEvent) and record.what in (FLUSH, JOURNAL_FULL):
            gone_on += self.release()
        if not self._enabled or not isinstance(record, Reading) or record.name in self._left_alone:
            gone_on.append(record)
            return gone_on
        gone_on += self._look_at(record)
        if self._held_bytes > self._max_held_bytes or len(self._windows) > self._max_windows:
            gone_on += self.release()
        return gone_on

    def _look_at(self, reading: Reading) -> tuple[Record, ...]:
        window = self._windows.get(reading.name)
        if window is None:
            window = self._windows[reading.name] = _Window(self._depth)
        else:
            self._windows.move_to_end(reading.name)
        frame = reading.frame
        window.last_ns = frame.received_ns
        saturated = not any(reading.magnitudes)
        window.samples.append(_Sample(frame.position, reading.sequence_number, saturated))
        window.undecided.append(reading)
        self._hold(reading, 1)
        if len(window.undecided) <= self._half:
            return ()
        decided = window.undecided.popleft()
        self._hold(decided, -1)
        if all(sample.saturated for sample in window.samples) and (
            len(window.samples) < self._depth or window.steady()
        ):
            return (Filtered(decided.frame, Cause.DAYLIGHT, decided.name),)
        return (decided,)

    def _hold(self, reading: Reading, sign: int) -> None:
        self._held += sign
        self._held_bytes += sign * (READING_BYTES + len(reading.frame.payload))

    def _expire(self, now_ns: int) -> list[Record]:
        """Windows stand in the order of their newest readings. A clock that went back far is a silence too: or the
        windows would wait, and keep the journal, until it is there again."""
        gone_on: list[Record] = []
        while self._windows:
            name, window = next(iter(self._windows.items()))
            if abs(now_ns - window.last_ns) <= self._max_age_ns:
                break
            del self._windows[name]
            for reading in window.undecided:
                self._hold(reading, -1)
                gone_on.append(reading)
        return gone_on

    def again(self, record: Record) -> tuple[Record]:
        return (record,)

    def release(self) -> list[Record]:
        held = [reading for window in self._windows.values() for reading in window.undecided]
        self.reset()
        held.sort(key=lambda reading: reading.frame.position)
        return list(held)

    def held(self) -> int:
        return self._held

    def low(self) -> Position | None:
        oldest = min((window.samples[0].position for window in self._windows.values()), default=None)
        return None if oldest is None else just_before(oldest)

    def notes(self) -> None:
        return None

    def reset(self, notes: Any = None) -> None:
        self._windows.clear()
        self._held = self._held_bytes = 0
