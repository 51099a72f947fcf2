# SPDX-License-Identifier: MIT
"""Looks at a segment that nobody writes, and has it salvaged when it is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from tessmon.journal.chain import Entry
from tessmon.journal.layout import file_bytes, segment_path
from tessmon.journal.salvage import Salvage, salvage
from tessmon.journal.segment import NO_LIMIT, UNKNOWN, DamagedError, Meta, Segment, Totals, judged


def inspect(
    directory: Path,
    name: int,
    successor: Entry | None,
    damage: DamagedError | None,
    groups: int | None,
    journal: str,
) -> tuple[Entry, Salvage | None]:
    """Look at a segment, after salvage when it is damaged; one that can't be mended now is an entry with a problem.

    Args:
        directory: the journal's.
        name: the segment's.
        successor: the segment behind it, which knows how many of its groups count.
        damage: what was found wrong already, if anything.
        groups: how many groups it had, if that is known.
        journal: the journal's identity.
    """
    saved = None
    try:
        try:
            if damage is not None:
                raise damage
            return _look(directory, name, successor), None
        except DamagedError as found:
            if groups is None and successor is not None and successor.meta.predecessor == name:
                groups = successor.meta.predecessor_last
            saved = salvage(directory, found, journal, groups)
        return _look(directory, name, successor), saved
    except (DamagedError, sqlite3.Error, OSError) as error:
        size_bytes = file_bytes(segment_path(directory, name))
        return Entry(name, Meta(journal, name, UNKNOWN), Totals(), size_bytes, str(error)), saved


def identity_of(directory: Path, names: Sequence[int]) -> str | None:
    """The journal's identity as its newest readable segment has it."""
    for name in reversed(names):
        with suppress(DamagedError, sqlite3.Error), closing(Segment.open(directory, name)) as segment:
            return segment.meta().journal
    return None


def _look(directory: Path, name: int, successor: Entry | None) -> Entry:
    limit = NO_LIMIT
    with judged(name), closing(Segment.open(directory, name)) as segment:
        meta = segment.meta()
        if successor is not None and successor.meta.predecessor == meta.born:
            limit = successor.meta.predecessor_last
        totals = segment.look(limit)
    return Entry(name, meta, totals, file_bytes(segment_path(directory, name)))
