# SPDX-License-Identifier: MIT
"""The door: who locked it, until when, on clocks that a test sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tessmon.control.door import Door, Pause, Uptime, uptime

HOUR_S = 3600
SECOND_NS = 10**9


class Clocks:
    """A wall clock that can be set, and the uptime of a machine that can be booted."""

    def __init__(self) -> None:
        self.wall_ns = 1_772_000_000 * SECOND_NS
        self.up = Uptime("first-boot", 5 * SECOND_NS)

    def pass_by(self, seconds: float) -> None:
        self.wall_ns += int(seconds * SECOND_NS)
        self.up = self.up._replace(ns=self.up.ns + int(seconds * SECOND_NS))

    def set(self, by_s: float) -> None:
        self.wall_ns += int(by_s * SECOND_NS)

    def boot(self) -> None:
        self.up = Uptime("second-boot", 0)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "paused"


def door(path: Path, clocks: Clocks) -> Door:
    return Door(path, lambda: clocks.wall_ns, lambda: clocks.up)


def left_s(found: Door, clocks: Clocks) -> float:
    assert found.pause is not None
    assert found.pause.until_ns is not None
    return (found.pause.until_ns - clocks.wall_ns) / SECOND_NS


def test_a_lock_without_an_end_survives_a_restart(path: Path, clocks: Clocks) -> None:
    door(path, clocks).lock("ana")
    clocks.pass_by(30 * 86_400)
    again = door(path, clocks)
    assert again.pause == Pause("ana", 1_772_000_000 * SECOND_NS, None)
    assert not again.expired
    again.open()
    assert not path.exists()
    assert not door(path, clocks).locked


def test_a_lock_ends_when_its_time_is_up(path: Path, clocks: Clocks) -> None:
    found = door(path, clocks)
    found.lock("ana", HOUR_S)
    clocks.pass_by(HOUR_S - 1)
    assert not found.expired
    assert left_s(found, clocks) == 1
    clocks.pass_by(1)
    assert found.expired
    assert found.locked


def test_a_restart_changes_nothing_of_its_end(path: Path, clocks: Clocks) -> None:
    door(path, clocks).lock("ana", HOUR_S)
    clocks.pass_by(600)
    again = door(path, clocks)
    assert left_s(again, clocks) == HOUR_S - 600
    clocks.pass_by(HOUR_S - 600)
    assert again.expired


def test_time_that_ran_out_during_an_absence_leaves_it_open(path: Path, clocks: Clocks) -> None:
    door(path, clocks).lock("ana", HOUR_S)
    since_ns = clocks.wall_ns
    clocks.pass_by(2 * HOUR_S)
    again = door(path, clocks)
    assert not again.locked
    assert again.ended == Pause("ana", since_ns, since_ns + HOUR_S * SECOND_NS)
    assert not path.exists()
    assert door(path, clocks).ended is None


@pytest.mark.parametrize("by_s", [-86_400 * 365, -HOUR_S, HOUR_S, 86_400 * 365])
@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_is_set_neither_ends_nor_prolongs_it(
    path: Path, clocks: Clocks, by_s: float, restart: bool
) -> None:
    found = door(path, clocks)
    found.lock("ana", HOUR_S)
    clocks.pass_by(600)
    clocks.set(by_s)
    if restart:
        found = door(path, clocks)
    assert not found.expired
    assert left_s(found, clocks) == HOUR_S - 600
    clocks.pass_by(HOUR_S - 600)
    assert found.expired


def test_over_a_boot_the_wall_clock_counts(path: Path, clocks: Clocks) -> None:
    door(path, clocks).lock("ana", HOUR_S)
    clocks.pass_by(600)
    clocks.boot()
    again = door(path, clocks)
    assert left_s(again, clocks) == HOUR_S - 600
    clocks.set(-1e6)  # and from then on it does not
    assert left_s(door(path, clocks), clocks) == HOUR_S - 600


def test_no_boot_with_a_wrong_clock_makes_it_longer_than_was_asked_for(path: Path, clocks: Clocks) -> None:
    door(path, clocks).lock("ana", HOUR_S)
    clocks.boot()
    clocks.set(-86_400 * 365)
    again = door(path, clocks)
    assert left_s(again, clocks) == HOUR_S
    clocks.pass_by(HOUR_S)
    assert again.expired


def test_the_first_who_locked_it_is_remembered_and_the_last_says_when_it_ends(
    path: Path, clocks: Clocks
) -> None:
    found = door(path, clocks)
    moves: list[bool] = []
    found.watch(lambda: moves.append(found.locked))
    found.lock("ana", HOUR_S)
    began_ns = clocks.wall_ns
    clocks.pass_by(600)
    found.lock("bob")
    assert found.pause == Pause("ana", began_ns, None)
    clocks.pass_by(HOUR_S)
    assert not found.expired
    found.lock("eve", 60)
    assert found.pause == Pause("ana", began_ns, clocks.wall_ns + 60 * SECOND_NS)
    assert door(path, clocks).pause == found.pause
    assert moves == [True]
    found.open()
    assert moves == [True, False]


def test_what_the_first_version_kept_is_understood(path: Path, clocks: Clocks) -> None:
    path.write_text('{"by": "ana", "since_ns": 1771999999000000000}')
    assert door(path, clocks).pause == Pause("ana", 1_771_999_999 * SECOND_NS, None)


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"by": "ana"}',
        b'{"by": "ana", "since_ns": 1, "end": [1]}',
        b'{"by": "ana", "since_ns": 1, "end": ["boot", 1, 1, Infinity]}',
        b'{"by": "ana", "since_ns": 1, "end": ["boot", 1, 1, NaN]}',
    ],
)
def test_a_file_that_is_damaged_keeps_it_locked(path: Path, clocks: Clocks, kept: bytes) -> None:
    path.write_bytes(kept)
    found = door(path, clocks)
    assert found.pause == Pause("unknown", clocks.wall_ns, None)
    found.open()
    assert not path.exists()


def test_a_disk_that_takes_no_file_locks_and_opens_all_the_same(tmp_path: Path, clocks: Clocks) -> None:
    found = door(tmp_path / "absent" / "paused", clocks)
    found.lock("ana", HOUR_S)
    assert found.locked
    found.open()
    assert not found.locked


def test_a_pause_speaks_in_utc() -> None:
    pause = Pause("ana", 1_772_000_000 * SECOND_NS, 1_772_003_600 * SECOND_NS)
    assert str(pause) == "by ana since 2026-02-25 06:13:20 UTC until 2026-02-25 07:13:20 UTC"
    assert str(pause._replace(until_ns=None)).endswith("06:13:20 UTC without an end")


def test_the_machines_uptime_has_a_name_and_goes_on(path: Path) -> None:
    first, second = uptime(), uptime()
    assert first.boot == second.boot != ""
    assert first.ns <= second.ns
    json.dumps(first)
