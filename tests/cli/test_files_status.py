# SPDX-License-Identifier: MIT
"""``tessmon files status``: how far the database is with each device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files.archive import OLD_S, Archive, mixed, name
from tests.postgres import Database


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    made = Archive(tmp_path / "archive", database)
    yield made
    made.end()


def test_both_sides_are_read_without_a_service(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    content = mixed(90)
    archive.write(name("cam", 1), content)
    archive.write(name("dev", 1), content + b"\0" * 100)
    before = archive.json(capsys, "status")
    assert [(one["device"], one["pending_bytes"], one["last_at"]) for one in before["devices"]] == [
        ("cam", len(content), None),
        ("dev", len(content) + 100, None),
    ]
    archive.json(capsys, "backfill", "--workers", "1")
    with (archive.tree / name("cam", 1)).open("ab") as file:
        file.write(b"grown")
    found = archive.json(capsys, "status", "--dsn", archive.database.reader_dsn)
    cam, dev = found["devices"]
    assert (cam["pending_bytes"], cam["pending_files"], cam["rejects"], cam["files"]) == (5, 1, 0, 1)
    assert cam["last_at"].startswith("2024-10-22T03:16:4")
    assert cam["lag_s"] > 0
    assert (dev["pending_bytes"], dev["rejects"], dev["lag_s"]) == (0, 1, 0.0)
    assert found["total"]["pending_bytes"] == 5
    assert found["total"]["size_bytes"] == 2 * len(content) + 105
    _, text, _ = archive.run(capsys, "status")
    lines = text.splitlines()
    assert lines[0].split() == ["device", "last", "record", "(UTC)", "lag", "pending", "rejects", "files"]
    assert [line.split()[0] for line in lines[1:]] == ["cam", "dev", "all"]
    assert max(map(len, lines)) <= 80


def test_the_lag_is_from_the_newest_record_to_the_last_change(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write(name("cam", 1), mixed(90))
    archive.json(capsys, "backfill", "--workers", "1")
    [(last_s,)] = archive.database.fetch("SELECT extract(epoch FROM max(ts))::float8 FROM telem")
    archive.write(name("cam", 2), mixed(9, 2), OLD_S)
    [cam] = archive.json(capsys, "status")["devices"]
    assert cam["lag_s"] == pytest.approx(OLD_S - last_s)


def test_an_empty_tree_is_said(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, errors = archive.run(capsys, "status")
    assert (code, text, errors) == (0, f"no telemetry files in {archive.tree}, and none of exao1 known\n", "")
