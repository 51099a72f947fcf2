# SPDX-License-Identifier: MIT
"""Parameters get numbers and views of the right type, whatever they are called; the masterlist says what they are."""

from __future__ import annotations

import math
from typing import Any

import psycopg2
import pytest
import pytest_twisted

from tessmon.database.check import check
from tessmon.database.session import Session
from tessmon.records.batch import Batch, Item
from tessmon.records.vlbimon import Parameter
from tessmon.sink.vlbimon_names import Names, event_phrase
from tests.postgres import Database, run
from tests.vlbimon_rows import Rows, rows, used_database, warnings

__all__ = ["rows", "used_database", "warnings"]

ensure = pytest_twisted.ensureDeferred
T = 1_712_345_600
LOWEST = -(1 << 63)
OURS = """SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^ts_param_'
          ORDER BY 1"""
VIEWS = (
    "SELECT parameter, view_name, view_type FROM vlbimon_parameters WHERE parameter !~ '^bridge_' ORDER BY 1"
)


@pytest_twisted.async_yield_fixture
async def fresh(database: Database) -> Any:
    made = await Rows.connect(database)
    yield made
    made.connection.close()


def view(database: Database, name: str) -> list[tuple[Any, ...]]:
    """As a dashboard asks."""
    return run(database.reader_dsn, f"SELECT time, station, value, sent, stamp FROM {name} ORDER BY time")


@ensure
async def test_the_array_gets_its_views_and_keeps_them(fresh: Rows, warnings: list[str]) -> None:
    await fresh.write(fresh.masterlist())
    views = {name: (view_name, kind) for name, view_name, kind in fresh.database.fetch(VIEWS)}
    assert len(views) == 560
    assert views["telescope_onSource"] == ("ts_param_telescope_onsource", "smallint")
    assert views["weather_tau225"][1] == "double precision"
    assert views["telescope_azimuthElevation"][1] == "text"
    assert views["telescope_azimuthElevation_az"][1] == "double precision"
    assert views["telescope_epochRaDec_dec"][1] == "double precision"
    assert "observatory_coordinates_ra" not in views
    fractions = [name for name in views if name.endswith(("Datarate", "SpaceLeft", "TimeLeft"))]
    assert len([name for name in fractions if views[name][1] == "double precision"]) >= 48
    assert views["weatherMap_waterVapor_image"] == (None, None)
    [(made,)] = fresh.database.fetch("SELECT count(*) FROM pg_views WHERE viewname LIKE 'ts_param%'")
    assert made == 559 + 4
    oids = "SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relname LIKE 'ts_param%'"
    before = fresh.database.fetch(oids)
    await fresh.begin()
    await fresh.write(fresh.masterlist())
    assert fresh.database.fetch(oids) == before
    assert warnings == []
    assert [one for one in check(fresh.database.owner_dsn) if not one.ok] == []
    [found] = [one for one in check(fresh.database.owner_dsn) if one.name == "parameter views"]
    assert found.sentence == "all 562 are there"
    [others] = [one for one in check(fresh.database.owner_dsn) if one.name == "foreign objects"]
    assert others.sentence == "none"


class Counted:
    """A session that remembers what was sent."""

    def __init__(self, session: Session) -> None:
        self.sent: list[str] = []
        self.execute = session.execute
        self._query = session.query

    def query(self, sql: str, args: Any = None) -> Any:
        self.sent.append(sql)
        return self._query(sql, args)


@ensure
async def test_what_is_known_costs_no_call(rows: Rows) -> None:
    session, names = Counted(rows.connection), Names(rows.breath)
    known = Batch([Item((), rows.masterlist()), Item((), rows.point("weather_tau225", "KP", T, 1))])
    await names.learn(session, known)
    assert sum("tessmon_vlbimon_parameters" in sql for sql in session.sent) == 3
    assert len(session.sent) == 4
    session.sent.clear()
    await names.learn(session, known)
    assert session.sent == []
    names.forget()
    await names.learn(session, known)
    assert len(session.sent) == 4


TYPED: tuple[tuple[str, list[Any], list[Any]], ...] = (
    ("float", [1.5, 7, 1 << 62, True, "1.5", math.inf], [1.5, 7.0, 2.0**62, None, None, math.inf]),
    ("number", [math.inf, -0.5], [math.inf, -0.5]),
    ("int", [7, 7.0, 7.5, 1e300, math.inf, LOWEST, True, "7"], [7, 7, None, None, None, LOWEST, None, None]),
    ("boolean", [True, "true", "True", 1, False, "false", "False", 0], [1, 1, 1, 1, 0, 0, 0, 0]),
    ("boolean", ["yes", 2, 1.0, "", "TRUE"], [None, None, None, None, None]),
    ("string", ["M87", True, 7, 1.5, math.nan, " "], ["M87", "true", "7", "1.5", "NaN", " "]),
    ("document", ["x"], ["x"]),
    ("AzElCoordinates", ["1+2"], ["1+2"]),
    ("something new", [7], ["7"]),
)  # fmt: skip
"""Datatype, values, what the view has for them."""
TEXTS = {True: "true", False: "false"}
NUMBERS = {"inf": "Infinity", "nan": "NaN", "1.0": "1", "7.0": "7"}


