# SPDX-License-Identifier: MIT
"""How long a check may still take. It is ended from outside by Ctrl-C, so whoever waits asks often."""

from __future__ import annotations

import time
from threading import Event

from tessmon.errors import TessmonError


class OutOfTimeError(TessmonError):
    """A check took longer than it may, or the operator has had enough."""


class Patience:
    """The time of one check, from now on.

    Args:
        limit_s: all that it may take [s].
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._until_s = time.monotonic() + limit_s
        self._ended = Event()

    def end(self) -> None:
        """It is over now."""
        self._ended.set()

    def left_s(self, at_most_s: float) -> float:
        """How long the next step may wait [s].

        Raises:
            OutOfTimeError: nothing is left.
        """
        left_s = self._until_s - time.monotonic()
        if left_s <= 0 or self._ended.is_set():
            raise OutOfTimeError(f"it was given up after {self.limit_s:g} s")
        return min(left_s, at_most_s)
