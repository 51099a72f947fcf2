# SPDX-License-Identifier: MIT
"""The demo from its first process to its last word."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple, TextIO

from tessmon.demo.accounts import ServerError, new_directory
from tessmon.demo.balance import differences, summary
from tessmon.demo.broker import BrokerKind
from tessmon.demo.figures import Counts, received_messages, service_status, waiting_frames
from tessmon.demo.guarded import wait_until
from tessmon.demo.house import House, PostgresKind
from tessmon.demo.publisher import Ledger, Publisher
from tessmon.demo.screen import Moment, Screen, screen, table_lines
from tessmon.demo.simulator import Simulator

_REFRESH_S = 1.0
_SETTLE_TIMEOUT_S = 60.0
_SETTLE_POLL_S = 0.2


class Wishes(NamedTuple):
    """What the command line asks for.

    Attributes:
        seconds: how long photometers publish; None: until Ctrl-C.
        directory: where everything is put; None: a new one.
        postgres, broker: which ones; None: the first that is there.
        keep: leave the directory at the end.
        plain: lines instead of a live table.
        seed: of the simulated photometers.
    """

    seconds: float | None = None
    directory: Path | None = None
    postgres: PostgresKind | None = None
    broker: BrokerKind | None = None
    keep: bool = False
    plain: bool = False
    seed: int = 1


class Ending:
    """Ctrl-C and SIGTERM, which end things at safe points; a second one that comes before such a point raises.

    While photometers publish, the end leads to the summary; before and after, it just ends.
    """

    def __init__(self) -> None:
        self._asked = False

    def check(self) -> None:
        """A safe point.

        Raises:
            KeyboardInterrupt: somebody asked for the end.
        """
        if self._asked:
            raise KeyboardInterrupt

    def wait(self, timeout_s: float) -> bool:
        """Whether somebody asked for the end within this time; then the wish is granted, and gone."""
        granted = wait_until(lambda: self._asked, timeout_s)
        self._asked = self._asked and not granted
        return granted

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Act upon the signals meanwhile."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._signalled) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True  # a flag and no threading.Event, which deadlocks when its own wait is interrupted


def drive(wishes: Wishes, output: TextIO) -> bool:
    """Run the whole demo.

    Returns:
        Whether all messages are accounted for.

    Raises:
        ServerError: something did not start, stop or answer; the directory is left for a look at the logs.
        KeyboardInterrupt: the operator was in a hurry.
    """
    ending = Ending()
    with ending.listening():
        directory = _directory(wishes.directory)
        print(f"Everything is in {directory}.", file=output, flush=True)
        keep = True
        try:
            balanced = _in_directory(directory, wishes, ending, output)
            keep = wishes.keep or not balanced
            return balanced
        except KeyboardInterrupt:
            keep = wishes.keep
            raise
        finally:
            if keep:
                print(f"Logs, journal and database are left in {directory}.", file=output, flush=True)
            else:
                shutil.rmtree(directory)


def _directory(wanted: Path | None) -> Path:
    if wanted is None:
        return new_directory("tessmon-demo-")
    directory = wanted.resolve()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ServerError(f"{directory} is there and not empty: choose another directory")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _in_directory(directory: Path, wishes: Wishes, ending: Ending, output: TextIO) -> bool:
    house = House(directory, wishes.postgres, wishes.broker, ending.check)
    try:
        house.open()
        ports = house.postgres.port, house.broker.kind, house.broker.port
        print("PostgreSQL is on port {}, the broker ({}) on port {}.".format(*ports), file=output, flush=True)
        return _Show(house, wishes, ending, output).run()
    finally:
        house.close()


class _Show:
    """Photometers publish, the screen shows what arrives, and in the end everything is counted."""

    def __init__(self, house: House, wishes: Wishes, ending: Ending, output: TextIO) -> None:
        self._house = house
        self._wishes = wishes
        self._ending = ending
        self._output = output
        self._simulator = Simulator(wishes.seed, int(time.time()))
        self._ledger = Ledger()
        self._publisher = Publisher(house.broker.port, self._ledger)
        self._figures = house.figures()
        self._begin = time.monotonic()
        self._received: int | None = None

    def run(self) -> bool:
        """Whether all messages are accounted for."""
        try:
            self._publisher.connect()
            retained = self._simulator.retained()
            self._publisher.send(retained)
            self._house.start_service(len(retained))
            metrics = f"http://127.0.0.1:{self._house.web_port}/metrics"
            print(f"The service runs; its figures are at {metrics}.", file=self._output, flush=True)
            view = screen(self._wishes.plain, self._output)
            try:
                self._watch(view)
                self._settle(view)
            finally:
                view.close()
            return self._conclude()
        finally:
            self._publisher.close()
            self._figures.close()

    def _watch(self, view: Screen) -> None:
        """Publish and show until the time is up or somebody asks for the end."""
        self._begin = time.monotonic()
        self._publisher.start(self._simulator.messages())
        seconds = self._wishes.seconds
        until = float("inf") if seconds is None else self._begin + seconds
        asked = False
        while not asked and time.monotonic() < until:
            self._check()
            self._show(view)
            asked = self._ending.wait(min(_REFRESH_S, max(0.0, until - time.monotonic())))
        self._publisher.stop()
        self._check()

    def _check(self) -> None:
        if self._publisher.failure is not None:
            raise ServerError(self._publisher.failure)
        if not self._house.service_runs:
            raise ServerError(f"the service ended; see {self._house.service_log}")

    def _show(self, view: Screen) -> tuple[Counts, int | None]:
        """Refresh the screen; gives the counts and how many frames wait in the journal."""
        status = service_status(self._house.admin_socket)
        glance = self._figures.glance()
        elapsed_s = time.monotonic() - self._begin
        view.show(Moment(elapsed_s, self._ledger.sent, glance, status))
        self._received = received_messages(status)
        return glance.counts, waiting_frames(status)

    def _settle(self, view: Screen) -> None:
        """Wait until nothing waits any more: in the broker, in the journal, or to be tried again."""

        def settled() -> bool:
            self._ending.check()
            self._check()
            counts, waiting = self._show(view)
            return waiting == 0 and not counts.due and counts.accounted >= self._ledger.sent

        wait_until(settled, _SETTLE_TIMEOUT_S, _SETTLE_POLL_S)

    def _conclude(self) -> bool:
        self._house.stop_service()
        glance = self._figures.glance()
        found = differences(self._ledger, glance.counts, self._received)
        lines = [*table_lines(glance.photometers), "", *summary(self._ledger, glance.counts)]
        print("", *lines, "", file=self._output, sep="\n")
        verdict = (
            "Every message is accounted for." if not found else f"It does not add up: {'; '.join(found)}."
        )
        print(verdict, file=self._output, flush=True)
        return not found
