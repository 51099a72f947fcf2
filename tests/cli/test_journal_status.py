# SPDX-License-Identifier: MIT
"""``tessmon journal status`` when no service runs: real journals on disk, left closed, killed or damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.cli import main
from tessmon.journal.journal import Journal
from tessmon.journal.layout import segment_names, segment_path
from tessmon.records.frame import Frame, FrameKind

AT_NS = 1_772_402_400 * 10**9
COUNT = 25


class Appender:
    """A source that only appends."""

    def settled(self, receipts: Any) -> None:
        """On disk."""

    def journal_full(self, why: str) -> None:
        raise AssertionError(why)

    def journal_has_room(self) -> None:
        """Never full."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "tessmon.toml"
    path.write_text(
        f'[journal]\ndirectory = "{tmp_path}/journals"\n[admin]\nsocket = "{tmp_path}/admin.sock"\n'
    )
    return path


def status(settings: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["journal", "status", "--config", str(settings), *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


async def make_journal(directory: Path) -> str:
    """A journal with `COUNT` frames, closed in good order; gives its identity."""
    journal = Journal(directory, Appender(), reactor, max_bytes=1 << 30, min_free_bytes=0, retention_s=3600)
    await journal.open()
    for number in range(COUNT):
        journal.append(Frame(FrameKind.MESSAGE, AT_NS + number * 10**9, "t", b"x", 1))
    await journal.close()
    return str(journal.identity)


@pytest_twisted.ensureDeferred
async def test_what_is_on_disk_is_shown(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    identity = await make_journal(settings.parent / "journals" / "mqtt")
    code, text, errors = status(settings, capsys)
    assert (code, errors) == (0, "")
    assert text.startswith("no service runs")
    assert identity in text
    assert "25 frames from 2026-03-01 22:00:00 to 2026-03-01 22:00:24 UTC" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines() if "/" not in line)


@pytest_twisted.ensureDeferred
async def test_programs_get_the_same_in_json(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    identity = await make_journal(settings.parent / "journals" / "mqtt")
    code, text, _ = status(settings, capsys, "--json")
    told = json.loads(text)
    assert code == 0
    assert told["running"] is False
    (journal,) = told["journals"]
    assert (journal["name"], journal["identity"], journal["frames"]) == ("mqtt", identity, COUNT)
    assert journal["oldest_ns"] == AT_NS
    assert sum(each["frames"] for each in journal["each_segment"]) == COUNT


@pytest_twisted.ensureDeferred
async def test_a_damaged_segment_is_told_and_left_alone(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = settings.parent / "journals" / "mqtt"
    await make_journal(directory)
    path = segment_path(directory, segment_names(directory)[0])
    path.write_bytes(b"no database at all" * 100)
    before = sorted((each.name, each.read_bytes()) for each in directory.iterdir())
    code, text, _ = status(settings, capsys, "--json")
    assert code == 0
    assert json.loads(text)["journals"][0]["each_segment"][0]["problem"]
    assert status(settings, capsys)[0] == 0
    assert sorted((each.name, each.read_bytes()) for each in directory.iterdir()) == before


def test_no_journal_yet_is_no_failure(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (settings.parent / "journals").mkdir()
    code, text, _ = status(settings, capsys)
    assert code == 0
    assert "there is no journal in" in text


def test_no_directory_is_a_sentence(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = status(settings, capsys)
    assert code == 1
    assert "journals can't be read: No such file or directory" in errors
