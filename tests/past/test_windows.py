# SPDX-License-Identifier: MIT
"""Which hours and which parameters are asked for."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.past.fetching import masterlist_of_file
from tessmon.past.windows import WINDOW_S, UnknownStationError, Wanted, fields_of, stations_of
from tessmon.records.vlbimon import Masterlist

MASTERLIST = Path(__file__).parents[1] / "vlbimon" / "masterlist.json"


@pytest.fixture(scope="module")
def masterlist() -> Masterlist:
    return masterlist_of_file(MASTERLIST.read_bytes(), 10**18)[1]


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(0, 10**6))
def test_windows_have_no_hole_and_are_the_same_after_a_stop(start_s: int, span_s: int, stop: int) -> None:
    wanted = Wanted(start_s, start_s + span_s)
    whole = list(wanted.windows(0, wanted.end_s))
    assert whole[0][0] == start_s
    assert whole[-1][1] == wanted.end_s
    assert all(one[1] == other[0] for one, other in pairwise(whole))
    assert all(0 < end - begin <= WINDOW_S for begin, end in whole)
    done_s = whole[stop % len(whole)][1]
    assert list(wanted.windows(done_s, wanted.end_s)) == [each for each in whole if each[0] >= done_s]


def test_the_same_wish_has_the_same_name_and_another_one_another() -> None:
    one = Wanted(5, 9, ("KP", "SMA"), ("b", "a"))
    assert one.origin == Wanted(5, 9, ("SMA", "KP", "KP"), ("a", "b")).origin
    others = [Wanted(5, 8, *one[2:]), one._replace(stations=()), one._replace(kind="public")]
    assert len({each.origin for each in [one, *others]}) == 4


def test_all_that_has_values_is_asked_for_unless_somebody_says_what(masterlist: Masterlist) -> None:
    everything = Wanted(0, 1)
    entries = json.loads(MASTERLIST.read_text())
    fields = set(fields_of(everything, masterlist))
    assert fields >= {name for name, entry in entries["default"].items() if entry["datatype"] != "none"}
    assert not fields & {name for name, entry in entries["default"].items() if entry["datatype"] == "none"}
    for kind in ("public", "private"):
        with_cadence = {
            name for name, entry in entries["default"].items() if kind in entry.get("cadence", {})
        }
        found = set(fields_of(everything._replace(kind=kind), masterlist))
        assert found & entries["default"].keys() == with_cadence & fields
        assert 0 < len(found) < len(fields)
    assert fields_of(Wanted(0, 1, (), ("b", "a", "a")), masterlist) == ["a", "b"]
    assert fields_of(Wanted(0, 1, (), ("nobody_knows",), "public"), masterlist) == []


def test_stations_are_those_named_or_configured_or_all(masterlist: Masterlist) -> None:
    assert stations_of(Wanted(0, 1), (), masterlist) == sorted(masterlist.stations)
    assert stations_of(Wanted(0, 1), ("SMA",), masterlist) == ["SMA"]
    assert stations_of(Wanted(0, 1, ("KP",)), ("SMA",), masterlist) == ["KP"]
    with pytest.raises(UnknownStationError, match="no station 'K P', but ALMA, APEX"):
        stations_of(Wanted(0, 1, ("K P",)), (), masterlist)
