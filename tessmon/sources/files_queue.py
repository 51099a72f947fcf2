# SPDX-License-Identifier: MIT
"""Directories with what is known of the files in them, and the files that wait to be given out.

Of a file that nobody writes nothing is kept but its name and one number: the signature of inode, size and time of
change as they were when it was given out.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable
from errno import ENOENT, ENOTDIR
from heapq import heappop, heappush
from itertools import islice
from math import inf

import msgspec

from tessmon.files.naming import FileName
from tessmon.sources.sightings import Sighting

SETTLED_S = 60.0
"""A file that is not its device's newest and has not changed for so long is finished."""
UNKNOWN_S = -inf
"""The time of a change that nobody saw."""
AHEAD_NS = 86_400_000_000_000
"""A stamp further in the future than this makes no file of a device older [ns]."""
RETRY_S = 30.0
"""A file whose directory can't be looked into is tried again after this time."""


class Folder:
    """A directory.

    Attributes:
        path, root: where it is, and the configured directory that it is in or is.
        watch: its number with the kernel, None when it must be looked at.
        files: name → signature; below zero while the file waits to be given out again, 0 before the first time.
        device, fsid: of the file system that its files were last found on.
        seen: number of the last look at everything that met it.
    """

    __slots__ = ("device", "files", "fsid", "path", "root", "seen", "watch")

    def __init__(self, path: str, root: str) -> None:
        self.path, self.root = path, root
        self.watch: int | None = None
        self.files: dict[str, int] = {}
        self.device = self.fsid = -1
        self.seen = 0

    def __lt__(self, other: Folder) -> bool:
        return self.path < other.path


def signature(inode: int, size_bytes: int, mtime_ns: int) -> int:
    """A number above zero that changes when one of these does."""
    return abs(hash((inode, size_bytes, mtime_ns))) or 1


class Waiting(msgspec.Struct, frozen=True, order=True, gc=False):
    """A file that waits: when it began [ns], what it is called and where, when it was seen to change [s].

    A hundred thousand of them are nothing for the garbage collector.
    """

    start_ns: int
    name: str
    folder: Folder
    since_s: float


