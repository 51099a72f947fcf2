# SPDX-License-Identifier: MIT
"""``tessmon vlbimon history``."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import print_json
from tessmon.cli.linking import link_parameters, linked
from tessmon.cli.progress import ProgressLine
from tessmon.cli.table import duration, how_many, moment_ns, paragraph
from tessmon.cli.vlbimon import configured

if TYPE_CHECKING:
    from tessmon.cli.reacting import Ending
    from tessmon.config.model import Config, Vlbimon
    from tessmon.past.fetching import Place, Progress
    from tessmon.past.windows import Wanted

_OUTCOMES = ("stored", "replaced", "duplicate", "filtered", "rejected")
_NS = 1_000_000_000


def run(arguments: Namespace) -> int:
    """All of it, or as far as servers answer; then 1."""
    from tessmon.cli.reacting import InterruptedWork, react
    from tessmon.past.asking import GivenUpError
    from tessmon.past.storing import OvertakenError
    from tessmon.sources.vlbimon_client import VlbimonError

    config, settings = configured(arguments)
    wanted = _wanted(arguments)
    line = ProgressLine()
    run = _Run(arguments, config, settings, wanted, line)
    try:
        react(run.work)
        run.ended = ""
    except InterruptedWork:
        run.ended = "interrupted"
    except (GivenUpError, VlbimonError) as error:
        run.ended = str(error)
    except OvertakenError:
        run.ended = "the same history is fetched by another process"
    line.end()
    run.report()
    if run.ended:
        line.say(f"{run.ended}; run it again to go on from {run.place()}")
    return int(bool(run.ended))


def _wanted(arguments: Namespace) -> Wanted:
    from tessmon.past.windows import Wanted

    start_s, end_s = math.floor(arguments.start), math.ceil(arguments.end)
    if start_s >= end_s:
        arguments.usage_error("--end must be later than --start")
    if start_s > time.time():
        arguments.usage_error("--start must not lie in the future")
    return Wanted(
        start_s, end_s, tuple(arguments.station or ()), tuple(arguments.param or ()), arguments.kind
    )


class _Run:
    """One run, and what is told of it."""

    def __init__(
        self, arguments: Namespace, config: Config, settings: Vlbimon, wanted: Wanted, line: ProgressLine
    ) -> None:
        self.ended = ""
        self._arguments = arguments
        self._config = config
        self._settings = settings
        self._wanted = wanted
        self._line = line
        self._kept: Place | None = None
        self._progress: Progress | None = None
        self._began_s = time.monotonic()
        self._first_s = 0

    async def work(self, reactor: Any, ending: Ending) -> None:
        """In the reactor."""
        from tessmon.past.asking import Asking
        from tessmon.past.fetching import Fetching

        asking = Asking(self._settings, reactor, self._line.say)
        try:
            with self._target(ending) as place:
                self._kept = place
                await Fetching(
                    self._wanted,
                    self._settings.stations,
                    asking,
                    place,
                    time.time_ns,
                    self._show,
                    ending.check,
                ).run()
        finally:
            await asking.close()

    @contextmanager
    def _target(self, ending: Ending) -> Iterator[Place]:
        from tessmon.past.storing import Storing
        from tessmon.past.to_csv import ToCsv
        from tessmon.past.to_database import ToDatabase

        wanted = self._wanted
        with ExitStack() as stack:
            if self._arguments.csv is not None:
                tree = ToCsv(self._arguments.csv, wanted.origin, wanted.start_s, wanted.end_s, self._line.say)
                stack.callback(tree.close)
                yield tree
            else:
                parameters = link_parameters(self._arguments, self._config, "tessmon history")
                link = stack.enter_context(linked(self._config, parameters, self._line, ending.wait))
                yield ToDatabase(Storing(self._config, link, wanted.origin), wanted.origin)

    def place(self) -> str:
        """Up to where all is kept."""
        done_s = self._progress.done_s if self._progress else self._wanted.start_s
        return f"{moment_ns(done_s * _NS)} UTC"

    def _show(self, progress: Progress) -> None:
        """Part, rate, time left."""
        if self._progress is None:
            self._first_s = progress.done_s
            if progress.done_s > progress.start_s:
                self._line.say(f"going on from {moment_ns(progress.done_s * _NS)} UTC")
        self._progress = progress
        if not self._line.due or self._kept is None:
            return
        spent_s = max(time.monotonic() - self._began_s, 1e-3)
        done_s, left_s = progress.done_s - self._first_s, progress.end_s - progress.done_s
        left = duration(left_s * spent_s / done_s) if done_s else "?"
        part = (progress.done_s - progress.start_s) / max(progress.end_s - progress.start_s, 1)
        self._line.show(
            f"{part:4.0%}  {moment_ns(progress.done_s * _NS)} UTC, {how_many(progress.calls, 'call')},"
            f" {self._kept.outcomes['stored'] / spent_s:,.0f} points/s, {left} left"
        )

    def report(self) -> None:
        """What was done."""
        outcomes = {each: self._kept.outcomes[each] if self._kept else 0 for each in _OUTCOMES}
        refused = self._kept.refused if self._kept else []
        calls = self._progress.calls if self._progress else 0
        spent_s = time.monotonic() - self._began_s
        if self._arguments.json:
            print_json(
                {
                    "start": self._wanted.start_s,
                    "end": self._wanted.end_s,
                    "done": self._progress.done_s if self._progress else None,
                    "calls": calls,
                    "outcomes": outcomes,
                    "rejects": [
                        {"reason": each.reason, "station": each.subject, "detail": each.detail}
                        for each in refused
                    ],
                    "ended": self.ended or None,
                    "seconds": round(spent_s, 3),
                }
            )
            return
        if self._progress is None:
            return
        span = duration(self._progress.done_s - self._progress.start_s)
        print(
            f"{span} of history are there, up to {self.place()}; {how_many(calls, 'call')} in {duration(spent_s)}"
        )
        verb = "written" if self._arguments.csv is not None else "stored"
        more = ", ".join(f"{outcomes[each]:,} {each}" for each in _OUTCOMES[1:])
        print(f"{how_many(outcomes['stored'], 'point')} {verb}, {more}")
        for each in refused:
            print(paragraph("rejected", f"{each.subject}: {each.reason}, {each.detail}"))
        if outcomes["rejected"] > len(refused):
            print(paragraph("", f"and {outcomes['rejected'] - len(refused):,} more"))
