# SPDX-License-Identifier: MIT
"""Positions that the journal does not have: restored from a backup, files gone, a clock that went back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest_twisted

from tessmon.records.position import START
from tests.journal.desk import EVERYTHING, Desk, numbers, read_all, write

HOUR_NS = 3600 * 10**9
NOW_NS = 1_800_000_000 * 10**9


@pytest_twisted.ensureDeferred
async def test_fresh_journal_and_fresh_database_have_no_gap(desk: Desk) -> None:
    journal = await desk.open()
    await journal.adopt(START)
    assert await journal.read(START, 10, 10) == ([], None)
    await write(journal, 1, 5)
    assert await read_all(journal) == (await journal.tail(5, EVERYTHING), [])


@pytest_twisted.ensureDeferred
async def test_fresh_database_with_an_old_journal_reads_what_is_there_without_a_gap(desk: Desk) -> None:
    for first in (1, 11, 21):
        journal = await desk.open()
        await write(journal, first, first + 9)
        await journal.close()
    desk.path(0).unlink()
    journal = await desk.open()
    await journal.adopt(START)
    frames, gaps = await read_all(journal)
    assert numbers(frames) == list(range(11, 31))
    assert gaps == []


@pytest_twisted.ensureDeferred
async def test_missing_segment_is_one_gap(desk: Desk) -> None:
    for first in (1, 11, 21):
        journal = await desk.open()
        await write(journal, first, first + 9)
        await journal.close()
    missing = desk.names()[1]
    desk.path(1).unlink()
    journal = await desk.open()
    frames, gaps = await read_all(journal)
    assert numbers(frames) == [*range(1, 11), *range(21, 31)]
    assert gaps == [f"segment {desk.names()[1]} was written behind segment {missing}, which is not there"]
    assert await read_all(journal, frames[-1].position) == ([], [])


@pytest_twisted.ensureDeferred
async def test_position_whose_segment_is_gone_is_one_gap(desk: Desk) -> None:
    journal = await desk.open()
    await write(journal, 1, 10)
    await journal.close()
    journal = await desk.open()
    await write(journal, 11, 20)
    position = (desk.names()[0], 1, 9)
    assert numbers((await read_all(journal, position))[0]) == list(range(11, 21))
    await journal.close()
    desk.path(0).unlink()
    journal = await desk.open()
    await journal.adopt(position)
    frames, gaps = await read_all(journal, position)
    assert numbers(frames) == list(range(11, 21))
    assert len(gaps) == 1


@pytest_twisted.ensureDeferred
async def test_group_or_frame_beyond_what_a_segment_has_is_one_gap(desk: Desk) -> None:
    journal = await desk.open()
    await write(journal, 1, 10, group=5)
    await journal.close()
    journal = await desk.open()
    await write(journal, 11, 20)
    name = desk.names()[0]
    for position, expected in (
        ((name, 2, 5), range(11, 21)),
        ((name, 1, 5), range(6, 21)),
        ((name, 7, 0), range(11, 21)),
    ):
        frames, gaps = await read_all(journal, position)
        assert numbers(frames) == list(expected)
        assert len(gaps) == 1


async def backup_then_more(desk: Desk, backup: Path, now_ns: int) -> tuple[int, ...]:
    """Frames 1..10 in a backup, 11..30 only in the journal that is lost; returns the database's position then."""
    journal = await desk.open(now_ns=lambda: now_ns)
    await journal.adopt(START)
    await write(journal, 1, 10)
    await journal.close()
    shutil.copytree(desk.directory, backup)
    for first in (11, 21):
        journal = await desk.open(now_ns=lambda: now_ns + HOUR_NS)
        await write(journal, first, first + 9)
        newest = journal.status().newest
        await journal.close()
    shutil.rmtree(desk.directory)
    backup.rename(desk.directory)
    return newest


@pytest_twisted.ensureDeferred
async def test_restored_journal_never_gives_positions_that_were_passed(desk: Desk, tmp_path: Path) -> None:
    position = await backup_then_more(desk, tmp_path / "backup", NOW_NS)
    journal = await desk.open(now_ns=lambda: NOW_NS + 2 * HOUR_NS)
    await write(journal, 31, 40)
    await journal.adopt(position)
    frames, gaps = await read_all(journal, position)
    assert numbers(frames) == list(range(31, 41))
    assert len(gaps) == 1


@pytest_twisted.ensureDeferred
async def test_adopt_moves_frames_behind_a_position_from_the_future(desk: Desk, tmp_path: Path) -> None:
    position = await backup_then_more(desk, tmp_path / "backup", NOW_NS)
    journal = await desk.open(now_ns=lambda: NOW_NS - HOUR_NS, segment_bytes=32768)
    await write(journal, 31, 90, payload=b"r" * 1000)
    assert len(desk.names()) > 3
    chunk = await journal.read(position, 10, 1 << 20)
    assert chunk.frames == []
    assert chunk.gap is not None
    assert await journal.read(position, 10, 1 << 20) == ([], None)
    await journal.adopt(position)
    assert desk.names()[1] > position[0]
    frames, gaps = await read_all(journal, position)
    assert numbers(frames) == list(range(31, 91))
    assert len(gaps) == 1
    await write(journal, 91, 100)
    assert numbers((await read_all(journal, frames[-1].position))[0]) == list(range(91, 101))
    await journal.adopt(frames[10].position)
    assert await read_all(journal, frames[-1].position) == (await journal.tail(10, EVERYTHING), [])
    await journal.close()
    journal = await desk.open(now_ns=lambda: NOW_NS - HOUR_NS)
    await journal.adopt(frames[-1].position)
    assert numbers((await read_all(journal, position))[0]) == list(range(31, 101))
    frames, gaps = await read_all(journal)
    assert numbers(frames) == [*range(1, 11), *range(31, 101)]
    assert gaps == []


@pytest_twisted.ensureDeferred
async def test_adopt_mends_what_an_earlier_start_wrote_without_a_database(desk: Desk, tmp_path: Path) -> None:
    position = await backup_then_more(desk, tmp_path / "backup", NOW_NS)
    for first in (31, 41):
        journal = await desk.open(now_ns=lambda: NOW_NS - HOUR_NS)
        await write(journal, first, first + 9)
        await journal.close()
    journal = await desk.open(now_ns=lambda: NOW_NS - HOUR_NS)
    await write(journal, 51, 60)
    await journal.adopt(position)
    frames, gaps = await read_all(journal, position)
    assert numbers(frames) == list(range(31, 61))
    assert len(gaps) == 1


@pytest_twisted.ensureDeferred
async def test_adopt_before_any_frame_is_enough(desk: Desk, tmp_path: Path) -> None:
    position = await backup_then_more(desk, tmp_path / "backup", NOW_NS)
    journal = await desk.open(now_ns=lambda: NOW_NS - HOUR_NS)
    await journal.adopt(position)
    assert await journal.read(position, 10, 1 << 20) == ([], None)
    await write(journal, 31, 40)
    frames, gaps = await read_all(journal, position)
    assert numbers(frames) == list(range(31, 41))
    assert len(gaps) == 1


@pytest_twisted.ensureDeferred
async def test_clock_that_goes_back_keeps_the_order(desk: Desk) -> None:
    for start in range(4):
        journal = await desk.open(now_ns=lambda start=start: NOW_NS - start * HOUR_NS)
        await write(journal, start * 10 + 1, start * 10 + 10)
        await journal.close()
    journal = await desk.open(now_ns=lambda: 1)
    frames, gaps = await read_all(journal)
    assert numbers(frames) == list(range(1, 41))
    assert gaps == []
