# SPDX-License-Identifier: MIT
"""The order in which files are given out, and when one is finished; with a clock that tests turn."""

from __future__ import annotations

import os
from datetime import UTC
from pathlib import Path

import pytest

from tessmon.files.naming import name_of
from tessmon.sources.files_queue import UNKNOWN_S, Folder, Queue
from tessmon.sources.sightings import Sighting
from tests.sources.following import name, write

NOW_NS = 1_772_400_000_000_000_000
OLD_NS = NOW_NS - 3600 * 1_000_000_000


class Desk:
    """A queue with one directory."""

    def __init__(self, directory: Path) -> None:
        self.now_s = 1000.0
        self.now_ns = NOW_NS
        self.queue = Queue(lambda text: name_of(text, UTC), lambda: self.now_s, lambda: self.now_ns)
        self.folder = Folder(str(directory), str(directory))
        self.directory = directory

    def put(self, file: str, mtime_ns: int = OLD_NS, *, seen: bool = False) -> None:
        """A file is there; it was seen to change, or found."""
        path = write(self.directory / file)
        os.utime(path, ns=(0, mtime_ns))
        self.queue.put(self.folder, file, self.now_s if seen else UNKNOWN_S)

    def next(self, limit: int = 100) -> list[Sighting]:
        return self.queue.next(limit)

    def names(self, limit: int = 100) -> list[str]:
        return [os.path.basename(each.path) for each in self.next(limit)]

    def wait(self, seconds: float) -> list[Sighting]:
        """So much later."""
        self.now_s += seconds
        self.now_ns += int(seconds * 1e9)
        self.queue.put_due(1000)
        return self.next()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_of_a_device_the_older_comes_first_and_devices_take_turns(desk: Desk) -> None:
    for file in (name("b", 2), name("a", 3), name("a", 1), name("b", 1), name("a", 2)):
        desk.put(file)
    assert desk.names(2) == [name("b", 1), name("a", 1)]
    assert desk.names() == [name("b", 2), name("a", 2), name("a", 3)]
    assert desk.names() == []


def test_a_file_that_waits_is_given_out_once(desk: Desk) -> None:
    for _ in range(3):
        desk.put(name("a"), seen=True)
    assert desk.queue.waiting == 1
    assert desk.names() == [name("a")]
    desk.put(name("a"), seen=True)
    assert desk.names() == [name("a")]


def test_before_a_new_file_the_end_of_the_old_one_is_read(desk: Desk) -> None:
    desk.put(name("a", 1))
    (first,) = desk.next()
    assert (first.newest, first.finished) == (True, False)
    write(desk.directory / name("a", 1))  # nobody tells
    desk.put(name("a", 2), NOW_NS)
    before, after = desk.next()
    assert (before.path, before.size_bytes, before.newest) == (first.path, 2, False)
    assert (after.name.start_ns - before.name.start_ns, after.newest) == (1, True)


def test_other_formats_and_other_devices_make_no_file_older(desk: Desk) -> None:
    desk.put(name("a", 1))
    desk.put(name("a", 2, "binlog"))
    desk.put(name("b", 3))
    desk.put(name("a", 4, "ndjson"))
    assert all(each.newest for each in desk.next())
    desk.put(name("a", 5, "ndjson.gz"))
    assert [(each.name.kind, each.newest) for each in desk.next()] == [("ndjson", False), ("ndjson.gz", True)]


def test_a_stamp_from_the_future_makes_no_file_older(desk: Desk) -> None:
    desk.put("a_20990301000000000000000.bintel")
    desk.put(name("a"))
    assert [each.newest for each in desk.next()] == [True, True]


def test_an_old_file_is_finished_when_it_is_found(desk: Desk) -> None:
    desk.put(name("a", 1))
    desk.put(name("a", 2))
    first, second = desk.next()
    assert (first.finished, first.idle_s) == (True, 3600.0)
    assert (second.newest, second.finished, second.idle_s) == (True, False, 3600.0)
    assert desk.queue.due_s() is None


