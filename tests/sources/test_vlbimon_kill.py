# SPDX-License-Identifier: MIT
"""A source that is killed wherever that hurts, and one that gets more than usual: with a server in another process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from tessmon.records.vlbimon import SNAPSHOT
from tests.observatory import QUICK_S, wait_for
from tests.scale import LARGE_SNAPSHOT_POINTS
from tests.sources.vlbimonrig import Bench, made_whole, pairs, settings, until
from tests.vlbimon_server import VlbimonServer, vlbimon_server

__all__ = ["vlbimon_server"]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("point", "times"),
    [("vlbimon.reply", 20), ("vlbimon.appended", 7), ("vlbimon.settled", 25), ("vlbimon.swept", 1)],
)
@pytest_twisted.ensureDeferred
async def test_a_kill_loses_nothing(
    vlbimon_server: VlbimonServer, tmp_path: Path, point: str, times: int
) -> None:
    vlbimon_server.receive(pairs(range(20)))
    script = str(ROOT / "tests" / "sources" / "vlbimon_journalling.py")
    command = [sys.executable, script, str(tmp_path), vlbimon_server.url, point, str(times)]
    process = subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    numbers = iter(range(20, 10_000))

    def fed() -> bool:
        vlbimon_server.receive(pairs([next(numbers) % 99]))
        return process.poll() is not None

    try:
        wait_for(fed, f"a kill at {point}")
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -9
    vlbimon_server.receive(pairs(range(5), "SMA"))
    received = {(each.station, each.parameter, each.pair) for each in vlbimon_server.received()}
    bench = Bench(tmp_path, settings(tmp_path, vlbimon_server.url))
    bench.told = None
    async with bench.running() as source:
        if source.status().swept_s is None:
            bench.told = -1
        await made_whole(bench, lambda: received)
    cursors = [float(poll.cursor or 0) for poll in bench.polls()]
    assert cursors == sorted(cursors)
    swept = [each for each in bench.swept() if each is not None]
    assert swept == sorted(swept)


@pytest_twisted.ensureDeferred
async def test_a_very_large_snapshot_never_holds_the_reactor(
    vlbimon_server: VlbimonServer, tmp_path: Path
) -> None:
    vlbimon_server.receive_set(LARGE_SNAPSHOT_POINTS, 1_712_345_600)
    bench = Bench(tmp_path, settings(tmp_path, vlbimon_server.url, timeout_s=60.0, period_s=60.0))
    longest_s, running = 0.0, True

    async def watch() -> None:
        """No round of the loop, however many calls are in it, takes long."""
        nonlocal longest_s
        while running:
            before_s = time.thread_time()
            await deferLater(reactor, 0)
            longest_s = max(longest_s, time.thread_time() - before_s)

    async with bench.running() as source:
        watching = ensureDeferred(watch())
        await until(lambda: source.status().polls, "the snapshot", 60.0)
        source._sweep.give_up()
        running = False
        await watching
    print(f"longest round of the reactor: {1000 * longest_s:.1f} ms")
    assert longest_s < QUICK_S
    assert sum(bench.polls()[0].counts.values()) == LARGE_SNAPSHOT_POINTS
    assert sum(1 for _ in bench.parts(SNAPSHOT)) == LARGE_SNAPSHOT_POINTS
