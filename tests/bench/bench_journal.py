# SPDX-License-Identifier: MIT
"""How fast the journal takes frames and gives them back, beside a bare loop of SQLite commits of the same groups.

Run by hand: ``python tests/bench/bench_journal.py [directory]``; one JSON object a line.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater

from tessmon.journal.journal import Journal
from tessmon.records.frame import Frame, pack_frames
from tessmon.records.position import START

FRAMES = 200_000
GROUP_FRAMES = 4000
BATCH_FRAMES = 250
PACED_FRAMES = 3000
PACED_HZ = 1000
PAYLOAD = b'{"seq":1,"rev":2,"name":"stars1","freq":10.5,"mag":20.11,"tamb":5.5,"tsky":-10.2,"wdBm":-70}' * 2


def tell(what: str, **figures: Any) -> None:
    print(
        json.dumps({"what": what, **{name: round(value, 4) for name, value in figures.items()}}), flush=True
    )


class Receipts:
    """A listener that knows when the last frame was settled, and how long each took."""

    def __init__(self) -> None:
        self.count = 0
        self.awaited = 0
        self.done: Deferred[None] = Deferred()
        self.waits_s: list[float] = []

    def settled(self, receipts: list[float]) -> None:
        now = time.perf_counter()
        self.waits_s.extend(now - receipt for receipt in receipts)
        self.count += len(receipts)
        if self.count == self.awaited:
            self.done.callback(None)

    def expect(self, count: int) -> Deferred[None]:
        self.count, self.awaited, self.done, self.waits_s = 0, count, Deferred(), []
        return self.done

    def journal_full(self, why: str) -> None:
        raise AssertionError(why)

    def journal_has_room(self) -> None: ...


def frames(count: int) -> list[Frame]:
    return [
        Frame(0, number + 1, "STARS4ALL/stars1/reading", PAYLOAD, len(PAYLOAD), 1) for number in range(count)
    ]


def bare_sqlite(directory: Path) -> None:
    """One connection, one row a group, one transaction a row."""
    connection = sqlite3.connect(directory / "bare", isolation_level=None)
    for pragma in (
        "page_size = 8192",
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 512",
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE groups (number INTEGER PRIMARY KEY, packed BLOB)")
    taken = frames(FRAMES)
    began, cpu = time.perf_counter(), time.process_time()
    for at in range(0, FRAMES, GROUP_FRAMES):
        connection.execute(
            "INSERT INTO groups VALUES (NULL, ?)", (pack_frames(taken[at : at + GROUP_FRAMES]),)
        )
    elapsed = time.perf_counter() - began
    tell(
        "bare sqlite",
        frames_per_s=FRAMES / elapsed,
        cpu_us_per_frame=(time.process_time() - cpu) / FRAMES * 1e6,
    )
    connection.close()


async def through_the_journal(directory: Path) -> None:
    receipts = Receipts()
    limits = {"max_bytes": 1 << 40, "min_free_bytes": 0, "retention_s": 0}
    journal = Journal(directory / "journal", receipts, reactor, **limits)
    await journal.open()
    taken = frames(FRAMES)
    done = receipts.expect(FRAMES)
    began, cpu, longest = time.perf_counter(), time.process_time(), 0.0
    for at in range(0, FRAMES, BATCH_FRAMES):
        slice_began = time.perf_counter()
        for frame in taken[at : at + BATCH_FRAMES]:
            journal.append(frame, slice_began)
        longest = max(longest, time.perf_counter() - slice_began)
        while journal.pending_bytes > 8 << 20:
            await deferLater(reactor, 0.001, lambda: None)
        await deferLater(reactor, 0, lambda: None)
    await done
    elapsed = time.perf_counter() - began
    cpu_us = (time.process_time() - cpu) / FRAMES * 1e6
    tell("appended", frames_per_s=FRAMES / elapsed, cpu_us_per_frame=cpu_us, longest_append_ms=longest * 1e3)
    began, after, count = time.perf_counter(), START, 0
    while (chunk := await journal.read(after, BATCH_FRAMES, 1 << 20)).frames:
        after = chunk.frames[-1].position
        count += len(chunk.frames)
    tell("read", frames_per_s=count / (time.perf_counter() - began), frames=count)
    done = receipts.expect(PACED_FRAMES)
    for frame in taken[:PACED_FRAMES]:
        journal.append(frame, time.perf_counter())
        await deferLater(reactor, 1 / PACED_HZ, lambda: None)
    await done
    waits = sorted(receipts.waits_s)
    tell(
        "paced",
        p50_ms=waits[len(waits) // 2] * 1e3,
        p99_ms=waits[len(waits) * 99 // 100] * 1e3,
        worst_ms=waits[-1] * 1e3,
    )
    await journal.close()


def main(run: Callable[[Path], Any]) -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        bare_sqlite(Path(place))
        reactor.callWhenRunning(
            lambda: (
                ensureDeferred(run(Path(place)))
                .addErrback(lambda failure: failure.printTraceback(sys.stderr))
                .addBoth(lambda _: reactor.stop())
            )
        )
        reactor.run()


if __name__ == "__main__":
    main(through_the_journal)
