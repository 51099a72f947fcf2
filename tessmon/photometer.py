# SPDX-License-Identifier: MIT
"""The photometers' input: its source, journal and lane, wired."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from tessmon.breath import Breath
from tessmon.config.model import Config, Mqtt
from tessmon.control.door import Door
from tessmon.database.connection import Connector
from tessmon.database.partitions import Partitions
from tessmon.feed import Feed
from tessmon.flush import flush
from tessmon.interfaces import LaneStatus, Waiting
from tessmon.journal.journal import Journal
from tessmon.lane import Lane
from tessmon.lookout import Lookout
from tessmon.records.position import START
from tessmon.sink.photometer import PhotometerSink
from tessmon.sink.writer import Writer
from tessmon.sources.mqtt import MqttSource
from tessmon.statistics import Statistics
from tessmon.track import lay, settings_of

SOURCE, LANE = "mqtt", "photometer"
COUNT_TIMEOUT_S = 1.0
"""What waits is counted in the journal's thread; a disk that takes longer is not waited for."""


class PhotometerInput:
    """From the broker to the database; see `inputs.Input`.

    Args:
        config: the whole configuration; its mqtt table is there.
        connector, door, reactor, reached, now_ns: as everywhere.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        connector: Connector,
        door: Door,
        reactor: Any,
        reached: Callable[[str], None],
        now_ns: Callable[[], int],
    ) -> None:
        mqtt = cast(Mqtt, config.mqtt)
        settings = config.journal
        self._reactor = reactor
        self._now_ns = now_ns
        self.directory = settings.directory / SOURCE
        self.journal = Journal(
            self.directory,
            None,
            reactor,
            max_bytes=settings.max_bytes,
            min_free_bytes=settings.min_free_bytes,
            retention_s=settings.retention_s,
            reached=reached,
            now_ns=now_ns,
        )
        self.source = MqttSource(mqtt, self.journal, reactor, reached=reached, now_ns=now_ns)
        self.journal.listener = self.source

        breath = Breath(reactor)
        self._writer = Writer(SOURCE, Partitions(), config.writer.batch_rows, breath, reached)
        self._feed = Feed(self.journal, lay, settings_of(config), config.writer, breath)
        self._sink = PhotometerSink(
            LANE, self.journal, config.photometer, config.rejects, self._writer, breath
        )
        self.lane = Lane(LANE, self._feed, self._sink, connector, door, reactor, now_ns)
        self._lookout = Lookout(self, settings.min_free_bytes, reactor, now_ns)
        self._statistics = Statistics()

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
        mqtt = cast(Mqtt, config.mqtt)
        self._feed.writer = config.writer
        self._feed.take_up(settings_of(config))
        self.lane.look()
        self._sink.settings = config.photometer
        self._sink.rejects = config.rejects
        self._writer.statement_rows = config.writer.batch_rows
        self.source.reconfigure(mqtt)

    async def flush(self, who: str) -> list[str]:
        return [await flush(self, who, self._reactor)]

    def status(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "sources": [self.source.status()._asdict()],
            "journals": [self._journal_status()],
            "lanes": [{**self._lane_status(), "outlook": self._lookout.status()}],
        }

    def problem(self) -> str | None:
        return self.journal.full

    def hung(self, patience_s: float) -> str | None:
        silent_s = self.journal.pulse()
        if silent_s <= patience_s:
            return None
        return f"the journal in {self.directory} has not answered for {silent_s:.0f} s: look at its disk"

    def log_stats(self) -> None:
        source = self.source.status()
        period = self._statistics.period(source, self.lane.status())
        for title, figures in period.lines():
            self.log.info("{title} = {figures}", title=title, figures=figures)
        self.log.info(
            "statistics of {name}: {state}; {period}",
            name=source.name,
            state=source.state,
            period=str(period),
        )

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

    def _journal_status(self) -> dict[str, Any]:
        """The journal at a glance, as what JSON can carry."""
        status = self.journal.status()
        return {
            "name": SOURCE,
            "identity": self.journal.identity,
            "directory": str(self.directory),
            **status._asdict(),
        }

    def _lane_status(self) -> dict[str, Any]:
        """The lane at a glance, as what JSON can carry."""
        status = self.lane.status()
        outcomes = [[outcome, cause, count] for (outcome, cause), count in sorted(status.outcomes.items())]
        return {**status._asdict(), "outcomes": outcomes, "journal": SOURCE, "lag_s": self._lag_s(status)}

    def _lag_s(self, status: LaneStatus) -> float | None:
        """From a message's arrival to its commit; while some wait, since the newest that is stored arrived."""
        if not status.last_frame_ns:
            return None
        waits = (status.position or START) < self.journal.status().newest
        until_ns = self._now_ns() if waits else status.last_commit_ns
        return max(0, until_ns - status.last_frame_ns) / 1e9
