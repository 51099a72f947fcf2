# SPDX-License-Identifier: MIT
"""The source of telemetry files: follows directories and says which file should be read next."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from twisted.application.service import Service
from twisted.internet import inotify as events
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tessmon.config.model import Files
from tessmon.files.naming import FileName, name_of
from tessmon.files.tree import Unreadable, ignoring, shown
from tessmon.sources.files_calls import Calls, Occurrences
from tessmon.sources.files_folders import Folders, Look
from tessmon.sources.files_queue import UNKNOWN_S, Folder, Queue
from tessmon.sources.files_roots import Roots
from tessmon.sources.inotify import Inotify
from tessmon.sources.sightings import FilesStatus, ISightings, Occurrence, Sighting
from tessmon.sources.state import State

SLICE_S = 0.005
"""Time of one slice of looking into directories."""
REST_S = 0.005
"""Time that is left to others between two slices."""
LOOK_S = 1.0
"""How often the configured directories are looked for, and what the kernel does not watch is looked into."""
EVERYTHING_S = 3600.0
"""How often all is looked into although the kernel watches: what is mounted over a directory, nobody tells."""
MAX_LEFT_OUT = 1000
"""Paths that can't be read and are told each."""
_DUE_AT_ONCE = 500
_NAMES = 1024

_GONE = events.IN_DELETE | events.IN_MOVED_FROM
_CAME = events.IN_CREATE | events.IN_MOVED_TO


