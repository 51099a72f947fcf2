# SPDX-License-Identifier: MIT
"""What the photometers' frames go through, made from settings that are noted with the lane's position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import msgspec

from tessmon.config.model import Config, Daylight, Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.interfaces import IStage, Track
from tessmon.stages.admit import Admit
from tessmon.stages.daylight import Daylight as DaylightStage
from tessmon.stages.every import Every


class _Settings(msgspec.Struct, frozen=True):
    """All that decides which records come of a frame; what an older text does not have takes its default."""

    register_topic: str
    reading_topics: tuple[str, ...]
    photometer: Photometer = Photometer()
    daylight: Daylight = Daylight()


def settings_of(config: Config) -> str:
    """The settings of a configuration whose mqtt table is there, as text that is equal when they are."""
    mqtt = cast(Mqtt, config.mqtt)
    settings = _Settings(mqtt.register_topic, mqtt.reading_topics, config.photometer, config.daylight)
    return msgspec.json.encode(settings, enc_hook=_plain, order="deterministic").decode()


def lay(text: str) -> Track:
    """Decoder and stages of settings.

    Raises:
        ValueError: the text is none that `settings_of` gave.
    """
    settings = msgspec.json.decode(text, type=_Settings)
    mqtt = replace(Mqtt(), register_topic=settings.register_topic, reading_topics=settings.reading_topics)
    return Track(
        TessDecoder(mqtt, settings.photometer), list(_stages(settings.photometer, settings.daylight))
    )


def _stages(photometer: Photometer, daylight: Daylight) -> Iterator[IStage]:
    """Those that have something to do."""
    if photometer.allow or photometer.deny:
        yield Admit(photometer)
    if photometer.every:
        yield Every(photometer.every, daylight.depth if daylight.enabled else 1, daylight.max_age_s)
    if daylight.enabled:
        yield DaylightStage(daylight)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"settings hold a {type(value).__name__}")
