# SPDX-License-Identifier: MIT
"""Trees of CSV files become rows: with the right types, once, and what is bad in them is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessmon.config.model import Config, Database
from tessmon.database.parameters import session_parameters
from tessmon.files.link import Link
from tessmon.past.csv_load import Load, Loaded
from tessmon.past.fetching import masterlist_of_file
from tessmon.past.storing import Storing
from tests import postgres
from tests.past.emptied import emptied, unchanged_database
from tests.vlbimon_service import rows

__all__ = ["emptied", "unchanged_database"]

MASTERLIST = Path(__file__).parents[1] / "vlbimon" / "masterlist.json"
AT_S = 1_712_345_600
OLD_S = AT_S + 86_400
DATATYPES = {
    "weather_tau225": "number",
    "telescope_sourceName": "text",
    "telescope_status": "text",
    "telescope_azimuthElevation": "text",
    "telescope_onSource": "boolean",
    "recorder_1_groupaSpaceLeft": "number",
}


class Tree:
    """Files, and a database to load them into."""

    def __init__(self, directory: Path, database: postgres.Database) -> None:
        self.directory = directory
        self.database = database
        self.config = Config(database=Database(dsn=database.dsn))
        parameters = session_parameters(self.config.database, application_name="test", statement_timeout_s=30)
        self.link = Link(parameters, lambda: None, lambda why, wait_s: None, time.monotonic)

    def write(self, path: str, content: str | bytes, modified_s: float = OLD_S) -> Path:
        place = self.directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(place, (modified_s, modified_s))
        return place

    def load(self) -> Loaded:
        storing = Storing(self.config, self.link, "csv")
        storing.know(masterlist_of_file(MASTERLIST.read_bytes(), 10**18)[1])
        load = Load(self.directory, storing, DATATYPES, time.time_ns, lambda loaded: None)
        load.run()
        return load.loaded

    def values(self) -> dict[tuple[str, str, int], str]:
        return {key: value for key, (_, value) in rows(self.database).items()}


@pytest.fixture
def tree(tmp_path: Path, emptied: postgres.Database) -> Iterator[Tree]:
    made = Tree(tmp_path / "tree", emptied)
    made.directory.mkdir()
    yield made
    made.link.close()


def state(database: postgres.Database) -> list[Any]:
    """Everything that a load writes, with the transactions that wrote it."""
    tables = (
        "vlbimon_points",
        "vlbimon_parameters",
        "positions",
        "rejects",
        "tallies",
        "bridge_stationstatus",
    )
    return [database.fetch(f"SELECT xmin::text, t::text FROM {table} AS t ORDER BY 2") for table in tables]


def test_values_have_the_types_of_the_masterlist(tree: Tree) -> None:
    tree.write("KP/weather_tau225.csv", f"{AT_S},0.05\n{AT_S + 1},3\n{AT_S + 2},nan\n{AT_S + 3},broken\n")
    tree.write("KP/telescope_onSource.csv", f"{AT_S},True\n{AT_S + 1},false\n{AT_S + 2.5},maybe\n")
    tree.write("KP/telescope_sourceName.csv", f"{AT_S},3\n{AT_S + 1},True\n{AT_S + 2}, \n{AT_S + 3},\n")
    tree.write("KP/made_up.csv", f"{AT_S},3\n{AT_S + 1},True\n{AT_S + 2},M87\n")
    tree.write("KP/recorder_1_groupaSpaceLeft.csv", f"{AT_S},1.5\n")
    loaded = tree.load()
    assert (loaded.files, loaded.outcomes["stored"], loaded.bad) == (5, 15, [])
    assert tree.values() == {
        ("weather_tau225", "KP", AT_S): "0.05",
        ("weather_tau225", "KP", AT_S + 1): "3",
        ("weather_tau225", "KP", AT_S + 2): "nan",
        ("weather_tau225", "KP", AT_S + 3): "'broken'",
        ("telescope_onSource", "KP", AT_S): "True",
        ("telescope_onSource", "KP", AT_S + 1): "False",
        ("telescope_onSource", "KP", AT_S + 2): "'maybe'",
        ("telescope_sourceName", "KP", AT_S): "'3'",
        ("telescope_sourceName", "KP", AT_S + 1): "'True'",
        ("telescope_sourceName", "KP", AT_S + 2): "' '",
        ("telescope_sourceName", "KP", AT_S + 3): "''",
        ("made_up", "KP", AT_S): "3",
        ("made_up", "KP", AT_S + 1): "True",
        ("made_up", "KP", AT_S + 2): "'M87'",
        ("recorder_1_groupaSpaceLeft", "KP", AT_S): "1.5",
    }
    assert rows(tree.database)["telescope_onSource", "KP", AT_S + 2][0] == AT_S + 2.5


def test_old_and_new_texts_are_read_and_coordinates_are_split(tree: Tree) -> None:
    tree.write(
        "SMA/telescope_status.csv",
        f'{AT_S},tracking, all is well\n{AT_S + 1},"a, ""b""\n c"\n{AT_S + 2},say "x"\n',
    )
    tree.write("SMA/telescope_azimuthElevation.csv", f"{AT_S},123.4+-1.2\n")
    tree.load()
    texts = tree.database.fetch("SELECT time - %s, value FROM ts_param_telescope_status ORDER BY 1", [AT_S])
    assert texts == [(0, "tracking, all is well"), (1, 'a, "b"\n c'), (2, 'say "x"')]
    halves = tree.database.fetch(
        "SELECT a.value, e.value FROM ts_param_telescope_azimuthelevation_az AS a"
        " JOIN ts_param_telescope_azimuthelevation_el AS e USING (station, time)"
    )
    assert halves == [("123.4", "-1.2")] or halves == [(123.4, -1.2)]


def test_a_second_run_adds_nothing(tree: Tree) -> None:
    for station in ("KP", "SMA"):
        lines = [f"{AT_S + n},{n / 8}\n" for n in range(1200)]
        tree.write(f"{station}/weather_tau225.csv", "".join([*lines, f"{AT_S + 5},7\n", "no line\n"]))
    first = tree.load()
    assert first.outcomes == {"stored": 2400, "replaced": 2, "rejected": 2}
    assert tree.values()["weather_tau225", "KP", AT_S + 5] == "7"
    before = state(tree.database)
    again = tree.load()
    assert (again.files, again.read_bytes, again.outcomes) == (2, 0, {})
    assert state(tree.database) == before


def test_the_same_files_elsewhere_add_no_row(tree: Tree) -> None:
    lines = [f"{AT_S + n % 700},{n / 8}\n" for n in range(1400)]  # each second twice
    path = tree.write("KP/weather_tau225.csv", "".join(lines))
    tree.load()
    before = tree.database.fetch("SELECT xmin::text, time, number FROM vlbimon_points ORDER BY 2")
    assert [number for _, _, number in before] == [n / 8 for n in range(700, 1400)]
    tree.directory = path.parents[1].rename(tree.directory.parent / "moved")
    assert tree.load().outcomes["stored"] == 0
    assert tree.database.fetch("SELECT xmin::text, time, number FROM vlbimon_points ORDER BY 2") == before


def test_a_file_that_grew_is_read_on_and_one_that_was_replaced_anew(tree: Tree) -> None:
    tree.write("KP/weather_tau225.csv", f"{AT_S},1\n{AT_S + 1},2")
    first = tree.load()
    assert first.unfinished == ["KP/weather_tau225.csv"]
    assert tree.values() == {("weather_tau225", "KP", AT_S): "1"}
    tree.write("KP/weather_tau225.csv", f"{AT_S},1\n{AT_S + 1},25\n{AT_S + 2},3\n")
    second = tree.load()
    assert (second.outcomes["stored"], second.passed_bytes, second.unfinished) == (2, 13, [])
    assert tree.values()["weather_tau225", "KP", AT_S + 1] == "25"
    tree.write("KP/weather_tau225.csv", f"{AT_S + 7},4\n{AT_S + 8},5\n")
    assert tree.load().outcomes["stored"] == 2
    assert len(tree.values()) == 5


def test_bad_lines_are_kept_and_told_with_file_and_line(tree: Tree) -> None:
    content = [
        f"{AT_S},1",
        "no line",
        "time,value",
        f"{AT_S + 1},2",
        f"{AT_S + 2},18446744073709551616",
        f"{AT_S + 3},None",
        "5,1",
        f"{AT_S + 90 * 86_400},1",
        f"{AT_S + 4},3",
    ]
    tree.write("KP/weather_tau225.csv", "\n".join(content) + "\n")
    loaded = tree.load()
    assert loaded.outcomes == {"stored": 3, "rejected": 6}
    kept = tree.database.fetch("SELECT detail, reason, subject FROM rejects ORDER BY reject_id")
    assert [detail for detail, _, _ in kept] == loaded.bad
    assert [detail.split(": ")[0] for detail in loaded.bad] == [
        f"KP/weather_tau225.csv, line {number}" for number in (2, 3, 5, 6, 7, 8)
    ]
    assert [reason for _, reason, _ in kept] == [
        "bad_pair",
        "bad_time",
        "over_64_bits",
        "null_value",
        "implausible_time",
        "implausible_time",
    ]
    assert {subject for _, _, subject in kept} == {"KP"}


def test_what_is_no_file_of_the_tree_is_told_and_not_read(tree: Tree) -> None:
    tree.write("../outside/weather_tau225.csv", f"{AT_S},1\n")
    (tree.directory / "KP").symlink_to(tree.directory.parent / "outside")
    tree.write("SMA/weather_tau225.csv", f"{AT_S},2\n")
    loaded = tree.load()
    assert [each.path for each in loaded.left_out] == ["KP"]
    assert tree.values() == {("weather_tau225", "SMA", AT_S): "2"}


def test_what_a_server_said_later_has_precedence(tree: Tree) -> None:
    path = tree.write("KP/weather_tau225.csv", f"{AT_S},1\n")
    tree.load()
    tree.database.execute(
        "UPDATE vlbimon_points SET number = 9, kind = 'f', whole = NULL, received_at = now()"
    )
    tree.directory = path.parents[1].rename(tree.directory.parent / "moved")
    assert tree.load().outcomes == {"filtered": 1}
    assert tree.values() == {("weather_tau225", "KP", AT_S): "9.0"}


def test_a_file_that_has_lost_its_time_is_read_all_the_same(tree: Tree) -> None:
    tree.write("KP/weather_tau225.csv", f"{AT_S},1\n", modified_s=0)
    assert tree.load().outcomes == {"stored": 1}
