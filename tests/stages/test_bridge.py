# SPDX-License-Identifier: MIT
"""How the bridge does: the lag is never negative, and grows while nothing comes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.records.frame import Frame
from tessmon.records.outcome import Several
from tessmon.records.vlbimon import Point
from tessmon.stages.bridge import MAX_STATIONS, Bridge
from tests.vlbimon_frames import RECEIVED_NS, poll_frames, snapshot_text, tick_frame

S = 1_000_000_000
NOW_S = RECEIVED_NS / S


class Told:
    """A stage, and what it made of frames: (parameter, station) → value of the last of them."""

    def __init__(self) -> None:
        self.stage = Bridge()
        self.decoder = VlbimonDecoder()

    def take(self, *frames: Frame) -> dict[tuple[str, str], Any]:
        found: dict[tuple[str, str], Any] = {}
        for frame in frames:
            record = self.decoder.decode(frame)
            for each in record.records if isinstance(record, Several) else (record,):
                *made, last = self.stage.take(each)
                assert last is each
                for point in made:
                    assert isinstance(point, Point)
                    assert point.derived
                    assert point.subject == "bridge"
                    assert point.stamp == frame.received_ns / S
                    found[point.parameter, point.station] = point.value
        return found

    def poll(self, values: dict[tuple[str, str], Any] | None, at_s: float = 0.0, took_s: float = 0.25) -> Any:
        text = None if values is None else snapshot_text(values)
        return self.take(*poll_frames(text, RECEIVED_NS + int(at_s * S), took_s))

    def lag(self, found: dict[tuple[str, str], Any], station: str = "bridge") -> float:
        lag: float = found["bridge_totalLag", station]
        return lag


@pytest.fixture
def told() -> Told:
    return Told()


def test_poll_tells_points_lag_and_duration(told: Told) -> None:
    found = told.poll(
        {("KP", "a"): [NOW_S - 90.5, 1], ("KP", "b"): [NOW_S - 86.5, 1], ("APEX", "a"): [NOW_S - 88, None]}
    )
    assert found == {
        ("bridge_points", "bridge"): 3,
        ("bridge_points", "KP"): 2,
        ("bridge_points", "APEX"): 1,
        ("bridge_bridgeLag", "bridge"): 0.25,
        ("bridge_totalLag", "bridge"): 86.5,
        ("bridge_totalLag", "KP"): 86.5,
    }
    assert type(found["bridge_points", "KP"]) is int


def test_lag_grows_while_polls_fail_and_while_there_are_none(told: Told) -> None:
    told.poll({("KP", "a"): [NOW_S - 1, 1], ("APEX", "a"): [NOW_S - 5, 1]})
    for at_s in (10, 20, 1000):
        found = told.poll(None, at_s, took_s=60.0)
        assert (told.lag(found), told.lag(found, "KP"), told.lag(found, "APEX")) == (
            1 + at_s,
            1 + at_s,
            5 + at_s,
        )
        assert found["bridge_points", "bridge"] == 0
        assert found["bridge_bridgeLag", "bridge"] == 60.0
    found = told.take(tick_frame(RECEIVED_NS + 2000 * S))
    assert found == {
        ("bridge_totalLag", "bridge"): 2001.0,
        ("bridge_totalLag", "KP"): 2001.0,
        ("bridge_totalLag", "APEX"): 2005.0,
    }
    assert told.lag(told.poll({}, 2010)) == 2011.0
    found = told.poll({("KP", "a"): [NOW_S + 2018, 1]}, 2020)
    assert (told.lag(found), told.lag(found, "KP"), told.lag(found, "APEX")) == (2.0, 2.0, 2025.0)


def test_lag_of_a_station_grows_when_only_it_is_silent(told: Told) -> None:
    told.poll({("KP", "a"): [NOW_S, 1], ("APEX", "a"): [NOW_S, 1]})
    lags = [told.lag(told.poll({("KP", "a"): [NOW_S + s, 1]}, s), "APEX") for s in range(10, 100, 10)]
    assert all(after > before for before, after in pairwise(lags))


def test_lag_is_never_negative(told: Told) -> None:
    found = told.poll({("KP", "a"): [NOW_S + 599, 1], ("LMT", "a"): [NOW_S + 601, 1], ("SMA", "a"): [2e9, 1]})
    assert told.lag(found) == told.lag(found, "KP") == 0.0
    assert ("bridge_totalLag", "LMT") not in found
    assert ("bridge_totalLag", "SMA") not in found
    assert told.lag(told.poll(None, 30)) == 30.0, "a fast clock does not hide an outage"
    assert told.lag(told.take(tick_frame(RECEIVED_NS - 5000 * S))) == 0.0


def test_lag_is_told_before_the_first_point_ever(told: Told) -> None:
    assert told.lag(told.poll(None)) == 0.0
    assert told.lag(told.poll(None, 60)) == 60.0


def test_late_and_derived_points_change_nothing(told: Told) -> None:
    told.poll({("KP", "a"): [NOW_S - 1, 1]})
    assert told.lag(told.poll({("KP", "a"): [NOW_S - 3600, 1]}, 1)) == 2.0
    frame = tick_frame(RECEIVED_NS + S)
    list(told.stage.take(Point(frame, "a_az", "NEWT", NOW_S, 1.0, derived=True)))
    assert ("bridge_totalLag", "NEWT") not in told.take(tick_frame(RECEIVED_NS + 2 * S))


def test_station_that_calls_itself_the_bridge_does_not_disturb_it(told: Told) -> None:
    found = told.poll({("bridge", "a"): [NOW_S - 5, 1], ("KP", "a"): [NOW_S - 7, 1]})
    assert found["bridge_points", "bridge"] == 2
    assert told.lag(found) == 5.0


def test_made_up_stations_are_bounded_and_the_newest_are_kept(told: Told) -> None:
    for number in range(3 * MAX_STATIONS):
        told.poll({(f"S{number}", "a"): [NOW_S - 1000 + number, 1]}, number / 1000)
    found = told.take(tick_frame(RECEIVED_NS + S))
    stations = {station for parameter, station in found if parameter == "bridge_totalLag"} - {"bridge"}
    assert stations == {f"S{number}" for number in range(2 * MAX_STATIONS, 3 * MAX_STATIONS)}


def test_names_that_are_none_have_no_row(told: Told) -> None:
    text = json.dumps({"x" * 201: {"data": {"a": [NOW_S, 1]}}, "a\n": {"data": {"a": 1}}})
    found = told.take(*poll_frames(text))
    assert {station for _, station in found} == {"bridge"}
    assert found["bridge_points", "bridge"] == 2


def test_notes_bring_back_what_it_knew(told: Told) -> None:
    assert told.stage.notes() is None
    told.poll({("KP", "a"): [NOW_S - 1.25, 1], ("SMA", "a"): [int(NOW_S) - 7, 1]})
    again = Told()
    again.stage.reset(json.loads(json.dumps(told.stage.notes())))
    frame = tick_frame(RECEIVED_NS + 60 * S)
    assert again.take(frame) == told.take(frame)
    told.stage.reset()
    assert told.stage.notes() is None
