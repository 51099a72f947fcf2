# SPDX-License-Identifier: MIT
"""``tessmon files backfill``."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import tzinfo
from typing import TYPE_CHECKING

from tessmon.cli.arguments import print_json
from tessmon.cli.files import configured
from tessmon.cli.linking import link_parameters, linked
from tessmon.cli.progress import ProgressLine
from tessmon.cli.table import duration, how_many, paragraph, printable, size

if TYPE_CHECKING:
    from tessmon.files.backfill import Sum
    from tessmon.files.inventory import Found
    from tessmon.files.pending import PendingFile, Wanted

_OUTCOMES = ("stored", "duplicate", "rejected")
_MAX_UNREADABLE = 1000


def run(arguments: Namespace) -> int:
    """Take stock, and have workers read what is not read; 1 when not all of it could be."""
    from tessmon.files.backfill import Backfill
    from tessmon.files.inventory import Inventory
    from tessmon.files.pending import pending

    config, settings = configured(arguments)
    line = ProgressLine()
    parameters = link_parameters(arguments, config, "tessmon backfill")
    wanted = _wanted(arguments)
    total = _Total(line)
    with (
        Backfill(arguments.config, parameters, arguments.workers, total.show, line.say) as work,
        linked(config, parameters, line) as link,
    ):
        now_ns = time.time_ns()
        unreadable = _Unreadable(arguments.device or (), settings.zone)
        inventory = Inventory(settings, link.run, unreadable.note, now_ns)
        line.show("looking for files")
        inventory.take()

        def files() -> Iterator[PendingFile]:
            return pending(settings, inventory, link.run_alone, wanted, now_ns)

        total.count(files())
        done = work.run(files())
    done.left_out[:0] = unreadable.found
    line.end()
    if arguments.json:
        print_json({**asdict(done), "outcomes": _outcomes(done), "seconds": round(total.spent_s, 3)})
    else:
        print("\n".join(_report(done, total)))
    for sentence in done.faults:
        line.say(sentence)
    return int(bool(done.left_out or done.faults or done.interrupted))


class _Unreadable:
    """Files of the devices that are wanted, and directories, which this user may not read: the first thousand."""

    def __init__(self, devices: Sequence[str], zone: tzinfo) -> None:
        self.found: list[tuple[str, str]] = []
        self._devices = devices
        self._zone = zone

    def note(self, found: Found) -> None:
        """One that inventory has something to say about."""
        from tessmon.files.inventory import UNREADABLE
        from tessmon.files.naming import name_of

        if found.fate != UNREADABLE or len(self.found) == _MAX_UNREADABLE:
            return
        name = name_of(found.path.rpartition("/")[2], self._zone)
        is_directory = found.size_bytes is None
        if is_directory or (name is not None and name.device in (self._devices or (name.device,))):
            self.found.append((found.path, found.why))


class _Total:
    """How much there is to do, and the line that says how far that is."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self.files = self.left_bytes = 0
        self._began_s = time.monotonic()

    def count(self, files: Iterator[PendingFile]) -> None:
        """Before it begins."""
        for each in files:
            self.files += 1
            self.left_bytes += each.left_bytes
            if self._line.due:
                self._line.show(f"{how_many(self.files, 'file')} to read, {size(self.left_bytes)}")
        self._began_s = time.monotonic()

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._began_s

    def show(self, done: Sum) -> None:
        """Files, bytes, rate, time left."""
        if not self._line.due:
            return
        rate = done.read_bytes / max(self.spent_s, 1e-3)
        part = done.read_bytes / max(self.left_bytes, 1)
        left = duration((self.left_bytes - done.read_bytes) / rate) if rate else "?"
        self._line.show(
            f"{min(part, 1):4.0%}  {done.files:,} of {how_many(self.files, 'file')},"
            f" {done.outcomes['stored'] / max(self.spent_s, 1e-3):,.0f} records/s,"
            f" {size(int(rate))}/s, {left} left"
        )


def _report(done: Sum, total: _Total) -> Iterator[str]:
    rate = done.outcomes["stored"] / max(total.spent_s, 1e-3)
    end = f" of {total.files:,}" if done.files < total.files else ""
    yield f"{done.files:,}{end} files read, {size(done.read_bytes)} in {duration(total.spent_s)}"
    outcomes = _outcomes(done)
    yield f"{how_many(outcomes['stored'], 'record')} stored ({rate:,.0f}/s), " + ", ".join(
        f"{outcomes[outcome]:,} {outcome}" for outcome in _OUTCOMES[1:]
    )
    for path, why in done.left_out:
        yield paragraph("unreadable", f"{printable(path)}: {why}")
    for path, offset in done.stopped:
        yield paragraph("stopped", f"at byte {offset} of {printable(path)}")
    if done.interrupted:
        yield "interrupted: run it again to go on there"


def _outcomes(done: Sum) -> dict[str, int]:
    return {outcome: done.outcomes[outcome] for outcome in _OUTCOMES}


def _wanted(arguments: Namespace) -> Wanted:
    from tessmon.files.pending import ALWAYS, Wanted

    return Wanted(arguments.device or (), arguments.since or ALWAYS, arguments.limit)
