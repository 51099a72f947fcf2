# SPDX-License-Identifier: MIT
"""A web server that is asked again and again: one request at a time, in bounded time and memory.

Connections are kept. There is no jar of cookies, no redirection is followed, and bodies come uncompressed: a server
that has gone wrong must not lead us elsewhere, or make a large body out of a small one. (``treq.HTTPClient`` does all
three unasked, and refuses an answer for a cookie that is not ASCII.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import treq
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from tessmon.errors import TessmonError
from tessmon.sources.tls import Tls, trust, unreachable

MAX_ERROR_BYTES = 65_536
"""What is read of the page that comes with a refusal [bytes]: reading it keeps the connection."""
_OK = 200


class Limits(Protocol):
    """What `WebServer` wants of its settings."""

    @property
    def connect_timeout_s(self) -> float:
        """For name look-up and TCP."""

    @property
    def timeout_s(self) -> float:
        """For all of a request."""

    @property
    def max_reply_bytes(self) -> int:
        """Of a good answer's body."""


class Answer(NamedTuple):
    """What came: status of HTTP, headers, body, and how long it took [s]."""

    status: int
    headers: Headers
    body: bytes
    took_s: float

    def header(self, name: str) -> str | None:
        """The last header of a name."""
        found = self.header_list(name)
        return found[-1] if found else None

    def header_list(self, name: str) -> Sequence[str]:
        """All headers of a name; odd bytes as Latin-1."""
        return [each.decode("latin-1") for each in self.headers.getRawHeaders(name.encode(), [])]


class NoAnswerError(TessmonError):
    """There was no answer, or not all of it; the text says why."""


class TooLongError(TessmonError):
    """A body is longer than is allowed; the text says so."""


class WebServer:
    """One server.

    Args:
        url: where it is, without a slash at the end.
        table: of the configuration that it is named in: "vlbimon".
        limits: in time and memory.
        ca_file: authorities that are trusted, None for the system's.
        reactor: the loop.

    Raises:
        ValueError: the file of authorities can't be used; one sentence.
    """

    def __init__(self, url: str, table: str, limits: Limits, ca_file: Any, reactor: Any) -> None:
        self._url = url
        self._table = table
        self._limits = limits
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = 1
        self._pool.retryAutomatically = False
        self._endpoints = _Endpoints(url, table, limits.connect_timeout_s, ca_file, reactor)
        self._agent = Agent.usingEndpointFactory(reactor, self._endpoints, self._pool)

    async def ask(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        """Send a request without a body.

        Args:
            method: of HTTP.
            target: path and query behind the server's URL, quoted.
            headers: to send, Latin-1.

        Raises:
            NoAnswerError: see there.
            TooLongError: see there.
            CancelledError: the Deferred that waits for this was cancelled.
        """
        began_s = self._reactor.seconds()
        asking = ensureDeferred(self._exchange(method, target, headers))
        asking.addTimeout(self._limits.timeout_s, self._reactor, onTimeoutCancel=_timed_out)
        try:
            status, answered, body = await asking
        except TimeoutError:
            self._endpoints.abort()
            raise NoAnswerError(
                f"{self._url} did not answer in full within {self._limits.timeout_s:g} s"
            ) from None
        except TessmonError:
            self._endpoints.abort()
            raise
        except Exception as error:
            self._endpoints.abort()
            if _was_cancelled(error):
                raise CancelledError from None
            raise NoAnswerError(f"{self._url} {self._why(error)}") from error
        return Answer(status, answered, body, self._reactor.seconds() - began_s)

    def close(self) -> Deferred[None]:
        """A Deferred that fires when no connection is left."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    async def _exchange(
        self, method: str, target: str, headers: dict[str, str]
    ) -> tuple[int, Headers, bytes]:
        """A kept connection may turn out to be closed when it is used; then a new one is made, once."""
        sent = Headers()
        for name, text in headers.items():
            sent.setRawHeaders(name.encode(), [text.encode("latin-1")])
        while True:
            made = self._endpoints.made
            try:
                response = await self._agent.request(
                    method.encode(), f"{self._url}{target}".encode(), sent.copy()
                )
            except (ResponseNeverReceived, RequestTransmissionFailed) as error:
                if self._endpoints.made > made or _was_cancelled(error):
                    raise
                continue
            return response.code, response.headers, await self._body(response)

    async def _body(self, response: IResponse) -> bytes:
        most = self._limits.max_reply_bytes if response.code == _OK else MAX_ERROR_BYTES
        chunks: list[bytes] = []
        size_bytes = 0

        def collect(chunk: bytes) -> None:
            nonlocal size_bytes
            size_bytes += len(chunk)
            if size_bytes > most:
                raise TooLongError(
                    f"{self._url} answers with more than {most} bytes, which is no good answer, or needs a larger "
                    f"[{self._table}] max_reply_bytes"
                )
            chunks.append(chunk)

        try:
            await treq.collect(response, collect)
        except TooLongError:
            if response.code == _OK:
                raise
            self._endpoints.abort()
        return b"".join(chunks)

    def _why(self, error: Exception) -> str:
        """The rest of a sentence that begins with the server's name."""
        causes = [Failure(error), *getattr(error, "reasons", ())]
        for cause in causes:
            if self._endpoints.tls is not None and (sentence := self._endpoints.tls.why(cause)):
                return f"can't be spoken to: {sentence}"
        if isinstance(error, ResponseNeverReceived | RequestTransmissionFailed):
            return "closed the connection without an answer"
        if isinstance(error, ResponseFailed):
            return "cut the connection in the middle of its answer"
        return unreachable(causes[0], self._limits.connect_timeout_s)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Makes the connections to a server and knows the last one.

    Attributes:
        tls: can explain a failure of TLS; None without TLS.
        made: connections so far.
    """

    def __init__(self, url: str, table: str, timeout_s: float, ca_file: Any, reactor: Any) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        secure = parts.scheme == "https"
        self.made = 0
        self.tls = Tls(host, "the server", f"[{table}] servers", trust(table, ca_file)) if secure else None
        plain = HostnameEndpoint(reactor, host, parts.port or (443 if secure else 80), timeout=timeout_s)
        self._endpoint: IStreamClientEndpoint = wrapClientTLS(self.tls, plain) if self.tls else plain
        self._protocol: Any = None

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        """All requests go to one place, whatever their URL says."""
        return _Noted(self._endpoint, self._note)

    def abort(self) -> None:
        """End the last connection at once: one that is closed in good order would wait for a server that hangs."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None and protocol.transport is not None and protocol.transport.connected:
            protocol.transport.abortConnection()  # of TLS, one that is gone could not be ended again

    def _note(self, protocol: Any) -> Any:
        self.made += 1
        self._protocol = protocol
        return protocol


@implementer(IStreamClientEndpoint)
class _Noted:
    """An endpoint that tells which protocol it made."""

    def __init__(self, inner: IStreamClientEndpoint, note: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._note = note

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        protocolFactory.noisy = False  # type: ignore[attr-defined]
        return self._inner.connect(protocolFactory).addCallback(self._note)


def _timed_out(_outcome: Any, _timeout_s: float) -> Any:
    """Whatever a request that was broken off makes of it."""
    raise TimeoutError


def _was_cancelled(error: Exception) -> bool:
    causes = [Failure(error), *getattr(error, "reasons", ())]
    return any(cause.check(CancelledError) for cause in causes)
