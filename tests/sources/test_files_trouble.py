# SPDX-License-Identifier: MIT
"""What the kernel can do to a source of files, and how much the source may cost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest_twisted
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from tests.scale import TREE_FILES
from tests.sources.following import Measured, Reader, name, until, write

QUICK_S = 0.020
ROOT = Path(__file__).parents[2]
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def flood(directory: Path) -> None:
    """More events than the kernel keeps; equal neighbours would be one."""
    with (directory / "x").open("ab", 0) as one, (directory / "y").open("ab", 0) as other:
        for _ in range(int(QUEUE.read_text()) // 2 + 10):
            one.write(b"x")
            other.write(b"y")


@pytest_twisted.ensureDeferred
async def test_a_full_queue_of_the_kernel_loses_nothing(tmp_path: Path) -> None:
    grown, removed = write(tmp_path / "sub" / name("a")), write(tmp_path / "sub" / name("removed"))
    moved, closed = write(tmp_path / "moved" / name("b")), write(tmp_path / "closed" / name("c"))
    measured = Measured()
    async with Reader(tmp_path, on=measured) as reader:
        reader.forget()
        flood(tmp_path)  # nothing of what follows is told
        write(grown)
        removed.unlink()
        moved.parent.rename(tmp_path / "there")
        shutil.rmtree(closed.parent)
        write(closed, b"new")
        new = write(tmp_path / "new" / "below" / name("d"))
        await reader.sees(grown, 2)
        await reader.sees(tmp_path / "there" / name("b"))
        await reader.sees(closed, 3)
        await reader.sees(new)
        await until(lambda: sorted(reader.gone) == sorted(map(str, (removed, moved))))
        assert [each.what for each in reader.occurred] == ["events_lost"]
        for number, path in enumerate((grown, tmp_path / "there" / name("b"), closed, new)):
            write(path, b"0123456789" * (number + 1))
            await reader.sees(path, path.stat().st_size)
        assert reader.source.status().directories == 6
    assert measured.longest_s < QUICK_S


@pytest_twisted.ensureDeferred
async def test_floods_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    async with Reader(tmp_path) as reader:
        for number in range(3):
            flood(tmp_path)
            path = write(tmp_path / f"{number}" / name("a", number))
            flood(tmp_path)
            await reader.sees(path)
        assert len([each for each in reader.occurred if each.what == "events_lost"]) >= 3


@pytest_twisted.ensureDeferred
async def test_without_a_queue_of_events_it_looks(tmp_path: Path) -> None:
    path = write(tmp_path / "sub" / name("a"))
    measured = Measured()
    async with Reader(tmp_path, on=measured) as reader:
        assert reader.source.status().watched == 2
        (descriptor,) = measured.readers
        descriptor.connectionLost(Failure(ConnectionLost("gone")))  # as the reactor does it
        write(path)
        new = write(tmp_path / "new" / name("b"))
        await reader.sees(new)
        await reader.sees(path, 2)
        status = reader.source.status()
        assert (status.state, status.mode, status.watched) == ("limited", "polling", 0)
        assert "gone" in (await reader.is_told("watches_refused")).detail


def test_more_directories_than_the_kernel_watches_are_looked_into(tmp_path: Path) -> None:
    """In a user name space, which has a limit of its own."""
    for number in range(6):
        write(tmp_path / f"{number}" / name(f"dev{number}"))
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        sys.executable,
        str(ROOT / "tests/sources/follow_limited.py"),
    ]
    done = subprocess.run(
        [*command, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    limited, mended, occurred = map(json.loads, done.stdout.splitlines()[-3:])
    assert (limited["state"], limited["mode"], limited["watched"]) == ("limited", "polling", 4)
    assert (limited["files"], limited["directories"]) == (7, 8)
    assert limited["detail"] == "no more watches: raise fs.inotify.max_user_watches"
    assert (mended["state"], mended["mode"], mended["watched"]) == ("following", "inotify", 8)
    assert occurred == ["watches_refused"]


@pytest_twisted.ensureDeferred
async def test_a_large_tree_is_no_burden(tmp_path: Path) -> None:
    for number in range(TREE_FILES):
        directory = tmp_path / f"dev{number % 7}" / f"{number // 1000}"
        if number % 1000 < 7:
            directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"dev{number % 7}_{20260301000000 + number % 60}{number:09d}.bintel"
        path.touch()
        os.utime(path, (0, 0))
    measured = Measured()
    descriptors = len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    try:
        reader = await Reader(tmp_path, on=measured).start()
        assert reader.source.status().files == len(reader.seen) == TREE_FILES
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 1
        reader.forget()
        kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, f"{ROOT}/tessmon/*")])
        kept_bytes = sum(each.size for each in kept.statistics("filename"))
    finally:
        tracemalloc.stop()
    measured.longest_s = measured.total_s = 0.0  # tracing costs more than what is traced
    reader.source.anew()
    await reader.rests()
    print(f"{kept_bytes / TREE_FILES:.0f} bytes, {1e6 * measured.total_s / TREE_FILES:.1f} µs a file")
    print(f"longest call of the reactor: {1000 * measured.longest_s:.1f} ms")
    await reader.stop()
    assert kept_bytes < 200 * TREE_FILES + 700_000  # and some names taken apart
    assert measured.longest_s < QUICK_S


@pytest_twisted.ensureDeferred
async def test_files_that_are_written_all_the_time_cost_little(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}" / name(f"dev{number}")) for number in range(200)]
    files = [path.open("ab", 0) for path in paths]
    measured = Measured()
    async with Reader(tmp_path, on=measured, limit=200) as reader:
        reader.takes = False
        measured.longest_s = measured.total_s = 0.0
        for _ in range(50):
            for file in files:
                file.write(b"0123456789")
            await until(lambda: True)
        await until(lambda: reader.source.status().waiting == 200)
        per_event_s = measured.total_s / (50 * 200)
        print(f"{1e6 * per_event_s:.1f} µs a write, {1000 * measured.longest_s:.1f} ms a call")
        reader.take()
        for path in paths:
            await reader.sees(path, 501)
        assert len(reader.seen) <= 200 + 200 + 200
    for file in files:
        file.close()
    assert per_event_s < 20e-6
    assert measured.longest_s < QUICK_S


@pytest_twisted.ensureDeferred
async def test_what_nobody_asks_for_is_counted(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.takes = False
    for number in range(1200):
        reader.source.announce("paused", number=number)
    occurred = reader.source.occurrences()
    assert len(occurred) == 1001
    assert (occurred[0].what, occurred[0].detail) == ("paused", '{"number": 0}')
    assert (occurred[-1].what, occurred[-1].detail) == ("more", '{"count": 200}')
    assert reader.source.occurrences() == []
    assert abs(time.time_ns() - occurred[0].at_ns) < 60e9
