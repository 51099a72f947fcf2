# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""Long work in the reactor stops now and then and lets it do other things."""

from __future__ import annotations

import time
from typing import Any

LONGEST_S = 0.005
"""Work goes on for so long at a time, and for what was begun when it is over."""


class Breath:
    """Tells when it is time to let the reactor go, and does so.

    Args:
        reactor: the loop.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._since_s = 0.0

    @property
    def due(self) -> bool:
        """Whether the last breath was long ago."""
        return time.perf_counter() - self._since_s > LONGEST_S

    async def take(self) -> None:
        """Let the reactor do other things."""
        from twisted.internet.task import deferLater  # not for those who never breathe: it takes 0.2 s

        await deferLater(self._reactor, 0)
        self._since_s = time.perf_counter()


class LongBreath(Breath):
    """For a process without a reactor: nobody else wants to do anything."""

    def __init__(self) -> None:
        super().__init__(None)

    @property
    def due(self) -> bool:
        return False