def test_a_file_is_finished_a_minute_after_its_last_change(desk: Desk) -> None:
    desk.put(name("a", 2))
    desk.put(name("a", 1), NOW_NS - 15 * 1_000_000_000)
    assert [each.finished for each in desk.next()] == [False, False]
    assert desk.queue.due_s() == desk.now_s + 45
    assert desk.wait(44) == []
    (finished,) = desk.wait(1.5)
    assert (finished.name.start_ns % 1000, finished.finished) == (1, True)
    assert desk.wait(1000) == []


def test_a_change_puts_the_minute_off(desk: Desk) -> None:
    desk.put(name("a", 2))
    desk.put(name("a", 1), NOW_NS)
    desk.next()
    assert desk.wait(50) == []
    desk.put(name("a", 1), desk.now_ns, seen=True)
    assert [each.finished for each in desk.next()] == [False]
    assert desk.wait(50) == []
    assert [each.finished for each in desk.wait(10.5)] == [True]
    desk.put(name("a", 1), desk.now_ns, seen=True)  # it grows after all
    assert [each.finished for each in desk.next()] == [False]
    assert [each.finished for each in desk.wait(61)] == [True]


@pytest.mark.parametrize("off_s", [-7200, 7200])
def test_a_file_server_s_clock_may_be_wrong(desk: Desk, off_s: int) -> None:
    desk.put(name("a", 2))
    desk.put(name("a", 1), NOW_NS + off_s * 1_000_000_000, seen=True)
    assert [each.finished for each in desk.next()] == [False, False]
    assert [each.finished for each in desk.wait(61)] == [True]


def test_a_file_that_waited_long_is_as_idle_as_its_time_of_change_says(desk: Desk) -> None:
    desk.put(name("a", 2))
    desk.put(name("a", 1), NOW_NS, seen=True)
    desk.now_s += 3600
    desk.now_ns += 3600 * 1_000_000_000
    write(desk.directory / name("a", 1))
    os.utime(desk.directory / name("a", 1), ns=(0, desk.now_ns - 1_000_000_000))
    old, _ = desk.next()
    assert (old.idle_s, old.finished) == (1.0, False)


def test_what_went_is_told_once_and_only_when_it_was_given_out(desk: Desk) -> None:
    for number in range(3):
        desk.put(name("a", number))
    desk.next()
    desk.put(name("b"))
    for path in desk.directory.iterdir():
        path.unlink()
        desk.queue.drop(desk.folder, path.name)
    assert desk.next() == []
    gone = [str(desk.directory / name("a", number)) for number in range(3)]
    assert sorted(desk.queue.vanished(2) + desk.queue.vanished(2)) == gone
    assert desk.queue.vanished(2) == []


def test_what_went_and_came_back_did_not_go(desk: Desk) -> None:
    desk.put(name("a"))
    desk.next()
    desk.queue.drop(desk.folder, name("a"))
    desk.put(name("a"))
    assert desk.names() == [name("a")]
    assert desk.queue.vanished(9) == []


def test_a_file_that_nobody_told_is_gone_is_found_to_be(desk: Desk) -> None:
    desk.put(name("a"))
    desk.next()
    (desk.directory / name("a")).unlink()
    desk.queue.put(desk.folder, name("a"), desk.now_s)
    assert desk.next() == []
    assert desk.queue.vanished(9) == [str(desk.directory / name("a"))]


def test_what_is_no_file_any_more_is_gone(desk: Desk) -> None:
    desk.put(name("a"))
    desk.next()
    path = desk.directory / name("a")
    path.unlink()
    path.symlink_to("/dev/null")
    desk.queue.put(desk.folder, name("a"), desk.now_s)
    assert desk.next() == []
    assert desk.queue.vanished(9) == [str(path)]


def test_a_file_is_given_out_again_when_asked(desk: Desk) -> None:
    desk.put(name("a"))
    desk.next()
    desk.queue.put_later(desk.folder, name("a"), desk.now_s + 20)
    desk.queue.put_later(desk.folder, name("a"), desk.now_s + 10)
    assert desk.wait(9) == []
    assert len(desk.wait(1)) == 1
    assert desk.wait(100) == []


def test_a_file_that_grows_all_the_time_costs_no_memory(desk: Desk) -> None:
    desk.put(name("a", 2))
    for _ in range(1000):
        desk.put(name("a", 1), desk.now_ns, seen=True)
        desk.wait(0.02)
    assert len(desk.queue._due) == 1
    assert desk.queue.waiting == 0
