# SPDX-License-Identifier: MIT
"""The doors: ``twistd -n tessmon`` and ``tessmon run``. The only module that imports the real reactor."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from tessmon.app import Tessmon
from tessmon.config.load import load
from tessmon.control.held import hold_back
from tessmon.errors import ConfigurationError
from tessmon.logs import Levels, log_to


class Options(BaseOptions):
    """What follows ``twistd tessmon``."""

    optParameters = [["config", "c", None, "Configuration file; else the usual one, else defaults."]]  # noqa: N815, RUF012


def steady(reactor: Any) -> Any:
    """The reactor with timers on a clock that nobody sets, before it has any.

    Twisted's go by the wall clock: put back by an hour, it would keep every one of them waiting for an hour.
    """
    reactor.seconds = time.monotonic
    return reactor


def makeService(options: Options) -> IService:
    """The service, for twistd, whose own options say where the log goes.

    Raises:
        UsageError: the configuration can't be used; the text lists every problem.
    """
    hold_back()
    from twisted.internet import reactor

    path = options["config"]
    try:
        loaded = load(Path(path) if path else None)
    except ConfigurationError as error:
        raise UsageError(str(error)) from error

    def fatal(sentence: str) -> None:
        Logger(namespace="tessmon").critical("{sentence}", sentence=sentence)
        _stop(reactor)

    return Tessmon(loaded, steady(reactor), Levels(loaded.config.log), fatal)


def run(config_path: Path | None, **given: Any) -> int:
    """Run the service in the foreground until it is told to stop.

    Args:
        config_path: the configuration file, None for the usual one.
        given: more arguments for `Tessmon`.

    Returns:
        0 after an orderly stop, 1 when the service could not go on.

    Raises:
        ConfigurationError: the text lists every problem.
    """
    hold_back()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    loaded = load(config_path)
    levels = Levels(loaded.config.log)
    log_to(sys.stdout, levels)
    from twisted.internet import reactor

    loop = steady(reactor)
    fatalities: list[str] = []
    wishes: list[str] = []

    def fatal(sentence: str) -> None:
        fatalities.append(sentence)
        Logger(namespace="tessmon").critical("{sentence}", sentence=sentence)
        _stop(loop)

    service = Tessmon(loaded, loop, levels, fatal, begin_anew=lambda: wishes.append("again"), **given)
    loop.callWhenRunning(service.startService)
    loop.addSystemEventTrigger("before", "shutdown", service.stopService)
    loop.run()
    if wishes and not fatalities:
        for number, handler in handlers.items():  # a process begins with what it ignored when it ended
            signal.signal(number, handler)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # from the first line on
    return 1 if fatalities else 0


def _stop(reactor: Any) -> None:
    """Stop it, or do nothing when it is stopping already."""
    with suppress(ReactorNotRunning):
        reactor.stop()
