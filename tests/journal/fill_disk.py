# SPDX-License-Identifier: MIT
"""Run by a test in a process of its own: fills a journal's disk, makes room, and prints as JSON what became of it."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from tests.journal.desk import Desk, Listener, a_frame, numbers, read_all, until

ROUNDS = 3
LIMIT_BYTES = 4096
LEFT_BYTES = 300_000
PAYLOAD = b"f" * 1000


class Disk:
    """A disk that can be made full and empty again."""

    def __init__(self, kind: str, place: Path) -> None:
        self._kind = kind
        self._filler = place / "filler"

    def fill(self) -> None:
        if self._kind == "tmpfs":
            disk = os.statvfs(self._filler.parent)
            self._filler.write_bytes(b"0" * (disk.f_bavail * disk.f_frsize - LEFT_BYTES))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))

    def make_room(self) -> None:
        if self._kind == "tmpfs":
            self._filler.unlink()
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def fill(kind: str, directory: Path) -> dict[str, Any]:
    """Appends until nothing goes any more, with group commits of 20 frames, and makes room again; ``ROUNDS`` times."""
    disk, desk, listener = Disk(kind, directory.parent), Desk(directory), Listener()
    journal = await desk.open(listener=listener, gather_s=0.002)
    appended = 0
    when_full, while_full, left, read = [], [], [], []
    for _ in range(ROUNDS):
        journal.append(a_frame(appended := appended + 1, PAYLOAD), appended)
        await until(lambda: not journal.pending_bytes)
        disk.fill()
        while journal.full is None:
            for _ in range(20):
                appended += 1
                journal.append(a_frame(appended, PAYLOAD), appended)
            await until(lambda: not journal.pending_bytes or journal.full)
        when_full.append(len(listener.receipts))
        frames, _ = await read_all(journal)
        read.append(numbers(frames)[-1])
        left.append(listener.receipts[-1])
        while_full.append(len(listener.receipts))
        disk.make_room()
        await until(lambda: journal.full is None and not journal.pending_bytes)
    frames, gaps = await read_all(journal)
    await desk.close()
    return {
        "rounds": ROUNDS,
        "segments": len(desk.names()),
        "states": listener.states,
        "appended": appended,
        "settled": listener.receipts,
        "read": numbers(frames),
        "gaps": gaps,
        "settled_when_full": when_full,
        "settled_while_full": while_full,
        "left_while_full": left,
        "read_while_full": read,
    }


def main() -> None:
    """Print the result; a failure is a traceback and exit code 1."""
    codes = [1]

    def done(result: dict[str, Any]) -> None:
        print(json.dumps(result))
        codes.append(0)

    def start() -> None:
        finished = ensureDeferred(fill(sys.argv[1], Path(sys.argv[2])))
        finished.addCallbacks(done, lambda failure: failure.printTraceback(sys.stderr))
        finished.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run()
    if codes[-1]:
        sys.exit(1)


if __name__ == "__main__":
    main()
