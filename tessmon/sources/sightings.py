# SPDX-License-Identifier: MIT
"""What the source of telemetry files tells: which file to read next, which are gone, what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from zope.interface import Interface

from tessmon.files.naming import FileName


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """A telemetry file that should be looked at now, as it was found a moment ago.

    Whether there is anything to read in it, the reader knows, who has the position of each identity: a file that was
    rotated, renamed, replaced or truncated is told from a grown one by identity and size, not by the path.

    Attributes:
        path: where it is (``surrogateescape``).
        name: what its name says.
        fsid, inode: of its identity; fsid is unsigned, 64 bits.
        size_bytes, mtime_ns: size, and time of the last change [ns since 1970 UTC].
        newest: no file of this device and format that began later has been seen.
        idle_s: how long it has not changed: as seen from here, else by its time of change [s].
        finished: it is not the newest and has not changed for a minute, so nothing is waited for any more. It may grow
            after all, and is then told again.
    """

    path: str
    name: FileName
    fsid: int
    inode: int
    size_bytes: int
    mtime_ns: int
    newest: bool
    idle_s: float
    finished: bool


class Occurrence(NamedTuple):
    """Something that happened, worth a record: when [ns since 1970 UTC], a word, and more as a JSON object."""

    at_ns: int
    what: str
    detail: str


class FilesStatus(NamedTuple):
    """The source of files at a glance.

    Attributes:
        name: "files".
        state: one word: starting, following, missing, limited, stopped.
        detail: one sentence for the operator.
        since_ns: when this state began [ns].
        mode: "inotify", or "polling" where changes are looked for.
        files: telemetry files known [count].
        waiting: files that wait to be given out by ``next`` [count].
        directories, watched: directories known, and those of which the kernel tells changes [count].
    """

    name: str
    state: str
    detail: str
    since_ns: int
    mode: str
    files: int
    waiting: int
    directories: int
    watched: int


class ISightings(Interface):
    """Who follows telemetry files. All methods are called in the reactor's thread; none blocks or raises.

    After a start every file is given out once, and then each time it may have changed. What was given out is not
    remembered as such: a reader that loses its own memory calls ``anew``.
    """

    def watch(callback: Callable[[], None]) -> None:
        """Call ``callback()`` when ``next``, ``vanished`` or ``occurrences`` has something; once, until ``next`` is
        called again. One callback at a time."""

    def next(limit: int) -> list[Sighting]:
        """Files to look at now, no more than so many.

        Of a device the older file comes before the newer; devices take turns. When a device begins a new file, the one
        before is given out first, once more. A file that is not the newest is given out again when it has not changed
        for a minute, with ``finished``. Each call takes about 10 µs per file. Whoever gets files calls again, until
        the list is empty: only then the callback comes again.
        """

    def again(path: str, after_s: float = 0.0) -> None:
        """Give a file out once more, after this time [s] or before it, when it changes; a file that is gone meanwhile
        is not."""

    def vanished(limit: int) -> list[str]:
        """Paths that were given out and are gone, each once. A renamed file is told so and given out under its new
        name, in no certain order, so that its identity may come back."""

    def occurrences() -> list[Occurrence]:
        """What happened since the last call, oldest first."""

    def anew() -> None:
        """Forget what was given out: all files are looked for and given out again, as after a start."""

    def status() -> FilesStatus:
        """A `FilesStatus` from memory."""
