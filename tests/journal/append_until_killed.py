# SPDX-License-Identifier: MIT
"""Run by a test in a process of its own: appends frames and tells what is settled, until it is killed.

Arguments: directory, number of the first frame, point, count. When the point is reached for the count-th time the
process kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall

from tessmon.journal.journal import Journal
from tests.journal.desk import a_frame

FRAMES_PER_CALL = 7
CALL_S = 0.001
SEGMENT_BYTES = 65536


def payload_of(number: int) -> bytes:
    """A payload that can't be mistaken for that of another frame."""
    return b"%d " % number * 40


def tell(line: str) -> None:
    """One whole line, at once."""
    os.write(1, line.encode())


class Appender:
    """Source and lane in one."""

    def __init__(self, directory: Path, first: int, point: str, count: int) -> None:
        self._next = first
        self._point = point
        self._left = count
        self._journal = Journal(
            directory,
            self,
            reactor,
            max_bytes=1 << 40,
            min_free_bytes=0,
            retention_s=0 if point == "journal.unlink" else 1e9,
            segment_bytes=SEGMENT_BYTES,
            gather_s=0.002,
            reached=self._reached,
        )

    async def run(self) -> None:
        await self._journal.open()
        tell("open\n")
        await LoopingCall(self._append).start(CALL_S)

    def settled(self, receipts: list[Any]) -> None:
        tell("".join(f"s{number}\n" for number in receipts))
        if self._point == "journal.unlink":
            self._journal.passed(self._journal.status().newest)

    def journal_full(self, why: str) -> None:
        tell(f"full: {why}\n")

    def journal_has_room(self) -> None:
        tell("room\n")

    def _append(self) -> None:
        last = self._next + FRAMES_PER_CALL - 1
        tell(f"a{last}\n")
        for number in range(self._next, last + 1):
            self._journal.append(a_frame(number, payload_of(number)), number)
        self._next = last + 1

    def _reached(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    appender = Appender(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    reactor.callWhenRunning(lambda: ensureDeferred(appender.run()))
    reactor.run()
