# SPDX-License-Identifier: MIT
"""``tessmon location`` and ``tessmon observer`` on a real PostgreSQL."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from tessmon.cli.table import width
from tessmon.database.locations import Site, distance_m
from tests.cli.observatory_command import Command, misused, tessmon, unchanged_database

__all__ = ["tessmon", "unchanged_database"]

PEAK = ["location", "add", "Peak", "--latitude", "40.4", "--longitude", "-3.7", "--elevation", "667"]
JANE = ["observer", "add", "Jane Doe", "--type", "Individual"]
HERE = ["--latitude=1", "--longitude=2", "--elevation=3"]


def test_a_location_is_added_and_listed_with_who_stands_there(tessmon: Command) -> None:
    more = ["--town", "Madrid", "--country", "España", "--timezone", "Europe/Madrid"]
    assert tessmon.as_owner(*PEAK, *more) == (0, "location 1 is Peak\n", "")
    tessmon.photometer("stars1", "M1", [datetime(2026, 1, 1, tzinfo=UTC)])
    tessmon.photometer(None, "M2", [datetime(2026, 1, 1, tzinfo=UTC)])
    for who in ("stars1", "M2"):
        tessmon.done("photometer", "locate", who, "Peak")
    assert tessmon.json("location", "list") == [
        {
            "location_id": 1,
            "place": "Peak",
            "longitude": -3.7,
            "latitude": 40.4,
            "elevation": 667.0,
            "town": "Madrid",
            "sub_region": "Unknown",
            "region": "Unknown",
            "country": "España",
            "timezone": "Europe/Madrid",
            "photometers": ["M2", "stars1"],
        }
    ]
    assert tessmon.done("location", "list").splitlines()[1].split() == [
        *("1", "Peak", "40.40000", "-3.70000", "667", "M2", "stars1")
    ]


def test_an_observer_is_added_and_listed(tessmon: Command) -> None:
    more = ["--affiliation", "UCM", "--email", "jane@example.org", "--website", "https://example.org/~jane"]
    assert tessmon.as_owner(*JANE, *more) == (0, "observer 1 is Jane Doe\n", "")
    assert tessmon.as_owner("observer", "add", "Peak Observatory", "--type", "Organization")[0] == 0
    tessmon.photometer("stars1", "M1", [datetime(2026, 1, 1, tzinfo=UTC)])
    tessmon.done("photometer", "locate", "stars1", "-", "--observer", "Jane Doe")
    listed = tessmon.json("observer", "list")
    assert listed[0] == {
        "observer_id": 1,
        "name": "Jane Doe",
        "type": "Individual",
        "affiliation": "UCM",
        "acronym": None,
        "website_url": "https://example.org/~jane",
        "email": "jane@example.org",
        "photometers": 1,
    }
    assert listed[1]["photometers"] == 0
    assert tessmon.done("observer", "list").splitlines()[1].split() == [
        *("1", "Jane", "Doe", "Individual", "1", "UCM")
    ]


def test_without_any_it_says_how_to_make_one(tessmon: Command) -> None:
    for noun in ("location", "observer"):
        assert tessmon.done(noun, "list") == f"no {noun}s: `tessmon {noun} add` makes one\n"
        assert tessmon.json(noun, "list") == []


def test_twins_are_refused_and_neighbours_told(tessmon: Command) -> None:
    tessmon.as_owner(*PEAK)
    tessmon.as_owner(*JANE)
    owner = ["--dsn", tessmon.database.owner_dsn]
    assert "location 1 is named Peak already" in tessmon.refused("location", "add", "PEAK", *HERE, *owner)
    assert "location 1, Peak, has these coordinates already" in tessmon.refused(
        *PEAK[:2], "Summit", *PEAK[3:], *owner
    )
    assert "observer 1 is named Jane Doe already" in tessmon.refused(
        "observer", "add", "jane doe", "--type", "Organization", *owner
    )
    beside = ["location", "add", "Beside", "--latitude=40.4005", "--longitude=-3.7", "--elevation=667"]
    code, text, warning = tessmon.as_owner(*beside)
    assert (code, text) == (0, "location 2 is Beside\n")
    assert warning == "tessmon: warning: location 1, Peak, is only 56 m away: is it the same?\n"
    assert tessmon.as_owner("location", "add", "Away", *HERE) == (0, "location 3 is Away\n", "")
    assert len(tessmon.json("location", "list")) == 3


@pytest.mark.parametrize(("arguments", "table"), [(PEAK, "location_t"), (JANE, "observer_t")])
def test_the_service_may_not_add_any_and_is_told_who_may(
    tessmon: Command, arguments: list[str], table: str
) -> None:
    told = tessmon.refused(*arguments)
    assert "the user tessmon_writer may not add" in told
    assert f"run: GRANT SELECT, INSERT ON {table} TO tessmon_writer;" in told
    assert tessmon.database.fetch(f"SELECT count(*) FROM {table}") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (
            ["location", "add", "X", "--latitude=90.1", "--longitude=2", "--elevation=3"],
            "from -90 to 90 degrees",
        ),
        (["location", "add", "X", "--latitude=1", "--longitude=-181", "--elevation=3"], "from -180 to 180"),
        (["location", "add", "X", "--latitude=nan", "--longitude=2", "--elevation=3"], "is no number"),
        (["location", "add", "X", "--latitude=40,5", "--longitude=2", "--elevation=3"], "is no number"),
        (["location", "add", "X", "--latitude=1", "--longitude=2", "--elevation=9001"], "metres"),
        (["location", "add", "X", "--latitude=1", "--longitude=2"], "--elevation"),
        (["location", "add", "  ", *HERE], "not blank"),
        (["location", "add", "x" * 256, *HERE], "at most 255"),
        (["location", "add", "\udcff", *HERE], "visible"),
        (["location", "add", "X", *HERE, "--timezone", "Europe/Madird"], "did you mean Europe/Madrid?"),
        (["location", "add", "X", *HERE, "--timezone", "CEST+2"], "time zone"),
        (["observer", "add", "X"], "--type"),
        (["observer", "add", "X", "--type", "Robot"], "Individual"),
        (["observer", "add", "X", "--type", "Individual", "--email", "jane"], "e-mail"),
        (["observer", "add", "X", "--type", "Individual", "--website", "example.org"], "https"),
    ],
)
def test_what_cannot_be_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert word in misused(capsys, *arguments)


def test_long_names_stay_within_the_terminal(tessmon: Command) -> None:
    tessmon.as_owner("location", "add", "星" * 200, *HERE)
    tessmon.as_owner("observer", "add", "星" * 200, "--type", "Organization", "--affiliation", "x" * 200)
    for noun in ("location", "observer"):
        assert all(width(line) <= 80 for line in tessmon.done(noun, "list").splitlines())


@pytest.mark.parametrize(
    ("one", "other", "expected_m"),
    [
        ((0.0, 0.0), (0.0, 90.0), 6_371_009 * math.pi / 2),
        ((90.0, 0.0), (-90.0, 77.0), 6_371_009 * math.pi),
        ((60.0, 10.0), (60.0, 10.001), 55.6),
        ((0.0, 179.9999), (0.0, -179.9999), 22.2),
        ((40.0, -4.0), (40.0, -4.0), 0.0),
    ],
)
def test_distances_are_those_of_the_globe(
    one: tuple[float, float], other: tuple[float, float], expected_m: float
) -> None:
    sites = [Site("", longitude, latitude) for latitude, longitude in (one, other)]
    assert distance_m(*sites) == pytest.approx(expected_m, rel=5e-3, abs=1e-6)
