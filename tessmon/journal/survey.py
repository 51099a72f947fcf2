# SPDX-License-Identifier: MIT
"""A look at a journal's directory from outside, whether a service has it open or not; nothing is locked or mended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tessmon.errors import JournalError
from tessmon.journal.layout import (
    damaged_files,
    file_bytes,
    has_wal,
    read_identity,
    segment_names,
    segment_path,
)
from tessmon.journal.segment import DamagedError, Segment, Totals, connect


class SegmentSurvey(NamedTuple):
    """A segment: its name, what it takes on disk [bytes], frames and groups [count], receive time of the oldest and the
    newest frame [ns] (None when it has none), and why it can't be read, None when it can."""

    name: int
    size_bytes: int
    frames: int
    groups: int
    oldest_ns: int | None
    newest_ns: int | None
    problem: str | None


class Survey(NamedTuple):
    """A journal: its identity (None: it has no such file), its segments, oldest first, files set aside as damaged."""

    identity: str | None
    segments: list[SegmentSurvey]
    damaged: list[str]


def survey(directory: Path) -> Survey:
    """Look at a journal.

    Raises:
        JournalError: there is no such directory, or it can't be read.
    """
    try:
        if not directory.is_dir():
            raise JournalError(f"there is no journal in {directory}: no such directory")
        segments = [_surveyed(directory, name) for name in segment_names(directory)]
        return Survey(read_identity(directory), segments, [path.name for path in damaged_files(directory)])
    except OSError as error:
        raise JournalError(f"the journal in {directory} can't be read: {error.strerror}") from error


def _surveyed(directory: Path, name: int) -> SegmentSurvey:
    path = segment_path(directory, name)
    totals, problem = Totals(), None
    try:
        mode = "mode=ro" if has_wal(path) else "mode=ro&immutable=1"
        with closing(connect(path, mode)) as connection:
            totals = Segment(path, name, connection).look()
    except (DamagedError, sqlite3.Error) as error:
        problem = str(error)
    return SegmentSurvey(
        name, file_bytes(path), totals.frames, totals.last, totals.oldest_ns, totals.newest_ns, problem
    )
