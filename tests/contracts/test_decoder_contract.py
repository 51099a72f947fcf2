# SPDX-License-Identifier: MIT
"""What every decoder promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from zope.interface.verify import verifyObject

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.interfaces import IDecoder
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record, Several
from tessmon.records.vlbimon import Exchange
from tests.fuzz import mutated_payloads
from tests.vlbimon_mutator import mutated_replies

Provider = Callable[[], Any]
PROVIDERS: list[Provider] = [lambda: TessDecoder(Mqtt(), Photometer()), VlbimonDecoder]
IDS = ["tess", "vlbimon"]
RECEIVED_NS = 1_772_409_600_000_000_000


def payloads(count: int) -> Iterator[tuple[str, bytes]]:
    """What the sources of all decoders journal, and for each decoder what is none of its."""
    yield from mutated_payloads(7, count)
    for what, body in mutated_replies(7, count):
        yield Exchange(what, "https://vlbimon.example.org").topic(), body


def frames(count: int = 300) -> list[Frame]:
    """Messages, events and ticks, good and bad, with qualities of service and flags of all sorts."""
    found = []
    for number, (topic, payload) in enumerate(payloads(count)):
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
        for each in record.records if isinstance(record, Several) else ():
            assert isinstance(each, get_args(Record))
            assert each.frame.position[: len(frame.position)] == frame.position
            assert len(each.frame.position) == len(frame.position) + 1


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_record_does_not_depend_on_frames_before(make: Provider) -> None:
    decoder = make()
    there = [repr(decoder.decode(frame)) for frame in frames()]  # as NaN is not even equal to itself
    back = [repr(decoder.decode(frame)) for frame in reversed(frames())]
    assert there == back[::-1]
    assert there == [repr(make().decode(frame)) for frame in frames()]
