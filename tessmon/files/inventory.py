# SPDX-License-Identifier: MIT
"""Takes stock: which files stand in the trees, and which of those that the database knows are gone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

from tessmon.config.model import Files
from tessmon.database.session import Session
from tessmon.files.looking import GoneError, entry_at, seen_of
from tessmon.files.naming import FileName, name_of
from tessmon.files.tree import Entry, Unreadable, shown, walk
from tessmon.sink.files import (
    MAX_FILES,
    MAX_PATH_BYTES,
    Fate,
    KnownFile,
    Opened,
    Seen,
    known_files,
    mark_vanished,
    open_files,
    reopen_cut_off,
)
from tessmon.sources.files_queue import AHEAD_NS

T = TypeVar("T")

CUT_OFF, VANISHED, UNREADABLE, LEFT_OUT = "cut_off", "vanished", "unreadable", "left_out"
FATES = ("new", "replacing", "renamed", "grown", CUT_OFF, VANISHED, UNREADABLE, LEFT_OUT, "known")
"""What can become of a file, in the order in which it is told."""


class Run(Protocol):
    """Carries out work on the database; after trouble that passes, from its begin."""

    def __call__(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """The work's result."""


class Found(NamedTuple):
    """A file that is not as the database knew it, or can't be taken.

    Attributes:
        fate: one of `FATES`.
        path: as `shown`.
        size_bytes: None for what has none.
        why: in words, where something is wrong.
    """

    fate: str
    path: str
    size_bytes: int | None = None
    why: str = ""


Stream = tuple[str, str, str]
"""Root directory, device and format: of its files, one is the newest."""


class Inventory:
    """Takes stock once. Memory holds a number per file, and what `MAX_FILES` files are.

    Args:
        settings: whose files, where, which not.
        run: carries out work on the database.
        told: is called for each file that is not as before.
        now_ns: wall clock; a file whose stamp is later than that is no device's newest.

    Attributes:
        counts: files by fate.
        odd_names: files whose path is not UTF-8 [count].
        newest_ns: when the newest file of a stream began [ns since 1970 UTC].
    """

    def __init__(self, settings: Files, run: Run, told: Callable[[Found], None], now_ns: int) -> None:
        self.counts: Counter[str] = Counter()
        self.odd_names = 0
        self.newest_ns: dict[Stream, int] = {}
        self._settings = settings
        self._roots = [str(directory) for directory in settings.directories]
        self._run = run
        self._told = told
        self._now_ns = now_ns
        self._seen: set[int] = set()
        self._dark: list[str] = []

    def take(self) -> None:
        """Do it.

        Raises:
            DatabaseError: the database refuses.
        """
        found = walk(self._roots, self._settings.ignore)
        while some := list(islice(found, MAX_FILES)):
            self._take(some)
        self._run(self._find_gone)

    def stream_of(self, path: str, name: FileName) -> Stream:
        """Which files a file belongs to."""
        root = next((root for root in self._roots if _is_below(path, root)), "")
        return root, name.device, name.kind.removesuffix(".gz")

    def is_newest(self, path: str, name: FileName) -> bool:
        """Whether no later file of its stream was seen."""
        return name.start_ns >= self.newest_ns.get(self.stream_of(path, name), -1)

    def is_below(self, path: str) -> bool:
        """Whether a path is in one of the trees."""
        return any(_is_below(path, root) for root in self._roots)

    def _take(self, some: Sequence[Entry | Unreadable]) -> None:
        asked: list[Seen] = []
        faults: list[str] = []
        for found in some:
            if isinstance(found, Unreadable):
                self._leave_out(found)
                continue
            name = name_of(found.name, self._settings.zone)
            try:
                seen, why = seen_of(found, name)
            except GoneError:
                continue
            self._note(found.path, name)
            asked.append(seen)
            faults.append(why)
        if not asked:
            return
        host = self._settings.host
        answers: list[Opened | None] = self._run(lambda session: open_files(session, host, asked))
        for seen, why, opened in zip(asked, faults, answers, strict=True):
            self._answered(seen, why, opened)

    def _note(self, path: str, name: FileName | None) -> None:
        self.odd_names += not _is_utf8(path)
        if name is not None and name.start_ns <= self._now_ns + AHEAD_NS:
            stream = self.stream_of(path, name)
            self.newest_ns[stream] = max(name.start_ns, self.newest_ns.get(stream, -1))

    def _answered(self, seen: Seen, why: str, opened: Opened | None) -> None:
        if opened is None:
            sentence = f"its path is longer than {MAX_PATH_BYTES} bytes"
            self._tell(Found(LEFT_OUT, shown(seen.path), seen.size_bytes, sentence))
            return
        if _is_cut_off(seen, opened):
            opened, fate = self._look_again(seen, opened)
        else:
            fate = str(opened.fate)
        self._seen.add(opened.file_id)
        self._tell(Found(UNREADABLE if why else fate, shown(seen.path), seen.size_bytes, why))

    def _look_again(self, seen: Seen, opened: Opened) -> tuple[Opened, str]:
        """A file that is shorter than it was: or was it seen before somebody else saw it?"""
        host = self._settings.host
        try:
            entry = entry_at(seen.path)
            again, _ = seen_of(entry, name_of(entry.name, self._settings.zone))
        except (GoneError, OSError):
            return opened, Fate.KNOWN
        [known] = self._run(lambda session: open_files(session, host, [again]))
        if known is None or not _is_cut_off(again, known):
            return known or opened, Fate.KNOWN
        file_id = known.file_id
        anew = self._run(lambda session: reopen_cut_off(session, host, file_id, again))
        return anew or known, CUT_OFF

    def _leave_out(self, found: Unreadable) -> None:
        if found.errno:
            self._dark.append(found.path)
        self._tell(Found(UNREADABLE if found.errno else LEFT_OUT, shown(found.path), None, found.why))

    def _tell(self, found: Found) -> None:
        self.counts[found.fate] += 1
        if found.fate != Fate.KNOWN:
            self._told(found)

    async def _find_gone(self, session: Session) -> None:
        """What was not seen, and is not there. What stands in a directory that can't be listed is not judged."""
        gone: list[KnownFile] = []
        async for known in known_files(session, self._settings.host):
            if known.file.file_id not in self._seen and self._is_gone(known.file.path):
                gone.append(known)
            if len(gone) >= MAX_FILES:
                await self._mark(session, gone)
                gone = []
        if gone:
            await self._mark(session, gone)

    def _is_gone(self, path: str) -> bool:
        if not self.is_below(path) or any(_is_below(path, dark) for dark in self._dark):
            return False
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        return False

    async def _mark(self, session: Session, gone: Iterable[KnownFile]) -> None:
        await mark_vanished(session, self._settings.host, [known.file.file_id for known in gone])
        for known in gone:
            self._tell(Found(VANISHED, shown(known.file.path), known.size_bytes))


def _is_cut_off(seen: Seen, opened: Opened) -> bool:
    counts_bytes = seen.kind in ("bintel", "binlog", "ndjson")
    return opened.fate is Fate.SHRUNK or (counts_bytes and seen.size_bytes < opened.offset)


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
