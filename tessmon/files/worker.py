# SPDX-License-Identifier: MIT
"""A process that fills the database: ``python -m tessmon.files.worker``, started by a back-fill and told what to read.

Lines of JSON come on standard input: `Orders` first, then a `Task` whenever one is done. `Report`s go out on standard
output. The end of the input is the order to stop: behind the transaction at hand.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from tessmon.errors import TessmonError
from tessmon.files.looking import GoneError
from tessmon.files.tree import path_shown_as

_CHUNK_BYTES = 65536
_IDLE_S = 1.0


class Orders(msgspec.Struct, frozen=True):
    """What a worker must know: the configuration's path, and what libpq is told, with the password."""

    configuration: str | None
    parameters: dict[str, str]


class Task(msgspec.Struct, frozen=True):
    """A file to read: its path as `shown`, and whether its device has not begun another."""

    path: str
    newest: bool


Event = Literal["moved", "done", "gone", "left_out", "waiting", "stopped", "failed"]


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker tells.

    Attributes:
        event: ``moved``: a transaction was committed; ``done``, ``gone``, ``left_out``: the end of a task, and the
            worker wants another; ``waiting``: see ``text``, which is empty when that is over; ``stopped``: by order, in
            the midst of a file; ``failed``: so that the worker has ended.
        text: a sentence.
        read_bytes: of the file on disk, since the last report.
        offset: up to where the file is done with.
        outcomes: records by what became of them, since the last report.
    """

    event: Event
    text: str = ""
    read_bytes: int = 0
    offset: int = 0
    outcomes: dict[str, int] = {}


class StoppedError(Exception):
    """The input has ended."""


class Pipe:
    """Standard input and output, in lines."""

    def __init__(self, source: int = 0, target: int = 1) -> None:
        self._source, self._target = source, target
        self._rest = b""

    def line(self, idle: Callable[[], None] = lambda: None) -> bytes:
        """The next line; ``idle()`` is called when none comes for a while.

        Raises:
            StoppedError: there will be none.
        """
        while b"\n" not in self._rest:
            if not select.select([self._source], [], [], _IDLE_S)[0]:
                idle()
            chunk = os.read(self._source, _CHUNK_BYTES)
            if not chunk:
                raise StoppedError
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def tell(self, report: Report) -> None:
        """Send a report.

        Raises:
            StoppedError: nobody hears it.
        """
        told = msgspec.json.encode(report) + b"\n"
        try:
            while told:
                told = told[os.write(self._target, told) :]
        except BrokenPipeError as error:
            raise StoppedError from error

    def wait(self, wait_s: float) -> None:
        """Wait so long [s]. While a file is read, nothing comes but the end.

        Raises:
            StoppedError: it has come.
        """
        if select.select([self._source], [], [], wait_s)[0]:
            raise StoppedError


def work(pipe: Pipe) -> None:
    """Take orders, and tasks until there are no more.

    Raises:
        TessmonError: it can't go on.
        StoppedError: there are no more tasks.
    """
    from tessmon import collector
    from tessmon.config.load import load
    from tessmon.files.filling import Filler, LeftOutError, Told
    from tessmon.files.hold import Hold
    from tessmon.files.link import Link

    orders = msgspec.json.decode(pipe.line(), type=Orders)
    config = load(None if orders.configuration is None else Path(orders.configuration)).config
    if config.files is None:
        raise TessmonError("the configuration has no [files] table any more")

    offset = 0

    def waits(why: str, wait_s: float) -> None:
        pipe.tell(Report("waiting", why))
        pipe.wait(wait_s)

    def told(progress: Told) -> None:
        nonlocal offset
        offset = progress.offset
        pipe.tell(Report("moved", "", progress.read_bytes, offset, dict(progress.outcomes)))
        pipe.wait(0)

    link = Link(orders.parameters, Hold(config).why, waits, time.monotonic)
    collector.settle()
    filler = Filler(config, config.files, link, told, pipe.wait, time.time_ns)
    while True:
        task = msgspec.json.decode(pipe.line(link.close), type=Task)
        offset = 0
        try:
            filler.fill(path_shown_as(task.path), task.newest)
            pipe.tell(Report("done", offset=offset))
        except GoneError:
            pipe.tell(Report("gone"))
        except LeftOutError as error:
            pipe.tell(Report("left_out", str(error)))
        except StoppedError:
            pipe.tell(Report("stopped", offset=offset))
            raise


def main() -> int:
    """Until the input ends; 1 when something is in the way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Pipe()
    try:
        work(pipe)
    except StoppedError:
        return 0
    except TessmonError as error:
        pipe.tell(Report("failed", str(error)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
