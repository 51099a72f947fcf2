# SPDX-License-Identifier: MIT
"""Events are changes, whatever order points come in."""

from __future__ import annotations

import random

import pytest_twisted

from tessmon.records.vlbimon import Parameter
from tests.vlbimon_rows import NOW_S, Rows, forget_rows, rows, used_database

__all__ = ["rows", "used_database"]

ensure = pytest_twisted.ensureDeferred
T = NOW_S - 90
MONTH_S = 30 * 86_400


SAID = (
    ("telescope_sourceName", ["A", "A", "B", "A"], ["source name is A", "source name is B", "source name is A"]),
    ("telescope_sourceName", ["M87", " "], ["source name is M87", "source name is  "]),
    ("telescope_observingMode", ["Tracking", " ", "", "\t"], ["mode is Tracking", "mode is "]),
    ("telescope_status", ["ok"], ["status is ok"]),
    ("observerMessages_observatoryStatus", ["ok"], ["status is ok"]),
    ("telescope_pointingCorrection", ["1 2"], ["pointing is 1 2"]),
    ("telescope_focusCorrection", ["0.1"], ["focus is 0.1"]),
    ("observerMessages_observer", ["Ana", "Bob\nCarl"], ["observer is Ana", "observer is Bob\nCarl"]),
    ("observerMessages_weather", ["é", 7.5, True, "true"], ["weather is é", "weather is 7.5", "weather is true"]),
    ("telescope_extract", ["x"], ["extract is x"]),
    ("telescope_epochType", ["J2000"], []),
    ("telescope_onSource", [True, "true", "True", 1], ["is on source"]),
    ("telescope_onSource", [False, "false", "False", 0], ["is off source"]),
    ("telescope_onSource", ["false", "?", True, 7, "True", ""], ["is off source", "is on source"]),
    ("telescope_onSource", ["?", 0.0, False, "?", "False", "true"], ["is off source", "is on source"]),
    ("telescope_surfaceRms", [1.5], []),
    ("weather_tau225", ["x"], []),
    ("telescope_unheard", ["x"], []),
)  # fmt: skip
"""Parameter, values a second each, what its events say of them."""


@ensure
async def test_a_change_is_an_event_in_the_words_of_its_parameter(rows: Rows) -> None:
    await rows.write(
        rows.masterlist(),
        *(
            rows.point(parameter, f"S{number}", T + n, value)
            for number, (parameter, values, _) in enumerate(SAID)
            for n, value in enumerate(values)
        ),
    )
    found = [text for _, text in rows.events()]
    for number, (parameter, values, wanted) in enumerate(SAID):
        own = [text.removeprefix(f"S{number} ") for text in found if text.startswith(f"S{number} ")]
        assert own == list(wanted), (parameter, values)


@ensure
async def test_late_points_give_the_events_of_an_undisturbed_run(rows: Rows) -> None:
    chance = random.Random(11)
    await rows.write(rows.masterlist())
    points = [
        rows.point(parameter, station, T - n * MONTH_S // 40, chance.choice(values))
        for parameter, values in (
            ("telescope_sourceName", ["M87", "3C279", " "]),
            ("telescope_onSource", [True, "False", "true", "?"]),
        )
        for station in ("KP", "SMA")
        for n in range(100)
    ]
    wanted = []
    for parameter, station in {(p.parameter, p.station) for p in points}:
        former = None
        own = [p for p in points if (p.parameter, p.station) == (parameter, station)]
        for point in sorted(own, key=lambda p: p.stamp):
            meaning = f"source name is {point.value}"
            if parameter == "telescope_onSource":
                word = {True: "on", "true": "on", "False": "off"}.get(point.value)
                meaning = f"is {word} source" if word else ""
            if meaning and meaning != former:
                wanted.append((point.time_s, f"{station} {meaning}"))
                former = meaning
    assert len(wanted) > 100
    for _ in range(4):
        chance.shuffle(points)
        for at in range(0, len(points), 90):
            await rows.write(*points[at : at + 90])
        assert rows.events() == sorted(wanted)
        forget_rows(rows.database, "vlbimon_points")


@ensure
async def test_a_correction_changes_its_event_and_the_one_behind_it(rows: Rows) -> None:
    await rows.write(
        rows.masterlist(), *(rows.point("telescope_sourceName", "KP", T + n, "ABC"[n]) for n in range(3))
    )
    await rows.write(rows.point("telescope_sourceName", "KP", T + 1, "A", NOW_S + 5))
    assert rows.events() == [(T, "KP source name is A"), (T + 2, "KP source name is C")]


@ensure
async def test_events_of_an_unknown_parameter_come_when_a_list_knows_it(rows: Rows) -> None:
    name = "telescope_newWord"
    await rows.write(rows.point(name, "KP", T, "x"))
    assert rows.events() == []
    await rows.write(rows.masterlist(Parameter(name, "string")))
    assert rows.events() == [(T, "KP newWord is x")]
