# SPDX-License-Identifier: MIT
"""What a reload would change, and whether it may: all of it is applied or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tessmon.config.model import TABLES, Config, settings, table_of
from tessmon.config.render import shown


class Change(NamedTuple):
    """One setting that differs.

    Attributes:
        table, key: which; key is empty when a whole table appears or disappears.
        old, new: the values.
        live: it is taken up at once; else a restart is needed.
    """

    table: str
    key: str
    old: object
    new: object
    live: bool

    def __str__(self) -> str:
        """[log] level: "info" -> "debug"; secrets are masked."""
        if not self.key:
            what = f"[{self.table}] is {'new' if self.old is None else 'gone'}"
        else:
            what = f"[{self.table}] {self.key}: {shown(self.old)} -> {shown(self.new)}"
        return what if self.live else f"{what} (needs a restart)"


def difference(old: Config, new: Config) -> list[Change]:
    """All settings that differ, in the order of the model."""
    changes = []
    for table in TABLES:
        before, after = table_of(old, table), table_of(new, table)
        if (before is None) != (after is None):
            changes.append(Change(table, "", before, after, live=False))
    for table, each in settings():
        before, after = table_of(old, table), table_of(new, table)
        if before is None or after is None:
            continue
        was, becomes = getattr(before, each.name), getattr(after, each.name)
        if was != becomes:
            changes.append(Change(table, each.name, was, becomes, each.metadata["live"]))
    return changes


def refusal(changes: Iterable[Change]) -> str | None:
    """Why these changes can't be applied to a running service: one sentence, None when they can."""
    stiff = [f"[{each.table}] {each.key}".rstrip() for each in changes if not each.live]
    if not stiff:
        return None
    return f"nothing was changed, because a restart is needed for {', '.join(stiff)}"
