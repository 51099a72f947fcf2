# SPDX-License-Identifier: MIT
"""systemd's end of the notify protocol: a datagram socket, and what came on it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

DEADLINE_S = 60.0


class Supervisor:
    """Listens, and remembers in order what it was told, an assignment each.

    Args:
        address: of a socket's file; with a NUL in front, a name in the abstract name space.
    """

    def __init__(self, address: Path | str) -> None:
        self.heard: list[str] = []
        self._read = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self.variable = str(address).replace("\0", "@")
        """NOTIFY_SOCKET."""

    def next(self, begin: str, containing: str = "") -> str:
        """The next assignment that is so; those before it count as read.

        Raises:
            AssertionError: none comes.
        """
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for index in range(self._read, len(self.heard)):
                if self.heard[index].startswith(begin) and containing in self.heard[index]:
                    self._read = index + 1
                    return self.heard[index]
            assert time.monotonic() < deadline, f"no {begin} came: {self.heard}"
            self.receive(1.0)

    def listen_for(self, seconds: float) -> list[str]:
        """All that comes in a time [s]."""
        deadline, before = time.monotonic() + seconds, len(self.heard)
        while (left_s := deadline - time.monotonic()) > 0:
            self.receive(left_s)
        self._read = len(self.heard)
        return self.heard[before:]

    def receive(self, timeout_s: float = 0.001) -> bool:
        """Take one datagram; False when none came in time."""
        self._socket.settimeout(timeout_s)
        try:
            self.heard += self._socket.recv(4096).decode().split("\n")
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()
