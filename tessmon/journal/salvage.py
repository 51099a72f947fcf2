# SPDX-License-Identifier: MIT
"""Saves from a damaged segment what can be read, group by group, and sets the damaged file aside.

The copy is finished and safe on disk before the damaged file is touched; a kill in between is mended by
`tessmon.journal.layout.tidy`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tessmon.journal.appending import Group, insert, make_file, write_meta
from tessmon.journal.layout import (
    SALVAGED,
    SALVAGING,
    beside,
    finish_salvage,
    fsync_directory,
    fsync_file,
    segment_path,
    unlink_whole,
)
from tessmon.journal.segment import UNKNOWN, DamagedError, Meta, Segment, Stored, Totals
from tessmon.records.frame import pack_frame

MISSES = 1000
"""When nobody knows how many groups there were, the search ends after so many that are not there."""


PLAUSIBLE = 1_000_000
"""A higher number of groups in one file is damage, too."""


class Salvage(NamedTuple):
    """What became of a damaged segment: its name, why it is damaged, where the damaged file is now, groups saved
    and lost; ``lost`` is None when nobody knows."""

    name: int
    why: str
    set_aside: str
    saved: int
    lost: int | None


def salvage(directory: Path, damage: DamagedError, journal: str, expected: int | None) -> Salvage:
    """Put a sound copy of what can be read in a damaged segment's place.

    Args:
        directory: the journal's.
        damage: which segment, and why.
        journal: the journal's identity.
        expected: how many groups it must have as its successor knows, None when nobody does.

    Raises:
        sqlite3.Error, OSError: the copy could not be written; all is as before.
    """
    path = segment_path(directory, damage.name)
    copy = beside(path, SALVAGING)
    unlink_whole(copy)
    try:
        saved, upper = _copy(directory, damage.name, copy, journal, expected)
        fsync_file(copy)
    except BaseException:
        unlink_whole(copy)
        raise
    copy.rename(beside(path, SALVAGED))
    fsync_directory(directory)
    aside = finish_salvage(path)
    return Salvage(
        damage.name, damage.why, aside.name, saved, None if upper is None else max(upper - saved, 0)
    )


def _copy(
    directory: Path, name: int, copy: Path, journal: str, expected: int | None
) -> tuple[int, int | None]:
    """Returns how many groups were saved and how many there were, None when nobody knows."""
    with closing(Segment.open(directory, name)) as source:
        upper = _highest(source) if expected is None else expected
        try:
            meta = source.meta()
        except DamagedError:
            meta = Meta(journal, name, UNKNOWN)
        with closing(make_file(copy, meta)) as connection:
            connection.execute("BEGIN")
            saved, last = _copy_groups(source, connection, upper)
            write_meta(connection, meta._replace(tail_lost=meta.tail_lost or last != upper))
            connection.execute("COMMIT")
            return saved, upper


def _highest(source: Segment) -> int | None:
    try:
        upper = source.highest()
    except DamagedError:
        return None
    return upper if 0 <= upper <= PLAUSIBLE else None


def _copy_groups(source: Segment, connection: sqlite3.Connection, upper: int | None) -> tuple[int, int]:
    """Returns how many were saved and the number of the last."""
    saved, totals = 0, Totals()
    for stored in _readable(source, upper):
        packed = [pack_frame(frame) for frame in stored.frames]
        first_ns, last_ns = stored.frames[0].received_ns, stored.frames[-1].received_ns
        group = Group(packed, first_ns, last_ns, sum(map(len, packed)))
        totals = insert(connection, totals, stored.number, group)
        saved += 1
    return saved, totals.last


def _readable(source: Segment, upper: int | None) -> Iterator[Stored]:
    """Each group that can be read, looked up by itself, so that a bad page hides no more than what is on it."""
    number = misses = 0
    while number < upper if upper is not None else misses < MISSES:
        number += 1
        try:
            stored = source.group(number)
        except DamagedError:
            stored = None
        if stored is None:
            misses += 1
        else:
            misses = 0
            yield stored
