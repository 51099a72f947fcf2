# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""Signals: SIGUSR1 pauses, SIGUSR2 resumes, SIGHUP reloads, SIGWINCH flushes, SIGTERM and SIGINT stop.

SIGWINCH is what operators of tessdb know. A terminal sends it to all that run in it when its size changes, so it
means nothing to a service whose standard input, output or error is a terminal.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from tessmon.control.face import ServiceFace
from tessmon.control.held import let_through
from tessmon.errors import TessmonError

BETWEEN_RELOADS_S = 0.5
"""However many signals come, the configuration is not read more often [s]."""


class Signals(Service):
    """Passes signals on to the coordinator while it runs; behind that none of them does anything, so that one that
    comes late does not kill a process which is at its end.

    It starts in the main thread only, as Python demands of whoever sets a signal handler, and after the reactor has
    set its own. twistd, when it logs to a file, takes SIGUSR1 for itself before that: then ours replaces its handler.

    Args:
        reactor: the loop, with its clock.
        face: the coordinator.
    """

    log = Logger()

    def __init__(self, reactor: Any, face: ServiceFace) -> None:
        self._reactor = reactor
        self._face = face
        self._taken: list[int] = []
        self._reloading = False
        self._reload_again = False
        self._told_to_stop = False

    def startService(self) -> None:
        super().startService()
        for number, act in self._acts():
            signal.signal(number, self._to_reactor(act))
            self._taken.append(number)
        let_through()

    def stopService(self) -> None:
        for number in self._taken:
            signal.signal(number, signal.SIG_IGN)
        self._taken.clear()
        super().stopService()

    def _acts(self) -> Iterator[tuple[signal.Signals, Callable[[], None]]]:
        yield signal.SIGUSR1, self._pause
        yield signal.SIGUSR2, self._resume
        yield signal.SIGHUP, self._reload
        if not any(map(os.isatty, (0, 1, 2))):
            yield signal.SIGWINCH, self._flush
        yield signal.SIGTERM, self._stop
        if (
            signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        ):  # a shell without job control starts `… &` so
            yield signal.SIGINT, self._stop

    def _to_reactor(self, act: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
        """A handler runs between any two bytecodes: it does nothing but hand over."""
        return lambda number, frame: self._reactor.callFromThread(act)

    def _pause(self) -> None:
        self.log.info("SIGUSR1: pausing")
        self._watch("pause", self._face.pause("SIGUSR1"))

    def _resume(self) -> None:
        self.log.info("SIGUSR2: resuming")
        self._watch("resume", self._face.resume("SIGUSR2"))

    def _flush(self) -> None:
        flushing = self._face.flush("SIGWINCH")
        flushing.addCallback(
            lambda said: self.log.info("SIGWINCH: flush: {said}", said="; ".join(said) or "no input is on")
        )
        self._watch("flush", flushing)

    def _stop(self) -> None:
        """The second time it is told so, the service is stopping already."""
        if self._told_to_stop:
            self.log.info("told again to stop: the service is at it")
            return
        self._told_to_stop = True
        self.log.info("told to stop")
        with suppress(ReactorNotRunning):
            self._reactor.stop()

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
                await deferLater(self._reactor, BETWEEN_RELOADS_S)
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
