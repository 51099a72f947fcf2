# SPDX-License-Identifier: MIT
"""The configured directories: whether they are there, and still the same ones."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class RootNews(NamedTuple):
    """A directory came or went: its path, why it can't be followed (None: it can), and whether it was missed."""

    path: str
    why: str | None
    missed: bool


class Roots:
    """Nobody tells of a directory that nothing above it is watched for, so they are looked for.

    Attributes:
        missing: those that are not there → why.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._identities: dict[str, tuple[int, int] | None] = dict.fromkeys(paths)
        self.missing: dict[str, str] = {}

    @property
    def present(self) -> list[str]:
        """Those that are there."""
        return [path for path, identity in self._identities.items() if identity is not None]

    def news(self) -> Iterator[RootNews]:
        """What changed since the last time: a directory that is missing is told once; one that was replaced or
        mounted over came."""
        for path, known in self._identities.items():
            identity, why = _look_at(path)
            missed = path in self.missing
            if why is None:
                self.missing.pop(path, None)
            else:
                self.missing[path] = why
            self._identities[path] = identity
            if (why is None and identity != known) or (why is not None and not missed):
                yield RootNews(path, why, missed)


def _look_at(path: str) -> tuple[tuple[int, int] | None, str | None]:
    """(identity, None) of a directory, else (None, why not)."""
    try:
        found = os.stat(path)
    except OSError as error:
        return None, error.strerror or str(error)
    if not stat.S_ISDIR(found.st_mode):
        return None, "it is no directory"
    return (found.st_dev, found.st_ino), None
