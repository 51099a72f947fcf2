# SPDX-License-Identifier: MIT
"""The log: one line an event on standard output, levels by namespace."""

from __future__ import annotations

import io
import os
import select
import time
from collections.abc import Callable
from typing import TextIO, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    formatTime,
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


class Outlet(io.TextIOBase):
    """Lines to a file descriptor, without ever waiting for who reads them.

    A pipe that nobody empties would stop the whole service in a write. What does not fit is left out and counted, and
    the count is a line as soon as one fits again. When the reader is gone, or the disk of a log file is full, it is
    the same.

    Attributes:
        lost: lines left out, whole or cut, since the last one that fitted.
    """

    def __init__(self, descriptor: int) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._cut = False
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)

    def write(self, text: str, /) -> int:
        """Write what an event says, or leave it out; never blocks or raises."""
        if (not self.lost or self._put(self._loss())) and self._put(text):
            self.lost = 0
        else:
            self.lost += 1
        return len(text)

    def _loss(self) -> str:
        at = formatTime(time.time())
        return f"{at} [tessmon.logs#warn] {self.lost} lines of the log were lost: they could not be written\n"

    def _put(self, text: str) -> bool:
        rest = ("\n" * self._cut + text).encode("utf-8", "backslashreplace")
        try:
            while rest and self._room.poll(
                0
            ):  # there is room for so many bytes, then; writing them does not block
                written = os.write(self._descriptor, rest[: select.PIPE_BUF])
                self._cut = written < len(rest)
                rest = rest[written:]
        except OSError:
            return False
        return not rest


def log_to(
    output: TextIO, levels: Levels, begin: Callable[..., None] = globalLogBeginner.beginLoggingTo
) -> None:
    """Begin to log.

    Args:
        output: where lines go, past its own buffer.
        levels: what is logged.
        begin: Twisted's way to begin.
    """
    lines = textFileLogObserver(cast(TextIO, Outlet(output.fileno())))
    begin([levels.filtered(lines)], redirectStandardIO=False, discardBuffer=False)
