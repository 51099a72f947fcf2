# SPDX-License-Identifier: MIT
"""One instrument file, opened safely and read in pieces.

The live tail in the reactor and the workers of a back-fill read files through this: no call uses more than some
milliseconds of CPU or more memory than one record and one piece, whatever the file holds. Nobody else opens them.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import NamedTuple, Self

from tessmon.errors import TessmonError
from tessmon.files.unpacking import Ending, Slice, Unpacking, shrunk

PIECE_BYTES = 256 << 10
"""At most this much is added to what waits, in one call [bytes]."""
MAX_LINES_A_PIECE = 2000
"""At most so many lines are in a piece: 130 000 lines of one byte would hold up whoever decodes them."""
HEAD_BYTES = 64
"""A file is told from another by its first bytes, no more than these."""

_KEPT_BYTES = 64 << 10
"""More of a cut record is not kept while nothing comes, but read again: many files are open [bytes]."""
_SLICES_A_CALL = 4
"""A call that has nothing to give yet, because it is on its way to its place, takes so many slices."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class UnreadableError(TessmonError):
    """A file can't be opened or read now, or is no regular file; the text says why."""


class Identity(NamedTuple):
    """What a file is, whatever it is called: file system (``f_fsid`` as `os.statvfs` has it, 64 bits, unsigned),
    inode, and its first bytes: 64, or as many as it has."""

    fsid: int
    inode: int
    head: bytes


class Read(NamedTuple):
    """What one call read.

    Attributes:
        content: bytes to decode; a record that waited for its rest stands in front. Empty: nothing new.
        offset: where they begin [bytes]; of a ``.gz``, in the text.
        ending: what stands behind them.
        fault: one sentence where that is damaged, cut or shrunk, or where a check sum was wrong; else empty.
    """

    content: bytes
    offset: int
    ending: Ending
    fault: str = ""