@ensure
async def test_a_view_gives_values_of_its_type_and_what_does_not_fit_as_text(rows: Rows) -> None:
    await rows.write(
        rows.masterlist(*(Parameter(f"typed_{n}_X", datatype) for n, (datatype, _, _) in enumerate(TYPED))),
        *(
            rows.point(f"typed_{number}_X", "KP", T + n + 0.5, value)
            for number, (_, values, _) in enumerate(TYPED)
            for n, value in enumerate(values)
        ),
    )
    for number, (datatype, values, wanted) in enumerate(TYPED):
        found = view(rows.database, f"ts_param_Typed_{number}_x")
        assert [value for _, _, value, _, _ in found] == wanted, datatype
        assert [sent for _, _, _, sent, _ in found] == [as_text(value) for value in values]
        assert [stamp - at_s for at_s, _, _, _, stamp in found] == [0.5] * len(values)


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return TEXTS[value]
    return value if isinstance(value, str) else NUMBERS.get(repr(value), repr(value))


@ensure
async def test_an_unknown_parameter_is_stored_told_once_and_typed_when_a_list_knows_it(
    fresh: Rows, warnings: list[str]
) -> None:
    await fresh.write(fresh.masterlist(Parameter("known", "int"), stations=["KP"]))
    await fresh.write(
        fresh.point("mystery_1_knob", "KP", T, 1.5),
        fresh.point("known", "KP", T, 1),
        fresh.point("known", "NEWT", T, 1),
        fresh.point("known", "bridge", T, 1, derived=True),
    )
    told = [
        "station NEWT is in no masterlist: what it sends is stored",
        "parameter mystery_1_knob of KP is in no masterlist: it is stored as it comes",
    ]
    assert sorted(warnings) == sorted(told)
    assert view(fresh.database, "ts_param_mystery_1_knob") == [(T, "KP", "1.5", "1.5", float(T))]
    for at_s in (T + 1, T + 2):
        await fresh.begin()
        await fresh.write(fresh.point("mystery_1_knob", "NEWT", at_s, 2))
    assert len(warnings) == 2
    await fresh.write(
        fresh.masterlist(Parameter("mystery_1_knob", "number", "optional", "K", "a knob", 60.0, 0.0))
    )
    assert [value for _, _, value, _, _ in view(fresh.database, "ts_param_mystery_1_knob")] == [1.5, 2.0, 2.0]
    assert fresh.database.fetch(
        "SELECT datatype, partype, units, description, cadence_public_s, cadence_private_s FROM vlbimon_parameters "
        "WHERE parameter LIKE 'mystery%'"
    ) == [("number", "optional", "K", "a knob", 60.0, 0.0)]
    assert fresh.database.fetch("SELECT station, listed FROM vlbimon_stations ORDER BY 1") == [
        ("KP", True),
        ("NEWT", False),
    ]
    await fresh.write(fresh.masterlist(Parameter("other", "int"), stations=["NEWT"]))
    assert fresh.database.fetch("SELECT listed FROM vlbimon_stations WHERE station = 'NEWT'") == [(True,)]
    assert fresh.database.fetch("SELECT view_type FROM vlbimon_parameters WHERE parameter LIKE 'm%'") == [
        ("double precision",)
    ]  # what one list said holds when another does not say it
    assert len(warnings) == 2


@ensure
async def test_derived_parameters_have_the_type_of_their_values_and_nobody_is_told(
    fresh: Rows, warnings: list[str]
) -> None:
    await fresh.write(
        fresh.point("x_az", "KP", T, 1.5, derived=True),
        fresh.point("count", "KP", T, 3, derived=True),
        fresh.point("bridge_points", "bridge", T, 3, derived=True),
        fresh.point("bridge_totalLag", "KP", T, 0.25, derived=True),
    )
    assert fresh.database.fetch(VIEWS) == [
        ("count", "ts_param_count", "bigint"),
        ("x_az", "ts_param_x_az", "double precision"),
    ]
    assert view(fresh.database, "ts_param_bridge_totalLag") == [(T, "KP", 0.25, "0.25", float(T))]
    assert warnings == ["station KP is in no masterlist: what it sends is stored"]


