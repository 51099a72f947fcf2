# SPDX-License-Identifier: MIT
"""The input of telemetry files: its source, feed and lane, wired. A file is its own journal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from tessmon.account import Tally
from tessmon.breath import Breath
from tessmon.config.model import Config, Files
from tessmon.database.partitions import Partitions
from tessmon.files.decoding import Decoders
from tessmon.following import FileFeed
from tessmon.interfaces import Waiting
from tessmon.journalled import Wiring
from tessmon.lane import Lane
from tessmon.sink.files import LANE
from tessmon.sink.telemetry import TelemetrySink
from tessmon.sink.writer import Writer
from tessmon.sources.files import FilesSource

SOURCE = "files"


class TelemetryInput:
    """From files to the database; see `inputs.Input`.

    Args:
        wiring: its configuration has a files table.
    """

    log = Logger()

    def __init__(self, wiring: Wiring) -> None:
        config, reactor, now_ns = wiring.config, wiring.reactor, wiring.now_ns
        settings = self._settings = cast(Files, config.files)
        breath = Breath(reactor)
        self._now_ns = now_ns
        self.source = FilesSource(settings, reactor, now_ns=now_ns)
        self._writer = Writer(SOURCE, Partitions(), config.writer.batch_rows, breath, wiring.reached)
        self._sink = TelemetrySink(settings.host, config.rejects, self._writer, breath)
        decoders = Decoders(settings)
        self._events = decoders.events
        self._feed = FileFeed(self.source, decoders, config.writer, settings.host, breath, now_ns)
        self.lane = Lane(LANE, self._feed, self._sink, wiring.connector, wiring.door, reactor, now_ns)
        self._feed.retry = self.lane.retry
        self._tally = Tally()

    async def start(self) -> None:
        self.lane.startService()
        self.source.startService()

    def begin(self) -> None:
        """Nobody looks at it."""

    async def stop(self) -> None:
        if self.source.running:
            await self.source.stopService()
        if self.lane.running:
            await self.lane.stopService()
        self._feed.close()

    def announce(self, what: str, **detail: object) -> None:
        if self.source.running:
            self.source.announce(what, **detail)

    def renewal(self, config: Config) -> Callable[[], None]:
        decoders = Decoders(cast(Files, config.files))
        return partial(self._apply, config, decoders)

    def _apply(self, config: Config, decoders: Decoders) -> None:
        settings = cast(Files, config.files)
        self._feed.writer = config.writer
        self._sink.rejects = config.rejects
        self._writer.statement_rows = config.writer.batch_rows
        is_other = settings != self._settings
        if is_other or decoders.events != self._events:
            self._feed.take_up(decoders, is_other)
            self._settings, self._events = settings, decoders.events
            self.log.info("{count} event codes are known", count=len(decoders.codes))
        if is_other:
            self.source.reconfigure(settings)
        self.lane.look()

    async def flush(self, who: str) -> list[str]:
        """Nothing is held back."""
        return []

    def status(self) -> dict[str, list[dict[str, Any]]]:
        lane = self.lane.status()
        outcomes = [[outcome, cause, count] for (outcome, cause), count in sorted(lane.outcomes.items())]
        return {
            "files": [self.source.status()._asdict()],
            "lanes": [
                {
                    **lane._asdict(),
                    "outcomes": outcomes,
                    "journal": None,
                    "lag_s": self._lag_s(),
                    "outlook": None,
                }
            ],
        }

    def _lag_s(self) -> float | None:
        """From reading to commit; while some wait, since the newest that is stored was read."""
        lane = self.lane.status()
        if not lane.last_frame_ns:
            return None
        waits = self.source.status().waiting or self._feed.line
        until_ns = self._now_ns() if waits else lane.last_commit_ns
        return max(0, until_ns - lane.last_frame_ns) / 1e9

    def waiting(self) -> Deferred[Waiting | None]:
        """How much that is, each file knows: ``tessmon files status`` looks."""
        return succeed(None)

    def problem(self) -> str | None:
        return None

    def hung(self, patience_s: float) -> str | None:
        return None

    def log_stats(self) -> None:
        source, new = self.source.status(), self._tally.new(self.lane.status())
        self.log.info(
            "statistics of {name}: {state}; {files} files, {stored} stored, {duplicate} duplicate, {rejected} rejected",
            name=source.name,
            state=source.state,
            files=source.files,
            stored=new["stored"],
            duplicate=new["duplicate"],
            rejected=new["rejected"],
        )
