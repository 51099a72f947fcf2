# SPDX-License-Identifier: MIT
"""A journal's directory: names of files, lock, identity, and how a file comes and goes so that it lasts.

lock                        flock of the process that owns the journal
identity                    a UUID
BIRTH.journal               a segment, with -wal and -shm while it is written; BIRTH: 20 digits, ns since 1970
BIRTH.journal.new           a segment in the making
BIRTH.journal.salvaging     a copy of what is left of a damaged one, in the making
BIRTH.journal.salvaged      the finished copy, about to take the damaged one's place
BIRTH.journal.damaged[-N]   a damaged one, set aside
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from tessmon.errors import JournalError, JournalInUseError

WAL, SHM = "-wal", "-shm"
NEW, SALVAGING, SALVAGED = ".new", ".salvaging", ".salvaged"
_DAMAGED = ".damaged"
_NAME = re.compile(r"(\d{20})\.journal(.*)")
_SEGMENT_GLOB = "[0-9]" * 20 + ".journal*"
_LARGEST_NAME = 2**63 - 1


def segment_path(directory: Path, name: int) -> Path:
    """Where the segment of this name is."""
    return directory / f"{name:020}.journal"


def beside(path: Path, suffix: str) -> Path:
    """A companion of a file: same name with something behind it."""
    return path.with_name(path.name + suffix)


def named_files(directory: Path) -> Iterator[tuple[int, str, Path]]:
    """(name, what stands behind ``.journal``, path) of everything that bears a segment's name, in order."""
    for path in sorted(directory.glob(_SEGMENT_GLOB)):
        match = _NAME.fullmatch(path.name)
        if match and int(match[1]) <= _LARGEST_NAME:
            yield int(match[1]), match[2], path


def segment_names(directory: Path) -> list[int]:
    """Names of the segments on disk, oldest first."""
    return [name for name, rest, _ in named_files(directory) if not rest]


def damaged_files(directory: Path) -> list[Path]:
    """What was set aside as damaged."""
    return [
        path
        for _, rest, path in named_files(directory)
        if rest.startswith(_DAMAGED) and not rest.endswith(WAL)
    ]


def file_bytes(path: Path) -> int:
    """Size of a segment's file and its WAL [bytes]; 0 for what is not there."""
    size = 0
    for part in (path, beside(path, WAL)):
        try:
            size += os.stat(part).st_size
        except FileNotFoundError:
            continue
    return size


def has_wal(path: Path) -> bool:
    """Whether something is left in the WAL of a segment that nobody has open."""
    try:
        return os.stat(beside(path, WAL)).st_size > 0
    except FileNotFoundError:
        return False


def make_directory(directory: Path) -> None:
    """Make the journal's directory for its owner's eyes only, unless it is there.

    Raises:
        JournalError: it can't be made.
    """
    if directory.is_dir():
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fsync_directory(directory.parent)
    except OSError as error:
        raise JournalError(f"the journal's directory {directory} can't be made: {error.strerror}") from error


def lock(directory: Path) -> int:
    """Lock the journal for this process; closing the file descriptor returned gives it back.

    Raises:
        JournalInUseError: another process has it.
        JournalError: the directory can't be written.
    """
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"the journal in {directory} can't be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalInUseError(
            f"the journal in {directory} is in use by another process; stop that one or name another directory"
        ) from error
    return descriptor


def read_identity(directory: Path) -> str | None:
    """The journal's UUID as its file has it; None when there is none or it is no UUID."""
    try:
        return str(uuid.UUID((directory / "identity").read_text("ascii").strip()))
    except (OSError, ValueError):
        return None


def write_identity(directory: Path, identity: str) -> None:
    """Write the identity so that it is there whole or not at all.

    Raises:
        OSError: the disk does not take it.
    """
    new = directory / "identity.new"
    new.write_text(identity + "\n", "ascii")
    fsync_file(new)
    new.rename(directory / "identity")
    fsync_directory(directory)


def fsync_file(path: Path) -> None:
    """Put a file's content on disk."""
    _fsync(path, os.O_RDONLY)


def fsync_directory(directory: Path) -> None:
    """Put a directory's entries on disk."""
    _fsync(directory, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unlink_parts(path: Path) -> Iterator[Path]:
    """Unlink a database with its WAL and its index, one part at each step.

    The file itself goes first: without its WAL it would be another segment, a WAL alone is litter.
    """
    for part in (path, beside(path, WAL), beside(path, SHM)):
        part.unlink(missing_ok=True)
        yield part


def unlink_whole(path: Path) -> None:
    """Unlink a database with its WAL and its index."""
    for _ in unlink_parts(path):
        pass


def set_aside(path: Path) -> Path:
    """Rename a damaged segment and its WAL to the first free name for damaged ones, and return that.

    It may be called again when it was interrupted.
    """
    aside = beside(path, _DAMAGED)
    count = 0
    while aside.exists():
        count += 1
        aside = beside(path, f"{_DAMAGED}-{count}")
    if path.exists():
        path.rename(aside)
    wal = beside(path, WAL)
    if wal.exists():
        wal.rename(beside(aside, WAL))
    beside(path, SHM).unlink(missing_ok=True)
    return aside


def finish_salvage(path: Path) -> Path:
    """Put a finished copy in the place of the damaged segment at ``path``; returns where that one is now."""
    aside = set_aside(path)
    beside(path, SALVAGED).rename(path)
    fsync_directory(path.parent)
    return aside


def tidy(directory: Path) -> None:
    """Finish or remove what a killed process left in the middle of its work.

    Raises:
        OSError: the disk does not let it.
    """
    for name, rest, path in list(named_files(directory)):
        if rest == SALVAGED:
            finish_salvage(segment_path(directory, name))
        elif rest.startswith((NEW, SALVAGING)) or (
            rest in (WAL, SHM) and not segment_path(directory, name).exists()
        ):
            path.unlink(missing_ok=True)
    (directory / "identity.new").unlink(missing_ok=True)
