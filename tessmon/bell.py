# SPDX-License-Identifier: MIT
"""A bell: one waits, anybody rings; a ring that comes while nobody waits is remembered."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred


class Bell:
    """Wakes the one coroutine that waits for it.

    Args:
        reactor: for time limits.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._rung = False
        self._waiter: Deferred[None] | None = None

    def ring(self) -> None:
        """Wake who waits, or who waits next."""
        self._rung = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def hush(self) -> None:
        """Forget rings so far."""
        self._rung = False

    async def wait(self, at_most_s: float | None = None) -> None:
        """Return when the bell rings, at once when it rang since the last `hush` or `wait`."""
        if not self._rung:
            waiter: Deferred[None] = Deferred()
            self._waiter = waiter
            timer = None if at_most_s is None else self._reactor.callLater(at_most_s, self.ring)
            await waiter
            if timer is not None and timer.active():
                timer.cancel()
        self._rung = False
