# SPDX-License-Identifier: MIT
"""The masterlist: the real one comes out whole, and what is odd costs itself."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.decode.vlbimon_masterlist import MAX_PARAMETERS, MAX_STATIONS, masterlist_of
from tessmon.errors import Reason
from tessmon.records.outcome import Reject, Several
from tessmon.records.vlbimon import MASTERLIST, Masterlist, Parameter
from tests.vlbimon_frames import MASTERLIST_TEXT, frame_of, masterlist_frame

STATIONS = ["ALMA", "APEX", "GLT", "JCMT", "KP", "LMT", "NOEMA", "PICO", "SMA", "SMTO", "SPT"]


def listed(document: Any) -> tuple[dict[str, Parameter], tuple[str, ...], dict[str, str]]:
    masterlist, complaints = masterlist_of(masterlist_frame(json.dumps(document)))
    return {each.name: each for each in masterlist.parameters}, masterlist.stations, complaints


def test_real_list_comes_out_whole() -> None:
    document = json.loads(MASTERLIST_TEXT)
    parameters, stations, complaints = listed(document)
    assert complaints == {}
    assert list(stations) == STATIONS
    assert parameters.keys() == {name for entries in document.values() for name in entries}
    for name, entry in document["default"].items():
        cadence = entry.get("cadence", {})
        assert parameters[name] == Parameter(
            name,
            entry["datatype"],
            entry.get("partype", ""),
            entry.get("units", ""),
            entry.get("description", ""),
            cadence.get("public"),
            cadence.get("private"),
        )
    extract = parameters["telescope_extract"]
    assert extract.stations == ("SMA",)
    assert (extract.datatype, extract.cadence_private_s, extract.cadence_public_s) == ("string", 0.0, None)


def test_order_of_keys_does_not_count() -> None:
    document = json.loads(MASTERLIST_TEXT)
    turned = {place: dict(reversed(entries.items())) for place, entries in reversed(document.items())}
    there, back = listed(document), listed(turned)
    assert there == back


def test_parameter_of_several_stations_names_them() -> None:
    entry, other = {"datatype": "float"}, {"datatype": "int"}
    parameters, stations, _ = listed(
        {"B": {"x": other}, "A": {"x": entry}, "default": {"y": other}, "C": {"y": entry}}
    )
    assert stations == ("A", "B", "C")
    assert parameters == {
        "y": Parameter("y", "int"),
        "x": Parameter("x", "float", stations=("A", "B")),
    }


@pytest.mark.parametrize(
    "entry",
    [None, 7, [], "float", {}, {"datatype": None}, {"datatype": 7}, {"datatype": ""}, {"datatype": "a\0"}],
)
def test_odd_entry_costs_that_entry(entry: Any) -> None:
    parameters, stations, complaints = listed({"default": {"a": {"datatype": "int"}, "b": entry}, "KP": {}})
    assert parameters == {"a": Parameter("a", "int")}
    assert stations == ("KP",)
    assert list(complaints) == ["b"]


def test_odd_fields_and_places_cost_themselves() -> None:
    odd = {
        "datatype": "x",
        "partype": 7,
        "units": ["K"],
        "description": "a\0b",
        "cadence": {"public": "5", "private": -1},
    }
    parameters, stations, complaints = listed(
        {
            "default": {"a": odd, "": odd, "b": {"datatype": "int", "cadence": 5}},
            "KP": 7,
            "a\nb": {},
            "SMA": None,
        }
    )
    assert parameters == {"a": Parameter("a", "x", description="a�b"), "b": Parameter("b", "int")}
    assert stations == ("KP", "SMA")
    assert complaints.keys() == {"", "KP", "a\nb", "SMA"}


@pytest.mark.parametrize("text", ["", "<html>", "[]", "null", "[" * 100_000, '{"default":'])
def test_what_is_no_list_is_a_reject(text: str) -> None:
    record = VlbimonDecoder().decode(frame_of(MASTERLIST, text))
    if isinstance(record, Several):
        [record] = record.records
    assert isinstance(record, Reject)
    assert record.reason in (Reason.NOT_JSON, Reason.INVALID)


def test_huge_lists_are_bounded() -> None:
    entry = {"datatype": "int", "cadence": {"public": 10}}
    parameters, _, complaints = listed({"default": {f"p{n}": entry for n in range(MAX_PARAMETERS + 10)}})
    assert len(parameters) == MAX_PARAMETERS
    assert len(complaints) == 10
    _, stations, complaints = listed({"default": {}} | {f"s{n}": {} for n in range(MAX_STATIONS + 10)})
    assert len(stations) == MAX_STATIONS
    assert len(complaints) == 10
    text = '{"default":{"a":{"datatype":"int","cadence":{"public":%s}}}}' % ("9" * 5000)
    assert isinstance(VlbimonDecoder().decode(frame_of(MASTERLIST, text)), Masterlist)


def test_list_is_decoded_soon() -> None:
    costs = []
    for _ in range(3):
        began = time.thread_time()
        VlbimonDecoder().decode(masterlist_frame())
        costs.append(time.thread_time() - began)
    print(f"a masterlist: {min(costs) * 1e3:.1f} ms")
    assert min(costs) < 0.020
