# SPDX-License-Identifier: MIT
"""The photometers' input: its source, journal and lane, wired."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from tessmon.config.model import Config, Mqtt
from tessmon.feed import Feed
from tessmon.flush import flush
from tessmon.journalled import JournalledInput, Wiring
from tessmon.sink.photometer import PhotometerSink
from tessmon.sources.mqtt import MqttSource
from tessmon.statistics import Statistics
from tessmon.track import lay, settings_of

LANE = "photometer"


class PhotometerInput(JournalledInput):
    """From the broker to the database; see `inputs.Input`.

    Args:
        wiring: its configuration has an mqtt table.
    """

    name = "mqtt"

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        config, reactor = wiring.config, wiring.reactor
        mqtt = cast(Mqtt, config.mqtt)
        source = MqttSource(mqtt, self.journal, reactor, reached=wiring.reached, now_ns=wiring.now_ns)
        feed = Feed(self.journal, lay, settings_of(config), config.writer, self._breath)
        self._sink = PhotometerSink(
            LANE, self.journal, config.photometer, config.rejects, self._writer, self._breath
        )
        self._connect(source, LANE, feed, self._sink)
        self._statistics = Statistics()

    def renewal(self, config: Config) -> Callable[[], None]:
        return partial(self._apply, config)

    def _apply(self, config: Config) -> None:
        self._feed.writer = config.writer
        self._feed.take_up(settings_of(config))
        self.lane.look()
        self._sink.settings = config.photometer
        self._sink.rejects = config.rejects
        self._writer.statement_rows = config.writer.batch_rows
        self.source.reconfigure(cast(Mqtt, config.mqtt))

    async def flush(self, who: str) -> list[str]:
        return [await flush(self, who, self._reactor)]

    def status(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "sources": [self.source.status()._asdict()],
            "journals": [self.journal_status()],
            "lanes": [self.lane_status()],
        }

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
