# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""HTTP within bounds: small requests, one a connection, few connections, no waiting for the slow.

Twisted's own limits are meant for a web site: a body of any size is spooled to disk, each byte that trickles
in renews the time-out, and one packet full of pipelined requests is answered in one reactor call. Neither the
admin socket nor the metrics need any of that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tessmon.errors import TessmonError

MAX_BODY_BYTES = 4096
MAX_HEADER_BYTES = 8192
MAX_HEADERS = 64
MAX_CONNECTIONS = 32
REQUEST_TIMEOUT_S = 20.0
"""For a whole request to come, and again for its answer to be taken [s]."""

_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

_HEADERS = {
    b"Server": b"tessmon",
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
}


class Answer(NamedTuple):
    """What goes back: body, HTTP status code, content type."""

    body: bytes
    code: int = 200
    content_type: bytes = b"text/plain; charset=utf-8"


Responder: TypeAlias = Callable[["BoundedRequest"], Awaitable[Answer]]


class Routes(Resource):
    """A site's whole table: path → method → responder. HEAD is answered wherever GET is.

    Args:
        table: e.g. ``{b"/status": {b"GET": status}}``.
        refusal: makes the answer to a request that is refused, from code and sentence. A responder's
            `TessmonError` is refused with 409, anything else it raises is logged and refused with 500.
    """

    isLeaf = True  # noqa: N815
    log = Logger()

    def __init__(
        self, table: Mapping[bytes, Mapping[bytes, Responder]], refusal: Callable[[int, str], Answer]
    ) -> None:
        super().__init__()
        self._table = table
        self._refusal = refusal

    def render(self, request: BoundedRequest) -> int:
        answered = ensureDeferred(self._answer(request))
        answered.addErrback(lambda failure: self.log.failure("an answer could not be sent", failure))
        return NOT_DONE_YET

    async def _answer(self, request: BoundedRequest) -> None:
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        answer = await self._respond(request)
        if gone:
            return
        request.setResponseCode(answer.code)
        request.setHeader(b"Content-Type", answer.content_type)
        request.setHeader(b"Content-Length", b"%d" % len(answer.body))
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        request.write(answer.body)
        request.finish()

    async def _respond(self, request: BoundedRequest) -> Answer:
        methods = self._table.get(request.path)
        if methods is None:
            return self._refusal(404, f"there is nothing here; there is {self._paths()}")
        responder = methods.get(b"GET" if request.method == b"HEAD" else request.method)
        if responder is None:
            allowed = b", ".join([*methods, b"HEAD"] if b"GET" in methods else methods)
            request.setHeader(b"Allow", allowed)
            return self._refusal(405, f"only {allowed.decode()} can be asked here")
        try:
            return await responder(request)
        except TessmonError as error:
            return self._refusal(409, str(error))
        except CancelledError:
            return self._refusal(503, "the service is stopping")
        except Exception:
            self.log.failure("{method} {path} failed", method=request.method, path=request.path)
            return self._refusal(500, "the service failed to answer; its log says why")

    def _paths(self) -> str:
        return " ".join(path.decode() for path in self._table)


class BoundedRequest(Request):
    """A request whose body is held in memory and is small, or is refused before it is read."""

    channel: BoundedChannel
    content: BytesIO
    _refused = False

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        if length is not None and length > MAX_BODY_BYTES:
            self._refuse()

    def handleContentChunk(self, chunk: bytes) -> None:
        if self._refused:
            return
        if self.content.tell() + len(chunk) > MAX_BODY_BYTES:
            self._refuse()
        else:
            self.content.write(chunk)

    def process(self) -> None:
        if not self._refused:
            super().process()

    def _refuse(self) -> None:
        self._refused = True
        self.channel.write(_TOO_LARGE)
        self.channel.loseConnection()


class BoundedChannel(HTTPChannel):
    """A connection that carries one request, and has a fixed time for it."""

    totalHeadersSize = MAX_HEADER_BYTES  # noqa: N815
    maxHeaders = MAX_HEADERS  # noqa: N815
    abortTimeout = 5  # noqa: N815
    site: BoundedSite
    transport: Any

    def resetTimeout(self) -> None:
        """Bytes that trickle in win no time."""

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def requestDone(self, request: Request) -> None:
        super().requestDone(request)
        self.setTimeout(self.timeOut)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.channels.discard(self)
        super().connectionLost(reason)


class BoundedSite(Site):
    """A site of such connections, a fixed number of them at a time."""

    protocol: Any = BoundedChannel
    noisy = False

    def __init__(
        self, routes: Routes, reactor: IReactorTime | None = None, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> None:
        super().__init__(routes, requestFactory=BoundedRequest, reactor=reactor, timeout=timeout_s)
        self.channels: set[BoundedChannel] = set()

    def buildProtocol(self, addr: Any) -> Any:
        if len(self.channels) >= MAX_CONNECTIONS:
            return None
        channel = super().buildProtocol(addr)
        self.channels.add(channel)
        return channel

    def log(self, request: object) -> None:
        """No line a request: probes and scrapes come every few seconds."""

    def close(self) -> None:
        """End every connection at once."""
        for channel in list(self.channels):
            channel.transport.abortConnection()
