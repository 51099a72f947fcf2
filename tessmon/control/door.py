# SPDX-License-Identifier: MIT
"""The door between the journals and the database: an operator locks it for maintenance, lanes wait behind it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from twisted.logger import Logger


class Pause(NamedTuple):
    """Who locked the door, and when [ns since 1970 UTC]."""

    by: str
    since_ns: int


class Door:
    """Open or locked; a lock survives a restart, for it is a file.

    Args:
        path: of the file that stands there while the door is locked.
        now_ns: the clock.
    """

    log = Logger()

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._now_ns = now_ns
        self._watchers: list[Callable[[], None]] = []
        self.pause = self._read()

    @property
    def locked(self) -> bool:
        """Whether writes are paused."""
        return self.pause is not None

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` whenever the door was locked or opened."""
        self._watchers.append(callback)

    def lock(self, by: str) -> None:
        """Pause writes; the first who locked it is remembered."""
        if self.pause is None:
            self.pause = Pause(by, self._now_ns())
            self._write(self.pause)
            self._tell()

    def open(self) -> None:
        """Resume writes."""
        if self.pause is not None:
            self.pause = None
            self._path.unlink(missing_ok=True)
            self._tell()

    def _tell(self) -> None:
        for callback in self._watchers:
            callback()

    def _read(self) -> Pause | None:
        try:
            kept = json.loads(self._path.read_text())
            return Pause(str(kept["by"]), int(kept["since_ns"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            self.log.warn("{path} can't be read: writes stay paused until they are resumed", path=self._path)
            return Pause("unknown", self._now_ns())

    def _write(self, pause: Pause) -> None:
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("w") as file:
                json.dump(pause._asdict(), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            self.log.error(
                "the pause can't be written to {path} and ends with a restart: {error}",
                path=self._path,
                error=error,
            )
