# SPDX-License-Identifier: MIT
"""The face of the running service: all that signals, the admin socket, the web and the metrics know of it."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred


class ServiceFace(Protocol):
    """The coordinator. Its methods are called in the reactor's thread and don't block it."""

    def status(self) -> dict[str, Any]:
        """The service at a glance, as what JSON can carry.

        Returns:
            ``version``, ``pid``, ``started_ns``, ``now_ns``; ``state``: running, paused, stopping, refused or
            waiting; ``paused``: None or ``{"by", "since_ns"}``; ``schema``; ``config``: ``{"path"}``;
            ``sources``: fields of `SourceStatus`; ``journals``: name, identity, directory and the fields of
            `JournalStatus`; ``lanes``: the fields of `LaneStatus`, with ``outcomes`` as a list of
            [outcome, cause, records], ``journal`` (its name) and ``lag_s`` [s] or None.
        """

    async def waiting(self) -> dict[str, Any]:
        """Per lane what stands in its journal: ``{"photometer": {"frames", "size_bytes", "oldest_ns"}}``."""

    def pause(self, who: str) -> Deferred[Any]:
        """Close the door to the database; fires when the service's last connection is closed."""

    def resume(self, who: str) -> Deferred[Any]:
        """Open the door to the database."""

    def reload(self) -> Deferred[list[str]]:
        """Read the configuration again; fires with the changes as text.

        Raises:
            ConfigurationError: (as failure) the new configuration was refused as a whole.
        """

    def live(self) -> bool:
        """Reactor and journal thread work."""

    def ready(self) -> tuple[bool, str]:
        """Whether accepted data reaches the database now, and one sentence: why not, or that it does."""