@implementer(ISightings)
class FilesSource(Service):
    """See DESIGN: a file that grows is its own journal; this tells which one has grown.

    The kernel tells of changes; where it can't, or `poll_s` says so, they are looked for. What may have been missed
    (a full queue of the kernel, a directory that comes or goes) ends in a look. No file is opened.
    """

    log = Logger()
    name = "files"

    def __init__(self, settings: Files, reactor: Any, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._settings = settings
        self._reactor = reactor
        self._now_ns = now_ns
        self._callback: Callable[[], None] = lambda: None
        self._told = False
        self._occurrences = Occurrences(now_ns)
        self._inotify: Inotify | None = None
        self._calls = Calls(reactor)
        self._state = State(self.log, now_ns)
        self._begin()

    # The service.

    def startService(self) -> None:
        """Look at everything, then follow."""
        super().startService()  # type: ignore[no-untyped-call]
        self._start()

    def stopService(self) -> Deferred[None]:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._stop()
        self._state.enter("stopped", "stopped")
        return succeed(None)

    def reconfigure(self, settings: Files) -> None:
        """Take up new settings: all files are given out again."""
        self._settings = settings
        self.anew()

    def announce(self, what: str, **detail: Any) -> None:
        """Keep what happened for the database."""
        self._occurrences.add(what, detail)
        if self.running:
            self._calls.soon("tell", self._tell)

    # What the reader asks.

    def watch(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._tell()

    def next(self, limit: int) -> list[Sighting]:
        self._told = False
        if self._starting or not self.running:
            return []
        found = self._queue.next(limit)
        self._set_due()
        if not found and self._queue.waiting:
            self._calls.soon("tell", self._tell)  # many were gone: go on in another call
        return found

    def again(self, path: str, after_s: float = 0.0) -> None:
        directory, _, name = path.rpartition("/")
        folder = self._folders.at(directory)
        if folder is None or name not in folder.files or not self.running:
            return
        if after_s > 0:
            self._queue.put_later(folder, name, self._reactor.seconds() + after_s)
            self._set_due()
        else:
            self._queue.put(folder, name, UNKNOWN_S)
            self._tell()

    def vanished(self, limit: int) -> list[str]:
        return self._queue.vanished(limit)

    def occurrences(self) -> list[Occurrence]:
        return self._occurrences.take()

    def anew(self) -> None:
        if self.running:
            self._stop()
            self._start()

    def status(self) -> FilesStatus:
        folders = self._folders
        return FilesStatus(
            self.name,
            *self._state.told,
            self._mode,
            folders.files,
            self._queue.waiting,
            len(folders),
            folders.watched,
        )

    # Beginning and end.

    def _begin(self) -> None:
        """As new, not running."""
        settings = self._settings
        zone, ignored = settings.zone, ignoring(settings.ignore).match

        @lru_cache(_NAMES)
        def named(name: str) -> FileName | None:
            found = name_of(name, zone)
            return None if found is None or ignored(name) else found

        self._named, self._ignored = named, ignored
        self._roots = Roots(map(os.fspath, settings.directories))
        self._left_out: set[str] = set()
        self._looks: list[Look] = []
        self._starting = True
        self._refused: str | None = None
        self._look_again = False
        self._queue = Queue(named, self._reactor.seconds, self._now_ns)
        self._folders = self._make_folders()

    def _make_folders(self) -> Folders:
        return Folders(
            self._queue, self._inotify, self._settings.ignore, self._reactor.seconds, self._note_left_out
        )

    def _start(self) -> None:
        self._begin()
        self._state.enter("starting", "looking into the directories")
        if not self._settings.poll_s:
            try:
                self._inotify = Inotify(self._reactor, self._event, self._events_read, self._inotify_ended)
            except OSError as error:
                self._refuse(f"{error.strerror}: raise fs.inotify.max_user_instances")
        self._folders = self._make_folders()
        self._look_around()
        self._calls.later("everything", EVERYTHING_S, self._look_at_everything)

    def _stop(self) -> None:
        self._calls.cancel()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        for look in self._looks:
            look.close()
        self._looks.clear()

    # Events of the kernel. They only put something on a list.

    def _event(self, watch: int, mask: int, raw: bytes) -> None:
        folder = self._folders.watched_as(watch)
        if folder is None:
            if mask & events.IN_Q_OVERFLOW:
                self._overflow()
            return
        if not raw:
            self._event_of_itself(folder, mask)
            return
        name = os.fsdecode(raw)
        if mask & events.IN_ISDIR:
            self._event_below(folder, name, mask)
        elif mask & _GONE:
            self._queue.drop(folder, name)
        else:
            self._queue.put(folder, name, self._reactor.seconds())

    def _event_below(self, folder: Folder, name: str, mask: int) -> None:
        if self._ignored(name):
            return
        path = f"{folder.path}/{name}"
        if mask & _GONE:
            self._look(self._folders.forget_below(path))
        elif mask & _CAME or self._folders.at(path) is None:  # else its rights may have changed
            self._look(self._folders.look_below(path, folder.root))

    def _event_of_itself(self, folder: Folder, mask: int) -> None:
        if mask & events.IN_IGNORED:
            self._folders.unbind(folder)
            self._look(self._folders.forget_below(folder.path))
        if folder.path == folder.root and mask & ~events.IN_ATTRIB:
            self._calls.later("around", 0, self._look_around)

    def _events_read(self) -> None:
        if self._queue.anything:
            self._tell()

    def _overflow(self) -> None:
        """Once for a flood: another look follows, when one is under way."""
        if not self._look_again:
            self._look_again = True
            self.announce("events_lost")
            self.log.warn("The kernel's queue of events was full: all directories are looked into")
        self._work_soon()

    def _inotify_ended(self, reason: Failure) -> None:
        if self.running:
            self._inotify = None
            self._folders.stop_asking()
            self._refuse(f"the kernel's queue of events can't be read: {reason.getErrorMessage()}")

    # Looks.

    def _look(self, look: Look) -> None:
        """The last look comes first: it is the smaller one, and new files are in it."""
        self._looks.append(look)
        self._work_soon()

    def _work_soon(self) -> None:
        self._calls.soon("work", self._work)

    def _work(self) -> None:
        seconds = time.monotonic
        until_s = seconds() + SLICE_S
        while self._looks and seconds() < until_s:
            look = self._looks[-1]
            try:
                next(look)
            except StopIteration:
                self._looks.remove(look)
            except Exception:
                self.log.failure("A look into directories failed; they are looked into again later")
                self._looks.remove(look)
        if not self._looks and self._look_again:
            self._look_again = False
            self._looks.append(self._folders.look_at_everything(self._roots.present))
        if self._looks:
            self._calls.later("work", REST_S, self._work)
        else:
            self._looked()
        if self._queue.anything:
            self._tell()

    def _looked(self) -> None:
        """All looks came to their end."""
        self._starting = False
        if self._inotify is not None:
            self._refuse(self._folders.refused)
        self._judge()

    def _look_around(self) -> None:
        """Whether the configured directories are there and the same, and into what nobody watches."""
        self._find_roots()
        poll_s = self._settings.poll_s or LOOK_S
        if self._folders.unwatched and not self._looks:
            self._look(self._timed(self._folders.look_at_unwatched(), poll_s))
        self._calls.later("around", poll_s, self._look_around)
        if not self._looks and self._starting:
            self._looked()

    def _timed(self, look: Look, poll_s: float) -> Look:
        """A large tree is looked into at most half of the time."""
        began_s = self._reactor.seconds()
        yield from look
        self._calls.later("around", max(poll_s, self._reactor.seconds() - began_s), self._look_around)

    def _look_at_everything(self) -> None:
        self._look_again = True
        self._work_soon()
        self._calls.later("everything", EVERYTHING_S, self._look_at_everything)

    def _find_roots(self) -> None:
        for root, why, missed in self._roots.news():
            path = shown(root)
            if why is None:
                if missed:
                    self.announce("directory_back", path=path)
                self._look(self._folders.look_below(root, root))
            else:
                self.announce("directory_missing", path=path, why=why)
                self.log.warn("{path} can't be followed and is waited for: {why}", path=path, why=why)
                self._look(self._folders.forget_below(root))
        self._judge()

    def _note_left_out(self, found: Unreadable) -> None:
        """Once for each path; what went in that moment, links and pipes are nobody's fault."""
        if not found.errno or found.path in self._roots.missing or found.path in self._left_out:
            return
        if len(self._left_out) < MAX_LEFT_OUT:
            self._left_out.add(found.path)
            path = shown(found.path)
            self.announce("unreadable", path=path, why=found.why)
            self.log.warn("{path} is left out as long as it can't be read: {why}", path=path, why=found.why)

    # What the operator sees.

    @property
    def _mode(self) -> str:
        return "polling" if self._settings.poll_s or self._refused else "inotify"

    def _refuse(self, why: str | None) -> None:
        """The kernel does not watch all of it, or does again."""
        if why is not None and self._refused is None:
            self.announce("watches_refused", why=why)
            self.log.warn(
                "Not all directories can be watched ({why}); the others are looked into every second", why=why
            )
        self._refused = why

    def _judge(self) -> None:
        if self._starting:
            return
        if self._roots.missing:
            sentences = [f"{shown(path)}: {why}" for path, why in self._roots.missing.items()]
            self._state.enter("missing", f"waiting for {'; '.join(sentences)}")
        elif self._refused is not None:
            self._state.enter("limited", self._refused)
        else:
            self._state.enter("following", ", ".join(map(shown, self._roots.present)))

    # Giving out.

    def _tell(self) -> None:
        """Once, until the reader asks."""
        if not self._told and not self._starting and (self._queue.anything or self._occurrences):
            self._told = True
            self._callback()

    def _set_due(self) -> None:
        due_s = self._queue.due_s()
        if due_s is not None:
            self._calls.later("due", max(0.0, due_s - self._reactor.seconds()), self._put_due)

    def _put_due(self) -> None:
        self._queue.put_due(_DUE_AT_ONCE)
        self._set_due()
        self._tell()
