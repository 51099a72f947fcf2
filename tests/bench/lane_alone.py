# SPDX-License-Identifier: MIT
"""The photometers' lane alone: a journal is filled, or drained into the database. Processes of their own.

``python -m tests.bench.lane_alone fill|drain …``; each prints one JSON line. A drain leaves the journal as it was, so
it can be drained again when the position is gone from the database.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall, deferLater

from tessmon import collector
from tessmon.config import model
from tessmon.control.door import Door
from tessmon.database.connection import Connector
from tessmon.journalled import Wiring
from tessmon.photometer import PhotometerInput
from tessmon.records.frame import Frame, FrameKind
from tests.bench.ground import rss_anon_bytes
from tests.flood import readings
from tests.observatory import FIRST_STAMP_S

_ROOT = Path(__file__).parent.parent.parent
_SLICE, _PENDING_BYTES = 500, 8 << 20
_SAMPLE_S = 0.1
_NS = 1_000_000_000
reactor: Any = _reactor


def run(what: str, directory: Path, dsn: str, frames: int, **more: object) -> dict[str, Any]:
    """Do it in a child process; gives the figures that it prints.

    Args:
        what: fill or drain.
        directory: of journals.
        dsn: of the database; a fill needs none.
        frames: how many.
        more: what the command line of this module takes besides.
    """
    given = {"directory": directory, "dsn": dsn, "frames": frames, **more}
    command = [sys.executable, "-m", "tests.bench.lane_alone", what]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def _input(directory: Path, dsn: str) -> PhotometerInput:
    config = model.Config(
        database=model.Database(dsn=dsn),
        journal=model.Journal(
            directory=directory, max_bytes=1 << 40, min_free_bytes=0, retention_s=model.YEAR_S
        ),
        mqtt=model.Mqtt(),
    )
    door = Door(directory / "paused", time.time_ns)
    connector = Connector(config.database, reactor)
    return PhotometerInput(
        Wiring(config, connector, door, reactor, lambda point: None, time.time_ns, lambda who: None)
    )


async def _fill(directory: Path, frames: int, after_s: int) -> dict[str, Any]:
    """Frames as the source appends them, as if they had come at the second of their stamps."""
    made = _input(directory, "")
    made.journal.listener = _Nobody()
    await made.journal.open()
    first_ns = (FIRST_STAMP_S + after_s) * _NS
    for number, (topic, payload) in enumerate(readings(frames, after_s)):
        frame = Frame(FrameKind.MESSAGE, first_ns + number, topic, payload, len(payload), 1, packet_id=1)
        made.journal.append(frame, None)
        if not number % _SLICE:
            while made.journal.pending_bytes > _PENDING_BYTES:
                await deferLater(reactor, 0.001)
            await deferLater(reactor, 0)
    await made.journal.close()
    return {"frames": frames}


async def _drain(directory: Path, dsn: str, frames: int) -> dict[str, Any]:
    """From the start of the lane to its last commit."""
    made = _input(directory, dsn)
    lane = made.lane
    made.journal.listener = _Nobody()
    await made.journal.open()
    most = rss_anon_bytes()

    def look() -> None:
        nonlocal most
        most = max(most, rss_anon_bytes())

    sampling = LoopingCall(look)
    sampling.start(_SAMPLE_S)
    collector.settle()  # as the service does when it starts
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    lane.startService()
    while sum(lane.status().outcomes.values()) < frames:
        await deferLater(reactor, 0.01)
        assert lane.status().state != "refused", lane.status().detail
    seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    outcomes = {" ".join(key).strip(): count for key, count in lane.status().outcomes.items()}
    await lane.stopService()
    await made.journal.close()
    sampling.stop()
    return {
        "seconds": seconds,
        "cpu_us": cpu_s / frames * 1e6,
        "rss_anon_mb": most / 1e6,
        "outcomes": outcomes,
    }


class _Nobody:
    """A journal's listener that has nobody to acknowledge to."""

    def settled(self, receipts: object) -> None: ...

    def journal_full(self, why: str) -> None:
        raise AssertionError(why)

    def journal_has_room(self) -> None: ...


def _in_reactor(work: Callable[[], Awaitable[dict[str, Any]]]) -> int:
    failed: list[object] = []

    def begin() -> None:
        done = ensureDeferred(work())  # type: ignore[arg-type]
        done.addCallback(lambda figures: print(json.dumps(figures), flush=True))
        done.addErrback(lambda failure: (failed.append(failure), failure.printTraceback(sys.stderr)))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["fill", "drain"])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--dsn", default="")
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--after-s", type=int, default=0, help="of the first stamps, with fill")
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    if args.what == "fill":
        return _in_reactor(lambda: _fill(args.directory, args.frames, args.after_s))
    return _in_reactor(lambda: _drain(args.directory, args.dsn, args.frames))


if __name__ == "__main__":
    sys.exit(main())
