# SPDX-License-Identifier: MIT
"""Delayed calls by purpose, of each no more than one, and what happened, kept until somebody asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tessmon.sources.sightings import Occurrence

MAX_OCCURRENCES = 1000


class Calls:
    """Delayed calls that end together."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pending: dict[str, Any] = {}

    def later(self, what: str, delay_s: float, function: Callable[[], None]) -> None:
        """Call once; what was to be called for the same purpose is replaced."""
        before = self._pending.pop(what, None)
        if before is not None:
            before.cancel()

        def call() -> None:
            del self._pending[what]
            function()

        self._pending[what] = self._reactor.callLater(delay_s, call)

    def soon(self, what: str, function: Callable[[], None]) -> None:
        """Call as soon as possible, unless it is to be called anyway."""
        if what not in self._pending:
            self.later(what, 0, function)

    def cancel(self) -> None:
        """None of them."""
        for call in self._pending.values():
            call.cancel()
        self._pending.clear()


class Occurrences:
    """What happened since somebody asked; when nobody does for long, the rest is only counted."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._kept: list[Occurrence] = []
        self._more = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, what: str, detail: dict[str, Any]) -> None:
        """It happened now."""
        if len(self._kept) < MAX_OCCURRENCES:
            self._kept.append(Occurrence(self._now_ns(), what, json.dumps(detail)))
        else:
            self._more += 1

    def take(self) -> list[Occurrence]:
        """All of it, which is forgotten here."""
        taken, self._kept = self._kept, []
        if self._more:
            taken.append(Occurrence(self._now_ns(), "more", json.dumps({"count": self._more})))
            self._more = 0
        return taken
