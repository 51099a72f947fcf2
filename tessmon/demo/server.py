# SPDX-License-Identifier: MIT
"""What all servers of the demo and the tests have in common: a directory, a port, a process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tessmon.demo.accounts import ServerError
from tessmon.demo.guarded import GuardedProcess, free_port


class Server:
    """A server on 127.0.0.1 whose files are all below one directory.

    Its port stays the same over restarts. It is stopped when the thread that started it ends.
    """

    kind_of_server: ClassVar[str]

    def __init__(self, directory: Path, port: int | None = None) -> None:
        """Touches nothing yet.

        Args:
            directory: where it lives; made where it is missing. What a server kept there is used again.
            port: TCP port; None: a free one.
        """
        self.directory = directory.resolve()
        self._port = port
        self._process: GuardedProcess | None = None

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1."""
        if self._port is None:
            self._port = free_port()
        return self._port

    @property
    def running(self) -> bool:
        """Whether it lives, frozen or not."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """Process number; of the first process where there are several."""
        return self._living().pid

    def kill(self) -> None:
        """SIGKILL for it and its children; return when all are gone."""
        self._living().kill()

    def freeze(self) -> None:
        """SIGSTOP for all its processes: connections stay open and silent."""
        self._living().freeze()

    def thaw(self) -> None:
        """Go on as if nothing had been."""
        self._living().thaw()

    def _living(self) -> GuardedProcess:
        if self._process is None:
            raise ServerError(f"the {self.kind_of_server} of {self.directory} was not started")
        return self._process
