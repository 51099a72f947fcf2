# SPDX-License-Identifier: MIT
"""Reads all files that are not read yet, with several processes that share the work file by file."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from tessmon.files.pending import PendingFile
from tessmon.files.tree import shown
from tessmon.files.worker import Orders, Report, Task

_CHUNK_BYTES = 65536
_LOOK_S = 0.2
_WORKER = (sys.executable, "-m", "tessmon.files.worker")


@dataclass
class Sum:
    """What a back-fill did so far.

    Attributes:
        files: files read to their end [count].
        read_bytes: of them on disk.
        outcomes: records by what became of them: stored, duplicate, rejected.
        left_out: (path, why) of files that could not be read.
        stopped: (path, offset) of files in whose midst it was stopped.
        faults: sentences about workers that ended before their time.
        interrupted: somebody had it stopped.
    """

    files: int = 0
    read_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    stopped: list[tuple[str, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    interrupted: bool = False


class _Worker:
    """A process, what it reads, and the pipes to it."""

    def __init__(self, orders: Orders) -> None:
        self.process = subprocess.Popen(
            _WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is the parent's
        )
        self.task: PendingFile | None = None
        self.read_bytes = 0
        self.offset = 0
        self._rest = b""
        self._send(orders)

    @property
    def output(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def give(self, task: PendingFile) -> None:
        """Have it read a file."""
        self.task, self.read_bytes, self.offset = task, 0, 0
        self._send(Task(shown(task.path), task.newest))

    def _send(self, what: Orders | Task) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # its end is told by its output
            self.process.stdin.write(msgspec.json.encode(what) + b"\n")
            self.process.stdin.flush()

    def reports(self) -> list[Report] | None:
        """What it tells; None when it has ended."""
        chunk = os.read(self.output, _CHUNK_BYTES)
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [msgspec.json.decode(line, type=Report) for line in lines]

    def stop(self) -> None:
        """No more tasks; it ends behind the transaction at hand."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            with suppress(BrokenPipeError):
                self.process.stdin.close()


class Backfill:
    """Gives files to workers until there are no more.

    Args:
        configuration: its path.
        parameters: of the workers' connections.
        workers: how many; they start at once, and get ready while it is found out what is to be read.
        told: is called about five times a second, or more often, with what was done so far.
        says: is called with sentences for the operator.
    """

    def __init__(
        self,
        configuration: Path | None,
        parameters: Mapping[str, str],
        workers: int,
        told: Callable[[Sum], None],
        says: Callable[[str], None],
    ) -> None:
        orders = Orders(None if configuration is None else str(configuration), dict(parameters))
        self._files: Iterator[PendingFile] = iter(())
        self._told = told
        self._says = says
        self._waits: set[str] = set()
        self._sum = Sum()
        self._selector = selectors.DefaultSelector()
        self._workers = [_Worker(orders) for _ in range(workers)]
        for worker in self._workers:
            self._selector.register(worker.output, selectors.EVENT_READ, worker)

    def run(self, files: Iterator[PendingFile]) -> Sum:
        """Until all is read, or `KeyboardInterrupt` was raised and all workers have ended.

        Args:
            files: what to read, in order.

        Raises:
            KeyboardInterrupt: somebody does not want to wait for that; workers are killed.
            DatabaseError: the database refuses the parent.
        """
        try:
            self._files = files
            for worker in self._workers:
                self._give(worker)
            self._listen()
        except KeyboardInterrupt:
            self._says("stopping behind the transactions at hand; Ctrl-C once more kills them")
            self._sum.interrupted = True
            self._files = iter(())
            for worker in self._workers:
                worker.stop()
            self._listen()
        return self._sum

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened, no worker stays."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()

    def _listen(self) -> None:
        """Hear what the workers tell, until all have ended."""
        while self._workers:
            for key, _ in self._selector.select(_LOOK_S):
                worker: _Worker = key.data
                reports = worker.reports()
                if reports is None:
                    self._ended(worker)
                for report in reports or ():
                    self._heard(worker, report)
            self._told(self._sum)

    def _heard(self, worker: _Worker, report: Report) -> None:
        path = "" if worker.task is None else shown(worker.task.path)
        if report.event == "moved":
            worker.offset = report.offset
            self._advance(worker, report.read_bytes)
            self._sum.outcomes.update(report.outcomes)
        elif report.event == "waiting":
            self._wait(report.text)
        elif report.event == "failed":
            self._sum.faults.append(report.text)
            worker.task = None
            self._files = iter(())
        elif report.event == "stopped":
            self._sum.stopped.append((path, worker.offset))
            worker.task = None
        else:
            if report.event == "left_out":
                self._sum.left_out.append((path, report.text))
            elif report.event == "done":
                self._sum.files += 1
            if worker.task is not None:
                self._advance(worker, max(0, worker.task.left_bytes - worker.read_bytes))
            worker.task = None
            self._give(worker)

    def _advance(self, worker: _Worker, read_bytes: int) -> None:
        worker.read_bytes += read_bytes
        self._sum.read_bytes += read_bytes

    def _wait(self, why: str) -> None:
        """Each reason is said once, until it is over."""
        if not why:
            if self._waits:
                self._says("going on")
            self._waits.clear()
        elif why not in self._waits:
            self._waits.add(why)
            self._says(f"waiting: {why}")

    def _give(self, worker: _Worker) -> None:
        task = next(self._files, None)
        if task is None:
            worker.stop()
        else:
            worker.give(task)

    def _ended(self, worker: _Worker) -> None:
        self._selector.unregister(worker.output)
        self._workers.remove(worker)
        code = worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):
                    pipe.close()
        if worker.task is not None:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            self._sum.faults.append(
                f"a worker {how} in {shown(worker.task.path)}, which is stored at least up to byte"
                f" {worker.offset}"
            )
