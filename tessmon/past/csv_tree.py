# SPDX-License-Identifier: MIT
"""Trees of CSV files as vlbimon-bridge's history has them: ``DIR/STATION/parameter.csv``.

Station and parameter come from the wire and may be any text. What is no plain file name is written with its odd bytes
as ``%XX``, so that no name leads out of the tree; what would be longer than a file name can be has no file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, unquote

SUFFIX = ".csv"
_MAX_NAME_BYTES = 255
_PLAIN = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_+. -]*")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Series(NamedTuple):
    """A parameter of a station."""

    station: str
    parameter: str

    @property
    def path(self) -> tuple[str, str] | None:
        """Folder and file; None when a name is too long for one."""
        folder, file = _quoted(self.station), _quoted(self.parameter) + SUFFIX
        return (folder, file) if max(len(folder), len(file)) <= _MAX_NAME_BYTES else None


class CsvFile(NamedTuple):
    """A file of a tree: its series, its place below the tree's directory, what the system knows of it."""

    series: Series
    path: tuple[str, str]
    stat: os.stat_result


class LeftOut(NamedTuple):
    """What is in a tree and is not read: its place below the tree's directory, and why."""

    path: str
    why: str


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    dots = len(name) - len(name.lstrip("."))
    return "%2E" * dots + quote(name[dots:], safe=" +", errors="replace")


def survey(directory: Path) -> Iterator[CsvFile | LeftOut]:
    """The files of a tree, by station and parameter; links, pipes and what else is no file of it are left out.

    Raises:
        OSError: the directory can't be read.
    """
    for folder in _entries(directory):
        if folder.is_symlink():
            yield LeftOut(folder.name, "it is a link, which could lead anywhere")
        elif folder.is_dir(follow_symlinks=False):
            try:
                entries = _entries(folder.path)
            except OSError as error:
                yield LeftOut(folder.name, error.strerror or str(error))
                continue
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    yield _looked_at(folder.name, entry)


def _looked_at(folder: str, entry: os.DirEntry[str]) -> CsvFile | LeftOut:
    path = f"{folder}/{entry.name}"
    if entry.is_symlink():
        return LeftOut(path, "it is a link, which could lead anywhere")
    if not entry.is_file(follow_symlinks=False):
        return LeftOut(path, "it is no file")
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        return LeftOut(path, error.strerror or str(error))
    series = Series(unquote(folder), unquote(entry.name.removesuffix(SUFFIX)))
    return CsvFile(series, (folder, entry.name), found)


def _entries(directory: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as found:
        return sorted(found, key=lambda entry: entry.name)


def open_to_read(directory: Path, path: tuple[str, str]) -> BinaryIO:
    """A file of a tree, whatever was put in its place meanwhile.

    Raises:
        OSError: it is none, or a link, or can't be read.
    """
    return os.fdopen(_open(directory, path, os.O_RDONLY), "rb")


def open_to_append(directory: Path, path: tuple[str, str]) -> BinaryIO:
    """The same, to read and to append; made when it is not there.

    Raises:
        OSError: it can't be.
    """
    (directory / path[0]).mkdir(exist_ok=True)
    return os.fdopen(_open(directory, path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "r+b")


def _open(directory: Path, path: tuple[str, str], flags: int) -> int:
    folder = os.open(directory / path[0], _FOLDER_FLAGS)
    try:
        file = os.open(path[1], flags | _FILE_FLAGS, 0o666, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is no file")
    return file
