# SPDX-License-Identifier: MIT
"""Keeps every segment that the journal ever had: the service unlinks its names, the files stay for the ledger."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tessmon.journal.layout import WAL, beside, has_wal, segment_names
from tessmon.journal.segment import NO_LIMIT, Segment
from tessmon.records.frame import Frame


class Evidence:
    """A second name for each segment.

    Args:
        journal: the service's directory.
        kept: a directory of the same file system.

    Attributes:
        most_files: the most segments that the journal had at a time.
    """

    def __init__(self, journal: Path, kept: Path) -> None:
        self.most_files = 0
        self._journal = journal
        self._kept = kept
        kept.mkdir()

    @property
    def files(self) -> int:
        """Segments that there were in all."""
        return len(segment_names(self._kept))

    def look(self) -> None:
        """To be called more often than segments come and go."""
        segments = sorted(self._journal.glob("*.journal"))
        self.most_files = max(self.most_files, len(segments))
        for path in segments:
            if not (self._kept / path.name).exists():
                with contextlib.suppress(
                    FileNotFoundError, FileExistsError
                ):  # it went, or another thread was first
                    os.link(path, self._kept / path.name)

    def settle(self) -> None:
        """To be called when the service is dead: what was being written is copied with its WAL."""
        self.look()
        for path in self._journal.glob("*.journal"):
            if has_wal(path):
                kept = self._kept / path.name
                copy = kept.with_suffix(".copy")
                shutil.copyfile(path, copy)
                copy.replace(kept)  # never without a name: another thread would link it again
                shutil.copyfile(beside(path, WAL), beside(kept, WAL))

    def frames(self) -> Iterator[Frame]:
        """All that was ever journalled, in order."""
        for name in segment_names(self._kept):
            segment = Segment.open(self._kept, name)
            for stored in segment.groups(0, NO_LIMIT):
                yield from stored.frames
            segment.close()
