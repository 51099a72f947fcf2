# SPDX-License-Identifier: MIT
"""What every stage promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
from zope.interface.verify import verifyObject

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.interfaces import IStage
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record
from tessmon.stages.admit import Admit
from tests.fuzz import mutated_payloads

Provider = Callable[[], Any]
PROVIDERS: list[Provider] = [
    lambda: Admit(Photometer()),
    lambda: Admit(Photometer(allow=("stars1",), deny=("stars701",))),
]
IDS = ["admit-all", "admit-some"]
RECEIVED_NS = 1_772_409_600_000_000_000


def records(count: int = 500) -> list[Record]:
    decoder = TessDecoder(Mqtt(), Photometer())
    found = []
    for number, (topic, payload) in enumerate(mutated_payloads(11, count), 1):
        kind = FrameKind.TICK if number % 20 == 0 else FrameKind.MESSAGE
        position = (1, number, 0)
        frame = Frame(kind, RECEIVED_NS + number, topic, payload, len(payload), position=position)
        found.append(decoder.decode(frame))
    return found


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_stage_provides_the_interface(make: Provider) -> None:
    stage = make()
    assert verifyObject(IStage, stage)
    assert isinstance(stage.holds, bool)


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_stage_that_holds_nothing_gives_one_record_of_the_same_frame_for_each(make: Provider) -> None:
    stage = make()
    for record in records():
        gone_on = list(stage.take(record))
        assert all(isinstance(each, get_args(Record)) for each in gone_on)
        if not stage.holds:
            assert [each.frame for each in gone_on] == [record.frame]
            assert stage.low() is None


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_low_is_never_behind_what_was_taken(make: Provider) -> None:
    stage = make()
    for record in records():
        list(stage.take(record))
        low = stage.low()
        assert low is None or low < record.frame.position


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_reset_stage_is_as_new(make: Provider) -> None:
    stage, taken = make(), records()
    first = [list(stage.take(record)) for record in taken]
    stage.reset()
    assert stage.low() is None
    assert [list(stage.take(record)) for record in taken] == first


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_replay_from_low_rebuilds_what_is_held(make: Provider) -> None:
    stage, taken = make(), records()
    half = len(taken) // 2
    for record in taken[:half]:
        list(stage.take(record))
    low = stage.low()
    rest = [list(stage.take(record)) for record in taken[half:]]
    fresh = make()
    for record in taken[:half]:
        if low is not None and record.frame.position > low:
            list(fresh.take(record))
    assert [list(fresh.take(record)) for record in taken[half:]] == rest