class _Device:
    """The files of one device, directory and format: those that wait, and which began last."""

    __slots__ = ("newest", "newest_ns", "queued", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.queued = False
        self.newest_ns = -1
        self.newest: tuple[Folder, str] | None = None


class Queue:
    """The files that wait: devices in turns, of each the older file first.

    Args:
        named: what a file's name says; None for those that are left out.
        seconds: the clock that only goes forward [s].
        now_ns: the clock that files are stamped by [ns since 1970 UTC].
    """

    def __init__(
        self, named: Callable[[str], FileName | None], seconds: Callable[[], float], now_ns: Callable[[], int]
    ) -> None:
        self._named, self._seconds, self._now_ns = named, seconds, now_ns
        self._devices: dict[tuple[str, str, str], _Device] = {}
        self._ready: deque[_Device] = deque()
        self._later: dict[tuple[Folder, str], tuple[float, float]] = {}
        self._due: list[tuple[float, Folder, str]] = []
        self._gone: dict[str, None] = {}
        self.waiting = 0

    def put(self, folder: Folder, name: str, since_s: float) -> None:
        """A file was found or may have changed, at this time [s]."""
        mark = folder.files.get(name)
        if mark is not None and mark <= 0:
            return
        file_name = self._named(name)
        if file_name is None:
            return
        if mark is None:
            self._gone.pop(f"{folder.path}/{name}", None)
        folder.files[name] = -(mark or 0)
        device = self._device(folder, file_name)
        heappush(device.waiting, Waiting(file_name.start_ns, name, folder, since_s))
        self.waiting += 1
        if not device.queued:
            device.queued = True
            self._ready.append(device)
        if device.newest_ns < file_name.start_ns <= self._now_ns() + AHEAD_NS:
            self._displace(device, folder, name, file_name.start_ns)

    def put_later(self, folder: Folder, name: str, due_s: float, since_s: float = UNKNOWN_S) -> None:
        """The same at a later time, when it has not been given out in between."""
        before = self._later.get((folder, name))
        self._later[folder, name] = (due_s, since_s)
        if before is None or due_s < before[0]:
            heappush(self._due, (due_s, folder, name))

    def drop(self, folder: Folder, name: str) -> None:
        """A file is gone."""
        if folder.files.pop(name, None):
            self._gone[f"{folder.path}/{name}"] = None

    def next(self, limit: int) -> list[Sighting]:
        """The next files; fewer, even none, when some of those that waited are gone."""
        found: list[Sighting] = []
        now_s, now_ns = self._seconds(), self._now_ns()
        for _ in range(limit):
            if not self._ready:
                break
            device = self._ready.popleft()
            waiting = heappop(device.waiting)
            self.waiting -= 1
            device.queued = bool(device.waiting)
            if device.queued:
                self._ready.append(device)
            mark = waiting.folder.files.get(waiting.name)
            if mark is None or mark > 0:
                continue  # it went, and maybe came back
            sighting = self._look(waiting, now_s, now_ns, waiting.start_ns >= device.newest_ns)
            if sighting is not None:
                found.append(sighting)
        return found

    def vanished(self, limit: int) -> list[str]:
        """The next paths that are gone; those that have a file again are left out."""
        paths = list(islice(self._gone, limit))
        for path in paths:
            del self._gone[path]
        return [path for path in paths if not is_there(path)]

    @property
    def anything(self) -> bool:
        """Whether there is anything to give out."""
        return bool(self._ready or self._gone)

    def due_s(self) -> float | None:
        """When the next file that was put aside is to be put in [s]."""
        return self._due[0][0] if self._due else None

    def put_due(self, limit: int) -> None:
        """Put in what is due, no more than so many."""
        now_s = self._seconds()
        for _ in range(limit):
            if not self._due or self._due[0][0] > now_s:
                return
            _, folder, name = heappop(self._due)
            due_s, since_s = self._later.get((folder, name), (inf, UNKNOWN_S))
            if due_s == inf:
                continue
            if due_s > now_s:  # it changed in between
                heappush(self._due, (due_s, folder, name))
                continue
            del self._later[folder, name]
            if name in folder.files:
                self.put(folder, name, since_s)

    def _device(self, folder: Folder, name: FileName) -> _Device:
        key = (folder.root, name.device, name.kind.removesuffix(".gz"))
        device = self._devices.get(key)
        if device is None:
            device = self._devices[key] = _Device()
        return device

    def _displace(self, device: _Device, folder: Folder, name: str, start_ns: int) -> None:
        """A newer file began: its predecessor's end is read first."""
        before, device.newest, device.newest_ns = device.newest, (folder, name), start_ns
        if before is not None and before[1] in before[0].files:
            self.put(*before, UNKNOWN_S)

    def _look(self, waiting: Waiting, now_s: float, now_ns: int, newest: bool) -> Sighting | None:
        folder, name = waiting.folder, waiting.name
        path = f"{folder.path}/{name}"
        file_name = self._named(name)
        try:
            found = os.lstat(path)
            if found.st_dev != folder.device:
                folder.device, folder.fsid = found.st_dev, os.statvfs(path).f_fsid
        except OSError as error:
            if error.errno in (ENOENT, ENOTDIR):
                self.drop(folder, name)
            else:
                folder.files[name] = -folder.files[name] or 1
                self.put_later(folder, name, now_s + RETRY_S)
            return None
        if not stat.S_ISREG(found.st_mode) or file_name is None:
            self.drop(folder, name)
            return None
        folder.files[name] = signature(found.st_ino, found.st_size, found.st_mtime_ns)
        idle_s = _idle_s(now_s - waiting.since_s, (now_ns - found.st_mtime_ns) / 1e9)
        finished = not newest and idle_s > SETTLED_S - 0.01  # sums of floats may miss it by a little
        if newest or finished:
            self._later.pop((folder, name), None)
        else:
            self.put_later(folder, name, now_s + SETTLED_S - idle_s, now_s - idle_s)
        return Sighting(
            path,
            file_name,
            folder.fsid,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            newest,
            idle_s,
            finished,
        )


def is_there(path: str) -> bool:
    """Whether there is a regular file; what can't be asked is taken as there."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError as error:
        return error.errno not in (ENOENT, ENOTDIR)


def _idle_s(seen_s: float, stamped_s: float) -> float:
    """How long a file has not changed: since it was seen to, and by its time of change; the stamp may be copied or
    come from another machine's clock, and what was seen may be older than the last change [s]."""
    if seen_s == inf:
        return max(0.0, stamped_s)
    return min(seen_s, stamped_s) if stamped_s >= 0 else seen_s
