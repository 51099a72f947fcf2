# SPDX-License-Identifier: MIT
"""The network of photometers that the demo simulates, as one stream of messages."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator

from tessmon.demo.photometers import (
    BrokenDevice,
    Device,
    FourChannelDevice,
    Gateway,
    Kind,
    LateDevice,
    Message,
    RebootingDevice,
)

DENIED_NAME = "stars299"
"""In the demo's configuration as denied."""

_ORDINARY = 18
_AS_SHIPPED = 4
"""So many of them publish as the firmware does, at QoS 0 and with the retain flag."""


class Simulator:
    """Photometers of all sorts.

    Args:
        seed: equal seeds give equal messages.
        begin_s: the time of day at the beginning [s since 1970 UTC], for those that stamp their readings.
    """

    def __init__(self, seed: int, begin_s: int) -> None:
        self._seed = seed
        self._begin_s = begin_s

    def messages(self) -> Iterator[Message]:
        """All they publish, without end, in order of time."""
        return heapq.merge(
            *(device.messages() for device in self.devices()), key=lambda message: message.at_s
        )

    def retained(self) -> list[Message]:
        """What the broker kept of earlier days: a new subscriber gets it, marked as old."""
        return [
            device.message(0.0, Kind.RETAINED, device.reading(0.0))
            for device in self.devices()
            if device.retain
        ]

    def devices(self) -> list[Device]:
        """One of each sort, and many ordinary ones; new ones at each call."""
        seed, chance = self._seed, random.Random(self._seed)
        ordinary = [
            Device(
                f"stars{201 + index}",
                index,
                seed,
                boot_s=chance.uniform(0, 2),
                period_s=chance.uniform(2.1, 4),
                qos=0 if index < _AS_SHIPPED else 1,
                retain=index < _AS_SHIPPED,
            )
            for index in range(_ORDINARY)
        ]
        return [
            *ordinary,
            FourChannelDevice("stars231", 31, seed, period_s=2.5),
            RebootingDevice("stars232", 32, seed, period_s=2.2),
            LateDevice("stars233", 33, seed, period_s=2.2),
            Gateway("stars234", 34, seed, period_s=0.1, begin_s=self._begin_s),
            BrokenDevice("stars235", 35, seed, period_s=1.0),
            Device(DENIED_NAME, 99, seed, kind=Kind.DENIED),
        ]
