# SPDX-License-Identifier: MIT
"""The splitter: two numbers or none, and never one that was not sent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, globalLogPublisher

from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.records.outcome import Record
from tessmon.records.vlbimon import SNAPSHOT, Masterlist, Point
from tessmon.stages.coordinates import MAX_PARAMETERS, Coordinates, halves_of
from tests import scale
from tests.vlbimon_frames import frame_of, masterlist_frame

SPLIT = {
    "123.40000+45.60000": (123.4, 45.6),
    "301.1234567890-1.0987654321": (301.123456789, -1.0987654321),
    "+10.5+20.25": (10.5, 20.25),
    "-10.5-20.25": (-10.5, -20.25),
    "90.0+30.0": (90.0, 30.0),
    "180+45": (180.0, 45.0),
    "1.5e-05+30.2": (1.5e-05, 30.2),
    "1e-5-3E+1": (1e-5, -30.0),
    "123.4+-1.2": (123.4, -1.2),
    "+123.4+-1.2e0": (123.4, -1.2),
    "0.0-0.0": (0.0, -0.0),
}
NOT_SPLIT = (
    "", " ", "45.0", "+45.0", "180.0,45.0", "180.0 45.0", "180.0 +45.0", " 180.0+45.0", "180.0+45.0 ", "180.0+45.0\n",
    "12:34:56.7+45", "12h34m+45d", "12:34:56.7+45:00:00", "180.0+45.0+1.0", "180.0++45.0", "180.0--45.0", "180.0-+45.0",
    "180.+45.0", ".5+.5", "1.5e-05", "1.5e+05", "1e5e+5", "1_0+2_0", "٣.٠+٤.٠", "nan+nan", "inf-inf", "0x10+0x10",
    "1e999+1", "1+1e999", "180.0+45.0\0", "1" * 60 + "+" + "1" * 60, "2024-04-05", "--", "+-", "e+e", "180,0+45,0",
)  # fmt: skip


@dataclass
class Rig:
    """A stage that knows the masterlist."""

    stage: Coordinates
    decoder: VlbimonDecoder

    def take(self, parameter: str, value: Any, station: str = "KP") -> list[Record]:
        """What goes on because of one point."""
        text = json.dumps({station: {"data": {parameter: [1712345600.5, value]}}})
        several = self.decoder.decode(frame_of(SNAPSHOT, text))
        return [out for record in several.records for out in self.stage.take(record)]

    def halves(self, parameter: str, value: Any, station: str = "KP") -> dict[str, Any]:
        """Parameter → value of the points that were made; the raw one goes on behind them."""
        *made, raw = self.take(parameter, value, station)
        assert isinstance(raw, Point)
        assert (raw.parameter, raw.value, raw.derived) == (parameter, value, False)
        for point in made:
            assert isinstance(point, Point)
            assert point.derived
            assert (point.frame, point.station, point.stamp) == (raw.frame, station, 1712345600.5)
        return {point.parameter: point.value for point in made if isinstance(point, Point)}


@pytest.fixture
def rig() -> Rig:
    rig = Rig(Coordinates(), VlbimonDecoder())
    list(rig.stage.take(rig.decoder.decode(masterlist_frame())))
    return rig


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    found: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        found.append(event)

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize(("text", "halves"), SPLIT.items())
def test_two_numbers_are_split(text: str, halves: tuple[float, float]) -> None:
    found = halves_of(text)
    assert found == halves
    assert [math.copysign(1, each) for each in found] == [math.copysign(1, each) for each in halves]


@pytest.mark.parametrize("text", NOT_SPLIT)
def test_what_is_not_two_numbers_is_not_split(text: str) -> None:
    assert halves_of(text) is None


@pytest.mark.parametrize("value", [45.0, 7, True, float("nan")])
def test_what_is_no_text_is_not_split(value: Any) -> None:
    assert halves_of(value) is None


@settings(max_examples=scale.HYPOTHESIS_PAYLOADS, derandomize=True)
@given(st.text("0123456789.+-eE ,:d", max_size=24) | st.text(max_size=12))
def test_halves_are_what_was_sent_and_nothing_else(text: str) -> None:
    found = halves_of(text)
    if found is None:
        return
    joints = [at for at in range(1, len(text)) if text[at] in "+-"]
    assert any(
        (float(text[:at].removesuffix("+") if text[at] == "-" else text[:at]), float(text[at:])) == found
        for at in joints
        if _is_number(text[:at].removesuffix("+")) and _is_number(text[at:])
    )


@settings(max_examples=scale.HYPOTHESIS_PAYLOADS, derandomize=True)
@given(*[st.floats(allow_nan=False, allow_infinity=False)] * 2, st.booleans())
def test_any_two_numbers_come_back(first: float, second: float, always_plus: bool) -> None:
    text = f"{first!r}{'+' if always_plus or math.copysign(1, second) > 0 else ''}{second!r}"
    assert halves_of(text) == (first, second)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def test_datatype_decides_what_is_split(rig: Rig) -> None:
    text = "10.5-20.25"
    assert rig.halves("telescope_azimuthElevation", text) == {
        "telescope_azimuthElevation_az": 10.5,
        "telescope_azimuthElevation_el": -20.25,
    }
    assert rig.halves("telescope_apparentRaDec", text) == {
        "telescope_apparentRaDec_ra": 10.5,
        "telescope_apparentRaDec_dec": -20.25,
    }
    assert rig.halves("phasing_referenceCoordinates", text) == {}
    assert rig.halves("telescope_sourceName", text) == {}
    assert rig.halves("mystery_1_knob", text) == {}


def test_nothing_is_split_before_a_masterlist_came() -> None:
    assert Rig(Coordinates(), VlbimonDecoder()).halves("telescope_azimuthElevation", "10.5+20.25") == {}


def test_newest_masterlist_holds(rig: Rig) -> None:
    for datatype, made in (("string", 0), ("CelestialCoordinates", 2), ("AzElCoordinates", 2)):
        text = json.dumps({"default": {"telescope_azimuthElevation": {"datatype": datatype}}})
        list(rig.stage.take(rig.decoder.decode(masterlist_frame(text))))
        assert len(rig.halves("telescope_azimuthElevation", "10.5+20.25")) == made
    assert rig.halves("telescope_apparentRaDec", "10.5+20.25") == {}


def test_notes_bring_back_what_it_knew(rig: Rig) -> None:
    again = Coordinates()
    again.reset(json.loads(json.dumps(rig.stage.notes())))
    assert again.notes() == rig.stage.notes()
    assert Rig(again, rig.decoder).halves("telescope_azimuthElevation", "10.5+20.25")
    again.reset()
    assert again.notes() is None
    again.reset({"x": "odd"})
    assert again.notes() is None


def test_log_has_one_line_for_each_parameter_of_a_station(rig: Rig, lines: list[LogEvent]) -> None:
    for _ in range(3):
        for value in ("45.0", "12:34:56.7+45", 7):
            assert rig.halves("telescope_azimuthElevation", value) == {}
    assert len(lines) == 1
    rig.halves("telescope_azimuthElevation", "45.0", "SMA")
    rig.halves("telescope_apparentRaDec", "45.0", "SMA")
    assert len(lines) == 3
    rig.halves("telescope_azimuthElevation", "1+1", "LMT")
    assert len(lines) == 3


def test_made_up_masterlist_is_bounded(rig: Rig) -> None:
    entry = {"datatype": "AzElCoordinates"}
    record = rig.decoder.decode(
        masterlist_frame(json.dumps({"default": {f"p{n}": entry for n in range(2000)}}))
    )
    assert isinstance(record, Masterlist)
    assert len(record.parameters) == 2000
    list(rig.stage.take(record))
    assert len(rig.stage.notes() or ()) == MAX_PARAMETERS
