# SPDX-License-Identifier: MIT
"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable

_JITTER = 0.25
"""Part of a delay that is left to chance, so that many clients don't come back in step."""


class Backoff:
    """Delays that double from ``first_s`` up to ``longest_s``, each varied by a quarter up or down."""

    def __init__(
        self, first_s: float, longest_s: float, chance: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self._delay_s = 0.0

    @property
    def delay_s(self) -> float:
        """The delay last given, without its variation [s]; 0 when none was given since `reset`."""
        return self._delay_s

    def next_s(self) -> float:
        """The delay before the next attempt [s]."""
        self._delay_s = min(self._delay_s * 2 or self._first_s, self._longest_s)
        return self._delay_s * self._chance(1 - _JITTER, 1 + _JITTER)

    def reset(self) -> None:
        """Begin with ``first_s`` again."""
        self._delay_s = 0.0