HOSTILE = (
    *('x"; DROP TABLE vlbimon_points; --', "'; SELECT 1; --", "a b", "a-b", "ü", "%s", "%I", "$$", "1st", ""),
    *("select", "a" * 54, "b" * 55, "c" * 60, "d" * 200, "Twin", "tWIN", "twin", "schedule", "bridge_events"),
    *("{a,b}", "\\", '"', "NULL", "pg_class", "TWIN_", "é" * 200),
)


@ensure
async def test_no_name_from_the_wire_is_ever_a_statement(fresh: Rows, warnings: list[str]) -> None:
    names = [name for name in HOSTILE if name]
    await fresh.write(fresh.point("p", "KP", T, 1))
    before = fresh.database.fetch(OURS)
    sent = [fresh.point(name, name, T, n) for n, name in enumerate(names)]
    assert await fresh.write(*sent) == {"stored": len(names)}
    assert [(name, name, T, n, 0) for n, name in enumerate(names)] == sorted(
        (row for row in fresh.rows() if row[0] != "p"), key=lambda row: row[3]
    )
    assert fresh.database.fetch(OURS) == before
    views = dict(fresh.database.fetch("SELECT parameter, view_name FROM vlbimon_parameters"))
    have = {name for name in names if views[name] is not None}
    assert have == {"select", "a" * 54, "Twin", "NULL", "pg_class", "TWIN_"}
    assert views["Twin"] == "ts_param_twin"
    for name in have:
        assert [value for _, _, value, _, _ in view(fresh.database, f"ts_param_{name}")] == [
            str(names.index(name))
        ]
    complaints = [line for line in warnings if "no view" in line]
    assert len(complaints) == 4  # tWIN and twin; two names are taken by what others look at or write
    [found] = [one for one in check(fresh.database.owner_dsn) if one.name == "parameter views"]
    assert found.ok
    assert f"{len(names) - len(have)} parameters have none" in found.sentence
    await fresh.write(
        fresh.masterlist(*(Parameter(name, "float") for name in HOSTILE), stations=list(HOSTILE))
    )
    assert fresh.database.fetch(OURS) == before


@ensure
async def test_what_a_masterlist_says_harms_nothing(fresh: Rows) -> None:
    await fresh.write(
        fresh.masterlist(
            Parameter("a", "fl\0oat\ud800", "p\0", "\ud800", "d\0", math.nan, math.inf),
            Parameter("b\0", "float"),
            Parameter("c\ud800", "float"),
            Parameter("d", "float", "mandatory"),
            Parameter("d", "float", "optional", stations=("SMA",)),
            Parameter("e", "int", "optional", stations=("SMA",)),
            Parameter("e", "int", "mandatory"),
            Parameter("f" * 201, "int"),
            Parameter("é" * 200, "AzElCoordinates"),
            stations=["KP", "bad\0", "\udcff", "x" * 201],
        )
    )
    assert fresh.database.fetch(
        "SELECT parameter, partype FROM vlbimon_parameters WHERE parameter !~ '^bridge' ORDER BY 1"
    ) == [
        ("a", "p\\x00"),
        ("d", "mandatory"),
        ("e", "mandatory"),
        *(
            (f"{'é' * 200}{ending}", kind)
            for ending, kind in (("", ""), ("_az", "derived"), ("_el", "derived"))
        ),
    ]
    assert fresh.database.fetch("SELECT station FROM vlbimon_stations") == [("KP",)]


@ensure
async def test_a_view_that_others_stand_on_or_look_at_keeps_its_type_until_the_next_time(
    fresh: Rows, warnings: list[str]
) -> None:
    names = ("under", "seen", "free")
    await fresh.write(*(fresh.point(name, "KP", T, 1) for name in names))
    fresh.database.execute("CREATE VIEW report AS SELECT value FROM ts_param_under")
    reader = psycopg2.connect(fresh.database.reader_dsn)
    try:
        with reader.cursor() as cursor:
            cursor.execute("SELECT * FROM ts_param_seen")
        warnings.clear()
        await fresh.write(fresh.masterlist(*(Parameter(name, "int") for name in names)))
    finally:
        reader.close()
    assert [kind for _, _, kind in fresh.database.fetch(VIEWS)] == ["text"] * 3
    assert any("ts_param_under stays text, because others stand on it" in line for line in warnings)
    assert sum("stays text for now" in line for line in warnings) == 2
    fresh.database.execute("DROP VIEW report")
    await fresh.begin()
    await fresh.write(fresh.masterlist(*(Parameter(name, "int") for name in names)))
    assert [kind for _, _, kind in fresh.database.fetch(VIEWS)] == ["bigint"] * 3


