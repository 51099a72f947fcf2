# SPDX-License-Identifier: MIT
"""How stations stand: each column follows its own newest point, in whatever order points come."""

from __future__ import annotations

import itertools
import math
import random
import threading
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
import pytest_twisted

from tessmon.sink.vlbimon_status import truth_of
from tessmon.sink.writer import FencedError
from tests.postgres import run
from tests.vlbimon_rows import NOW_S, Rows, forget_rows, rows, used_database

__all__ = ["rows", "used_database"]

ensure = pytest_twisted.ensureDeferred
T = NOW_S - 90
SOURCE, MODE, ON, TSYS, TAU = (
    "telescope_sourceName",
    "telescope_observingMode",
    "telescope_onSource",
    "if_1_systemTemp",
    "weather_tau225",
)


@ensure
async def test_each_column_has_its_value_and_the_unknown_is_null(rows: Rows) -> None:
    await rows.write(
        rows.point(SOURCE, "KP", T, "M87"),
        rows.point(ON, "KP", T + 1, True),
        rows.point(TAU, "KP", T + 3, 0.05),
        rows.point("recorder_2_shouldRecord", "KP", T + 2, "True"),
        rows.point("recorder_4_shouldRecord", "KP", T + 2, True),
        rows.point("recorder_1_shouldRecord", "KP", T + 2, "False"),
        rows.point("weather_pwv", "KP", T + 50, 1.1),
        rows.point("weather_pwv", "APEX", T + 50, 1.1),
        rows.point(TSYS, "SMA", T, 7),
        rows.point("recorder_3_shouldRecord", "GLT", T, "maybe"),
    )
    assert rows.status() == {
        "KP": {
            "station": "KP",
            "time": T + 3,
            "source": "M87",
            "onsource": "on",
            "recording": ".2.4",
            "tau225": 0.05,
        },
        "SMA": {"station": "SMA", "time": T, "tsys": 7.0},
        "GLT": {"station": "GLT", "time": T},
    }


UNDERSTOOD: tuple[tuple[str, list[Any], str, list[Any]], ...] = (
    (SOURCE, ["M87", " ", "", "\t\n", " M87 ", 7, True], "source", ["M87", "", "", "", " M87 ", "7", "true"]),
    (MODE, ["Tracking", " "], "mode", ["Tracking", ""]),
    (ON, [True, "true", "True", 1, False, "false", "False", 0], "onsource", ["on"] * 4 + ["off"] * 4),
    (ON, ["maybe", 2, 1.0, "", "TRUE"], "onsource", [None] * 5),
    (TSYS, [99999.9, 5e-324, -(1 << 40), "120", True], "tsys", [99999.9, 5e-324, -float(1 << 40), None, None]),
    (TAU, [math.inf, -math.inf], "tau225", ["Infinity", "-Infinity"]),
    ("recorder_1_shouldRecord", [True, False, "true", "?"], "recording", ["1...", "....", "1...", None]),
    ("recorder_4_shouldRecord", [1, 0], "recording", ["...4", "...."]),
)  # fmt: skip
"""Parameter, values, column, what it says of each."""


@ensure
async def test_what_comes_is_understood_or_unknown(rows: Rows) -> None:
    cases = [
        (parameter, f"{parameter} {number} {n}", value, column, said)
        for number, (parameter, values, column, wanted) in enumerate(UNDERSTOOD)
        for n, (value, said) in enumerate(zip(values, wanted, strict=True))
    ]
    await rows.write(*(rows.point(parameter, station, T, value) for parameter, station, value, _, _ in cases))
    found = rows.status()
    for parameter, station, value, column, said in cases:
        assert found[station].get(column) == said, (parameter, value)


@ensure
async def test_points_far_ahead_and_derived_ones_say_nothing(rows: Rows) -> None:
    await rows.write(
        rows.point(TSYS, "LMT", NOW_S + 601, 120.0),
        rows.point(SOURCE, "LMT", T, "M87", derived=True),
    )
    assert rows.status() == {}
    await rows.write(rows.point(TSYS, "LMT", NOW_S + 600, 121.0), rows.point(SOURCE, "LMT", T, "M87"))
    assert rows.status()["LMT"] == {"station": "LMT", "time": NOW_S + 600, "tsys": 121.0, "source": "M87"}


@ensure
async def test_every_order_and_cut_of_the_same_points_gives_the_same_status(rows: Rows) -> None:
    chance = random.Random(7)
    points = [
        rows.point(parameter, "KP", T + chance.randrange(4), value, NOW_S + n)
        for n, (parameter, value) in enumerate(
            itertools.islice(
                itertools.cycle(
                    [
                        (SOURCE, "A"),
                        (SOURCE, "B"),
                        (MODE, "x"),
                        (MODE, "y"),
                        (ON, True),
                        (ON, "False"),
                        (TSYS, 1.5),
                    ]
                ),
                24,
            )
        )
    ]
    seen = set()
    for _ in range(12):
        left = list(points)
        chance.shuffle(left)
        while left:
            some = chance.randrange(1, 12)
            await rows.write(*left[:some])
            del left[:some]
        seen.add(repr(sorted(rows.status()["KP"].items())) + repr([row[:4] for row in rows.rows()]))
        forget_rows(rows.database, "vlbimon_points", "vlbimon_status", "bridge_stationstatus")
    assert len(seen) == 1


