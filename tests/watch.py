# SPDX-License-Identifier: MIT
"""Keeps an eye on the service's process while a test does other things."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.observatory import Service

MEGABYTE = 1_000_000
RSS_LIMIT_BYTES = 120 * MEGABYTE
_EVERY_S = 0.1


def rss_anon_bytes(pid: int) -> int:
    """Anonymous memory that a process has in RAM [bytes]; 0 when there is no such process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def descriptors(pid: int) -> int:
    """Files that a process has open [count]; 0 when there is no such process."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


class Watch:
    """Looks at the service ten times a second, whatever process it is at that moment.

    Args:
        service: maybe killed and started meanwhile.
        look: something else to do at each look; what it raises is the test's failure at the end.

    Attributes:
        most_bytes: the most anonymous memory that was seen [bytes].
        most_descriptors: the most open files that were seen.
        looks: how often was looked.
    """

    def __init__(self, service: Service, look: Callable[[], None] = lambda: None) -> None:
        self.most_bytes = self.most_descriptors = self.looks = 0
        self._service = service
        self._look = look
        self._failure: BaseException | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def begin_anew(self) -> int:
        """Forget the most there was; gives what there is now [bytes]."""
        assert self._service.process is not None
        now = rss_anon_bytes(self._service.process.pid)
        self.most_bytes = now
        return now

    def _run(self) -> None:
        while not self._end.wait(_EVERY_S):
            process = self._service.process
            if process is not None:
                self.most_bytes = max(self.most_bytes, rss_anon_bytes(process.pid))
                self.most_descriptors = max(self.most_descriptors, descriptors(process.pid))
            self.looks += 1
            try:
                self._look()
            except BaseException as failure:
                self._failure = failure
                return
