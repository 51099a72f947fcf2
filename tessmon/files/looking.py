# SPDX-License-Identifier: MIT
"""A file as commands look at it: once, without following it."""

from __future__ import annotations

import os
import stat
from datetime import tzinfo

from tessmon.files.naming import FileName, name_of
from tessmon.files.reading import UnreadableError, identify
from tessmon.files.tree import Entry
from tessmon.sink.files import Seen
from tessmon.sources.files_queue import SETTLED_S
from tessmon.sources.sightings import Sighting


class GoneError(Exception):
    """A file went, or another has its path, between two looks at it."""


def seen_of(entry: Entry, name: FileName | None) -> tuple[Seen, str]:
    """What the database is asked about a file, and why it can't be read: empty when it can.

    A file that is no telemetry has no stamp in its name; the time of its last change is taken for it.

    Raises:
        GoneError: another file is there by now.
    """
    head, why = None, ""
    try:
        found = identify(entry.path)
        if (found.fsid, found.inode) != (entry.fsid, entry.inode):
            raise GoneError
        head = found.head
    except UnreadableError as error:
        if not os.path.lexists(entry.path):
            raise GoneError from error
        why = str(error)
    device, created_ns, kind = name if name is not None else ("", entry.mtime_ns, "")
    seen = Seen(
        entry.path,
        device,
        kind,
        entry.fsid,
        entry.inode,
        head,
        entry.size_bytes,
        entry.mtime_ns,
        created_ns,
    )
    return seen, why


def entry_at(path: str) -> Entry:
    """The file that is there now.

    Raises:
        GoneError: there is no regular file.
        OSError: the system does not tell.
    """
    try:
        found = os.lstat(path)
        fsid = os.statvfs(path).f_fsid
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GoneError from error
    if not stat.S_ISREG(found.st_mode):
        raise GoneError
    return Entry(path, os.path.basename(path), fsid, found.st_ino, found.st_size, found.st_mtime_ns)


def sighting_of(entry: Entry, zone: tzinfo, newest: bool, now_ns: int) -> Sighting:
    """The same as one who follows files sees it.

    Args:
        newest: its device has not begun another file.

    Raises:
        GoneError: it has no name of a telemetry file.
    """
    name = name_of(entry.name, zone)
    if name is None:
        raise GoneError
    idle_s = max(0.0, (now_ns - entry.mtime_ns) / 1e9)
    return Sighting(
        entry.path,
        name,
        entry.fsid,
        entry.inode,
        entry.size_bytes,
        entry.mtime_ns,
        newest,
        idle_s,
        not newest and idle_s > SETTLED_S,
    )
