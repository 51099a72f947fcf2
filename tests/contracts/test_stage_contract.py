# SPDX-License-Identifier: MIT
"""What every stage promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from msgspec.structs import replace
from zope.interface.verify import verifyObject

from tessmon.config.model import Daylight as DaylightSettings
from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.interfaces import IStage
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, Several
from tessmon.records.vlbimon import Point
from tessmon.stages.admit import Admit
from tessmon.stages.bridge import Bridge
from tessmon.stages.coordinates import Coordinates
from tessmon.stages.daylight import Daylight
from tessmon.stages.every import Every
from tessmon.stages.swept import Sweep
from tests.fuzz import mutated_payloads
from tests.vlbimon_frames import masterlist_frame, placed, poll_frames, snapshot_text, swept_frame

Provider = Callable[[], Any]
PROVIDERS: list[Provider] = [
    lambda: Admit(Photometer()),
    lambda: Admit(Photometer(allow=("stars1",), deny=("stars701",))),
    lambda: Every({"stars1": 3, "stars701": 2}, 7, 3600),
    lambda: Daylight(DaylightSettings(enabled=True, depth=3)),
    lambda: Daylight(DaylightSettings(enabled=True, max_age_s=10), max_windows=3),
    lambda: Daylight(DaylightSettings(enabled=True), max_held_bytes=20_000),
    lambda: Daylight(DaylightSettings()),
    Coordinates,
    Bridge,
    Sweep,
]
IDS = ["admit-all", "admit-some", "every", "daylight-3", "daylight-few", "daylight-small", "daylight-off",
       "coordinates", "bridge", "swept"]  # fmt: skip
RECEIVED_NS = 1_772_409_600_000_000_000


def records(count: int = 400) -> list[Record]:
    """What the decoders of all instruments give."""
    decoder = TessDecoder(Mqtt(), Photometer())
    found = []
    for number, (topic, payload) in enumerate(mutated_payloads(11, count), 1):
        kind = FrameKind.TICK if number % 20 == 0 else FrameKind.MESSAGE
        position = (1, number, 0)
        frame = Frame(kind, RECEIVED_NS + number * 10**9, topic, payload, len(payload), position=position)
        found.append(decoder.decode(frame))
    return [*found, *vlbimon_records(RECEIVED_NS + count * 10**9)]


def vlbimon_records(began_ns: int) -> Iterator[Record]:
    """A masterlist, and polls with coordinates well-formed and not, of which some fail; sweeps."""
    frames = [masterlist_frame(received_ns=began_ns)]
    for number in range(1, 40):
        at_ns = began_ns + number * 10**10
        stamp = at_ns // 10**9 - number % 7
        text = ("10.5+20.5", "45.0", "10.5+-1.5")[number % 3]
        values = {(f"S{number % 5}", "telescope_azimuthElevation"): [stamp, text], ("KP", "a"): [stamp, None]}
        frames += poll_frames(None if number % 4 == 0 else snapshot_text(values), at_ns)
        if number % 10 == 0:
            frames.append(swept_frame(stamp, at_ns))
    for frame in placed(frames):
        record = VlbimonDecoder().decode(replace(frame, position=(2, *frame.position[1:])))
        yield from record.records if isinstance(record, Several) else (record,)


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
def test_a_reject_that_is_tried_again_leaves_no_trace(make: Provider) -> None:
    stage, undisturbed, taken = make(), make(), records()
    for record, other in zip(taken, reversed(taken), strict=True):
        assert list(stage.take(record)) == list(undisturbed.take(record))
        gone_on = list(stage.again(other))
        assert {each.frame for each in gone_on} == {other.frame}
        assert isinstance(gone_on[-1], (type(other), Filtered))
    assert list(stage.release()) == list(undisturbed.release())


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
def test_replay_from_low_rebuilds_what_is_remembered(make: Provider) -> None:
    """Wherever it is cut; the replay may begin before low, when another stage depends on more."""
    taken = records()
    stage = make()
    undisturbed = [list(stage.take(record)) for record in taken]
    stage.reset()
    for cut in range(1, len(taken)):
        list(stage.take(taken[cut - 1]))
        low, notes = stage.low(), json.loads(json.dumps(stage.notes()))
        begin = cut if low is None else next(n for n, one in enumerate(taken) if one.frame.position > low)
        for earlier in (0, cut % 40):
            again = make()
            again.reset(notes)
            for record in taken[max(0, begin - earlier) : cut]:
                list(again.take(record))
            assert again.held() == stage.held()
            assert again.low() == low
            assert json.loads(json.dumps(again.notes())) == notes
            upto = min(cut + 40, len(taken))
            assert [list(again.take(record)) for record in taken[cut:upto]] == undisturbed[cut:upto]


@pytest.mark.parametrize("make", PROVIDERS, ids=IDS)
def test_every_record_goes_on_once_and_the_rest_is_released(make: Provider) -> None:
    stage, taken = make(), records()
    gone_on: list[Record] = []
    for number, record in enumerate(taken, 1):
        gone_on += [one for one in stage.take(record) if not (isinstance(one, Point) and one.derived)]
        assert len(gone_on) + stage.held() == number
    gone_on += stage.release()
    assert stage.held() == 0
    assert stage.low() is None
    assert sorted(one.frame.position for one in gone_on) == [one.frame.position for one in taken]
