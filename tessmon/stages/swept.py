# SPDX-License-Identifier: MIT
"""Up to where history is whole: noted with the rows that make it so."""

from __future__ import annotations

from typing import Any

from tessmon.records.outcome import Record
from tessmon.records.vlbimon import Swept
from tessmon.stages.transform import Transform


class Sweep(Transform):
    """Remembers the last `Swept`; its notes are committed in the transaction of the rows before it."""

    name = "swept"

    def __init__(self) -> None:
        self._until_s: int | None = None

    def take(self, record: Record) -> tuple[Record, ...]:
        if isinstance(record, Swept):
            self._until_s = record.swept_s
        return (record,)

    def notes(self) -> dict[str, int] | None:
        return None if self._until_s is None else {"until": self._until_s}

    def reset(self, notes: Any = None) -> None:
        self._until_s = (notes or {}).get("until")
