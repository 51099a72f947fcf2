# SPDX-License-Identifier: MIT
"""The kernel's news of watched directories, in the reactor.

Twisted's own INotify does not serve here: it drops the event that says that others were lost, closes itself when
one watched directory is removed, keeps watches by path where they belong to the inode, doesn't tell a full table of
watches from a missing directory, and makes a FilePath an event.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet import inotify
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

READ_BYTES = 65_536
"""Of one call of the reactor: 1000 to 4000 events [bytes]."""
GATHER_S = 0.02
"""After a call that took all there was, the next waits this long: a busy directory costs 50 calls a second."""

WATCHED = (
    inotify.IN_MODIFY
    | inotify.IN_ATTRIB
    | inotify.IN_CLOSE_WRITE  # what was written through mmap is told by nothing else
    | inotify.IN_CREATE
    | inotify.IN_DELETE
    | inotify.IN_MOVED_FROM
    | inotify.IN_MOVED_TO
    | inotify.IN_MOVE_SELF
    | inotify.IN_DELETE_SELF
    | inotify.IN_ONLYDIR
)
_EVENT = struct.Struct("=iIII")
"""Watch, mask, cookie, length of the name with its padding."""
_libc = ctypes.CDLL(None, use_errno=True)


@implementer(IReadDescriptor)
class Inotify:
    """A descriptor of watches.

    Args:
        took: called with (watch, mask, name) for each event; the name is empty when it is about the directory
            itself. It must not raise.
        read: called after the events of one call.
        ended: called with the reason when the descriptor can't be read any more.

    Raises:
        OSError: no descriptor could be made: there are too many.
    """

    def __init__(
        self,
        reactor: Any,
        took: Callable[[int, int, bytes], None],
        read: Callable[[], None],
        ended: Callable[[Failure], None],
    ) -> None:
        self._reactor, self._took, self._read, self._ended = reactor, took, read, ended
        self._descriptor = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "")
        self._rest: Any = None
        reactor.addReader(self)

    def watch(self, directory: str, *, follow: bool) -> int:
        """Watch a directory; one that is watched already keeps its number, whatever its path was then.

        Args:
            follow: it may be a symbolic link.

        Raises:
            OSError: ENOSPC when there are too many watches, or why the directory can't be watched.
        """
        mask = WATCHED if follow else WATCHED | inotify.IN_DONT_FOLLOW
        return _checked(_libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask), directory)

    def unwatch(self, watch: int) -> None:
        """Watch it no more; one that is gone already doesn't matter."""
        _libc.inotify_rm_watch(self._descriptor, watch)

    def close(self) -> None:
        """No more events."""
        if self._descriptor < 0:
            return
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._reactor.removeReader(self)
        os.close(self._descriptor)
        self._descriptor = -1

    # The reactor's reader.

    def doRead(self) -> None:
        """Tell what is there."""
        try:
            news = os.read(self._descriptor, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        took, unpack, header, at, end = self._took, _EVENT.unpack_from, _EVENT.size, 0, len(news)
        while at < end:
            watch, mask, _, length = unpack(news, at)
            at += header + length
            took(watch, mask, news[at - length : at].rstrip(b"\0"))
        self._read()
        if end < READ_BYTES // 2 and self._descriptor >= 0:
            self._reactor.removeReader(self)
            self._rest = self._reactor.callLater(GATHER_S, self._go_on)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "inotify"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives it up: reading failed, or it ends."""
        if self._descriptor >= 0:
            self.close()
            self._ended(reason)

    def _go_on(self) -> None:
        self._rest = None
        self._reactor.addReader(self)


def _checked(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
