# SPDX-License-Identifier: MIT
"""Kill -9 at each named point and at random moments: what was settled is there, once, in order, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest_twisted

from tests import scale
from tests.journal.append_until_killed import payload_of
from tests.journal.desk import ROOT, Desk, numbers, read_all

LONGEST_LIFE_S = 0.5
COUNTS = {"journal.before_commit": (1, 50), "journal.after_commit": (1, 50), "journal.rotate": (1, 3)}
DEADLINE_S = 60
SCRIPT = "tests.journal.append_until_killed"


def run_until_killed(directory: Path, first: int, point: str, count: int) -> tuple[list[int], int]:
    """Let a child append from ``first`` on until it is dead; returns what it said was settled, in order, and the
    last number that it may have appended."""
    child = subprocess.Popen(
        [sys.executable, "-m", SCRIPT, directory, str(first), point, str(count)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert child.stdout is not None
    told = child.stdout.readline()
    assert told == b"open\n"
    if point == "random":
        time.sleep(random.Random(first).uniform(0, LONGEST_LIFE_S))
        child.kill()
    told = child.stdout.read()
    assert child.wait(DEADLINE_S) == -9
    child.stdout.close()
    lines = told.decode().split("\n")[:-1]
    settled = [int(line[1:]) for line in lines if line.startswith("s")]
    appended = [int(line[1:]) for line in lines if line.startswith("a")]
    return settled, max([first - 1, *appended])


def kills() -> Iterator[tuple[str, int]]:
    """Which point, and the how manieth time it is reached."""
    for point, counts in COUNTS.items():
        for count in counts:
            yield point, count
    for _ in range(scale.KILLS):
        yield "random", 0


@pytest_twisted.ensureDeferred
async def test_kill_at_any_moment_loses_nothing_settled_and_doubles_nothing(desk: Desk) -> None:
    settled: list[int] = []
    appended: list[range] = []
    first = 1
    for point, count in kills():
        told, last = run_until_killed(desk.directory, first, point, count)
        settled += told
        appended.append(range(first, last + 1))
        first = last + 1
    journal = await desk.open()
    frames, gaps = await read_all(journal)
    found = numbers(frames)
    assert settled == sorted(set(settled))
    assert len(settled) > 1000
    assert found == sorted(set(found))
    assert set(settled) <= set(found) <= {number for run in appended for number in run}
    for run in appended:
        here = [number for number in found if number in run]
        assert here == list(range(run.start, run.start + len(here))), "a hole within what one run wrote"
    assert all(frame.payload == payload_of(frame.received_ns) for frame in frames)
    assert gaps == []
    assert journal.status().damaged == 0


@pytest_twisted.ensureDeferred
async def test_kill_in_the_middle_of_an_unlink_leaves_a_journal_that_goes_on(desk: Desk) -> None:
    told, last = run_until_killed(desk.directory, 1, "journal.unlink", 2)
    journal = await desk.open()
    frames, gaps = await read_all(journal)
    assert numbers(frames)[-1] >= told[-1]
    assert numbers(frames) == list(range(numbers(frames)[0], numbers(frames)[-1] + 1))
    assert 1 < numbers(frames)[0] <= last
    assert gaps == []
