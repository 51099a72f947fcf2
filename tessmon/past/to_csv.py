# SPDX-License-Identifier: MIT
"""A tree of CSV files as the place for history. It needs no database.

No line is written twice, whoever wrote it before: when a file is first touched, what it holds of the time that is
asked for is remembered, 8 bytes a line. How far it is stands in a file of its own in the tree.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.errors import TessmonError
from tessmon.past.csv_lines import lines, written
from tessmon.past.csv_tree import Series, open_to_append
from tessmon.past.to_database import MAX_REFUSED
from tessmon.records.frame import Frame
from tessmon.records.outcome import Filtered, Reject, Several
from tessmon.records.vlbimon import Point

STATE, LOCK = ".tessmon-history.json", ".tessmon-history.lock"
_DIGEST_BYTES = 8


class TreeError(TessmonError):
    """The directory can't be written; the text says why and what to do."""


class _File:
    """What is known of a file: lines of the time that is asked for, as sorted numbers, and those written lately."""

    def __init__(self, old: array[int]) -> None:
        self._old = old
        self._new: dict[int, float] = {}

    def is_new(self, line: bytes, stamp: float) -> bool:
        """Whether it does not hold this line; from now on it does."""
        number = _number_of(line)
        place = bisect_left(self._old, number)
        if number in self._new or (place < len(self._old) and self._old[place] == number):
            return False
        self._new[number] = stamp
        return True

    def pass_by(self, done_s: int) -> None:
        """What is before this comes no more."""
        self._new = {number: stamp for number, stamp in self._new.items() if stamp >= done_s}


class ToCsv:
    """A `tessmon.past.fetching.Place`.

    Args:
        directory: of the tree; made when it is not there.
        origin: of what comes.
        start_s, end_s: what time is asked for [s since 1970 UTC].
        says: called with sentences for the operator.

    Raises:
        TreeError: see there.
    """

    def __init__(
        self, directory: Path, origin: str, start_s: int, end_s: int, says: Callable[[str], None]
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.refused: list[Reject] = []
        self._says = says
        self._directory = directory
        self._origin = origin
        self._start_s, self._end_s = start_s, end_s
        self._decoder = VlbimonDecoder()
        self._files: dict[Series, _File | None] = {}
        self._waiting: dict[Series, list[bytes]] = {}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(
                directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
            )
        except OSError as error:
            raise TreeError(f"{directory} can't be written: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise TreeError(
                f"another history writes to {directory}: wait for its end, or name another one"
            ) from None
        self._state = self._load()

    def close(self) -> None:
        """Others may write here."""
        os.close(self._lock)

    def done_s(self) -> int:
        done_s = self._state.get(self._origin, 0)
        return done_s if isinstance(done_s, int) else 0

    def know(self, frame: Frame) -> None:
        """Files don't tell types."""

    def take(self, frame: Frame) -> None:
        decoded = self._decoder.decode(frame)
        for record in decoded.records if isinstance(decoded, Several) else (decoded,):
            if isinstance(record, Point):
                self._place(record)
            elif isinstance(record, Filtered):
                self.outcomes["filtered"] += 1
            elif isinstance(record, Reject):
                self._refuse(record)
        self._write()

    def settle(self, done_s: int) -> None:
        for file in self._files.values():
            if file is not None:
                file.pass_by(done_s)
        if done_s == self.done_s():
            return
        os.sync()  # all lines are on disk before it is said that they are: thousands of files, so all at once
        self._state[self._origin] = done_s
        self._keep()

    def _place(self, point: Point) -> None:
        series = Series(point.station, point.parameter)
        if series not in self._files:
            self._files[series] = self._look(series)
        file = self._files[series]
        if file is None:
            self.outcomes["rejected"] += 1
            return
        line = written(point.stamp, point.value)
        if file.is_new(line, point.stamp):
            self._waiting.setdefault(series, []).append(line)
            self.outcomes["stored"] += 1
        else:
            self.outcomes["duplicate"] += 1

    def _refuse(self, reject: Reject) -> None:
        self.outcomes["rejected"] += 1
        if len(self.refused) < MAX_REFUSED:
            self.refused.append(reject)

    def _look(self, series: Series) -> _File | None:
        """What a file holds already; None when it can have none."""
        path = series.path
        if path is None:
            self._says(f"{series.parameter!a} of {series.station!a} is too long for a file's name")
            return None
        with self._opened(path) as file:
            return _File(self._held(file, path))

    def _held(self, file: BinaryIO, path: tuple[str, str]) -> array[int]:
        """Lines of the time that is asked for. What was cut off at the end is, if it is of that time, taken away: it
        comes again; else it gets its end."""
        found = array("q")
        for line in lines(file):
            try:
                at_s = float(line.time)
            except ValueError:
                at_s = -1.0
            inside = self._start_s <= at_s <= self._end_s
            if not line.whole:
                if inside:
                    os.truncate(file.fileno(), line.offset)
                    self._says(f"the last line of {'/'.join(path)} was cut off and is written anew")
                else:
                    os.write(file.fileno(), b"\n")
            elif inside and line.value is not None:
                found.append(_number_of(written_again(line.time, line.value)))
        return array("q", sorted(found))

    def _write(self) -> None:
        for series, waiting in self._waiting.items():
            path = series.path
            assert path is not None
            with self._opened(path) as file:
                self._append(file, b"".join(waiting), path)
        self._waiting.clear()

    def _append(self, file: BinaryIO, text: bytes, path: tuple[str, str]) -> None:
        """All of it or nothing."""
        size_bytes = os.fstat(file.fileno()).st_size
        try:
            if os.write(file.fileno(), text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.truncate(file.fileno(), size_bytes)
            raise self._trouble(path, error) from error

    def _opened(self, path: tuple[str, str]) -> BinaryIO:
        try:
            return open_to_append(self._directory, path)
        except OSError as error:
            raise self._trouble(path, error) from error

    def _trouble(self, path: tuple[str, str], error: OSError) -> TreeError:
        why = (
            "it, or its folder, is a link" if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
        )
        return TreeError(f"{self._directory / path[0] / path[1]} can't be written: {why}")

    def _load(self) -> dict[str, Any]:
        """What the state says; what can't be read says nothing, and all is asked for again."""
        try:
            state = json.loads((self._directory / STATE).read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _keep(self) -> None:
        path = self._directory / STATE
        new = path.with_suffix(".new")
        with suppress(FileNotFoundError):
            new.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o666), "w") as file:
            json.dump(self._state, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def written_again(time: str, value: str) -> bytes:
    """The line that a time and a value, as they stand in a file, would be written as."""
    return time.encode() + b"," + written(0, value)[2:]


def _number_of(line: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest(), "big", signed=True)
