# SPDX-License-Identifier: MIT
"""Trees of telemetry files, a source that follows them, and a reader that takes what it gives out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tessmon.config.model import Files
from tessmon.sources.files import FilesSource
from tessmon.sources.sightings import Occurrence, Sighting

DEADLINE_S = 60
BIRTH = "20260301000000000000"


def name(device: str, number: int = 0, kind: str = "bintel") -> str:
    """A device's file, the later the higher its number."""
    return f"{device}_{BIRTH}{number:03d}.{kind}"


def write(path: Path, content: bytes = b"x") -> Path:
    """Write behind what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(content)
    return path


class Measured:
    """The reactor, which notes the CPU time of the calls that are asked of it: the longest, and all together."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.total_s = 0.0
        self.readers: set[Any] = set()

    def __getattr__(self, attribute: str) -> Any:
        return getattr(reactor, attribute)

    def callLater(self, delay_s: float, function: Callable[..., Any], *args: Any) -> Any:
        return reactor.callLater(delay_s, self.measured(function), *args)  # type: ignore[attr-defined]

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)
        reader.doRead = self.measured(type(reader).doRead.__get__(reader))
        reactor.addReader(reader)  # type: ignore[attr-defined]

    def measured(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            began_s = time.thread_time()
            try:
                return function(*args)
            finally:
                spent_s = time.thread_time() - began_s
                self.total_s += spent_s
                self.longest_s = max(self.longest_s, spent_s)

        return call


class Reader:
    """Takes all that a source gives out.

    Attributes:
        seen: what was given out, in order.
        gone: paths that vanished.
        occurred: what happened.
        calls: how often it was called.
    """

    def __init__(self, *directories: Path, limit: int = 100, on: Any = reactor, **settings: Any) -> None:
        self.source = FilesSource(Files(host="exao1", directories=directories, **settings), on)
        self.limit = limit
        self.seen: list[Sighting] = []
        self.gone: list[str] = []
        self.occurred: list[Occurrence] = []
        self.calls = 0
        self.takes = True
        self._call: Any = None
        self.source.watch(self._take)

    def _take(self) -> None:
        self.calls += 1
        if self.takes and self.source.running:
            found = self.source.next(self.limit)
            assert len(found) <= self.limit
            self.seen += found
            self.gone += self.source.vanished(self.limit)
            self.occurred += self.source.occurrences()
            if found:
                self._call = reactor.callLater(0, self._take)  # type: ignore[attr-defined]

    async def start(self) -> Reader:
        """Until all that is there was given out."""
        self.source.startService()
        await self.rests()
        return self

    async def rests(self) -> None:
        """Until nothing waits and nothing is looked for first."""
        await until(lambda: self.source.status().state != "starting" and not self.source.status().waiting)

    async def stop(self) -> None:
        await self.source.stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()

    async def __aenter__(self) -> Reader:
        return await self.start()

    async def __aexit__(self, kind: object, *_: object) -> None:
        status = self.source.status()
        await self.stop()
        if kind is None and status.mode == "inotify":
            assert (
                status.watched == status.directories
            )  # and nothing was found by looking for it again and again

    def take(self) -> None:
        """Take what waits, and whatever comes from now on."""
        self.takes = True
        self._take()

    def forget(self) -> None:
        """Only what comes from now on counts."""
        self.seen.clear()
        self.gone.clear()
        self.occurred.clear()

    def of(self, path: Path) -> list[Sighting]:
        """What was given out of a file."""
        return [each for each in self.seen if each.path == str(path)]

    async def sees(self, path: Path, size_bytes: int | None = None) -> Sighting:
        """Until a file was given out, with this size."""

        def found() -> Any:
            return [each for each in self.of(path) if size_bytes in (None, each.size_bytes)]

        return (await until(found, f"{path} of {size_bytes} bytes"))[-1]

    async def is_told(self, what: str) -> Occurrence:
        """Until something happened."""
        return (await until(lambda: [each for each in self.occurred if each.what == what], what))[-1]


async def until(condition: Callable[[], Any], what: str = "", timeout_s: float = DEADLINE_S) -> Any:
    """Until it is true; gives its value."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"waited in vain for {what or condition}"
        await deferLater(reactor, 0.01)
    return value
