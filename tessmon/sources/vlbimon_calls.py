# SPDX-License-Identifier: MIT
"""The calls of the vlbimon source, one at a time: with a client for each server, and sessions as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

from tessmon.config.model import Vlbimon
from tessmon.sources.vlbimon_client import Reply, VlbimonClient, VlbimonError
from tessmon.sources.vlbimon_questions import Question
from tessmon.sources.vlbimon_session import Sessions

_T = TypeVar("_T")


class Calls:
    """Asks servers.

    Args:
        settings: the table of the configuration; whoever replaces it calls `close` too.
        sessions: of all servers.
        new_session: called with a server's URL when a session was made there.
        reactor: the loop.
        reached: called at named points.
        now_ns: wall clock.
    """

    def __init__(
        self,
        settings: Vlbimon,
        sessions: Sessions,
        new_session: Callable[[str], None],
        reactor: Any,
        reached: Callable[[str], None],
        now_ns: Callable[[], int],
    ) -> None:
        self.settings = settings
        self._sessions = sessions
        self._new_session = new_session
        self._reactor = reactor
        self._reached = reached
        self._now_ns = now_ns
        self._clients: dict[str, VlbimonClient] = {}
        self._call: Deferred[Any] | None = None

    async def snapshot(self, server: str, cursor: str | None) -> Reply:
        """See `VlbimonClient.snapshot`; with a session, and when that turns out to be over, with a new one, once."""
        return await self._one(self._snapshot(server, cursor))

    async def history(self, server: str, question: Question) -> Reply:
        """See `VlbimonClient.history`."""
        return await self._one(self._history(server, question))

    async def masterlist(self, server: str) -> Reply:
        """See `VlbimonClient.masterlist`."""
        return await self._one(self._masterlist(server))

    def break_off(self) -> None:
        """Who waits for a call that is under way gets a `CancelledError`."""
        if self._call is not None:
            self._call.cancel()

    async def close(self) -> None:
        """Leave all servers."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def _one(self, call: Coroutine[Any, Any, _T]) -> _T:
        self._call = ensureDeferred(call)
        try:
            answer: _T = await self._call
        finally:
            self._call = None
        self._reached("vlbimon.reply")
        return answer

    async def _snapshot(self, server: str, cursor: str | None) -> Reply:
        client = self._client(server)
        fresh = await self._begin(client)
        try:
            return await client.snapshot(cursor)
        except VlbimonError as error:
            if not error.session_is_over:
                raise
            self._sessions.forget(client)
            if fresh:
                raise
        await self._begin(client)
        return await client.snapshot(cursor)

    async def _history(self, server: str, question: Question) -> Reply:
        client = self._client(server)
        await self._begin(client)
        return await client.history(*question)

    async def _masterlist(self, server: str) -> Reply:
        return await self._client(server).masterlist()

    async def _begin(self, client: VlbimonClient) -> bool:
        """Whether the session is a new one."""
        made = await self._sessions.begin(client)
        if made:
            self._new_session(client.server)
        return made

    def _client(self, server: str) -> VlbimonClient:
        """The one that keeps the connection to a server."""
        client = self._clients.get(server)
        if client is None:
            client = VlbimonClient(self.settings, server, self._reactor, self._now_ns)
            self._clients[server] = client
        return client
