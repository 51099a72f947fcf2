# SPDX-License-Identifier: MIT
"""A damaged file is salvaged, set aside and reported; what can be read is read, what is lost is a gap."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted

from tessmon.errors import JournalError
from tessmon.journal.layout import damaged_files
from tessmon.records.frame import Frame
from tests.journal.desk import EVERYTHING, Desk, numbers, read_all, until, write

FLIPS = 25
"""How many journals with flipped bytes are read."""

PAYLOAD = b"d" * 1000


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def cut_last_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def zero_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\0" * 20_000)


def no_tables(path: Path) -> None:
    empty(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (a)")


DAMAGES = [empty, garbage, cut, cut_last_byte, zero_middle, no_tables]


async def three_segments(desk: Desk) -> None:
    """Frames 1..60 in three closed segments of four groups of five."""
    for first in (1, 21, 41):
        journal = await desk.open()
        await write(journal, first, first + 19, payload=PAYLOAD, group=5)
        await journal.close()


def events(frames: list[Frame]) -> list[dict[str, object]]:
    return [
        json.loads(frame.payload) for frame in frames if frame.kind == 1 and frame.topic == "journal_damaged"
    ]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest_twisted.ensureDeferred
async def test_damage_found_at_the_start_costs_what_is_damaged(
    desk: Desk, damage: Callable[[Path], None], segment: int
) -> None:
    await three_segments(desk)
    damage(desk.path(segment))
    journal = await desk.open()
    frames, gaps = await read_all(journal)
    await until(lambda: not journal.pending_bytes)
    frames, gaps = await read_all(journal)
    found = numbers(frames)
    assert found == sorted(set(found))
    touched = range(segment * 20 + 1, segment * 20 + 21)
    assert [number for number in found if number not in touched] == [
        n for n in range(1, 61) if n not in touched
    ]
    reports = events(frames)
    if len(found) < 60:
        assert len(gaps) >= 1
        assert len(reports) == 1
        assert reports[0]["saved"] == len([number for number in found if number in touched]) / 5
        assert reports[0]["set_aside"] == damaged_files(desk.directory)[0].name
        assert journal.status().damaged == 1
    await write(journal, 61, 70)
    assert numbers((await read_all(journal))[0]) == [*found, *range(61, 71)]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest_twisted.ensureDeferred
async def test_damage_found_while_reading_is_salvaged_then(
    desk: Desk, damage: Callable[[Path], None]
) -> None:
    await three_segments(desk)
    journal = await desk.open()
    damage(desk.path(1))
    frames, gaps = await read_all(journal)
    found = numbers(frames)
    assert set(range(1, 21)) | set(range(41, 61)) <= set(found)
    assert found == sorted(set(found))
    if len(found) < 60:
        assert gaps
        assert journal.status().damaged == 1
        await until(lambda: not journal.pending_bytes)
        assert len(events(await journal.tail(100, EVERYTHING))) == 1
    assert numbers(await journal.tail(200, EVERYTHING)) == found


@pytest_twisted.ensureDeferred
async def test_damage_in_the_segment_that_is_written(desk: Desk) -> None:
    journal = await desk.open(gather_s=0.0)
    await write(journal, 1, 20, payload=PAYLOAD, group=5)
    with closing(sqlite3.connect(desk.path(0))) as connection:
        connection.execute("UPDATE groups SET packed = zeroblob(100) WHERE number = 2")
        connection.commit()
    frames, gaps = await read_all(journal)
    assert numbers(frames) == [*range(1, 6), *range(11, 21)]
    assert gaps == [f"groups 2 to 2 of segment {desk.names()[0]} are gone"]
    await write(journal, 21, 30)
    assert numbers((await read_all(journal, frames[-1].position))[0]) == list(range(21, 31))


@pytest_twisted.ensureDeferred
async def test_lost_tail_of_the_newest_segment_is_a_gap(desk: Desk) -> None:
    journal = await desk.open()
    await write(journal, 1, 20, payload=PAYLOAD, group=5)
    with closing(sqlite3.connect(desk.path(0))) as connection:
        connection.execute("UPDATE groups SET crc32 = 1 WHERE number = 4")
        connection.commit()
    frames, _ = await read_all(journal)
    assert numbers(frames) == list(range(1, 16))
    await write(journal, 21, 25)
    frames, gaps = await read_all(journal)
    assert numbers(frames) == [*range(1, 16), *range(21, 26)]
    assert len(gaps) == 1


@pytest_twisted.ensureDeferred
async def test_flipped_bytes_lose_no_more_than_they_touch_and_invent_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    await three_segments(desk)
    chance = random.Random(7)
    for flip in range(FLIPS):
        copy = Desk(tmp_path / f"flip-{flip}")
        shutil.copytree(desk.directory, copy.directory)
        path = copy.path(chance.randrange(3))
        content = bytearray(path.read_bytes())
        for _ in range(chance.choice((1, 3, 200))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        journal = await copy.open()
        frames, gaps = await read_all(journal)
        found = numbers(frames)
        assert found == sorted(set(found))
        assert set(found) <= set(range(1, 61))
        assert len(found) >= 40
        assert all(frame.payload == PAYLOAD for frame in frames if frame.kind == 0)
        assert gaps or len(found) == 60
        await copy.close()


@pytest_twisted.ensureDeferred
async def test_what_a_killed_salvage_left_is_finished_or_removed(desk: Desk) -> None:
    await three_segments(desk)
    path = desk.path(1)
    sound = path.read_bytes()
    path.with_name(path.name + ".salvaged").write_bytes(sound)
    path.write_bytes(b"damaged")
    first = desk.path(0)
    first.with_name(first.name + ".salvaging").write_bytes(b"half a copy")
    orphan = desk.directory / "01999999999999999999.journal"
    orphan.with_name(orphan.name + "-wal").write_bytes(b"left behind by an unlink")
    orphan.with_name(orphan.name + ".new").write_bytes(b"left behind by a rotation")
    journal = await desk.open()
    frames, gaps = await read_all(journal)
    assert numbers(frames) == list(range(1, 61))
    assert gaps == []
    left = {file.name for file in desk.directory.iterdir()}
    assert left == {"lock", *(desk.path(at).name for at in range(3)), "identity", path.name + ".damaged"}


@pytest_twisted.ensureDeferred
async def test_damaged_twice_keeps_both(desk: Desk) -> None:
    await three_segments(desk)
    for _ in range(2):
        zero_middle(desk.path(1))
        journal = await desk.open()
        await read_all(journal)
        await journal.close()
    assert len(damaged_files(desk.directory)) == 2


@pytest_twisted.ensureDeferred
async def test_lost_identity_is_taken_from_the_segments(desk: Desk) -> None:
    journal = await desk.open()
    identity = journal.identity
    await write(journal, 1, 5)
    await journal.close()
    for ruin in (
        (desk.directory / "identity").unlink,
        lambda: (desk.directory / "identity").write_text("nonsense"),
    ):
        ruin()
        journal = await desk.open()
        assert journal.identity == identity
        await write(journal, 6, 10)
        await journal.close()
        assert (desk.directory / "identity").read_text().strip() == identity


@pytest_twisted.ensureDeferred
async def test_damage_that_cannot_be_mended_now_does_not_stop_a_start_and_is_mended_later(desk: Desk) -> None:
    await three_segments(desk)
    zero_middle(desk.path(1))
    obstacle = desk.path(1).with_name(desk.path(1).name + ".salvaging")
    obstacle.mkdir()
    journal = await desk.open()
    with pytest.raises(JournalError, match="can't be salvaged now"):
        await journal.read((desk.names()[0], 4, 4), 20, 1 << 20)
    await write(journal, 61, 65)
    obstacle.rmdir()
    frames, gaps = await read_all(journal)
    assert set(numbers(frames)) >= {*range(1, 21), *range(41, 66)}
    assert gaps


@pytest_twisted.ensureDeferred
async def test_groups_that_the_next_segment_does_not_know_are_not_read(desk: Desk) -> None:
    """A commit whose fsync failed may be on disk all the same; its frames went into the next segment."""
    await three_segments(desk)
    with closing(sqlite3.connect(desk.path(1))) as connection:
        columns = "frames, first_ns, last_ns, frames_so_far, bytes_so_far, crc32, packed"
        connection.execute(f"INSERT INTO groups SELECT 5, {columns} FROM groups WHERE number = 4")
        connection.commit()
    journal = await desk.open()
    frames, gaps = await read_all(journal)
    assert numbers(frames) == list(range(1, 61))
    assert gaps == []
    assert (await journal.waiting((0, 0, 0))).frames == 60
