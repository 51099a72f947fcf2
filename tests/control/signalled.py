# SPDX-License-Identifier: MIT
"""A child process for the tests of signals: a reactor, the signals, and a coordinator that prints what it is told.

Each reload takes 0.2 s; the second one is refused.
"""

from __future__ import annotations

import signal
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner, textFileLogObserver

from tessmon.control.signals import Signals
from tessmon.errors import ConfigurationError
from tests.standin import PlainFace


class PrintingFace(PlainFace):
    count = 0

    def pause(self, who: str, for_s: float | None = None) -> Deferred[list[str]]:
        print("pause", who, flush=True)
        return super().pause(who, for_s)

    def resume(self, who: str, only_by: str | None = None) -> Deferred[list[str]]:
        print("resume", who, flush=True)
        return super().resume(who, only_by)

    def flush(self, who: str) -> Deferred[list[str]]:
        print("flush", who, flush=True)
        return super().flush(who)

    def reload(self, dry_run: bool = False) -> Deferred[list[str]]:
        self.count += 1
        print("reload", self.count, flush=True)
        return deferLater(reactor, 0.2, self._reloaded, self.count)

    def _reloaded(self, count: int) -> list[str]:
        print("ended", count, flush=True)
        if count == 2:
            raise ConfigurationError("[log] level: there is no level 'loud'")
        if count == 3:
            raise ZeroDivisionError
        return ["[log] level"]


def _rotate(number: int, frame: object) -> None:
    """What twistd puts there when it logs to a file."""


signal.signal(signal.SIGUSR1, _rotate)
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
signals = Signals(reactor, PrintingFace())
reactor.callWhenRunning(signals.startService)
reactor.callWhenRunning(print, "ready", flush=True)
reactor.addSystemEventTrigger("before", "shutdown", signals.stopService)
reactor.run()
taken = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
print("ignored", all(signal.getsignal(number) is signal.SIG_IGN for number in taken), flush=True)
