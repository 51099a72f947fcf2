# SPDX-License-Identifier: MIT
"""The disk below the journals: room, rights, how long a sync takes, and what was set aside as damaged."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tessmon.cli.table import size
from tessmon.config.model import Journal
from tessmon.doctor.finding import Finding, Wishes, fault, milliseconds, not_checked, ok, warning
from tessmon.doctor.patience import Patience
from tessmon.journal.layout import damaged_files, file_bytes, segment_names, segment_path

LIMIT_S = 30.0

_SYNCS = 10
_SLOW_SYNC_S = 0.05
_PAGE_BYTES = 4096
_MEMORY = frozenset({"tmpfs", "ramfs"})
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs"})


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """Writes one file without a name, which is gone when it is closed."""
    settings = wishes.loaded.config.journal
    directory = settings.directory
    if not directory.is_dir():
        yield _not_made_yet(directory)
        return
    yield _room(settings)
    yield _file_system(directory)
    yield from _sync(directory, patience)
    yield from _journals(directory)


def _not_made_yet(directory: Path) -> Finding:
    above = next(each for each in directory.parents if each.exists())
    found = f"{directory} is not there yet; the service makes it at its first start"
    if not os.access(above, os.W_OK | os.X_OK):
        return warning(
            "journal", f"{found}, and you may not write in {above}", "make it for the service's user"
        )
    return not_checked("journal", found)


def _room(settings: Journal) -> Finding:
    disk = os.statvfs(settings.directory)
    free_bytes = disk.f_bavail * disk.f_frsize
    usable_bytes = free_bytes - settings.min_free_bytes
    used_bytes = sum(
        file_bytes(segment_path(place, name))
        for place in _places(settings.directory)
        for name in segment_names(place)
    )
    limits = f"min_free_bytes {size(settings.min_free_bytes)}, max_bytes {size(settings.max_bytes)}"
    found = f"{size(free_bytes)} free; {limits}"
    if usable_bytes <= 0:
        return fault("journal room", found, "make room on the disk: no message is taken any more")
    if usable_bytes < settings.max_bytes - used_bytes:
        return warning(
            "journal room",
            f"{found}: the journal can grow by {size(usable_bytes)} only",
            "make room on the disk, or lower [journal] max_bytes to what there is",
        )
    return ok("journal room", found)


def _file_system(directory: Path) -> Finding:
    kind = file_system_of(directory.resolve(), Path("/proc/self/mountinfo").read_text("utf-8", "replace"))
    found = f"{directory} on {kind}"
    if kind in _MEMORY:
        return warning(
            "journal disk", f"{found}, which a restart of the machine empties", "name another directory"
        )
    if kind in _NETWORK:
        return warning(
            "journal disk", f"{found}, whose locks and syncs can't be relied on", "name a local directory"
        )
    elsewhere = [place.name for place in _places(directory) if place.stat().st_dev != directory.stat().st_dev]
    if elsewhere:
        return warning(
            "journal disk",
            f"{', '.join(elsewhere)} is on another file system than {directory}",
            "keep them on one: free space is looked at per directory",
        )
    return ok("journal disk", found)


def file_system_of(directory: Path, mounts: str) -> str:
    """The kind of the file system that a directory is on, by the text of /proc/self/mountinfo.

    Source: proc_pid_mountinfo(5): the mount point is field 5, the kind is the first behind the lone dash.
    """
    best, kind = 0, "an unknown file system"
    for line in mounts.splitlines():
        place, _, behind = line.partition(" - ")
        point = Path(place.split()[4].encode().decode("unicode_escape"))
        if directory.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), behind.split()[0]
    return kind


def _sync(directory: Path, patience: Patience) -> Iterator[Finding]:
    took_s = []
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            for _ in range(_SYNCS):
                patience.left_s(1)
                file.write(bytes(_PAGE_BYTES))
                file.flush()
                began_s = time.monotonic()
                os.fsync(file.fileno())
                took_s.append(time.monotonic() - began_s)
    except PermissionError:
        yield not_checked(
            "journal sync", f"you may not write in {directory}", "ask as the service's user, or as root"
        )
        return
    except OSError as error:
        yield fault("journal sync", f"{directory} can't be written: {error.strerror}", "look at the disk")
        return
    found = f"{milliseconds(median(took_s))}, median of {_SYNCS}; longest {milliseconds(max(took_s))}"
    if median(took_s) > _SLOW_SYNC_S:
        yield warning("journal sync", found, "each message waits for it: use a quicker disk")
    else:
        yield ok("journal sync", found)


def _journals(directory: Path) -> Iterator[Finding]:
    for place in _places(directory):
        try:
            damaged = [path.name for path in damaged_files(place)]
            segments = len(segment_names(place))
        except OSError as error:
            yield not_checked(f"journal {place.name}", f"{place} can't be read: {error.strerror}")
            continue
        if damaged:
            yield warning(
                f"journal {place.name}",
                f"{len(damaged)} files were set aside as damaged, what could be read of them is saved: {damaged[0]}",
                f"look at the disk, keep or remove them in {place}",
            )
        else:
            yield ok(f"journal {place.name}", f"{segments} segments, none damaged")


def _places(directory: Path) -> list[Path]:
    """Journals: each has had a lock since its first use."""
    try:
        return [place for place in sorted(directory.iterdir()) if (place / "lock").exists()]
    except PermissionError:
        return []
