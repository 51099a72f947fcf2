# SPDX-License-Identifier: MIT
"""Which of several servers is asked: the preferred one as long as it answers."""

from __future__ import annotations

from collections.abc import Sequence

FAILURES = 3
"""So many in a row, and the next server is asked."""
PREFERRED_S = 600.0
"""How often the preferred server is tried again [s]."""


class Servers:
    """Servers in order of preference.

    Args:
        servers: their URLs.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = servers
        self._at = 0
        self._failures = 0
        self._tried_s = 0.0

    def choose(self, now_s: float) -> str:
        """Whom to ask now [s of any steady clock]: the current one, or the preferred one for a trial."""
        if self._at and now_s - self._tried_s >= PREFERRED_S:
            self._tried_s = now_s
            return self._servers[0]
        return self.current

    @property
    def current(self) -> str:
        """Who answered last, or is hoped to."""
        return self._servers[self._at]

    def answered(self, server: str) -> None:
        """It did well, and stays."""
        self._at = self._servers.index(server)
        self._failures = 0

    def failed(self, now_s: float, *, for_good: bool = False) -> bool:
        """The current one failed.

        Args:
            for_good: it will fail again, whatever is tried.

        Returns:
            Whether to ask another one at once; False too where all of them have had their turn.
        """
        self._failures += FAILURES if for_good else 1
        if self._failures < FAILURES or len(self._servers) == 1:
            return False
        self._at = (self._at + 1) % len(self._servers)
        self._failures = 0
        self._tried_s = now_s
        return self._at > 0
