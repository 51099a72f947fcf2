# SPDX-License-Identifier: MIT
"""What the service knows of an input: a source and a lane, wired, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from tessmon.config.model import Config
from tessmon.interfaces import Waiting
from tessmon.lane import Lane


class Input(Protocol):
    """From an instrument to the database."""

    @property
    def lane(self) -> Lane:
        """Its lane."""

    async def start(self) -> None:
        """Let source and lane run.

        Raises:
            JournalError: the journal can't be opened.
        """

    def begin(self) -> None:
        """All inputs have started: what looks at them may begin."""

    async def stop(self) -> None:
        """The source first, the journal last."""

    def announce(self, what: str, **detail: object) -> None:
        """Keep what the operator did."""

    def renewal(self, config: Config) -> Callable[[], None]:
        """What takes up the live settings of a new configuration when it is called, and can't fail then.

        Raises:
            ConfigurationError: they can't be taken up.
        """

    def flush(self, who: str) -> Awaitable[list[str]]:
        """Have the stages let go of what they hold; see `control.face.ServiceFace.flush`."""

    def status(self) -> dict[str, list[dict[str, Any]]]:
        """Its part of each list in `control.face.ServiceFace.status`."""

    def waiting(self) -> Deferred[Waiting | None]:
        """A Deferred of what came and is not in the database, of None when nobody can tell that now."""

    def problem(self) -> str | None:
        """Why nothing can be taken now."""

    def hung(self, patience_s: float) -> str | None:
        """A sentence when its journal has not answered for so long."""

    def log_stats(self) -> None:
        """What came and what became of it since the last time."""
