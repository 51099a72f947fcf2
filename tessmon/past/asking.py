# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""Asks vlbimon servers politely: one call at a time, a pause between calls, and none sooner than they want."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from twisted.internet.task import deferLater

from tessmon.config.model import Vlbimon
from tessmon.errors import TessmonError
from tessmon.sources.backoff import Backoff
from tessmon.sources.vlbimon_client import (
    LoginRefused,
    Malformed,
    Refused,
    Reply,
    VlbimonClient,
    VlbimonError,
)

T = TypeVar("T")
Call: TypeAlias = Callable[[VlbimonClient], Coroutine[Any, Any, Reply]]

PAUSE_S = 1.0
FIRST_RETRY_S, LAST_RETRY_S, LONGEST_ASKED_S = 2.0, 60.0, 3600.0
MAX_TRIES = 10
"""Calls that fail in a row before it is given up: some minutes, or as long as the servers say."""
TRIES_OF_SERVER = 3
"""Of those, so many go to one server before the next one is asked."""
_NO_LOGIN = (401, 403)


class GivenUpError(TessmonError):
    """Servers did not answer; the text says why."""


class Asking:
    """The servers of a configuration, in order of preference.

    Args:
        settings: the table of the configuration.
        reactor: the loop.
        says: called with sentences for the operator.
        pause_s: between two calls.
        first_retry_s: after the first failure; longer each time.
    """

    def __init__(
        self,
        settings: Vlbimon,
        reactor: Any,
        says: Callable[[str], None],
        pause_s: float = PAUSE_S,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self.calls = 0
        self._settings = settings
        self._reactor = reactor
        self._says = says
        self._pause_s = pause_s
        self._backoff = Backoff(first_retry_s, LAST_RETRY_S)
        self._number = 0
        self._client: VlbimonClient | None = None
        self._free_s = 0.0

    @property
    def server(self) -> str:
        """URL of the one that is asked now."""
        return self._settings.servers[self._number]

    async def ask(self, call: Call, read: Callable[[Reply], T]) -> T:
        """What is read out of an answer, however often one has to ask for it.

        Args:
            call: asks a server.
            read: raises ValueError when the answer is not what it should be.

        Raises:
            GivenUpError: none came.
            LoginRefused: name and password are wrong, or there are none.
        """
        for failed in range(1, MAX_TRIES + 1):
            try:
                answer = await self._try(call, read)
            except LoginRefused:
                raise
            except VlbimonError as error:
                wait_s = self._backoff.next_s()
                if error.retry_after_s is not None:
                    wait_s = min(max(error.retry_after_s, self._pause_s), LONGEST_ASKED_S)
                if failed == MAX_TRIES:
                    raise GivenUpError(str(error)) from error
                self._says(f"{error}; asking again in {wait_s:.0f} s ({failed} of {MAX_TRIES} tries)")
                if not failed % TRIES_OF_SERVER:
                    await self._turn()
                await deferLater(self._reactor, wait_s)
            else:
                self._backoff.reset()
                return answer
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Let go of the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _try(self, call: Call, read: Callable[[Reply], T]) -> T:
        client = await self._ready()
        self.calls += 1
        try:
            reply = await call(client)
        except Refused as error:
            if error.status in _NO_LOGIN:
                await client.open_session()  # it knows better what is wrong, or nothing is with a session
            raise
        finally:
            self._free_s = self._reactor.seconds() + self._pause_s
        try:
            return read(reply)
        except ValueError as error:
            raise Malformed(
                f"{client.server} answers with what is no answer: {error}", reply.status
            ) from error

    async def _ready(self) -> VlbimonClient:
        if (wait_s := self._free_s - self._reactor.seconds()) > 0:
            await deferLater(self._reactor, wait_s)
        if self._client is None:
            try:
                self._client = VlbimonClient(self._settings, self.server, self._reactor)
            except ValueError as error:
                raise GivenUpError(str(error)) from error
        return self._client

    async def _turn(self) -> None:
        """To the next server, when there is another."""
        if len(self._settings.servers) > 1:
            await self.close()
            self._number = (self._number + 1) % len(self._settings.servers)
            self._says(f"asking {self.server} now")
