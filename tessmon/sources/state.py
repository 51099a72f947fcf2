# SPDX-License-Identifier: MIT
"""What a source is doing, as the operator sees it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger


class State:
    """One word, one sentence, and since when.

    Args:
        log: of the source; each other word is told there.
        now_ns: wall clock.
    """

    def __init__(self, log: Logger, now_ns: Callable[[], int]) -> None:
        self._log = log
        self._now_ns = now_ns
        self.told: tuple[str, str, int] = "stopped", "not started yet", now_ns()
        """State, sentence, and when this state began [ns], as they stand in the status."""

    def enter(self, state: str, detail: str) -> None:
        """The source is in this state now."""
        before, _, since_ns = self.told
        if state != before:
            since_ns = self._now_ns()
            self._log.info("{state}: {detail}", state=state, detail=detail)
        self.told = state, detail, since_ns
