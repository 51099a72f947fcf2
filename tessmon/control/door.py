# SPDX-License-Identifier: MIT
"""The door between the journals and the database: an operator locks it for maintenance, lanes wait behind it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from twisted.logger import Logger

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SET_NS = 1_000_000_000
"""A wall clock that is off by more than this was set since [ns]."""


class Uptime(NamedTuple):
    """A clock that nobody sets: which boot of the machine this is, and the time since [ns]."""

    boot: str
    ns: int


class Pause(NamedTuple):
    """Who locked the door, when, and when it opens by itself, None for not [ns since 1970 UTC]."""

    by: str
    since_ns: int
    until_ns: int | None = None

    def __str__(self) -> str:
        """by ana since 2026-03-01 22:00:00 UTC until 2026-03-01 23:00:00 UTC."""
        until = "without an end" if self.until_ns is None else f"until {_moment(self.until_ns)}"
        return f"by {self.by} since {_moment(self.since_ns)} {until}"


class _End(NamedTuple):
    """When a pause ends: which boot, the time since it, the wall clock's time then [ns]; how long it lasts [s]."""

    boot: str
    uptime_ns: int
    until_ns: int
    for_s: float


def uptime() -> Uptime:
    """The machine's; without a boot's name where the kernel gives none."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return Uptime(boot, time.clock_gettime_ns(time.CLOCK_BOOTTIME))


class Door:
    """Open or locked; a lock survives a restart, for it is a file.

    The end of a pause is measured by the machine's uptime, so that a wall clock that is set neither ends nor
    prolongs it. Only over a reboot the wall clock is believed, and there no pause grows longer than was asked for.

    Args:
        path: of the file that stands there while the door is locked.
        now_ns: the wall clock.
        uptime: the clock that nobody sets.

    Attributes:
        ended: the pause whose time ran out while nobody looked, before this was made; None when there is none.
    """

    log = Logger()

    def __init__(self, path: Path, now_ns: Callable[[], int], uptime: Callable[[], Uptime] = uptime) -> None:
        self._path = path
        self._now_ns = now_ns
        self._uptime = uptime
        self._watchers: list[Callable[[], None]] = []
        self._end: _End | None = None
        self._pause = self._read()
        self.ended: Pause | None = None
        if self.expired:
            self.ended = self._pause
            self._pause = self._end = None
            self._remove()
        elif self._end is not None:
            self._write()  # from now on this boot's uptime counts

    @property
    def pause(self) -> Pause | None:
        """The lock, None while the door is open; its end is right by the wall clock as it is set now."""
        if self._pause is None or self._end is None:
            return self._pause
        until_ns = self._now_ns() + self._left_ns(self._end)
        if abs(until_ns - self._end.until_ns) <= _SET_NS:
            until_ns = self._end.until_ns
        return self._pause._replace(until_ns=until_ns)

    @property
    def locked(self) -> bool:
        """Whether writes are paused."""
        return self._pause is not None

    @property
    def expired(self) -> bool:
        """Whether the door is locked and should be no more."""
        return self._pause is not None and self._end is not None and self._left_ns(self._end) <= 0

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` whenever the door was locked or opened."""
        self._watchers.append(callback)

    def lock(self, by: str, for_s: float | None = None) -> None:
        """Pause writes.

        The first who locked the door is remembered; when it ends says the last.

        Args:
            by: who wants it.
            for_s: how long from now on [s]; None until it is opened.
        """
        was_open = self._pause is None
        since_ns = self._now_ns() if self._pause is None else self._pause.since_ns
        self._end = None if for_s is None else self._ends_in(int(for_s * 1e9), for_s)
        self._pause = Pause(by if self._pause is None else self._pause.by, since_ns)
        self._write()
        if was_open:
            self._tell()

    def open(self) -> None:
        """Resume writes."""
        if self._pause is not None:
            self._pause = self._end = None
            self._remove()
            self._tell()

    def _ends_in(self, left_ns: int, for_s: float) -> _End:
        now = self._uptime()
        return _End(now.boot, now.ns + left_ns, self._now_ns() + left_ns, for_s)

    def _left_ns(self, end: _End) -> int:
        return end.uptime_ns - self._uptime().ns

    def _tell(self) -> None:
        for callback in self._watchers:
            callback()

    def _read(self) -> Pause | None:
        """The lock as it is kept; what earlier programs kept has no end."""
        try:
            kept = json.loads(self._path.read_text())
            pause = Pause(str(kept["by"]), int(kept["since_ns"]))
            if kept.get("end") is not None:
                boot, uptime_ns, until_ns, for_s = kept["end"]
                self._end = self._of_this_boot(_End(str(boot), int(uptime_ns), int(until_ns), float(for_s)))
            return pause._replace(until_ns=self._end and self._end.until_ns)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            self.log.warn("{path} can't be read: writes stay paused until they are resumed", path=self._path)
            return Pause("unknown", self._now_ns())

    def _of_this_boot(self, kept: _End) -> _End:
        now, for_ns = self._uptime(), int(kept.for_s * 1e9)
        if now.boot and now.boot == kept.boot:
            return self._ends_in(min(kept.uptime_ns - now.ns, for_ns), kept.for_s)
        return self._ends_in(min(kept.until_ns - self._now_ns(), for_ns), kept.for_s)

    def _write(self) -> None:
        assert self._pause is not None
        kept = {"by": self._pause.by, "since_ns": self._pause.since_ns}
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("w") as file:
                json.dump({**kept, "end": self._end}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            self.log.error(
                "the pause can't be written to {path} and ends with a restart: {error}",
                path=self._path,
                error=error,
            )

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self.log.error(
                "{path} can't be removed, a restart pauses again: {error}", path=self._path, error=error
            )


class _Looked(Door):
    """Changes nothing on disk: it is another process' door."""

    def _write(self) -> None:
        pass

    def _remove(self) -> None:
        pass


def kept_pause(path: Path, now_ns: Callable[[], int]) -> Pause | None:
    """The lock at a path, of a service that may not run; None when there is none, or its time is over."""
    return _Looked(path, now_ns).pause


def _moment(at_ns: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at_ns} ns"