def open_file(path: str) -> int:
    """A descriptor of a regular file, for reading. Links are not followed, nothing else is opened or waited for.

    Raises:
        UnreadableError: it can't be had; the text doesn't name the path, which the caller shows its own way.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _unreadable(error) from error
    except ValueError as error:
        raise UnreadableError("no file has a NUL in its name") from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")
    raise UnreadableError(f"it is {kind} and no regular file")


def _unreadable(error: OSError) -> UnreadableError:
    if error.errno == errno.ELOOP:
        return UnreadableError("it is a symbolic link, which is not followed")
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return UnreadableError("it is a socket or a device and no regular file")
    return UnreadableError(f"the system says: {error.strerror or error}")


def identity(descriptor: int) -> Identity:
    """What an open file is.

    Raises:
        OSError: the system does not say so now.
    """
    inode = os.fstat(descriptor).st_ino
    return Identity(os.fstatvfs(descriptor).f_fsid, inode, os.pread(descriptor, HEAD_BYTES, 0))


def identify(path: str) -> Identity:
    """What the file at a path is.

    Raises:
        UnreadableError: it can't be opened or read, or is no regular file.
    """
    descriptor = open_file(path)
    try:
        return identity(descriptor)
    except OSError as error:
        raise _unreadable(error) from error
    finally:
        os.close(descriptor)


class _Plain:
    """The bytes of a file as they are, from an offset."""

    def __init__(self, descriptor: int, at: int) -> None:
        self._descriptor = descriptor
        self._at = at

    def read(self, max_bytes: int) -> Slice:
        """The next bytes."""
        text = os.pread(self._descriptor, max_bytes, self._at)
        if not text and (size_bytes := os.fstat(self._descriptor).st_size) < self._at:
            return Slice(b"", Ending.SHRUNK, shrunk(size_bytes, self._at))
        self._at += len(text)
        return Slice(text, Ending.MORE if len(text) == max_bytes else Ending.END)


class FileReader:
    """Reads a file from a position on, and goes on when it grows.

    Call `read`, decode its content, tell `used` how much of it is done with; the rest waits in here and stands in
    front of the next content. A reader has its file open until `close`, and nobody else does.

    In a file of lines, content begins where a line does. When `position` lies within a line, that line is read again
    from its begin: it was refused as cut, and may have its rest now. When the begin is further back than
    `max_record_bytes`, it was refused as too long, and reading goes on behind its end. So one line is one reject,
    however long it is and whenever the process was killed.

    Attributes:
        identity: what the file is.
        position: how far it is done with [bytes]; of a ``.gz``, bytes of its text.

    Args:
        path: as the system has it, odd bytes as surrogates.
        kind: ``bintel``, ``binlog``, ``ndjson`` or ``ndjson.gz``.
        position: where to begin.
        max_record_bytes: the same number that the decoder has.

    Raises:
        UnreadableError: the file can't be opened, or is no regular one.
    """

    def __init__(self, path: str, kind: str, position: int, max_record_bytes: int) -> None:
        self._max_record_bytes = max_record_bytes
        self._has_lines = kind.startswith("ndjson")
        self._is_packed = kind.endswith(".gz")
        self._descriptor = open_file(path)
        try:
            self.identity = identity(self._descriptor)
            self.go_to(position)
        except OSError as error:
            self.close()
            raise _unreadable(error) from error

    def go_to(self, position: int) -> None:
        """Read from another position on.

        Raises:
            OSError: the system refuses it now.
        """
        self.position = position
        self._at = 0 if self._is_packed else self._begin()
        self._text = Unpacking(self._descriptor) if self._is_packed else _Plain(self._descriptor, self._at)
        self._ahead = Slice(b"", Ending.MORE)
        self._rest = b""
        self._too_long = False
        self._is_at_end = False

    def begins_so(self) -> bool:
        """Whether it begins as it did; where it does, `identity` has more of its beginning when there is more.

        Raises:
            OSError: the system refuses it now.
        """
        head = os.pread(self._descriptor, HEAD_BYTES, 0)
        if not head.startswith(self.identity.head):
            return False
        self.identity = self.identity._replace(head=head)
        return True

    def _begin(self) -> int:
        """Where to begin in a file that is not packed: so that the begin of a line can be found."""
        if not self._has_lines or not self.position or self._byte_before() == b"\n":
            return self.position
        return max(0, self.position - self._max_record_bytes - 1)

    def _byte_before(self) -> bytes:
        return os.pread(self._descriptor, 1, self.position - 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def deleted(self) -> bool:
        """Whether it has no name any more; nobody can write its rest then. False when it is closed."""
        return self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def read(self) -> Read:
        """What comes next. With ``MORE`` and no content it is on its way to its place, and wants to be called again.

        A fault that stands at `position` is told again by the next reader that begins there.

        Raises:
            UnreadableError: the system refuses it now.
        """
        read = Read(b"", self.position, Ending.MORE)
        try:
            for _ in range(_SLICES_A_CALL):
                read = self._next()
                if read.content or read.fault or read.ending is not Ending.MORE:
                    break
        except OSError as error:
            raise _unreadable(error) from error
        return read

    def used(self, used_bytes: int) -> None:
        """So much of the content of the last `read` is done with [bytes]."""
        self.position = max(self.position, self._at - len(self._rest) + used_bytes)
        begin = self._rest.rfind(b"\n", 0, used_bytes) + 1 if self._has_lines else used_bytes
        self._rest = self._rest[begin:]
        if begin < used_bytes:
            self._shorten()
        if self._is_at_end and len(self._rest) > _KEPT_BYTES and isinstance(self._text, _Plain):
            self._at -= len(self._rest)
            self._text, self._rest = _Plain(self._descriptor, self._at), b""

    def _next(self) -> Read:
        if len(self._rest) > self._max_record_bytes + PIECE_BYTES:
            return Read(self._rest, self._at - len(self._rest), Ending.MORE)
        text, ending, fault = self._slice()
        self._is_at_end = ending is Ending.END
        passing = self._at < self.position
        self._at += len(text)
        if passing:
            self._pass(text)
            if ending in (Ending.END, Ending.CUT) and self._at < self.position:
                return Read(b"", self.position, Ending.SHRUNK, shrunk(self._at, self.position))
            if ending is Ending.MORE:
                fault = ""  # a check sum before the position was told by who read it
        elif self._too_long:
            self._drop(text)
        else:
            self._rest += text
        if self._at > self.position:
            return Read(self._rest, self._at - len(self._rest), ending, fault)
        return Read(b"", self.position, ending, fault)

    def _slice(self) -> Slice:
        """The next slice: not over the position, and of so many lines only."""
        ahead, self._ahead = self._ahead, Slice(b"", Ending.MORE)
        if self._at < self.position:
            return self._text.read(min(PIECE_BYTES, self.position - self._at))
        if not ahead.text:
            ahead = self._text.read(PIECE_BYTES)
        if not self._has_lines or ahead.text.count(b"\n") <= MAX_LINES_A_PIECE:
            return ahead
        end = 0
        for _ in range(MAX_LINES_A_PIECE):
            end = ahead.text.index(b"\n", end) + 1
        self._ahead = ahead._replace(text=ahead.text[end:])
        return Slice(ahead.text[:end], Ending.MORE)

    def _pass(self, text: bytes) -> None:
        """On the way to the position: keep nothing but the line it lies in."""
        begin = text.rfind(b"\n") + 1
        if begin or not self._has_lines:
            self._rest, self._too_long = text[begin:] if self._has_lines else b"", False
        elif not self._too_long:
            self._rest += text
        self._shorten()

    def _drop(self, text: bytes) -> None:
        """In a line that was refused as too long: look for its end."""
        begin = text.find(b"\n") + 1
        self._too_long = begin == 0
        self._rest = text[begin:] if begin else b""
        self.position = self._at - len(self._rest)

    def _shorten(self) -> None:
        """The begin of a line is kept until it is too long."""
        if len(self._rest) > self._max_record_bytes:
            self._rest, self._too_long = b"", True
