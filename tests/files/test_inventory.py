# SPDX-License-Identifier: MIT
"""Which files there are, told and noted, whatever happened to them since the last time."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tessmon.config.model import Files
from tessmon.database.session import PlainSession, at_once
from tessmon.files.inventory import Found, Inventory
from tests.files.archive import HOST, OLD_S, Archive, mixed, name
from tests.scale import TREE_FILES

VERSIONS = """
SELECT file_id, xmin::text, extract(epoch FROM seen_at)::text FROM file_origins
UNION ALL SELECT 0, xmin::text, origin FROM positions ORDER BY 1, 2, 3"""
STATES = "SELECT origin_path, state FROM file_origins ORDER BY file_id"


@pytest.fixture
def taken(archive: Archive, capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, list[str]]]:
    """Takes stock; gives the names of files by fate, of those that are not as before."""

    def take() -> dict[str, list[str]]:
        found = archive.json(capsys, "inventory")
        fates: dict[str, list[str]] = {}
        for file in found["files"]:
            fates.setdefault(file["fate"], []).append(os.path.basename(file["path"]))
        counted = {fate: count for fate, count in found["counts"].items() if count and fate != "known"}
        assert counted == {fate: len(names) for fate, names in fates.items()}
        return {fate: sorted(names) for fate, names in fates.items()}

    return take


def test_files_of_any_name_are_noted_and_a_second_time_nothing_is_written(
    archive: Archive, taken: Any
) -> None:
    names = [name("a"), name("a", 1, "ndjson.gz"), "notes.txt", "image.fits"]
    for number, each in enumerate(names):
        archive.write(f"{number}/{each}", mixed(number))
    archive.write(".git/x", b"")
    assert taken() == {"new": sorted(names)}
    before = archive.database.fetch(VERSIONS)
    assert len(before) == 4 + 2
    assert taken() == {}
    assert archive.database.fetch(VERSIONS) == before


def test_what_became_of_files_is_told(archive: Archive, taken: Any) -> None:
    for each in ("grown", "renamed", "replaced", "gone", "cut"):
        archive.write(name(each), mixed(9, len(each) * 10 + ord(each[0])))
    taken()
    with (archive.tree / name("grown")).open("ab") as file:
        file.write(b"more")
    (archive.tree / name("renamed")).rename(archive.tree / name("elsewhere"))
    archive.write("new", mixed(9, 99)).rename(archive.tree / name("replaced"))
    (archive.tree / name("gone")).unlink()
    os.truncate(archive.tree / name("cut"), 10)
    assert taken() == {
        "grown": [name("grown")],
        "renamed": [name("elsewhere")],
        "replacing": [name("replaced")],
        "vanished": [name("gone")],
        "cut_off": [name("cut")],
    }
    assert taken() == {}
    states = [(os.path.basename(path), state) for path, state in archive.database.fetch(STATES)]
    assert (name("gone"), "vanished") in states
    assert states.count((name("replaced"), "replaced")) == states.count((name("replaced"), "present")) == 1
    archive.write(name("gone"), mixed(9, 77))
    assert taken() == {"new": [name("gone")]}


def test_a_file_that_is_shorter_than_it_was_read_is_another(archive: Archive, taken: Any) -> None:
    path = archive.write(name("a"), mixed(90))
    taken()
    archive.database.execute("UPDATE positions SET position = %s, low = %s", [[5000], [5000]])
    os.truncate(path, 4000)
    assert taken() == {"cut_off": [name("a")]}
    assert sorted(archive.database.fetch("SELECT position FROM positions")) == [([0],), ([5000],)]


def test_what_is_not_taken_is_told_with_its_reason(
    archive: Archive, taken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write(name("a"), b"x")
    (archive.tree / "link").symlink_to(archive.tree / name("a"))
    os.mkfifo(archive.tree / "pipe")
    assert taken() == {"new": [name("a")], "left_out": ["link", "pipe"]}
    code, text, errors = archive.run(capsys, "inventory")
    assert code == 0
    assert f"{archive.tree}/link: a symbolic link, not followed\n" in errors
    assert text.splitlines() == ["1 file", "        2 left out", "        1 as before"]


def test_a_directory_that_is_away_makes_no_file_vanish(archive: Archive, taken: Any) -> None:
    archive.write(name("a"), b"x")
    taken()
    archive.tree.rename(archive.directory / "unmounted")
    assert taken() == {"unreadable": ["telem"]}
    assert [state for _, state in archive.database.fetch(STATES)] == ["present"]


def test_odd_names_are_shown_with_their_bytes(
    archive: Archive, taken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsencode(archive.tree) + b"/caf\xe9_20241022031640000000000.bintel"
    Path(os.fsdecode(odd)).write_bytes(mixed(9))
    found = archive.json(capsys, "inventory")
    assert found["odd_names"] == 1
    assert [os.path.basename(file["path"]) for file in found["files"]] == [
        "caf\\xe9_20241022031640000000000.bintel"
    ]
    assert archive.json(capsys, "backfill")["outcomes"]["stored"] == 9


def test_times_are_right_in_any_time_zone(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write("dev_2024-10-22T031640.ndjson", b"", OLD_S)
    archive.write(name("cam", 5000), b"", OLD_S)
    text = archive.config.read_text()
    archive.config.write_text(f'{text}\ntimezone = "America/Santiago"\n')
    before = []
    for zone in ("Asia/Tokyo", "America/Santiago", "UTC"):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("PGTZ", zone)
        time.tzset()
        archive.run(capsys, "inventory")
        before.append(archive.database.fetch(VERSIONS))
    monkeypatch.undo()
    time.tzset()
    assert before[0] == before[1] == before[2]
    assert archive.database.fetch(
        "SELECT device, modification_time, creation_time FROM file_origins ORDER BY 1"
    ) == [
        ("cam", datetime.fromtimestamp(OLD_S, UTC), datetime(2024, 10, 22, 3, 16, 40, 5, UTC)),
        ("dev", datetime.fromtimestamp(OLD_S, UTC), datetime(2024, 10, 22, 6, 16, 40, 0, UTC)),
    ]


@pytest.fixture
def session(archive: Archive) -> Iterator[PlainSession]:
    connection = psycopg2.connect(archive.database.dsn)
    connection.autocommit = True
    yield PlainSession(connection)
    connection.close()


def test_many_files_take_little_memory(archive: Archive, session: PlainSession) -> None:
    for number in range(TREE_FILES):
        place = archive.tree / str(number // 1000)
        place.mkdir(exist_ok=True)
        (place / f"image_{number}.fits").touch()
    settings = Files(host=HOST, directories=(archive.tree,))
    told: list[str] = []

    def take() -> Inventory:
        inventory = Inventory(
            settings,
            lambda work: at_once(work(session)),
            lambda found: told.append(found.fate),
            time.time_ns(),
        )
        inventory.take()
        return inventory

    assert take().counts == {"new": TREE_FILES}
    tracemalloc.start()
    try:
        inventory = take()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inventory.counts == {"known": TREE_FILES}
    assert len(told) == TREE_FILES
    assert peak_bytes < 6_000_000 + 120 * TREE_FILES


def test_a_found_file_is_as_it_is_printed() -> None:
    assert Found("new", "/x")._asdict() == {"fate": "new", "path": "/x", "size_bytes": None, "why": ""}
