# SPDX-License-Identifier: MIT
"""The file with which operators of vlbimon-bridge end it: ``touch PLEASE-EXIT``."""

from __future__ import annotations

from pathlib import Path

from twisted.logger import Logger

NAME = "PLEASE-EXIT"


class PleaseExit:
    """Looks for the file; it counts once, and not when it was there before the start.

    Args:
        directory: where it is put.
    """

    log = Logger()

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._passed: tuple[int, int] | None = None

    def forget(self) -> None:
        """What is there now was meant for somebody else."""
        self._passed = self._found()
        if self._passed is not None:
            self._remove()

    def asked(self) -> bool:
        """Whether it came; then it is removed."""
        found = self._found()
        if found is None or found == self._passed:
            return False
        self._passed = found
        self._remove()
        return True

    def _found(self) -> tuple[int, int] | None:
        """Which file it is, None when there is none."""
        try:
            status = self.path.lstat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _remove(self) -> None:
        try:
            self.path.unlink()
        except OSError as error:
            self.log.warn("{path} can't be removed: {error}", path=self.path, error=error)
