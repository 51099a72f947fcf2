# SPDX-License-Identifier: MIT
"""Stations that are not wanted."""

from __future__ import annotations

from tessmon.errors import Cause
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Tick
from tessmon.records.vlbimon import Contact, Point
from tessmon.stages.stations import Stations

FRAME = Frame(FrameKind.MESSAGE, 1, "", b"", 0)


def test_only_points_of_wanted_stations_go_on_and_the_others_are_counted() -> None:
    stage = Stations(["KP", "SMA"])
    wanted, other = (Point(FRAME, "weather_tau225", station, 1.5, 0.05) for station in ("KP", "ALMA"))
    assert stage.take(wanted) == (wanted,)
    assert stage.take(other) == (Filtered(FRAME, Cause.DENIED, "ALMA"),)


def test_clients_of_other_stations_are_none_of_ours() -> None:
    stage = Stations(["KP"])
    ours, other = (Contact(FRAME, station, "central", 1, None) for station in ("KP", "ALMA"))
    assert stage.take(ours) == (ours,)
    assert stage.take(other) == ()


def test_what_is_of_no_station_goes_on() -> None:
    tick = Tick(FRAME)
    assert Stations(["KP"]).take(tick) == (tick,)
