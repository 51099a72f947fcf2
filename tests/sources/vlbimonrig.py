# SPDX-License-Identifier: MIT
"""What the tests of the vlbimon source stand on: settings, a real journal over several lives, and what is in it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tessmon.config.model import Vlbimon as Settings
from tessmon.journal.journal import Journal
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.position import START
from tessmon.records.vlbimon import HISTORY, POLL, SNAPSHOT, SWEPT, Exchange, exchange_of
from tessmon.records.vlbimon_walk import POINT, Part, text_of, walker_of
from tessmon.sources.vlbimon import VlbimonSource
from tests.vlbimon_doors import NAME, PASSWORD
from tests.vlbimon_site import Vlbimon

EVERYTHING = 1 << 40
PERIOD_S = 0.05


def auth_file(path: Path, password: str = PASSWORD, scheme: str = "basicauth") -> Path:
    """A client's secrets for this machine."""
    lines = [f"{host}:\n  {scheme}: [{NAME!r}, {password!r}]\n" for host in ("127.0.0.1", "localhost")]
    path.touch(0o600)
    path.write_text("".join(lines))
    return path


def settings(directory: Path, *urls: str, **changes: Any) -> Settings:
    """Quick ones."""
    given: dict[str, Any] = {
        "servers": urls,
        "period_s": PERIOD_S,
        "directory": directory,
        "connect_timeout_s": 2.0,
        "timeout_s": 5.0,
    }
    if "auth_file" not in changes:
        given["auth_file"] = auth_file(directory / "secrets.yaml")
    return Settings(**{**given, **changes})


class Bench:
    """A source with its journal, over several lives.

    Attributes:
        source, journal: of this life.
        frames: all that were on disk when `read` was called last.
        ended: how often the source asked for the end.
        points: which kill points were reached.
        told: what the database says up to where history is whole.
    """

    def __init__(self, directory: Path, given: Settings) -> None:
        self.directory = directory
        self.settings = given
        self.frames: list[Frame] = []
        self.ended = 0
        self.points: list[str] = []
        self.told: int | None = -1
        self.now_ns: Callable[[], int] = time.time_ns
        self.max_bytes = 1 << 30

    @asynccontextmanager
    async def running(self) -> AsyncIterator[VlbimonSource]:
        """One life; it ends in good order, whatever happens."""
        self.journal = Journal(
            self.directory / "journal",
            None,
            reactor,
            max_bytes=self.max_bytes,
            min_free_bytes=0,
            retention_s=EVERYTHING,
        )
        self.source = VlbimonSource(
            self.settings,
            self.journal,
            reactor,
            recall=lambda: self.told,
            directory=self.directory,
            end=self._end,
            reached=self.points.append,
            now_ns=self.now_ns,
        )
        self.journal.listener = self.source
        await self.journal.open()
        self.source.startService()
        try:
            yield self.source
        finally:
            if self.source.running:
                await self.source.stopService()
            await self.read()
            await self.journal.close()

    async def read(self) -> list[Frame]:
        """All that is on disk."""
        self.frames, at = [], START
        while found := (await self.journal.read(at, 5000, 1 << 24)).frames:
            self.frames += found
            at = found[-1].position
        return self.frames

    def exchanges(self, *what: str) -> list[Exchange]:
        """What was said, in order; all when nothing is named."""
        said = [exchange_of(frame.topic) for frame in self.frames if frame.kind == FrameKind.MESSAGE]
        return [each for each in said if not what or each.what in what]

    def polls(self) -> list[Exchange]:
        return self.exchanges(POLL)

    def swept(self) -> list[int | None]:
        return [each.swept_s for each in self.exchanges(SWEPT)]

    def events(self, what: str) -> list[dict[str, Any]]:
        return [
            json.loads(frame.payload)
            for frame in self.frames
            if frame.kind == FrameKind.EVENT and frame.topic == what
        ]

    def parts(self, *what: str) -> Iterator[Part]:
        """The parts of all snapshots and histories."""
        for frame in self.frames:
            if frame.kind == FrameKind.MESSAGE:
                said = exchange_of(frame.topic)
                if said.what in (what or (SNAPSHOT, HISTORY)):
                    yield from walker_of(said.what)(text_of(frame.payload))

    def found(self, *what: str) -> set[tuple[str, str, str]]:
        """Station, parameter and pair of all points in them."""
        return {(part.station, part.name, part.text) for part in self.parts(*what) if part.kind == POINT}

    def _end(self) -> None:
        self.ended += 1


def sent(server: Vlbimon) -> set[tuple[str, str, str]]:
    """Station, parameter and pair of all that stations sent."""
    return {(each.station, each.parameter, each.pair) for each in server.array.received}


def asked(server: Vlbimon, *calls: str) -> list[Any]:
    """The requests for these calls, answered or not."""
    return [each for each in server.asked if each.call in calls]


async def until(condition: Callable[[], Any], what: str = "", limit_s: float = 20.0) -> None:
    """Wait for a condition; fail after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        await deferLater(reactor, 0.005)


def pairs(numbers: Iterable[int], station: str = "KP", parameter: str = "weather_tau225") -> list[Any]:
    """Points of one series, one a second up to now."""
    now_s = int(time.time())
    return [(station, parameter, now_s - 100 + number, number / 8) for number in numbers]


async def polled(bench: Bench, more: int = 1) -> None:
    """Until so many more snapshots came."""
    wanted = bench.source.status().polls + more
    await until(lambda: bench.source.status().polls >= wanted, f"{more} polls")


async def failed(bench: Bench, more: int = 1) -> None:
    """Until so many more polls failed."""
    wanted = bench.source.status().failed + more
    await until(lambda: bench.source.status().failed >= wanted, f"{more} failures")


async def made_whole(bench: Bench, points: Callable[[], set[tuple[str, str, str]]]) -> None:
    """Until all these points are on disk."""
    deadline = time.monotonic() + 20
    while not points() <= bench.found():
        assert time.monotonic() < deadline, points() - bench.found()
        await deferLater(reactor, 0.05)
        await bench.read()
