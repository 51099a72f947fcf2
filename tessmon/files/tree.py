# SPDX-License-Identifier: MIT
"""What stands in trees of directories: regular files of any name, one at a time, and what can't be looked at.

Paths are text in which bytes that are no UTF-8 are surrogates (``surrogateescape``), as `os` gives them. Shown and
stored they are as `shown` writes them.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

_HEX = re.compile(rb"\\(\\|x[0-9a-f]{2})")


class Entry(NamedTuple):
    """A regular file that was seen.

    Attributes:
        path, name: where it is, and the last part of that.
        fsid: of its file system, as statvfs says (64 bits, unsigned).
        inode: its number there.
        size_bytes, mtime_ns: size, and time of the last change [ns since 1970 UTC].
    """

    path: str
    name: str
    fsid: int
    inode: int
    size_bytes: int
    mtime_ns: int


class Below(NamedTuple):
    """A directory in a directory."""

    path: str


class Unreadable(NamedTuple):
    """Something that is left out.

    Attributes:
        path: what.
        why: in words.
        errno: the system's number; 0 for what is no regular file, symbolic links among them.
    """

    path: str
    why: str
    errno: int


def walk(directories: Sequence[str], ignore: Sequence[str]) -> Iterator[Entry | Unreadable]:
    """All files in trees, in no order, lazily: one directory is open at a time, and the memory is that of the names
    of directories still to come.

    What comes and goes meanwhile may be seen or not. A file is seen twice where trees overlap or a directory is moved.

    Args:
        directories: roots, which may be symbolic links themselves; others are not followed, but told.
        ignore: patterns of names (of files and directories below the roots) that are left out.
    """
    to_come = [(directory, True) for directory in reversed(directories)]
    while to_come:
        directory, is_root = to_come.pop()
        for found in listing(directory, ignore, is_root=is_root):
            if isinstance(found, Below):
                to_come.append((found.path, False))
            else:
                yield found


def listing(
    directory: str, ignore: Sequence[str], *, is_root: bool = False
) -> Iterator[Entry | Below | Unreadable]:
    """What stands in one directory, lazily; `Unreadable` of the directory itself when it can't be listed.

    A directory that is no root and went away gives nothing.
    """
    ignored = ignoring(tuple(ignore)).match
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if is_root else os.O_NOFOLLOW)
        descriptor = os.open(directory, flags)
    except OSError as error:
        if is_root or error.errno != errno.ENOENT:
            yield _unreadable(directory, error)
        return
    try:
        device, fsid = os.fstat(descriptor).st_dev, os.fstatvfs(descriptor).f_fsid
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                if ignored(name):
                    continue
                path = os.path.join(directory, name)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        yield Below(path)
                        continue
                    seen = entry.stat(follow_symlinks=False)
                    if not stat.S_ISREG(seen.st_mode):
                        yield Unreadable(path, _kind(seen.st_mode), 0)
                        continue
                    its_own = (
                        fsid if seen.st_dev == device else os.statvfs(path).f_fsid
                    )  # a file can be mounted
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield _unreadable(path, error)
                    continue
                yield Entry(path, name, its_own, seen.st_ino, seen.st_size, seen.st_mtime_ns)
    except OSError as error:
        yield _unreadable(directory, error)
    finally:
        os.close(descriptor)


@lru_cache(16)
def ignoring(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression that matches the names to leave out; upper and lower case differ."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


def shown(path: str) -> str:
    """A path for people and for the database: printable text, reversible by `path_shown_as`.

    A byte that is no UTF-8, or is part of a character that can't be printed, is written ``\\xNN``; a backslash is
    doubled.
    """
    if "\\" not in path and path.isprintable():
        return path
    return "".join(map(_shown_character, path))


def path_shown_as(text: str) -> str:
    """The path that `shown` writes so."""
    raw = _HEX.sub(
        lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1][1:], 16)]),
        text.encode("utf-8", "surrogateescape"),
    )
    return os.fsdecode(raw)


def _shown_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def _unreadable(path: str, error: OSError) -> Unreadable:
    return Unreadable(path, error.strerror or str(error), error.errno or errno.EIO)


def _kind(mode: int) -> str:
    return "a symbolic link, not followed" if stat.S_ISLNK(mode) else "no regular file"
