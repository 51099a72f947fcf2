# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""Pause and resume: the door is locked at once, and who asked is answered when the last connection is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tessmon.control.door import Door
from tessmon.errors import TessmonError

MAX_PAUSE_S = 366 * 86_400
LOOK_S = 1.0
"""How often the end of a pause is looked for [s]."""
TIME_IS_UP = "the end of its time"


class ResumedError(TessmonError):
    """A pause ended before the last connection was closed; the text says by whom."""


class Pausing(Service):
    """Locks the door for an operator, opens it for one, or by itself when a pause was to last so long.

    Args:
        door: that lanes wait behind.
        shut: gives a Deferred that fires when no connection to the database is left and none will be made.
        announce: called with what happened and its details, for the journals.
        reactor: time.
    """

    log = Logger()

    def __init__(
        self, door: Door, shut: Callable[[], Deferred[Any]], announce: Callable[..., None], reactor: Any
    ) -> None:
        self._door = door
        self._shut = shut
        self._announce = announce
        self._asked: list[Deferred[list[str]]] = []
        self._clock = LoopingCall(self._look)
        self._clock.clock = reactor

    def startService(self) -> None:
        """Say how things are, and watch the time."""
        super().startService()
        if self._door.ended is not None:
            self.log.warn("a pause {pause} ended while the service was away", pause=str(self._door.ended))
            self._announce("resumed", by=TIME_IS_UP)
        if self._door.pause is not None:
            self.log.warn("writes are paused {pause}", pause=str(self._door.pause))
        self._clock.start(LOOK_S)

    def stopService(self) -> None:
        super().stopService()
        if self._clock.running:
            self._clock.stop()

    def pause(self, who: str, for_s: float | None = None) -> Deferred[list[str]]:
        """See `tessmon.control.face.ServiceFace.pause`."""
        before = self._door.pause
        self._door.lock(who, for_s)
        if before is None:
            self.log.info("writes paused {pause}", pause=str(self._door.pause))
            self._announce("paused", by=who)
        else:
            self.log.info("{who} paused again: {pause}", who=who, pause=str(self._door.pause))
        answer: Deferred[list[str]] = Deferred()
        self._asked.append(answer)
        said = [] if before is None else [f"it was paused before, {before}"]
        self._shut().addCallback(lambda _: self._answer(answer, said))
        return answer

    def resume(self, who: str, only_by: str | None = None) -> list[str]:
        """See `tessmon.control.face.ServiceFace.resume`."""
        pause = self._door.pause
        if pause is None:
            return ["it was not paused"]
        if only_by is not None and pause.by != only_by:
            return [f"it stays paused, {pause}"]
        self.log.info("writes resumed by {who}; they were paused {pause}", who=who, pause=str(pause))
        self._door.open()
        self._announce("resumed", by=who)
        asked, self._asked = self._asked, []
        for answer in asked:
            answer.errback(
                ResumedError(f"writes were resumed by {who} before the last connection was closed")
            )
        return []

    def _answer(self, answer: Deferred[list[str]], said: list[str]) -> None:
        if answer in self._asked:
            self._asked.remove(answer)
            answer.callback(said)

    def _look(self) -> None:
        if self._door.expired:
            self.resume(TIME_IS_UP)
