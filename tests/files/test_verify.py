# SPDX-License-Identifier: MIT
"""A file and the database differ, or they do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.files.archive import Archive, decoded, mixed, name
from tests.telemetry import SAMPLES

RECORDS = 900


@pytest.fixture
def path(archive: Archive, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file that is stored."""
    path = archive.write(name("cam", 1), mixed(RECORDS))
    archive.json(capsys, "backfill", "--workers", "1")
    return path


def test_a_file_that_is_stored_does_not_differ(
    archive: Archive, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = archive.json(capsys, "verify", str(path))
    assert (found["records"], found["equal"], found["differs"]) == (RECORDS, RECORDS, False)
    assert archive.run(capsys, "verify", str(path)) == (
        0,
        "900 records\n      900 stand in the database as they should\n",
        "",
    )


def test_each_kind_of_difference_is_told_with_its_place(
    archive: Archive, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [offset for offset, _, _ in decoded(path.read_bytes())]
    archive.database.execute("DELETE FROM telem WHERE file_offset = %s", [places[10]])
    archive.database.execute("UPDATE telem SET msg = '{}' WHERE file_offset = %s", [places[20]])
    archive.database.execute("UPDATE telem SET digest = digest + 1 WHERE file_offset = %s", [places[30]])
    archive.database.execute("UPDATE positions SET position = ARRAY[%s::bigint]", [places[-1]])
    archive.database.execute("DELETE FROM telem WHERE file_offset >= %s", [places[-1]])
    archive.database.execute(
        "INSERT INTO telem SELECT ts + interval '1 hour', file_id, 999999, digest, ns, device, ec, prio, msg FROM telem"
        " WHERE file_offset = 0"
    )
    found = archive.json(capsys, "verify", str(path), code=1)
    assert {(each["what"], each["offset"]) for each in found["first_differences"]} == {
        ("missing", places[10]),
        ("other", places[20]),
        ("missing", places[30]),
        ("extra", places[30]),
        ("waiting", places[-1]),
        ("extra", 999_999),
    }
    assert [found[what] for what in ("equal", "missing", "other", "waiting", "extra")] == [
        RECORDS - 4,
        2,
        1,
        1,
        2,
    ]
    code, text, _ = archive.run(capsys, "verify", str(path))
    assert code == 1
    assert f"  missing   at byte {places[10]}: " in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_file_that_is_unknown_waits(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    path = archive.write(name("cam", 1), mixed(9))
    found = archive.json(capsys, "verify", str(path), code=1)
    assert (found["records"], found["waiting"]) == (9, 9)


def test_the_same_records_of_another_file_are_equal(
    archive: Archive, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = archive.write(f"copy/{path.name}", path.read_bytes() + path.read_bytes())  # twins, too
    archive.json(capsys, "backfill", "--workers", "1")
    assert archive.json(capsys, "verify", str(copy))["equal"] == 2 * RECORDS


def test_the_samples_do_not_differ_from_what_is_stored_of_them(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SAMPLES / "exao1", archive.tree / "exao1")
    archive.json(capsys, "backfill", "--workers", "1")
    for path in (archive.tree / "exao1").rglob("*_*.*"):
        assert archive.json(capsys, "verify", str(path))["records"] > 0, path


def test_what_is_no_telemetry_file_is_said(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    other = archive.write("notes.txt", b"")
    for path in (str(other), str(archive.tree / name("nobody"))):
        code, text, errors = archive.run(capsys, "verify", path)
        assert (code, text) == (1, "")
        assert errors == f"tessmon: {path} is not there, or is no telemetry file\n"
