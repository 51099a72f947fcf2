# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""A command that asks servers over the network runs a reactor of its own, until it is done or Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

T = TypeVar("T")
_LOOK_S = 0.1


class InterruptedWork(Exception):  # noqa: N818 - nobody's fault
    """Ctrl-C, or SIGTERM."""


class Ending:
    """Whether somebody wants the work to end.

    The first Ctrl-C ends it where it waits, behind the transaction at hand; a second one at once.
    """

    def __init__(self) -> None:
        self.asked = False
        self._cancel: Callable[[], object] | None = None

    def begin(self, reactor: Any, cancel: Callable[[], object]) -> None:
        """What a signal does, in the reactor, unless the work has seen it before."""
        self._reactor = reactor
        self._cancel = cancel

    def take(self, *_signal: object) -> None:
        """A signal has come.

        Raises:
            KeyboardInterrupt: it is not the first.
        """
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self._cancel is not None:
            self._reactor.callFromThread(self._break_off)

    def check(self) -> None:
        """Raises:
        InterruptedWork: a signal has come.
        """
        if self.asked:
            self._cancel = None
            raise InterruptedWork

    def _break_off(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def wait(self, wait_s: float) -> None:
        """Wait so long [s] while nothing else can be done.

        Raises:
            InterruptedWork: a signal has come.
        """
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left_s, _LOOK_S))
        self.check()


def react(work: Callable[[Any, Ending], Coroutine[Any, Any, T]]) -> T:
    """The result of work in a reactor; once in a process, for reactors don't start twice.

    Raises:
        InterruptedWork: it was ended by a signal.
    """
    ending = Ending()
    outcome: list[Any] = []

    def main(reactor: Any) -> Deferred[None]:
        working: Deferred[Any] = ensureDeferred(work(reactor, ending))
        ending.begin(reactor, working.cancel)
        return working.addBoth(outcome.append)

    before = signal.signal(signal.SIGINT, ending.take)
    try:
        with suppress(SystemExit):
            task.react(main)
    finally:
        signal.signal(signal.SIGINT, before)
    if not outcome:  # SIGTERM has stopped the reactor
        raise InterruptedWork
    [result] = outcome
    if isinstance(result, Failure):
        if ending.asked and result.check(CancelledError, InterruptedWork):
            raise InterruptedWork
        result.raiseException()
    final: T = result
    return final
