# SPDX-License-Identifier: MIT
"""The log: one line an event on standard output, levels by namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from tessmon.config.model import Log


class Levels:
    """Which events are logged; changed by a reload."""

    def __init__(self, settings: Log) -> None:
        self._predicate = LogLevelFilterPredicate()
        self.set(settings)

    def set(self, settings: Log) -> None:
        """Take up these levels."""
        self._predicate.clearLogLevels()
        self._predicate.defaultLogLevel = LogLevel.levelWithName(settings.level)
        self._predicate.setLogLevelForNamespace("", LogLevel.levelWithName(settings.level))
        for namespace, level in settings.levels.items():
            self._predicate.setLogLevelForNamespace(namespace, LogLevel.levelWithName(level))

    def filtered(self, observer: ILogObserver) -> ILogObserver:
        """The observer, shown only what these levels let through."""
        return FilteringLogObserver(observer, [self._predicate])


def log_to(
    output: TextIO, levels: Levels, begin: Callable[..., None] = globalLogBeginner.beginLoggingTo
) -> None:
    """Begin to log.

    Args:
        output: where lines go.
        levels: what is logged.
        begin: Twisted's way to begin.
    """
    begin([levels.filtered(textFileLogObserver(output))], redirectStandardIO=False, discardBuffer=False)
