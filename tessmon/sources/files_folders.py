# SPDX-License-Identifier: MIT
"""The directories that are known, and looking into them: what is new, changed or gone since the last look.

A look is a generator that does a little at each step, so that the reactor takes it in slices.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Sequence
from errno import ENOENT, ENOMEM, ENOSPC, ENOTDIR
from typing import TypeAlias

from tessmon.files.tree import Below, Entry, Unreadable, listing
from tessmon.sources.files_queue import UNKNOWN_S, Folder, Queue, is_there, signature
from tessmon.sources.inotify import Inotify

Look: TypeAlias = Generator[None, None, None]

_REFUSALS = {
    ENOSPC: "no more watches: raise fs.inotify.max_user_watches",
    ENOMEM: "no memory for more watches",
}


class Folders:
    """What is known of the trees below the configured directories.

    Args:
        queue: takes what is new, changed or gone.
        inotify: None where the kernel is not asked.
        ignore: patterns of names that are left out.
        seconds: the clock that only goes forward [s].
        left_out: called with what can't be looked at.

    Attributes:
        refused: why the kernel would not watch a directory, None when it watches all that can be watched.
        unwatched: directories that must be looked at to see changes.
    """

    def __init__(
        self,
        queue: Queue,
        inotify: Inotify | None,
        ignore: Sequence[str],
        seconds: Callable[[], float],
        left_out: Callable[[Unreadable], None],
    ) -> None:
        self._queue, self._inotify, self._ignore = queue, inotify, ignore
        self._seconds, self._left_out = seconds, left_out
        self._by_path: dict[str, Folder] = {}
        self._by_watch: dict[int, Folder] = {}
        self._looks = 0
        self.unwatched: set[Folder] = set()
        self.refused: str | None = None

    def __len__(self) -> int:
        return len(self._by_path)

    @property
    def watched(self) -> int:
        """Directories of which the kernel tells changes [count]."""
        return len(self._by_watch)

    @property
    def files(self) -> int:
        """Telemetry files in them [count]."""
        return sum(len(folder.files) for folder in self._by_path.values())

    def watched_as(self, watch: int) -> Folder | None:
        """The directory that the kernel knows by this number."""
        return self._by_watch.get(watch)

    def at(self, path: str) -> Folder | None:
        """The directory at a path."""
        return self._by_path.get(path)

    def unbind(self, folder: Folder) -> None:
        """The kernel watches it no more."""
        if folder.watch is not None:
            if self._by_watch.get(folder.watch) is folder:
                del self._by_watch[folder.watch]
            folder.watch = None
            self.unwatched.add(folder)

    def stop_asking(self) -> None:
        """The kernel tells nothing any more."""
        self._inotify = None
        for folder in list(self._by_watch.values()):
            self.unbind(folder)

    # Looks.

    def look_below(self, path: str, root: str) -> Look:
        """At a directory and all below it."""
        to_come = [path]
        while to_come:
            yield from self._directory(to_come.pop(), root, to_come, all_below=True)

    def look_at_everything(self, roots: Iterable[str]) -> Look:
        """At all trees; directories that are known and were not met are looked at, too."""
        self._looks += 1
        mine = self._looks
        for root in roots:
            yield from self.look_below(root, root)
        for folder in list(self._by_path.values()):
            if folder.seen < mine:
                yield from self._forget(folder)

    def look_at_unwatched(self) -> Look:
        """At the directories that the kernel does not watch, and at what is new below them."""
        self.refused = None
        for folder in list(self.unwatched):
            to_come = [folder.path] if folder in self.unwatched else []
            while to_come:
                yield from self._directory(to_come.pop(), folder.root, to_come, all_below=False)

    def forget_below(self, path: str) -> Look:
        """A directory was moved or removed; what is there all the same stays."""
        if path not in self._by_path:
            return
        below = f"{path}/"
        for folder in list(self._by_path.values()):
            if folder.path == path or folder.path.startswith(below):
                yield from self._forget(folder)
            yield

    def _directory(self, path: str, root: str, to_come: list[str], *, all_below: bool) -> Look:
        folder = self._by_path.get(path)
        if folder is None:
            folder = self._by_path[path] = Folder(path, root)
            self.unwatched.add(folder)
        folder.seen = self._looks
        self._watch(folder)  # first, so that what comes after the look is told
        unseen = set(folder.files)
        for found in listing(path, self._ignore, is_root=path == root):
            if isinstance(found, Entry):
                unseen.discard(found.name)
                self._entry(folder, found)
            elif isinstance(found, Below):
                if all_below or found.path not in self._by_path:
                    to_come.append(found.path)
            else:
                self._left_out(found)
            yield
        yield from self._missing(folder, unseen)
        if not _is_directory(path, follow=path == root):
            yield from self._forget(folder)

    def _entry(self, folder: Folder, entry: Entry) -> None:
        mark = folder.files.get(entry.name)
        if mark is None:
            self._queue.put(folder, entry.name, UNKNOWN_S)
        elif mark > 0 and mark != signature(entry.inode, entry.size_bytes, entry.mtime_ns):
            self._queue.put(folder, entry.name, self._seconds())

    def _missing(self, folder: Folder, names: Iterable[str]) -> Look:
        """Files that were not met: they went, or the directory can't be listed."""
        for name in names:
            if name in folder.files and not is_there(f"{folder.path}/{name}"):
                self._queue.drop(folder, name)
            yield

    def _forget(self, folder: Folder) -> Look:
        if _is_directory(folder.path, follow=folder.path == folder.root):
            return
        self._release(folder)
        self.unwatched.discard(folder)
        if self._by_path.get(folder.path) is folder:
            del self._by_path[folder.path]
        for name in list(folder.files):
            self._queue.drop(folder, name)
            yield

    def _watch(self, folder: Folder) -> None:
        if self._inotify is None:
            return
        try:
            watch = self._inotify.watch(folder.path, follow=folder.path == folder.root)
        except OSError as error:
            self._release(folder)
            if error.errno in _REFUSALS:
                self.refused = _REFUSALS[error.errno]
            return
        if watch != folder.watch:
            self._release(folder)
            before = self._by_watch.get(watch)
            if before is not None:
                self.unbind(before)  # the same directory, seen under another path
            folder.watch = watch
        self._by_watch[watch] = folder
        self.unwatched.discard(folder)

    def _release(self, folder: Folder) -> None:
        """Give its watch back, unless the same directory is known under another path by now."""
        watch = folder.watch
        if self._inotify is not None and watch is not None and self._by_watch.get(watch) is folder:
            self._inotify.unwatch(watch)
        self.unbind(folder)


def _is_directory(path: str, *, follow: bool) -> bool:
    """Whether there is one; what can't be asked is taken as there."""
    try:
        return stat.S_ISDIR((os.stat if follow else os.lstat)(path).st_mode)
    except OSError as error:
        return error.errno not in (ENOENT, ENOTDIR)
