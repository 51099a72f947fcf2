# SPDX-License-Identifier: MIT
"""What every journal promises: frames come back equal, in order, once, within bounds, and only when on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from tessmon.errors import JournalError, JournalInUseError
from tessmon.interfaces import IJournal
from tessmon.records.frame import Frame, FrameKind, pack_frame
from tessmon.records.position import START
from tests.journal.desk import EVERYTHING, Desk, Listener, a_frame, numbers, read_all, until, write

FRAMES = st.builds(
    Frame,
    kind=st.sampled_from(FrameKind).map(int),
    received_ns=st.integers(0, 2**63 - 1),
    topic=st.one_of(
        st.text(max_size=30), st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    ),
    payload=st.binary(max_size=300),
    length=st.integers(0, 2**32 - 1),
    qos=st.integers(0, 3),
    dup=st.booleans(),
    retain=st.booleans(),
    packet_id=st.integers(0, 2**16 - 1),
    generation=st.integers(0, 2**32 - 1),
)


def unplaced(frame: Frame) -> Frame:
    return msgspec.structs.replace(frame, position=())


def test_journal_provides_its_interface(desk: Desk) -> None:
    assert verifyObject(IJournal, desk.make())


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(groups=st.lists(st.lists(FRAMES, min_size=1, max_size=8), max_size=6), max_frames=st.integers(1, 9))
@pytest_twisted.ensureDeferred
async def test_frames_come_back_equal(groups: list[list[Frame]], max_frames: int) -> None:
    expected = [frame for group in groups for frame in group]
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory))
        journal = await desk.open(segment_bytes=16384)
        for group in groups:
            for frame in group:
                journal.append(frame)
            await until(lambda: not journal.pending_bytes)
        frames, gaps = await read_all(journal, max_frames=max_frames, max_bytes=500)
        again, _ = await read_all(journal)
        tail = await journal.tail(5, EVERYTHING)
        await desk.close()
    assert list(map(unplaced, frames)) == list(map(unplaced, again)) == expected
    assert tail == frames[-5:]
    positions = [frame.position for frame in frames]
    assert positions == sorted(set(positions))
    assert gaps == []


@pytest_twisted.ensureDeferred
async def test_receipts_settle_in_order_and_only_when_readable(desk: Desk) -> None:
    listener = Listener()
    journal = await desk.open(listener=listener)
    seen: list[int] = []
    journal.watch(lambda: seen.append(len(listener.receipts)))
    for number in range(1, 101):
        journal.append(a_frame(number), number if number % 2 else None)
    assert listener.receipts == []
    assert journal.pending_bytes == sum(len(pack_frame(a_frame(number))) for number in range(1, 101))
    await until(lambda: len(listener.receipts) == 50)
    assert listener.receipts == list(range(1, 101, 2))
    assert listener.commits == 1
    assert seen == [50]
    assert journal.pending_bytes == 0
    frames, _ = await read_all(journal)
    assert numbers(frames) == list(range(1, 101))


@pytest_twisted.ensureDeferred
async def test_read_keeps_its_bounds(desk: Desk) -> None:
    journal = await desk.open()
    await write(journal, 1, 30, payload=b"x" * 100, group=30)
    assert numbers((await journal.read(START, 7, 1 << 20)).frames) == [1, 2, 3, 4, 5, 6, 7]
    each_bytes = 100 + len(a_frame(1).topic)
    assert numbers((await journal.read(START, 100, 3 * each_bytes + 50)).frames) == [1, 2, 3]
    assert numbers((await journal.read(START, 100, 3 * each_bytes)).frames) == [1, 2, 3]
    assert numbers((await journal.read(START, 100, 1)).frames) == [1]
    newest = journal.status().newest
    assert (await journal.read(newest, 100, 1 << 20)) == ([], None)


@pytest_twisted.ensureDeferred
async def test_long_topics_count_too(desk: Desk) -> None:
    """A broker lets topics of 64 KiB pass; thousands of them must not be in memory at once."""
    journal = await desk.open()
    for number in range(1, 11):
        journal.append(Frame(0, number, "x" * 100, b"", 0))
        await until(lambda: not journal.pending_bytes)
    assert numbers((await journal.read(START, 100, 350)).frames) == [1, 2, 3]
    assert numbers(await journal.tail(100, 250)) == [8, 9, 10]


@pytest_twisted.ensureDeferred
async def test_segments_rotate_and_reading_goes_over_their_borders(desk: Desk) -> None:
    journal = await desk.open(segment_bytes=32768)
    await write(journal, 1, 200, payload=b"y" * 1000)
    assert len(desk.names()) > 3
    frames, gaps = await read_all(journal)
    assert numbers(frames) == list(range(1, 201))
    assert gaps == []
    for frame in frames[::17]:
        behind, gaps = await read_all(journal, frame.position)
        assert numbers(behind) == list(range(frame.received_ns + 1, 201))
        assert gaps == []
    assert numbers(await journal.tail(120, EVERYTHING)) == list(range(81, 201))
    status = journal.status()
    assert status.segments == len(desk.names())
    assert status.newest == frames[-1].position


@pytest_twisted.ensureDeferred
async def test_each_start_begins_a_new_segment_and_goes_on(desk: Desk) -> None:
    identities = set()
    for start in range(4):
        journal = await desk.open()
        identities.add(journal.identity)
        await write(journal, start * 10 + 1, start * 10 + 10)
        await journal.close()
    assert len(desk.names()) == 4
    assert len(identities) == 1
    journal = await desk.open()
    frames, gaps = await read_all(journal)
    assert numbers(frames) == list(range(1, 41))
    assert gaps == []


@pytest_twisted.ensureDeferred
async def test_waiting_counts_what_reading_would_give(desk: Desk) -> None:
    journal = await desk.open(segment_bytes=32768)
    await write(journal, 1, 100, payload=b"z" * 1000)
    frames, _ = await read_all(journal)
    for index, position in [(0, START), *((at + 1, frame.position) for at, frame in enumerate(frames))]:
        rest = frames[index:]
        waiting = await journal.waiting(position)
        assert waiting.frames == len(rest)
        assert waiting.size_bytes == sum(len(pack_frame(frame)) for frame in rest)
        assert waiting.oldest_ns == (rest[0].received_ns if rest else None)


@pytest_twisted.ensureDeferred
async def test_close_writes_what_is_pending_and_takes_nothing_after(desk: Desk) -> None:
    listener = Listener()
    journal = await desk.open(listener=listener, gather_s=60.0)
    journal.append(a_frame(1), "receipt")
    first, second = journal.close(), journal.close()
    journal.append(a_frame(2), "late")
    await first
    await second
    await journal.close()
    assert listener.receipts == ["receipt"]
    with pytest.raises(JournalError):
        await journal.read(START, 1, 1)
    journal = await desk.open()
    frames, _ = await read_all(journal)
    assert numbers(frames) == [1]


@pytest_twisted.ensureDeferred
async def test_close_before_or_during_open_is_good_order(desk: Desk) -> None:
    await desk.make().close()
    journal = desk.make()
    opening, closing = journal.open(), journal.close()
    await opening
    await closing
    await (await desk.open()).close()


@pytest_twisted.ensureDeferred
async def test_second_owner_is_refused(desk: Desk) -> None:
    first = await desk.open()
    with pytest.raises(JournalInUseError, match="in use by another process"):
        await desk.open()
    await write(first, 1, 3)
    await first.close()
    second = await desk.open()
    assert numbers((await read_all(second))[0]) == [1, 2, 3]


@pytest_twisted.ensureDeferred
async def test_directory_that_is_a_file_is_a_journal_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="can't be"):
        await Desk(tmp_path / "file").open()


@pytest_twisted.ensureDeferred
async def test_directory_is_for_its_owner_only(desk: Desk) -> None:
    await desk.open()
    assert desk.directory.stat().st_mode & 0o777 == 0o700


@pytest_twisted.ensureDeferred
async def test_frame_that_cannot_be_packed_becomes_an_event_and_settles(desk: Desk) -> None:
    listener = Listener()
    journal = await desk.open(listener=listener)
    journal.append(Frame(0, 1, "t" * 70_000, b"", 0), "long")
    journal.append(Frame(0, 2, "\ud800", b"", 0), "surrogate")
    journal.append(Frame(0, 3, "t", b"", 2**40), "length")
    await until(lambda: len(listener.receipts) == 3)
    frames, _ = await read_all(journal)
    assert [frame.topic for frame in frames] == ["frame_not_packed"] * 3


@pytest.mark.logs_failures
@pytest_twisted.ensureDeferred
async def test_watcher_that_fails_does_not_stop_the_journal(desk: Desk) -> None:
    journal = await desk.open()
    journal.watch(lambda: 1 // 0)
    await write(journal, 1, 20)
    assert numbers((await read_all(journal))[0]) == list(range(1, 21))


@pytest_twisted.ensureDeferred
async def test_large_backlog_goes_in_several_groups(desk: Desk) -> None:
    listener = Listener()
    journal = await desk.open(listener=listener)
    for number in range(1, 201):
        journal.append(a_frame(number, b"b" * 60_000), number)
    await until(lambda: not journal.pending_bytes)
    assert listener.receipts == list(range(1, 201))
    assert 3 <= listener.commits <= 12
    frames, _ = await read_all(journal, max_bytes=100_000)
    assert numbers(frames) == list(range(1, 201))
    assert max(frame.position[2] for frame in frames) < 20
