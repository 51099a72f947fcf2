# SPDX-License-Identifier: MIT
"""What the demo shows while it runs: a live table where the terminal and rich allow it, else a line now and then."""

from __future__ import annotations

import importlib.util
import time
from typing import Any, NamedTuple, Protocol, TextIO

from tessmon.demo.figures import Counts, Glance, PhotometerLine, lag_s, waiting_frames

_PLAIN_PERIOD_S = 3.0


class Moment(NamedTuple):
    """Everything that is shown: seconds since the beginning, messages sent, what the database and the service
    (as its admin socket says it) know."""

    elapsed_s: float
    sent: int
    glance: Glance
    status: dict[str, Any]


class Screen(Protocol):
    """Something that shows moments."""

    def show(self, moment: Moment) -> None:
        """Replace what is shown, or add to it."""

    def close(self) -> None:
        """Show nothing more."""


def screen(plain: bool, output: TextIO) -> Screen:
    """The best screen for this output."""
    if plain or not output.isatty() or importlib.util.find_spec("rich") is None:
        return PlainScreen(output)
    return LiveScreen(output)


def totals(moment: Moment) -> str:
    """One line about all photometers."""
    counts = moment.glance.counts
    waiting, lag = waiting_frames(moment.status), lag_s(moment.status)
    rate = counts.accounted / moment.elapsed_s if moment.elapsed_s > 0 else 0.0
    parts = [
        f"sent {moment.sent}",
        f"stored {counts.readings} readings and {counts.registrations.total()} registrations",
        f"duplicate {counts.duplicates}",
        f"filtered {counts.filtered.total()}{_causes(counts)}",
        f"rejected {counts.rejected.total()}",
        f"waiting {'?' if waiting is None else waiting}",
        f"lag {_seconds(lag)}",
        f"{rate:.1f}/s",
    ]
    return ", ".join(parts)


def _causes(counts: Counts) -> str:
    return f" ({', '.join(f'{c} {n}' for c, n in counts.filtered.most_common())})" if counts.filtered else ""


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _cells(line: PhotometerLine) -> list[str]:
    magnitude = "" if line.magnitude is None else f"{line.magnitude:.2f}"
    if line.magnitude == 0:
        magnitude = "daylight"
    at = "" if line.at is None else f"{line.at:%Y-%m-%d %H:%M:%S}"
    return [line.name, line.model, magnitude, at, str(line.rows), str(line.rejects), _seconds(line.ago_s)]


class PlainScreen:
    """A line every few seconds."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._next_s = 0.0

    def show(self, moment: Moment) -> None:
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _PLAIN_PERIOD_S
        print(f"{moment.elapsed_s:5.0f} s: {totals(moment)}", file=self._output, flush=True)

    def close(self) -> None:
        pass


class LiveScreen:
    """A table that stays where it is."""

    def __init__(self, output: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(file=output), auto_refresh=False, transient=True)
        self._live.start()

    def show(self, moment: Moment) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(
            box=SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            title=totals(moment),
            title_justify="left",
            title_style="",
        )
        for heading in ("photometer", "model"):
            table.add_column(heading)
        for heading in ("mag/arcsec²", "taken at (UTC)", "rows", "rejects", "last came"):
            table.add_column(heading, justify="right", no_wrap=True)
        for line in moment.glance.photometers:
            table.add_row(*_cells(line))
        self._live.update(table, refresh=True)

    def close(self) -> None:
        self._live.stop()


def table_lines(photometers: list[PhotometerLine]) -> list[str]:
    """The photometers as plain text, for the summary."""
    rows = [["photometer", "model", "mag", "taken at (UTC)", "rows", "rejects", "last came"]]
    rows += [_cells(line) for line in photometers]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
