# SPDX-License-Identifier: MIT
"""What inputs with a journal do alike: from a live source through its journal to its lane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from tessmon.breath import Breath
from tessmon.config.model import Config
from tessmon.control.door import Door
from tessmon.database.connection import Connector
from tessmon.database.partitions import Partitions
from tessmon.feed import Feed
from tessmon.interfaces import ISink, LaneStatus, Waiting
from tessmon.journal.journal import Journal
from tessmon.lane import Lane
from tessmon.lookout import Lookout
from tessmon.records.position import START
from tessmon.sink.writer import Writer

COUNT_TIMEOUT_S = 1.0
"""What waits is counted in the journal's thread; a disk that takes longer is not waited for."""


@dataclass(frozen=True)
class Wiring:
    """What every input is wired with.

    Attributes:
        config: the whole configuration; the input's own table is there.
        connector, door: to the database.
        reactor: the loop.
        reached: called at named points, for tests that kill the process there.
        now_ns: wall clock.
        end: stops the service in good order; takes who asked.
    """

    config: Config
    connector: Connector
    door: Door
    reactor: Any
    reached: Callable[[str], None]
    now_ns: Callable[[], int]
    end: Callable[[str], object]


class JournalledInput:
    """Most of an input (`inputs.Input`); the rest knows the instrument.

    Args:
        wiring: what it is made of.

    Attributes:
        source, lane: made by `_connect`.
        journal: theirs.
        directory: the journal's.
    """

    log = Logger()
    name: ClassVar[str]
    """Of the source, of its table in the configuration, and of its journal's directory."""
    status_key: ClassVar[str]
    """The list in a status that has the source."""
    settings_of: Callable[[Config], str]
    """The settings of the feed's track, as text."""
    source: Any
    lane: Lane
    _feed: Feed
    _sink: Any

    def __init__(self, wiring: Wiring) -> None:
        config, settings = wiring.config, wiring.config.journal
        self._wiring = wiring
        self._reactor = wiring.reactor
        self._now_ns = wiring.now_ns
        self.directory: Path = settings.directory / self.name
        self.journal = Journal(
            self.directory,
            None,
            wiring.reactor,
            max_bytes=settings.max_bytes,
            min_free_bytes=settings.min_free_bytes,
            retention_s=settings.retention_s,
            reached=wiring.reached,
            now_ns=wiring.now_ns,
        )
        self._breath = Breath(wiring.reactor)
        self._writer = Writer(self.name, Partitions(), config.writer.batch_rows, self._breath, wiring.reached)
        self._lookout = Lookout(self, settings.min_free_bytes, wiring.reactor, wiring.now_ns)

    def _connect(self, source: Any, lane: str, feed: Feed, sink: ISink) -> None:
        """Make the lane between the source's journal and the sink."""
        wiring = self._wiring
        self.source = self.journal.listener = source
        self._feed = feed
        self._sink = sink
        self.lane = Lane(lane, feed, sink, wiring.connector, wiring.door, wiring.reactor, wiring.now_ns)

    async def start(self) -> None:
        await self.journal.open()
        self.lane.startService()
        self.source.startService()

    def begin(self) -> None:
        self._lookout.startService()

    async def stop(self) -> None:
        if self._lookout.running:
            await self._lookout.stopService()
        if self.source.running:
            await self.source.stopService()
        if self.lane.running:
            await self.lane.stopService()
        await self.journal.close()

    def announce(self, what: str, **detail: object) -> None:
        if self.source.running:
            self.source.announce(what, **detail)

    def renewal(self, config: Config) -> Callable[[], None]:
        return partial(self._apply, config)

    def _apply(self, config: Config) -> None:
        """Take up a configuration; the input's own table is there."""
        self._feed.writer = config.writer
        self._feed.take_up(self.settings_of(config))
        self.lane.look()
        self._sink.rejects = config.rejects
        self._writer.statement_rows = config.writer.batch_rows
        self.source.reconfigure(getattr(config, self.name))

    def problem(self) -> str | None:
        return self.journal.full

    def hung(self, patience_s: float) -> str | None:
        silent_s = self.journal.pulse()
        if silent_s <= patience_s:
            return None
        return f"the journal in {self.directory} has not answered for {silent_s:.0f} s: look at its disk"

    def waiting(self) -> Deferred[Waiting | None]:
        """Its disk may not say so in time: whoever asks wants to know the rest now."""
        if self.journal.pulse() > COUNT_TIMEOUT_S:
            return succeed(None)
        answer: Deferred[Waiting | None] = Deferred()
        limit = self._reactor.callLater(COUNT_TIMEOUT_S, answer.callback, None)

        def counted(outcome: Any) -> None:
            if limit.active():
                limit.cancel()
                answer.callback(outcome)

        self.journal.waiting(self.lane.status().position or START).addBoth(counted)
        return answer

    def status(self) -> dict[str, list[dict[str, Any]]]:
        return {
            self.status_key: [self.source.status()._asdict()],
            "journals": [self.journal_status()],
            "lanes": [self.lane_status()],
        }

    def journal_status(self) -> dict[str, Any]:
        """The journal at a glance, as what JSON can carry."""
        status = self.journal.status()
        return {
            "name": self.name,
            "identity": self.journal.identity,
            "directory": str(self.directory),
            **status._asdict(),
        }

    def lane_status(self) -> dict[str, Any]:
        """The lane at a glance, as what JSON can carry."""
        status = self.lane.status()
        outcomes = [[outcome, cause, count] for (outcome, cause), count in sorted(status.outcomes.items())]
        return {
            **status._asdict(),
            "outcomes": outcomes,
            "journal": self.name,
            "lag_s": self._lag_s(status),
            "outlook": self._lookout.status(),
        }

    def _lag_s(self, status: LaneStatus) -> float | None:
        """From a message's arrival to its commit; while some wait, since the newest that is stored arrived."""
        if not status.last_frame_ns:
            return None
        waits = (status.position or START) < self.journal.status().newest
        until_ns = self._now_ns() if waits else status.last_commit_ns
        return max(0, until_ns - status.last_frame_ns) / 1e9
