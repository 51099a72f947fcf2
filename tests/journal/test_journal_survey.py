# SPDX-License-Identifier: MIT
"""A look at a journal from outside disturbs nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted

from tessmon.errors import JournalError
from tessmon.journal.survey import survey
from tests.journal.desk import Desk, numbers, read_all, write


@pytest_twisted.ensureDeferred
async def test_survey_of_a_journal_in_use_and_of_a_closed_one_agree(desk: Desk) -> None:
    journal = await desk.open(segment_bytes=32768)
    await write(journal, 1, 100, payload=b"s" * 1000)
    before = survey(desk.directory)
    assert before.identity == journal.identity
    assert [segment.name for segment in before.segments] == desk.names()
    assert sum(segment.frames for segment in before.segments) == 100
    assert before.segments[0].oldest_ns == 1
    assert before.segments[-1].newest_ns == 100
    assert all(
        segment.problem is None and segment.size_bytes > 0 and segment.groups for segment in before.segments
    )
    await write(journal, 101, 110)
    assert numbers((await read_all(journal))[0]) == list(range(1, 111))
    await journal.close()
    files = sorted(desk.directory.iterdir())
    after = survey(desk.directory)
    assert sum(segment.frames for segment in after.segments) == 110
    assert sorted(desk.directory.iterdir()) == files


@pytest_twisted.ensureDeferred
async def test_survey_says_what_is_damaged(desk: Desk) -> None:
    journal = await desk.open()
    await write(journal, 1, 10)
    await journal.close()
    desk.path(0).write_bytes(b"")
    assert survey(desk.directory).segments[0].problem is not None
    journal = await desk.open()
    assert survey(desk.directory).damaged == [desk.path(0).name + ".damaged"]


def test_survey_of_nothing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no such directory"):
        survey(tmp_path / "nowhere")
