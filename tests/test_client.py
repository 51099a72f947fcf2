# SPDX-License-Identifier: MIT
"""What a script gets of telemetry."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas
import pytest

from tessmon.client import FetchError, Row, as_stored, fetch, rows
from tessmon.database.plain import DatabaseError
from tessmon.decode.schemas import Field
from tests.postgres import LOGINS, Database, unchanged_database
from tests.telemetry_rows import BEGIN, store_events

__all__ = ["unchanged_database"]

ROOT = Path(__file__).parents[1]
END = BEGIN + timedelta(days=1)


@pytest.fixture
def telemetry(unchanged_database: Database) -> Iterator[Database]:
    """A database without telemetry."""
    yield unchanged_database
    unchanged_database.execute("DELETE FROM telem")


def values(database: Database, key: str, device: str = "camwfs", **more: Any) -> list[Any]:
    return [row.value for row in rows(device, key, BEGIN, END, dsn=database.reader_dsn, **more)]


def same(found: Any, wanted: Any) -> bool:
    """Equal in type and value; NaN equals itself, and the zeros differ."""
    return type(found) is type(wanted) and (repr(found) == repr(wanted))


FLOATS = [0.1, 5.0, 1e16, 1.2345678901234567e18, 1.7976931348623157e308, 5e-324, -2.5, 1 / 3]
WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0.0": -0.0}


def test_floats_come_back_as_they_were_also_those_that_json_lacks(telemetry: Database) -> None:
    store_events(telemetry, [{"fps": value} for value in [*FLOATS, *WORDS]])
    found = values(telemetry, "fps")
    assert len(found) == len(FLOATS) + len(WORDS)
    assert all(map(same, found, [*FLOATS, *WORDS.values()]))


def test_whole_numbers_are_exact(telemetry: Database) -> None:
    whole = [0, -1, (1 << 53) + 1, (1 << 64) - 1, -(1 << 63)]
    store_events(telemetry, [{"count": value} for value in whole], ec="telem_indi_set")
    assert all(map(same, values(telemetry, "count"), whole))


def test_words_of_a_text_stay_words(telemetry: Database) -> None:
    store_events(telemetry, [{"obsName": "NaN", "observing": True}], ec="telem_observer")
    assert values(telemetry, "obsName") == ["NaN"]
    assert values(telemetry, "observing") == [True]


def test_what_no_schema_knows_is_taken_as_it_looks(telemetry: Database) -> None:
    store_events(
        telemetry,
        [{"v": value} for value in (1, 1.0, "NaN", "on", True, ["-0.0", 1], {"x": "Infinity"})],
        ec="other",
    )
    found = values(telemetry, "v")
    assert list(map(repr, found)) == ["1", "1.0", "nan", "'on'", "True", "[-0.0, 1]", "{'x': inf}"]


def test_keys_lead_into_tables_and_lists(telemetry: Database) -> None:
    store_events(telemetry, [{"tempCtrl": {"temp": -40.5, "statusStr": "NaN"}, "a.b": 7, "a": {"b": 8}}])
    assert values(telemetry, "tempCtrl.temp") == [-40.5]
    assert values(telemetry, "tempCtrl.statusStr") == ["NaN"]
    assert values(telemetry, "tempCtrl") == [{"temp": -40.5, "statusStr": "NaN"}]
    assert values(telemetry, "a.b") == [7]  # the key itself, where there is one of that name
    store_events(telemetry, [{"loads": [0.5, "NaN"]}], ec="telem_coreloads")
    assert repr(values(telemetry, "loads.1")) == "[nan]"
    assert values(telemetry, "loads.5") == []


def test_records_without_the_key_or_with_null_are_left_out(telemetry: Database) -> None:
    store_events(telemetry, [{"fps": 1.5}, {}, {"fps": None}, "text", ["fps"], {"fps": 0.0}])
    assert values(telemetry, "fps") == [1.5, 0.0]


def test_bounds_are_included_and_rows_stand_in_the_order_of_time(telemetry: Database) -> None:
    store_events(telemetry, [{"fps": float(n)} for n in range(10)])
    store_events(telemetry, [{"fps": n + 0.5} for n in range(10)], ns=7)
    first, last = BEGIN + timedelta(seconds=2), BEGIN + timedelta(seconds=4)
    found = list(rows("camwfs", "fps", first, last, dsn=telemetry.reader_dsn))
    assert found == [
        Row(BEGIN + timedelta(seconds=n), ns, n + half)
        for n in (2, 3, 4)
        for ns, half in ((0, 0.0), (7, 0.5))
    ]
    assert {row.at.tzinfo for row in found} == {UTC}
    assert list(rows("camwfs", "fps", last, first, dsn=telemetry.reader_dsn)) == []


def test_event_code_and_limit_choose(telemetry: Database) -> None:
    store_events(telemetry, [{"fps": float(n)} for n in range(5)])
    store_events(telemetry, [{"fps": 100.0}] * 5, ec="telem_other")
    store_events(telemetry, [{"fps": 200.0}] * 5, device="camsci1")
    assert values(telemetry, "fps", ec="telem_stdcam") == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert values(telemetry, "fps", ec="telem_stdcam", limit=2) == [0.0, 1.0]
    assert len(values(telemetry, "fps")) == 10
    assert values(telemetry, "fps", ec="telem") == []


@pytest.mark.parametrize("hours", [-4, 0, 10.5])
def test_any_time_zone_means_the_same_instant(telemetry: Database, hours: float) -> None:
    store_events(telemetry, [{"fps": 1.0}])
    there = BEGIN.astimezone(timezone(timedelta(hours=hours)))
    assert list(rows("camwfs", "fps", there, there, dsn=telemetry.reader_dsn)) == [Row(BEGIN, 0, 1.0)]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"start": datetime(2026, 3, 1)}, "start has no time zone"),
        ({"end": datetime(2026, 3, 1)}, "end has no time zone"),
        ({"key": ""}, "is no key"),
        ({"key": "a..b"}, "is no key"),
        ({"limit": 0}, "limit is a whole number from 1"),
    ],
)
def test_what_can_not_be_asked_is_refused_with_a_sentence(changed: dict[str, Any], words: str) -> None:
    wanted = {"device": "camwfs", "key": "fps", "start": BEGIN, "end": END, "dsn": "host=127.0.0.1 port=1"}
    with pytest.raises(FetchError, match=words):
        fetch(**(wanted | changed))


def test_a_database_that_is_away_is_one_sentence() -> None:
    with pytest.raises(DatabaseError, match="can't be reached"):
        fetch("camwfs", "fps", BEGIN, END, dsn="host=127.0.0.1 port=1 dbname=x")


def test_with_pandas_it_is_a_table(telemetry: Database) -> None:
    store_events(telemetry, [{"fps": value} for value in (1.5, "NaN", 5.0)], ns=3)
    table = fetch("camwfs", "fps", BEGIN, END, dsn=telemetry.reader_dsn)
    assert list(table.columns) == ["at", "ns", "value"]
    assert str(table["value"].dtype) == "float64"
    assert str(table["at"].dt.tz) == "UTC"
    assert table["at"][2].to_pydatetime() == BEGIN + timedelta(seconds=2)
    assert list(table["ns"]) == [3, 3, 3]
    assert list(map(repr, map(float, table["value"]))) == ["1.5", "nan", "5.0"]


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([1, 2], "int64"),
        ([1, 2.5], "float64"),
        ([1, (1 << 64) - 1], "uint64"),
        ([(1 << 53) + 1, 2.5], "object"),
        (["on", 1], "object"),
        ([True, False], "object"),
    ],
)
def test_no_number_loses_digits_in_a_table(telemetry: Database, given: list[Any], dtype: str) -> None:
    store_events(telemetry, [{"v": value} for value in given], ec="telem_indi_set")
    column = fetch("camwfs", "v", BEGIN, END, dsn=telemetry.reader_dsn)["value"]
    assert str(column.dtype) == dtype
    assert column.tolist() == given


def test_an_empty_table_has_its_columns(telemetry: Database) -> None:
    table = fetch("nobody", "fps", BEGIN, END, dsn=telemetry.reader_dsn)
    assert isinstance(table, pandas.DataFrame)
    assert (list(table.columns), len(table)) == (["at", "ns", "value"], 0)
    assert str(table["at"].dt.tz) == "UTC"


SCRIPT = """
import sys
sys.modules["pandas"] = None  # as if it were not installed
import json
from datetime import UTC, datetime, timedelta
from tessmon.client import fetch
begin = datetime.fromisoformat(sys.argv[1])
print(json.dumps([[row.at.isoformat(), row.ns, row.value] for row in fetch("camwfs", "fps", begin, begin, dsn="")]))
"""


def test_without_pandas_it_is_a_list_and_the_environment_can_say_where_the_database_is(
    telemetry: Database,
) -> None:
    store_events(telemetry, [{"fps": 1.5}], ns=9)
    environment = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(telemetry.server.port),
        "PGUSER": "tessmon_reader",
        "PGPASSWORD": LOGINS["tessmon_reader"],
        "PGDATABASE": telemetry.name,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, BEGIN.isoformat()],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )
    assert json.loads(done.stdout) == [[BEGIN.isoformat(), 9, 1.5]]


def test_the_configuration_says_where_the_database_is_and_which_codes_there_are(
    telemetry: Database, tmp_path: Path
) -> None:
    store_events(telemetry, [{"what": "NaN"}], ec="telem_new")
    codes, settings = tmp_path / "codes.toml", tmp_path / "tessmon.toml"
    codes.write_text('[[event]]\ncode = 30000\nname = "telem_new"\nfields = ["what: string"]\n')
    settings.write_text(
        f"[database]\ndsn = {json.dumps(telemetry.reader_dsn)}\n[files]\nschemas = [{json.dumps(str(codes))}]\n"
    )
    settings.chmod(0o600)
    assert [row.value for row in rows("camwfs", "what", BEGIN, END, configuration=settings)] == ["NaN"]
    assert list(map(str, values(telemetry, "what"))) == ["nan"]


MEASURE = """
import resource, sys
from datetime import datetime, timedelta
from tessmon.client import rows
begin = datetime.fromisoformat(sys.argv[1])
number = 0
for row in rows("camwfs", "fps", begin, begin + timedelta(days=1), dsn=sys.argv[2], limit=int(sys.argv[3])):
    number += 1
print(number, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_rows_taken_one_by_one_need_no_more_memory_when_there_are_more(telemetry: Database) -> None:
    text = "x" * 500
    store_events(telemetry, ({"fps": text} for _ in range(40_000)), step=timedelta(milliseconds=1))

    def measured(limit: int) -> int:
        command = [sys.executable, "-c", MEASURE, BEGIN.isoformat(), telemetry.reader_dsn, str(limit)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        number, peak_kib = map(int, done.stdout.split())
        assert number == limit
        return peak_kib * 1024

    assert measured(40_000) - measured(4_000) < 5 << 20


@pytest.mark.parametrize("value", [1, 1.5, "NaN", None, True])
def test_a_field_that_is_a_float_makes_floats_of_numbers_only(value: Any) -> None:
    made = as_stored(value, Field("x", "float32"))
    assert isinstance(made, float) == (value in (1, 1.5, "NaN") and value is not True)
