# SPDX-License-Identifier: MIT
"""The photometers' input: its source, journal and lane, wired."""

from __future__ import annotations

from typing import cast

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
    status_key = "sources"
    settings_of = staticmethod(settings_of)
    _sink: PhotometerSink

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        config, reactor = wiring.config, wiring.reactor
        mqtt = cast(Mqtt, config.mqtt)
        source = MqttSource(mqtt, self.journal, reactor, reached=wiring.reached, now_ns=wiring.now_ns)
        feed = Feed(self.journal, lay, settings_of(config), config.writer, self._breath)
        sink = PhotometerSink(
            LANE, self.journal, config.photometer, config.rejects, self._writer, self._breath
        )
        self._connect(source, LANE, feed, sink)
        self._statistics = Statistics()

    def _apply(self, config: Config) -> None:
        super()._apply(config)
        self._sink.settings = config.photometer

    async def flush(self, who: str) -> list[str]:
        return [await flush(self, who, self._reactor)]

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