@ensure
async def test_what_belongs_to_others_is_left_as_it_is(rows: Rows) -> None:
    await rows.write(rows.point(SOURCE, "KP", T, "M87"))
    rows.database.execute("UPDATE bridge_stationstatus SET scan = '095-1234'")
    rows.database.execute("INSERT INTO bridge_stationstatus (station, scan) VALUES ('SMA', 'No0012')")
    await rows.write(rows.point(SOURCE, "KP", T + 1, "3C279"), rows.point(SOURCE, "SMA", T + 1, "OJ287"))
    found = rows.status()
    assert (found["KP"]["source"], found["KP"]["scan"]) == ("3C279", "095-1234")
    assert (found["SMA"]["source"], found["SMA"]["scan"]) == ("OJ287", "No0012")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(rows.database.dsn, "UPDATE bridge_stationstatus SET scan = ''")


@ensure
async def test_a_status_that_stays_as_it_is_makes_no_new_row_version(rows: Rows) -> None:
    await rows.write(rows.point(SOURCE, "KP", T, "M87"))
    version = rows.database.fetch("SELECT xmin, ctid FROM bridge_stationstatus")
    await rows.write(rows.point(SOURCE, "KP", T, "M87", NOW_S + 1), rows.point(SOURCE, "KP", T - 9, "A"))
    assert rows.database.fetch("SELECT xmin, ctid FROM bridge_stationstatus") == version


def test_two_services_that_write_columns_of_one_station_at_once_lose_none(used_database: Any) -> None:
    forget_rows(used_database, "vlbimon_status", "bridge_stationstatus")
    call = "SELECT tessmon_vlbimon_status(%s, %s, %s, %s, %s)"

    def write(item: str) -> None:
        connection = psycopg2.connect(used_database.dsn)
        try:
            for n in range(60):
                with connection, connection.cursor() as cursor:
                    cursor.execute(call, [["KP"], [item], [T + n], [n], [f"{item} {n}"]])
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=[item]) for item in ("source", "mode", "onsource")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used_database.fetch("SELECT time, source, mode, onsource FROM bridge_stationstatus") == [
        (T + 59, "source 59", "mode 59", "onsource 59")
    ]


@ensure
async def test_the_newest_contact_with_each_client_is_kept(rows: Rows) -> None:
    await rows.write(
        rows.contact("APEX", "APEX central", T, "1.0"),
        rows.contact("APEX", "APEX central", T + 5.5, "1.1"),
        rows.contact("APEX", "APEX central", T + 3, "0.9"),
        rows.contact("APEX", "127.0.0.1", T),
    )
    await rows.write(
        rows.contact("APEX", "APEX central", T + 4, "1.2"),
        rows.contact("APEX", "127.0.0.1", T + 9),
        rows.contact("KP", "x\0\ud800", T, "v\0"),
        rows.contact("KP", "y", math.nan),
        rows.contact("KP", "y", math.inf),
        rows.contact("KP", "y", NOW_S + 86_401),
        rows.contact("KP", "y", 946_684_799),
        rows.contact("KP", "y", 10**30),
    )
    assert rows.database.fetch("SELECT * FROM vlbimon_clients ORDER BY station, client") == [
        ("APEX", "127.0.0.1", None, datetime.fromtimestamp(T + 9, UTC)),
        ("APEX", "APEX central", "1.1", datetime.fromtimestamp(T + 5.5, UTC)),
        ("KP", "x\\x00\\ud800", "v\\x00", datetime.fromtimestamp(T, UTC)),
    ]
    assert rows.rows() == []


@ensure
async def test_status_and_rows_are_of_one_transaction(rows: Rows) -> None:
    point = rows.point(SOURCE, "KP", T, "M87")
    rows.database.execute("UPDATE positions SET position = '{9,9,9}'")
    with pytest.raises(FencedError):
        await rows.write(point, rows.contact("KP", "c", T))
    for table in ("vlbimon_points", "vlbimon_status", "bridge_stationstatus", "vlbimon_clients", "tallies"):
        assert rows.database.fetch(f"SELECT count(*) FROM {table}") == [(0,)], table


def test_truth_has_few_spellings() -> None:
    assert [truth_of(value) for value in (True, "true", "True", 1)] == [True] * 4
    assert [truth_of(value) for value in (False, "false", "False", 0)] == [False] * 4
    assert {truth_of(value) for value in ("on", "", "TRUE", 2, 1.0, math.nan, -1)} == {None}
