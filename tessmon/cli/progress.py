# SPDX-License-Identifier: MIT
"""One line on a terminal that says how far long work is; nothing where no terminal is."""

from __future__ import annotations

import sys
import time

from tessmon.cli.table import COLUMNS, clipped, printable

_PERIOD_S = 0.2


class ProgressLine:
    """Rewrites one line of standard error, some times a second; sentences in between stand above it."""

    def __init__(self) -> None:
        self._is_shown = False
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._shown_s = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for another look."""
        return self._on_terminal and time.monotonic() - self._shown_s >= _PERIOD_S

    def show(self, text: str) -> None:
        """The line, in place of the one before."""
        if self._on_terminal:
            self._shown_s = time.monotonic()
            self._is_shown = True
            print(f"\r\x1b[K{clipped(printable(text), COLUMNS - 1)}", end="", file=sys.stderr, flush=True)

    def say(self, sentence: str) -> None:
        """A sentence that stays."""
        self.end()
        print(f"tessmon: {printable(sentence)}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._is_shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
