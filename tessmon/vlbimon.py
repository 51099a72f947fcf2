# SPDX-License-Identifier: MIT
"""The input of the array's monitor: its source, journal and lane, wired."""

from __future__ import annotations

from functools import partial
from typing import cast

import msgspec

from tessmon.account import OUTCOMES, Tally
from tessmon.config.model import Config, Vlbimon
from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.feed import Feed
from tessmon.interfaces import IStage, Track
from tessmon.journalled import JournalledInput, Wiring
from tessmon.sink.vlbimon import VlbimonSink
from tessmon.sources.vlbimon import VlbimonSource
from tessmon.stages.bridge import Bridge
from tessmon.stages.coordinates import Coordinates
from tessmon.stages.stations import Stations
from tessmon.stages.swept import Sweep
from tessmon.told import Told

LANE = "vlbimon"


class _Settings(msgspec.Struct, frozen=True):
    """All that decides which records come of a frame."""

    stations: tuple[str, ...] = ()


def settings_of(config: Config) -> str:
    """The settings of a configuration whose vlbimon table is there, as text that is equal when they are."""
    stations = tuple(sorted(cast(Vlbimon, config.vlbimon).stations))
    return msgspec.json.encode(_Settings(stations)).decode()


def lay(told: Told, text: str) -> Track:
    """Decoder and transforms; a new transform gets its place here.

    Args:
        told: what the log was told already.
        text: of `settings_of`.

    Raises:
        ValueError: the text is none that it gave.
    """
    settings = msgspec.json.decode(text, type=_Settings)
    stages: list[IStage] = [Stations(settings.stations)] if settings.stations else []
    return Track(VlbimonDecoder(told), [*stages, Coordinates(told), Bridge(), Sweep()])


class VlbimonInput(JournalledInput):
    """From the server to the database; see `inputs.Input`.

    Args:
        wiring: its configuration has a vlbimon table.
    """

    name = "vlbimon"
    status_key = "vlbimon"
    settings_of = staticmethod(settings_of)

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        config = wiring.config
        feed = Feed(self.journal, partial(lay, Told()), settings_of(config), config.writer, self._breath)
        sink = VlbimonSink(LANE, self.journal, config.rejects, self._writer, self._breath)
        source = VlbimonSource(
            cast(Vlbimon, config.vlbimon),
            self.journal,
            wiring.reactor,
            recall=self._recall,
            directory=self.directory,
            end=partial(wiring.end, "PLEASE-EXIT"),
            reached=wiring.reached,
            now_ns=wiring.now_ns,
        )
        self._connect(source, LANE, feed, sink)
        self._tally = Tally()

    def _recall(self) -> int | None:
        """Up to where the database has history whole [s since 1970 UTC], -1 when it has none, None while nobody
        knows."""
        standing = self._feed.standing
        if standing is None:
            return None
        return int(standing.notes.get("swept", {}).get("until", -1))

    async def flush(self, who: str) -> list[str]:
        """Nothing is held back."""
        return []

    def log_stats(self) -> None:
        source = self.source.status()
        new = self._tally.new(self.lane.status())
        self.log.info(
            "statistics of {name}: {state}; {outcomes}",
            name=source.name,
            state=source.state,
            outcomes=", ".join(f"{new[outcome]} {outcome}" for outcome in OUTCOMES),
        )
