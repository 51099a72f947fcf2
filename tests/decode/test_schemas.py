# SPDX-License-Identifier: MIT
"""Event codes are read from files, and what is wrong with one is said with file, event and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from tessmon.decode.schemas import Event, Field, Schemas
from tessmon.errors import ConfigurationError

GOOD = '[[event]]\ncode = 60000\nname = "good"\nfields = ["x: float"]\n'


def load(tmp_path: Path, *texts: str) -> list[Event]:
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.toml")
        paths[-1].write_text(text)
    return list(Schemas.load(paths))


def test_what_the_instrument_writes_is_known() -> None:
    events = list(Schemas.load())
    assert len({event.code for event in events}) == 65
    assert len([event for event in events if event.fields is None]) == 5
    assert {event.name for event in events if event.code in (11, 12)} == {"user_log"}
    [stdcam, later] = [event for event in events if event.code == 20260]
    assert stdcam.fields is not None
    assert later.fields is not None
    assert stdcam.fields[10] == Field("cropMode", "int8", default=-1)
    assert [field.name for field in later.fields[11:]] == ["fan_speed", "readout_speed", "analog_gain", "led"]
    assert [field.declared for field in stdcam.fields[:3]] == ["string", "ROI", "float32"]


def test_a_file_adds_codes_and_replaces_codes_as_a_whole(tmp_path: Path) -> None:
    known = len(list(Schemas.load()))
    added = load(tmp_path, GOOD)
    assert [event.name for event in added if event.code == 60000] == ["good"]
    assert len(added) == known + 1
    replaced = load(tmp_path, '[[event]]\ncode = 12100\nname = "mine"\nmessage = false\n')
    assert [event for event in replaced if event.code == 12100] == [Event(12100, "mine", 0, None)]
    assert len(replaced) == known - 2, "its three forms are one"


def test_the_later_file_is_taken_and_forms_are_in_order_of_time(tmp_path: Path) -> None:
    later = '[[event]]\ncode = 60000\nname = "b"\nfrom = 2024-01-01T12:00:00+01:00\nfields = []\n'
    earlier = '[[event]]\ncode = 60000\nname = "a"\nfrom = 2023-07-03\nfields = []\n'
    found = [event for event in load(tmp_path, GOOD, later + earlier) if event.code == 60000]
    assert found == [Event(60000, "a", 1_688_342_400, ()), Event(60000, "b", 1_704_106_800, ())]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[event]\n", "0.toml: Expected"),
        ("x = 1\n" + GOOD, "0.toml: nobody knows [x]"),
        ("", "0.toml: there is no [[event]] in it"),
        ("event = 3", "0.toml: events are written as [[event]]"),
        ("event = [3]", "0.toml: events are written as [[event]]"),
        (GOOD + GOOD, "0.toml: event good: the code stands there twice from the same time on"),
        (GOOD.replace("60000", "70000"), "event good: code is a whole number from 0 to 65535"),
        (GOOD.replace("60000", "true"), "event good: code is a whole number from 0 to 65535"),
        (GOOD.replace('"good"', "3"), "event 1 of the file: name is a word of letters, digits and underscores"),
        (GOOD.replace('"good"', '"no good"'), "event no good: name is a word"),
        (GOOD + "colour = 3", "event good: nobody knows 'colour'"),
        (GOOD + 'from = "2023-07-03"', "event good: from is a day like 2023-07-03"),
        (GOOD + "message = false", "event good: it needs either fields"),
        (GOOD.replace("fields", "tables.X"), "event good: it needs either fields"),
        (GOOD.replace('["x: float"]', '"x: float"'), 'event good: fields are a list of texts like "name: type"'),
        (GOOD.replace("x: float", "x float"), "event good: field 'x float': it is written as \"name: type\""),
        (GOOD.replace("x: float", "x: real"), "event good: field x: nobody knows the type real"),
        (GOOD.replace("x: float", "x: [Roi]") + 'tables.Roi = []', "field x: nobody knows the type [Roi]"),
        (GOOD.replace("x: float", "x: uint8 = 256"), "event good: field x: '256' is no default of uint8"),
        (GOOD.replace("x: float", "x: float = much"), "event good: field x: 'much' is no default of float32"),
        (GOOD.replace("x: float", "x: bool = 1"), "event good: field x: '1' is no default of bool"),
        (GOOD.replace("x: float", "x: string = a"), "event good: field x: only numbers and bool have a default"),
        (GOOD.replace("x: float", "x: [float] = 1"), "event good: field x: only numbers and bool have a default"),
        (GOOD.replace('"x: float"', '"x: int", "x: int"'), "event good: field x: there are several of that name"),
        (GOOD.replace("float", "A") + 'tables.A = ["b: B"]\ntables.B = ["a: A"]', "field x: field b: field a: nobody"),
        (GOOD.replace("float", "A") + 'tables.A = ["y: real"]', "event good: field x: field y: nobody knows the type"),
        (GOOD.replace("float", "A = 1") + 'tables.A = []', "event good: field x: a table has no default"),
        (GOOD + 'tables.float = ["y: int"]', "event good: table float: it has the name of a type"),
        (GOOD + "tables = 3", "event good: a table is written as tables.NAME"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_event_and_field(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        load(tmp_path, text)
    assert str(tmp_path / "0.toml") in str(told.value)
    assert problem in str(told.value)


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    wrong, good, absent = tmp_path / "wrong.toml", tmp_path / "good.toml", tmp_path / "absent.toml"
    wrong.write_text(GOOD.replace("x: float", "x: real").replace("60000", "-1"))
    good.write_text(GOOD)
    with pytest.raises(ConfigurationError) as told:
        Schemas.load([absent, wrong, good])
    assert [line.partition(": ")[0] for line in str(told.value).splitlines()] == [
        str(absent), str(wrong), str(wrong),
    ]  # fmt: skip
