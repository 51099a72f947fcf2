# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""Signals: SIGUSR1 pauses, SIGUSR2 resumes, SIGHUP reloads. SIGTERM and SIGINT are the reactor's own."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from tessmon.control.face import ServiceFace
from tessmon.errors import TessmonError


class Signals(Service):
    """Passes signals on to the coordinator while it runs, and puts back what was there before when it stops.

    It starts in the main thread only, as Python demands of whoever sets a signal handler. twistd, when it
    logs to a file, takes SIGUSR1 for itself before services start: then ours replaces its handler.
    """

    log = Logger()

    def __init__(self, reactor: IReactorFromThreads, face: ServiceFace) -> None:
        self._reactor = reactor
        self._face = face
        self._before: dict[int, Any] = {}
        self._reloading = False
        self._reload_again = False

    def startService(self) -> None:
        super().startService()
        for number, act in (
            (signal.SIGUSR1, self._pause),
            (signal.SIGUSR2, self._resume),
            (signal.SIGHUP, self._reload),
        ):
            self._before[number] = signal.signal(number, self._to_reactor(act))

    def stopService(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()
        super().stopService()

    def _to_reactor(self, act: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
        """A handler runs between any two bytecodes: it does nothing but hand over."""
        return lambda number, frame: self._reactor.callFromThread(act)

    def _pause(self) -> None:
        self.log.info("SIGUSR1: pausing")
        self._watch("pause", self._face.pause("SIGUSR1"))

    def _resume(self) -> None:
        self.log.info("SIGUSR2: resuming")
        self._watch("resume", self._face.resume("SIGUSR2"))

    def _reload(self) -> None:
        """However many come while one is at work: one more runs behind it, which sees all their changes."""
        self._reload_again = True
        if not self._reloading:
            self._reloading = True
            self._watch("reload", ensureDeferred(self._reload_until_quiet()))

    async def _reload_until_quiet(self) -> None:
        try:
            while self._reload_again and self.running:
                self._reload_again = False
                await self._reload_once()
        finally:
            self._reloading = False

    async def _reload_once(self) -> None:
        try:
            changes = await self._face.reload()
        except TessmonError as error:
            self.log.error("SIGHUP: the running configuration stays: {why}", why=str(error))
        except CancelledError:
            raise
        except Exception:
            self.log.failure("SIGHUP: reloading failed, the running configuration stays")
        else:
            self.log.info("SIGHUP: reloaded, {changes}", changes="; ".join(changes) or "nothing changed")

    def _watch(self, what: str, deferred: Deferred[Any]) -> None:
        def failed(failure: Failure) -> None:
            if failure.check(TessmonError):
                self.log.error("{what} failed: {why}", what=what, why=failure.getErrorMessage())
            elif not failure.check(CancelledError):
                self.log.failure("{what} failed", failure, what=what)

        deferred.addErrback(failed)
