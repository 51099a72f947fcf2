# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""Who looks at an input every few seconds, for what `tessmon.outlook` makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tessmon.errors import TessmonError
from tessmon.interfaces import JournalStatus, Waiting
from tessmon.outlook import Look, Outlook

if TYPE_CHECKING:
    from tessmon.journalled import JournalledInput

LOOK_S = 2.0


class Lookout(Service):
    """Looks, while it runs, at one input whose journal is open.

    Args:
        watched: the input.
        min_free_bytes: what its journal leaves free on the disk.
        reactor, now_ns: as everywhere.
    """

    log = Logger()

    def __init__(
        self, watched: JournalledInput, min_free_bytes: int, reactor: Any, now_ns: Callable[[], int]
    ) -> None:
        self._input = watched
        self._min_free_bytes = min_free_bytes
        self._now_ns = now_ns
        self._outlook = Outlook()
        self._waiting: Waiting | None = None
        self._loop = LoopingCall(lambda: ensureDeferred(self._look()))
        self._loop.clock = reactor
        self._ended: Deferred[Any] = succeed(None)

    def startService(self) -> None:
        super().startService()
        self._ended = self._loop.start(LOOK_S)

    def stopService(self) -> Deferred[Any]:
        """Fires when the last look has ended."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        return self._ended

    def status(self) -> dict[str, Any] | None:
        """The outlook, as what JSON can carry; None before the first look.

        Returns:
            ``frames``, ``size_bytes``, ``oldest_ns``: what waits; ``full_in_s``: when the journal will be full,
            ``drained_in_s``: how long it takes to store what waits, both [s] or None; ``arrival_hz``, ``drain_hz``:
            the rates that they rest on [1/s] or None.
        """
        waiting = self._waiting
        if waiting is None:
            return None
        journal = self._input.journal.status()
        room_bytes = 0 if journal.full else _room_bytes(journal, self._min_free_bytes)
        return {
            **waiting._asdict(),
            "full_in_s": self._outlook.full_in_s(room_bytes, waiting),
            "drained_in_s": self._outlook.drained_in_s(waiting.frames),
            "arrival_hz": self._outlook.arrival_hz,
            "drain_hz": self._outlook.drain_hz,
        }

    async def _look(self) -> None:
        try:
            waiting = await self._input.waiting()
        except TessmonError as error:  # the journal is closed, or its disk: the next look tells
            self.log.debug("nobody can tell now what waits: {why}", why=str(error))
            return
        if waiting is None:
            return
        self._waiting = waiting
        lane, source = self._input.lane.status(), self._input.source.status()
        self._outlook.note(
            Look(
                at_s=self._now_ns() / 1e9,
                journalled=source.journalled,
                taken=sum(lane.outcomes.values()),
                writes=lane.state in ("running", "idle"),
                oldest_s=None if waiting.oldest_ns is None else waiting.oldest_ns / 1e9,
            )
        )


def _room_bytes(journal: JournalStatus, min_free_bytes: int) -> int:
    """What may come until the journal takes no more; passed segments are given up for it."""
    passed_bytes = journal.size_bytes - journal.unpassed_bytes
    return min(journal.max_bytes - journal.unpassed_bytes, journal.free_bytes + passed_bytes - min_free_bytes)
