# SPDX-License-Identifier: MIT
"""What a plan will hold, while a sink looks at records one by one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tessmon.records.frame import Frame
from tessmon.records.outcome import Reject, SourceEvent
from tessmon.sink.plan import Sheet, Table, TallyKey, hour_of


class Draft:
    """Fills while records are looked at.

    Attributes:
        rejects, tallies, events: as in a `Plan`.
        sheets: of the rows, once they are cut.
        used: how many of the batch's items it took.
    """

    def __init__(self) -> None:
        self.rejects: list[Reject] = []
        self.tallies: Counter[TallyKey] = Counter()
        self.events: list[SourceEvent] = []
        self.sheets: list[Sheet] = []
        self.used = 0
        self._rows: dict[Table, list[Any]] = {}

    def add(self, table: Table, row: Any) -> None:
        """A row of a table."""
        rows = self._rows.get(table)
        if rows is None:
            rows = self._rows[table] = []
        rows.append(row)

    def count(self, frame: Frame, subject: str, cause: str, outcome: str) -> None:
        """A frame that only counts."""
        self.tallies[TallyKey(subject, hour_of(frame), cause, outcome)] += 1

    def cut(self, statement_rows: int) -> None:
        """Make sheets of the rows."""
        self.sheets = [
            Sheet(table, rows[at : at + statement_rows])
            for table, rows in self._rows.items()
            for at in range(0, len(rows), statement_rows)
        ]
