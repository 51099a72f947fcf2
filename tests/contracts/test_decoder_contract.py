# SPDX-License-Identifier: MIT
"""What every decoder promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
from zope.interface.verify import verifyObject

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.interfaces import IDecoder
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record
from tests.fuzz import mutated_payloads

Provider = Callable[[], Any]
PROVIDERS: list[Provider] = [lambda: TessDecoder(Mqtt(), Photometer())]
IDS = ["tess"]
RECEIVED_NS = 1_772_409_600_000_000_000


def frames(count: int = 500) -> list[Frame]:
    """Messages, events and ticks, good and bad, with qualities of service and flags of all sorts."""
    found = []
    for number, (topic, payload) in enumerate(mutated_payloads(7, count)):
        kind = (FrameKind.EVENT, FrameKind.TICK)[number % 2] if number % 20 < 2 else FrameKind.MESSAGE
        length = len(payload) + (number % 17 == 0)
        found.append(Frame(kind, RECEIVED_NS + number, topic, payload, length, retain=number % 11 == 0))
    return found


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_decoder_provides_the_interface(make: Provider) -> None:
    assert verifyObject(IDecoder, make())


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_each_frame_gives_one_record_that_keeps_the_frame(make: Provider) -> None:
    decoder = make()
    for frame in frames():
        record = decoder.decode(frame)
        assert isinstance(record, get_args(Record))
        assert record.frame is frame


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_record_does_not_depend_on_frames_before(make: Provider) -> None:
    decoder = make()
    there = [decoder.decode(frame) for frame in frames()]
    back = [decoder.decode(frame) for frame in reversed(frames())]
    assert there == back[::-1]
    assert there == [make().decode(frame) for frame in frames()]
