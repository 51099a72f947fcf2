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
            waiting; ``paused``: None or ``{"by", "since_ns", "until_ns"}``; ``schema``; ``config``: ``{"path"}``;
            ``sources``: fields of `SourceStatus`; ``files``: fields of `sources.sightings.FilesStatus`;
            ``vlbimon``: fields of `VlbimonStatus`; ``journals``: name, identity, directory and the fields of
            `JournalStatus`; ``lanes``: the fields of `LaneStatus`, with ``outcomes`` as a list of [outcome, cause,
            records], ``journal`` (its name, None where files are the journal), ``lag_s`` [s] or None, and ``outlook``:
            what `tessmon.lookout.Lookout.status` gives, or None.
        """

    async def waiting(self) -> dict[str, Any]:
        """Per lane what stands in its journal: ``{"photometer": {"frames", "size_bytes", "oldest_ns"}}``."""

    def pause(self, who: str, for_s: float | None = None) -> Deferred[list[str]]:
        """Close the door to the database. When it is closed already, the first who closed it is remembered, and the
        end is what is said now.

        Args:
            who: who wants it.
            for_s: open it again after this time [s]; None: when somebody resumes.

        Returns:
            A Deferred that fires when the service's last connection is closed, with what there is to say of a pause
            before this one.

        Raises:
            TessmonError: (as failure) somebody resumed before that.
        """

    def resume(self, who: str, only_by: str | None = None) -> Deferred[list[str]]:
        """Open the door to the database.

        Args:
            who: who wants it.
            only_by: leave it closed if somebody else closed it.

        Returns:
            A Deferred of what there is to say, when nothing was done; else of an empty list.
        """

    def reload(self, dry_run: bool = False) -> Deferred[list[str]]:
        """Read the configuration again; fires with the changes as text.

        Args:
            dry_run: only say what would change.

        Raises:
            ConfigurationError: (as failure) the new configuration was refused as a whole.
        """

    def flush(self, who: str) -> Deferred[list[str]]:
        """Have the stages let go of all that they hold back.

        Returns:
            A Deferred that fires when the wish is on disk and, where the database is to be had, fulfilled; with a
            sentence for each input.

        Raises:
            TessmonError: (as failure) the service can't note it now.
        """

    def stop(self, who: str) -> Deferred[list[str]]:
        """Stop the service in good order; fires before."""

    def restart(self, who: str) -> Deferred[list[str]]:
        """Stop the service in good order and let the process begin anew; fires before.

        Raises:
            TessmonError: (as failure) it could not begin anew: the configuration is wrong, or someone else starts it.
        """

    def live(self) -> tuple[bool, str]:
        """Whether reactor and journal threads work, and one sentence: why not, or that they do. Asks each journal's
        thread for a sign of life, which counts at the next call."""

    def ready(self) -> tuple[bool, str]:
        """Whether accepted data reaches the database now, and one sentence: why not, or that it does."""
