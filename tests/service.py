# SPDX-License-Identifier: MIT
"""The service as a child process of the tests: the real one, with kill points and a measured reactor.

Run as ``python tests/service.py --config FILE --quickness FILE [--kill POINT:N] [--hang POINT:FILE]
[--patience SECONDS]``. Every call that the reactor makes is measured in CPU time of its thread; the longest is kept
in a file that a kill -9 leaves intact.
"""

from __future__ import annotations

import argparse
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor

_LONGEST = struct.Struct("<d248s")


class Longest:
    """The longest call so far: CPU time [s] and what it was, in a file."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_LONGEST.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _LONGEST.size)
        self._seconds = 0.0

    def measure(self, what: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return call(*args, **kwargs)
        finally:
            spent = time.thread_time() - began
            if spent > self._seconds:
                self._seconds = spent
                _LONGEST.pack_into(self._memory, 0, spent, repr(what).encode()[:248])


def longest_call(path: Path) -> tuple[float, str]:
    """What `Longest` kept: CPU time [s], and what was called."""
    seconds, what = _LONGEST.unpack(path.read_bytes())
    return seconds, what.rstrip(b"\0").decode(errors="replace")


class MeasuredReactor(EPollReactor):
    """Measures what it calls; what happens before `measuring` is the start of the process."""

    longest: Longest | None = None

    def _measured(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.longest is None:
                return function(*args, **kwargs)
            return self.longest.measure(function, function, *args, **kwargs)

        return call

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        return super().callLater(delay, self._measured(callable), *args, **kw)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> None:
        super().callFromThread(self._measured(callable), *args, **kw)

    def _doReadOrWrite(self, selectable: Any, fd: int, event: int) -> None:
        if self.longest is None:
            super()._doReadOrWrite(selectable, fd, event)
        else:
            self.longest.measure(selectable, super()._doReadOrWrite, selectable, fd, event)


def kill_at(point: str, count: int) -> Callable[[str], None]:
    """A `reached` that kills the process, as kill -9 does, the count-th time that a point is reached."""
    left = [count]

    def reached(name: str) -> None:
        if name == point:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


def hang_at(point: str, while_there: Path) -> Callable[[str], None]:
    """A `reached` that keeps who comes to a point, as a disk that does not answer does, while a file is there."""

    def reached(name: str) -> None:
        while name == point and while_there.exists():
            time.sleep(0.02)  # between two looks

    return reached


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--quickness", type=Path, required=True)
    parser.add_argument("--kill")
    parser.add_argument("--hang")
    parser.add_argument("--patience", type=float)
    args = parser.parse_args()
    reactor = MeasuredReactor()
    installReactor(reactor)
    from tessmon import tap

    given: dict[str, Any] = {}
    if args.kill:
        point, _, count = args.kill.rpartition(":")
        given["reached"] = kill_at(point, int(count))
    if args.hang:
        point, _, path = args.hang.partition(":")
        given["reached"] = hang_at(point, Path(path))
    if args.patience is not None:
        given["patience_s"] = args.patience
    longest = Longest(args.quickness)
    reactor.callWhenRunning(setattr, reactor, "longest", longest)
    return tap.run(args.config, **given)


if __name__ == "__main__":
    sys.exit(main())