@ensure
async def test_a_view_that_is_gone_is_told_by_the_check_and_made_again(fresh: Rows) -> None:
    await fresh.write(fresh.masterlist(Parameter("x", "int"), Parameter("y", "int")))
    fresh.database.execute("DROP VIEW ts_param_x; ALTER VIEW ts_param_y OWNER TO postgres")
    [found] = [one for one in check(fresh.database.owner_dsn) if one.name == "parameter views"]
    assert not found.ok
    assert found.sentence.startswith(
        "ts_param_x is missing, ts_param_y belongs to postgres: those that are missing"
    )
    await fresh.begin()
    await fresh.write(fresh.masterlist(Parameter("x", "int"), Parameter("y", "int")))
    assert view(fresh.database, "ts_param_x") == []


@ensure
async def test_points_of_parameters_that_nobody_knows_are_counted_by_the_check(fresh: Rows) -> None:
    await fresh.write(
        fresh.point("x", "KP", T, 1), fresh.point("x", "KP", T + 86_400 * 40, 1), fresh.point("y", "KP", T, 1)
    )
    assert next(one for one in check(fresh.database.owner_dsn) if one.name == "references").ok
    fresh.database.execute("DELETE FROM vlbimon_parameters WHERE parameter = 'x'")
    [found] = [one for one in check(fresh.database.owner_dsn) if one.name == "references"]
    for month in ("2024_04", "2024_05"):
        assert (
            f"1 rows of vlbimon_points_{month} with a parameter_id that vlbimon_parameters lacks"
            in found.sentence
        )


@ensure
async def test_names_without_end_do_not_fill_the_memory(rows: Rows, warnings: list[str]) -> None:
    names = Names(rows.breath, max_names=100)
    for number in range(12):
        points = [rows.point(f"{number} {n}", f"{number} S{n}", T, n) for n in range(40)]
        batch = Batch([Item((), point) for point in points])
        await names.learn(rows.connection, batch)
        assert {point.parameter for point in points} <= names.parameters.keys()
        assert len(names.parameters) + len(names._stations) <= 180
    found = rows.database.fetch("SELECT count(*) FROM vlbimon_parameters WHERE parameter ~ '^[0-9]+ [0-9]+$'")
    assert found == [(480,)]
    assert sum("parameter" in line for line in warnings) == 12 * 21
    assert sum(line.startswith("station") for line in warnings) == 12 * 20


@ensure
async def test_there_are_no_more_views_than_a_server_bears(fresh: Rows) -> None:
    fresh.database.execute(
        "INSERT INTO vlbimon_parameters (parameter, view_name) "
        "SELECT 'x' || n, 'ts_param_none_' || n FROM generate_series(1, 4996) n"
    )
    await fresh.write(*(fresh.point(name, "KP", T, 1) for name in ("aa", "bb", "cc")))
    found = fresh.database.fetch(
        "SELECT parameter, view_name FROM vlbimon_parameters WHERE parameter ~ '^[abc]{2}$' ORDER BY 1"
    )
    assert found == [("aa", "ts_param_aa"), ("bb", None), ("cc", None)]


@pytest.mark.parametrize(
    ("name", "datatype", "phrase"),
    [
        ("telescope_sourceName", "string", "source name is"),
        ("telescope_observingMode", "string", "mode is"),
        ("telescope_pointingCorrection", "string", "pointing is"),
        ("telescope_focusCorrection", "string", "focus is"),
        ("telescope_status", "string", "status is"),
        ("observerMessages_observatoryStatus", "string", "status is"),
        ("observerMessages_observer", "string", "observer is"),
        ("observerMessages_weather", "string", "weather is"),
        ("telescope_extract", "string", "extract is"),
        ("telescope_onSource", "boolean", "is"),
        ("telescope_epochType", "string", None),
        ("telescope_azimuthElevation", "AzElCoordinates", None),
        ("telescope_surfaceRms", "float", None),
        ("recorder_1_status", "string", None),
        ("observatory_name", "string", None),
    ],
)
def test_events_are_made_of_what_observers_say(name: str, datatype: str, phrase: str | None) -> None:
    assert event_phrase(Parameter(name, datatype)) == phrase


@pytest.mark.parametrize(
    "names",
    ["NULL", "array_fill('x'::text, ARRAY[501])", "ARRAY[NULL]", "ARRAY['']", "ARRAY[repeat('x', 251)]"],
)
def test_hostile_arguments_make_nothing(used_database: Database, names: str) -> None:
    before = used_database.fetch("SELECT count(*) FROM pg_class")
    with pytest.raises(psycopg2.Error):
        run(
            used_database.dsn,
            f"SELECT tessmon_vlbimon_parameters({names}, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')",
        )
    assert used_database.fetch("SELECT count(*) FROM pg_class") == before
