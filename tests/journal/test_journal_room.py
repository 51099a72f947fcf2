# SPDX-License-Identifier: MIT
"""The disk's bounds: passed segments go, unpassed ones never do; a full journal says so and has room again later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from tessmon.records.position import START
from tests.journal.desk import EVERYTHING, ROOT, Desk, Listener, a_frame, numbers, read_all, until, write

PAYLOAD = b"r" * 1000
SEGMENT_BYTES = 32768
SMALL_DISK_BYTES = 2 << 20
CHILD_S = 60


@pytest_twisted.ensureDeferred
async def test_passed_segments_go_at_rotation_when_they_are_old_enough(desk: Desk) -> None:
    journal = await desk.open(segment_bytes=SEGMENT_BYTES, retention_s=0)
    await write(journal, 1, 100, payload=PAYLOAD)
    before = desk.names()
    frames, _ = await read_all(journal)
    low = frames[60].position
    journal.passed(low)
    await write(journal, 101, 150, payload=PAYLOAD)
    assert desk.names()[0] == low[0]
    assert before[0] < low[0]
    behind, gaps = await read_all(journal, low)
    assert numbers(behind) == list(range(62, 151))
    assert gaps == []
    assert journal.status().segments == len(desk.names())


@pytest_twisted.ensureDeferred
async def test_retention_keeps_passed_segments_and_counts_them_as_passed(desk: Desk) -> None:
    journal = await desk.open(segment_bytes=SEGMENT_BYTES, retention_s=3600, now_ns=lambda: 200)
    await write(journal, 1, 100, payload=PAYLOAD)
    before = desk.names()
    journal.passed(journal.status().newest)
    await write(journal, 101, 150, payload=PAYLOAD)
    assert set(before) <= set(desk.names())
    status = journal.status()
    assert status.unpassed_bytes < status.size_bytes / 2
    await journal.close()
    journal = await desk.open(segment_bytes=SEGMENT_BYTES, retention_s=3600, now_ns=lambda: 200)
    assert journal.status().unpassed_bytes < journal.status().size_bytes * 0.8


@pytest_twisted.ensureDeferred
async def test_newest_segment_stays_whatever_is_passed(desk: Desk) -> None:
    journal = await desk.open(retention_s=0, min_free_bytes=EVERYTHING, segment_bytes=SEGMENT_BYTES)
    await write(journal, 1, 100, payload=PAYLOAD)
    segments = desk.names()
    assert len(segments) > 2
    journal.passed((2**62, 1, 0))
    await until(lambda: journal.status().segments == 1)
    assert desk.names() == segments[-1:]
    await journal.close()
    journal = await desk.open(retention_s=0, min_free_bytes=EVERYTHING)
    assert desk.names() == segments[-1:]
    assert numbers(await journal.tail(1, EVERYTHING)) == [100]


@pytest_twisted.ensureDeferred
async def test_shortage_of_space_takes_passed_segments_at_once_and_no_others(desk: Desk) -> None:
    listener = Listener()
    journal = await desk.open(segment_bytes=SEGMENT_BYTES)
    await write(journal, 1, 100, payload=PAYLOAD)
    frames, _ = await read_all(journal)
    await journal.close()
    journal = await desk.open(listener=listener, min_free_bytes=EVERYTHING)
    assert listener.states == ["full"]
    assert "min_free_bytes" in journal.full
    segments = desk.names()
    low = frames[60].position
    journal.passed(low)
    await until(lambda: desk.names() == [name for name in segments if name >= low[0]])
    assert journal.status().full == journal.full


@pytest_twisted.ensureDeferred
async def test_full_journal_writes_what_it_has_and_has_room_when_it_is_read(desk: Desk) -> None:
    listener = Listener()
    journal = await desk.open(listener=listener, max_bytes=300_000)
    number = 0
    while journal.full is None:
        number += 1
        journal.append(a_frame(number, PAYLOAD), number)
        await until(lambda: not journal.pending_bytes)
        assert number < 300
    assert "max_bytes" in journal.full
    journal.append(a_frame(number + 1, PAYLOAD), number + 1)
    await until(lambda: listener.receipts == list(range(1, number + 2)))
    assert listener.states == ["full"]
    frames, gaps = await read_all(journal)
    assert numbers(frames) == list(range(1, number + 2))
    journal.passed(frames[-1].position)
    await until(lambda: listener.states == ["full", "room"])
    assert journal.full is None
    assert gaps == []


@pytest_twisted.ensureDeferred
async def test_journal_that_was_full_is_full_again_after_a_start(desk: Desk) -> None:
    journal = await desk.open(max_bytes=300_000)
    await write(journal, 1, 300, payload=PAYLOAD)
    await journal.close()
    listener = Listener()
    journal = await desk.open(listener=listener, max_bytes=300_000)
    assert listener.states == ["full"]
    assert numbers((await read_all(journal, START))[0]) == list(range(1, 301))


@pytest.fixture(params=["file size limit", *(["tmpfs"] if os.geteuid() == 0 else [])])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A place that refuses writes when told to: by a limit of the kernel, which any user may set, or as it is small."""
    place = tmp_path / "disk"
    place.mkdir()
    if request.param == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", place], check=True)
    yield request.param, place
    if request.param == "tmpfs":
        subprocess.run(["umount", place], check=True)


def test_full_disk_loses_nothing_that_was_settled_and_doubles_nothing(small_disk: tuple[str, Path]) -> None:
    kind, place = small_disk
    done = subprocess.run(
        [sys.executable, "-m", "tests.journal.fill_disk", kind, place / "journal"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["states"] == ["full", "room"] * told["rounds"]
    assert told["settled"] == list(range(1, told["appended"] + 1))
    assert told["read"] == told["settled"]
    assert told["gaps"] == []
    assert told["segments"] == told["rounds"] + 1, "a segment whose commit failed takes no more"
    assert told["settled_while_full"] == told["settled_when_full"]
    assert told["left_while_full"] == told["read_while_full"]


@pytest_twisted.ensureDeferred
async def test_close_on_a_full_disk_gives_up_unsettled(desk: Desk) -> None:
    listener = Listener()
    journal = await desk.open(listener=listener)
    await write(journal, 1, 5)
    await journal.close()
    journal = await desk.open(listener=listener)
    identity = desk.directory / "identity"
    identity.unlink()
    identity.mkdir()  # no segment can be begun: the identity can't be written
    journal.append(a_frame(6), 6)
    await until(lambda: journal.full)
    assert "can't be written" in journal.full
    await journal.close()
    assert listener.receipts == []
    identity.rmdir()
    journal = await desk.open()
    assert numbers((await read_all(journal))[0]) == [1, 2, 3, 4, 5]
