# SPDX-License-Identifier: MIT
"""Which months have a partition. The service can't make tables: a function of the owner's does it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import TypeAlias

from tessmon.database.session import Session

Month: TypeAlias = tuple[int, int]
"""Year and month (1 to 12), UTC."""


class Partitions:
    """Remembers which partitions there are, and has missing ones made."""

    def __init__(self) -> None:
        self._known: set[tuple[str, Month]] = set()

    def forget(self) -> None:
        """Nothing is known for sure any more: another database, a partition gone."""
        self._known.clear()

    async def ensure(self, connection: Session, table: str, months: Collection[Month]) -> None:
        """Make those that are missing, in a transaction of its own: none may be open.

        Args:
            connection: idle.
            table: the partitioned table.
            months: those that rows are about to go to.

        Raises:
            psycopg2.Error: SQLSTATE TM003 when no partitions are made for this table or these months.
        """
        missing = {month for month in months if (table, month) not in self._known}
        if not missing:
            return
        first_days = [date(year, month, 1) for year, month in sorted(missing)]
        await connection.query("SELECT tessmon_ensure_partitions(%s, %s::date[])", (table, first_days))
        self._known.update((table, month) for month in missing)
