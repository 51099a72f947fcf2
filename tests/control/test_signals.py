# SPDX-License-Identifier: MIT
"""Signals, sent to a real process."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEADLINE_S = 20


class Child:
    """The process, and the lines it prints."""

    def __init__(self, stdin: int = subprocess.DEVNULL) -> None:
        roots = [str(HERE.parents[1]), str(HERE.parent)]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "signalled.py")],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def next_line(self) -> str:
        return self._lines.get(timeout=DEADLINE_S)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[list[str], str]:
        """Ends it with SIGTERM: the lines not read yet, and its log."""
        self.send(signal.SIGTERM)
        assert self.process.stderr is not None
        log = self.process.stderr.read()
        assert self.process.wait(DEADLINE_S) == 0
        self._reader.join(DEADLINE_S)
        return list(self._lines.queue), log

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def child() -> Iterator[Child]:
    running = Child()
    assert running.next_line() == "ready"
    yield running
    running.close()


def test_each_signal_calls_the_coordinator(child: Child) -> None:
    child.send(signal.SIGUSR1)
    assert child.next_line() == "pause SIGUSR1"
    child.send(signal.SIGUSR2)
    assert child.next_line() == "resume SIGUSR2"
    child.send(signal.SIGHUP)
    assert child.next_line() == "reload 1"
    assert child.next_line() == "ended 1"


def test_a_storm_of_reloads_becomes_one_and_one_behind_it(child: Child) -> None:
    child.send(signal.SIGHUP)
    assert child.next_line() == "reload 1"
    for _ in range(100):
        child.send(signal.SIGHUP)
    assert child.next_line() == "ended 1"
    assert child.next_line() == "reload 2"
    assert child.next_line() == "ended 2"
    child.send(signal.SIGUSR2)
    assert child.next_line() == "resume SIGUSR2"


def test_a_refused_reload_is_told_and_the_next_one_is_done(child: Child) -> None:
    for count in (1, 2, 3, 4):
        child.send(signal.SIGHUP)
        assert child.next_line() == f"reload {count}"
        assert child.next_line() == f"ended {count}"
    _, log = child.end()
    assert "SIGHUP: the running configuration stays: [log] level: there is no level 'loud'" in log
    assert "Traceback" in log.split("SIGHUP: reloading failed, the running configuration stays")[1]
    assert "Traceback" not in log.split("SIGHUP: reloading failed, the running configuration stays")[0]


def test_the_signal_that_tessdb_flushes_by_flushes(child: Child) -> None:
    child.send(signal.SIGWINCH)
    assert child.next_line() == "flush SIGWINCH"


def test_a_terminal_that_changes_its_size_flushes_nothing() -> None:
    controller, terminal = os.openpty()
    child = Child(terminal)
    try:
        assert child.next_line() == "ready"
        child.send(signal.SIGWINCH)
        child.send(signal.SIGUSR2)
        assert child.next_line() == "resume SIGUSR2"
    finally:
        child.close()
        os.close(controller)
        os.close(terminal)


def test_signals_that_come_after_the_stop_do_nothing(child: Child) -> None:
    lines, _ = child.end()
    assert lines[-1] == "ignored True"


def test_who_is_told_twice_to_stop_stops_once(child: Child) -> None:
    child.send(signal.SIGSTOP)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        child.send(number)
    _, log = child.end()
    assert "told again to stop" in log
    assert "Traceback" not in log
