# SPDX-License-Identifier: MIT
"""What sources have in common that lift frames out of the network into a journal: how they live and end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tessmon.interfaces import IJournal
from tessmon.sources.frame_writer import FrameWriter
from tessmon.sources.state import State


class LiveSource(Service):
    """Runs until it is stopped, and sleeps in between. Whoever inherits writes `_run` and `_stop`.

    It starts and stops between the journal's ``open`` and ``close``.

    Args:
        title: what the log calls it.
        journal: where to.
        reactor: the loop.
        now_ns: wall clock.
    """

    log = Logger()

    def __init__(self, title: str, journal: IJournal, reactor: Any, now_ns: Callable[[], int]) -> None:
        self._title = title
        self._journal = journal
        self._reactor = reactor
        self._now_ns = now_ns
        self._writer = FrameWriter(journal, reactor, now_ns)
        self._state = State(self.log, now_ns)
        self._running: Deferred[None] | None = None
        self._rest: Deferred[Any] | None = None
        self._stopping = False

    def startService(self) -> None:
        """Read the journal's tail, then ask the other side, for ever."""
        super().startService()  # type: ignore[no-untyped-call]
        self._stopping = False
        self._state.enter("starting", "reading the end of the journal")
        self._running = ensureDeferred(self._run())
        self._running.addErrback(self._broken)

    def stopService(self) -> Deferred[None]:
        """Ask and take nothing more, and wait until the disk has what came.

        Returns:
            A Deferred that fires when no connection is left and the last event is appended.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return ensureDeferred(self._stop())

    def announce(self, what: str, **detail: Any) -> None:
        """Append what happened to the service (paused, resumed, reloaded) in the order of the frames."""
        self._writer.event(what, **detail)

    async def _run(self) -> None:
        """All of its life, until `_stopping`."""
        raise NotImplementedError

    async def _stop(self) -> None:
        """Make `_run` end, wait for that, and `_end`."""
        raise NotImplementedError

    def _end(self) -> None:
        """The last words."""
        self._writer.event("stopped")
        self._writer.end()
        self._state.enter("stopped", "stopped")

    async def _sleep(self, until: Deferred[Any]) -> None:
        """Until something happens, or somebody wakes it."""
        self._rest = until
        try:
            await until
        except CancelledError:
            pass
        finally:
            self._rest = None

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()

    def _broken(self, failure: Failure) -> None:
        if self._stopping and failure.check(CancelledError):
            return
        self.log.failure("The {source} source has ended by a fault of its own", failure, source=self._title)
        self._state.enter("stopped", f"ended by a fault of its own: {failure.getErrorMessage()}")
