# SPDX-License-Identifier: MIT
"""Sessions at vlbimon servers: made once, kept over restarts, made anew when they are over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from twisted.logger import Logger

from tessmon.sources.vlbimon_client import VlbimonClient

_MAX_BYTES = 65_536


class Sessions:
    """The ids of sessions by server, in a file that only its owner may read.

    Losing the file costs a session, and nothing else.

    Args:
        path: of the file; it need not exist.
    """

    log = Logger()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[str, str] = {}

    def recall(self) -> None:
        """Read the file; when it is damaged, that is said, and sessions are made anew."""
        try:
            with self._path.open("rb") as file:
                self._ids = msgspec.json.decode(file.read(_MAX_BYTES), type=dict[str, str])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:
            self.log.warn(
                "{path} can't be read, a new session is made: {error}", path=self._path, error=error
            )

    async def begin(self, client: VlbimonClient) -> bool:
        """Give a client a session: the one that was kept, if it still lives.

        Returns:
            Whether it is a new one.

        Raises:
            VlbimonError: there is none.
        """
        if client.session_id is not None:
            return False
        kept = self._ids.get(client.server)
        if kept and await client.check_session(kept):
            return False
        self._keep({**self._ids, client.server: await client.open_session()})
        return True

    def forget(self, client: VlbimonClient) -> None:
        """The client's session is over."""
        client.session_id = None
        self._keep({server: kept for server, kept in self._ids.items() if server != client.server})

    def _keep(self, ids: Mapping[str, str]) -> None:
        """Not synced: what a power cut makes of it is seen at the next start."""
        self._ids = dict(ids)
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.unlink(missing_ok=True)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.encode(self._ids))
            new.replace(self._path)
        except OSError as error:
            self.log.warn(
                "{path} can't be written, a restart makes a new session: {error}",
                path=self._path,
                error=error,
            )
