# SPDX-License-Identifier: MIT
"""The HTTP face of a vlbimon server, with a ledger of what it was asked and what it said.

For a test's own reactor: make a `Vlbimon`, let it `listen`, and `close` it at the end. `tests.vlbimon_server` runs the
same in a process of its own.
"""

from __future__ import annotations

import json
import random
from collections import deque
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.vlbimon_array import Array, Reply
from tests.vlbimon_doors import Keys, Sessions
from tests.vlbimon_faults import Faults, reset, suffer
from tests.vlbimon_stations import masterlist

CursorForm = Literal["float", "whole", "opaque", "none", "garbage"]
MAX_LINE_BYTES = 8190
"""As usual web servers have it: a longer query is answered with 414, a longer header with 400."""
_COOKIE = "snap_recvTime"
FORECAST = "time ALMA APEX DeBilt\n1712345600. 0.04512345678 0.03112345678 0.25000000000\n"


class Asked(msgspec.Struct):
    """One request.

    Attributes:
        number: from 0, in order.
        at_s: when it came [s since 1970 UTC].
        door: through which listener.
        call: what was asked, of `vlbimon_faults.ALL`; empty for what no client should ask.
        method, uri: as sent.
        authorization: the scheme that was used, lower case; empty for none.
        session: the session's cookie, None for none.
        cursor: the cursor's cookie, None for none.
        status: what was answered; 0 when nothing was.
        fault: the kind of trouble that was made, empty for none.
        told: the new cursor in the answer, None for none.
        numbers: points in the body that were asked for, where all of it was meant to arrive.
        pairs: station → pairs of time and value in that body [count].
        whole: the answer was written to its end before the connection went.
    """

    number: int
    at_s: float
    door: str
    call: str
    method: str
    uri: str
    authorization: str = ""
    session: str | None = None
    cursor: str | None = None
    status: int = 0
    fault: str = ""
    told: str | None = None
    numbers: list[int] = []
    pairs: dict[str, int] = {}
    whole: bool = False

    @property
    def query(self) -> dict[str, list[str]]:
        """What stands behind the question mark."""
        return parse_qs(urlsplit(self.uri).query)


class Said(msgspec.Struct):
    """A body that a test wants said once: cursor None is the true one, the empty text is none."""

    body: str
    cursor: str | None = None


class _RefusedError(Exception):
    """An answer that is no 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Vlbimon:
    """A server: what it knows, whom it lets in, what goes wrong, and what it was asked.

    Attributes:
        array, keys, sessions, faults: see there.
        masterlist: what it says; its keys come in another order each time.
        cursor_form: of the cookie: ``float`` or ``whole`` seconds (whole ones bring some points twice), ``opaque``
            text, ``none``, or ``garbage``, which it does not know again itself.
        strange_cursor: status for a cursor that it does not know; 0: as if there were none.
        asked: every request.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.array = Array()
        self.keys = Keys()
        self.sessions = Sessions()
        self.faults = Faults()
        self.masterlist: Any = masterlist()
        self.cursor_form: CursorForm = "float"
        self.strange_cursor = 400
        self.asked: list[Asked] = []
        self._said: dict[str, deque[Said]] = {}
        self._shuffle = random.Random(5)
        self._doors: dict[str, tuple[IListeningPort, set[_Channel]]] = {}
        self._places: dict[str, tuple[Any, int]] = {}

    def say(self, call: str, said: Said) -> None:
        """The next good answer to this call has this body."""
        self._said.setdefault(call, deque()).append(said)

    def listen(self, door: str = "http", tls: Any = None, port: int = 0) -> int:
        """Open a door on loopback, with TLS where there is a context factory; its port."""
        channels: set[_Channel] = set()
        site = _Watched(_Root(self, door), channels, self.reactor)
        if tls is None:
            listening = self.reactor.listenTCP(port, site, interface="127.0.0.1")
        else:
            listening = self.reactor.listenSSL(port, site, tls, interface="127.0.0.1")
        self._doors[door] = listening, channels
        self._places[door] = tls, int(listening.getHost().port)
        return self._places[door][1]

    async def shut(self, door: str) -> None:
        """Refuse connections at a door, and end those that are there."""
        listening, channels = self._doors[door]
        for channel in list(channels):
            channel.transport.abortConnection()
        await listening.stopListening()

    def reopen(self, door: str) -> None:
        """Listen again on the same port."""
        self.listen(door, *self._places[door])

    async def close(self) -> None:
        """The end."""
        for door in list(self._doors):
            await self.shut(door)

    def drop(self) -> None:
        """RST to every connection."""
        for _, channels in self._doors.values():
            for channel in list(channels):
                reset(channel.transport)

    def served(self) -> set[int]:
        """Numbers of the points that were in a whole answer."""
        return {number for asked in self.asked if asked.whole for number in asked.numbers}

    # What each call answers: a body and its points.

    def answer(self, asked: Asked, request: Request) -> Reply:
        """A good answer; its headers are set.

        Raises:
            _RefusedError: it is another status.
        """
        reply: Reply = getattr(self, f"_{asked.call}")(asked, request)
        said = self._said.get(asked.call)
        told = None
        if said:
            once = said.popleft()
            reply, told = Reply(once.body, cursor_s=reply.cursor_s), once.cursor
        if asked.call == "snapshot":
            self._tell(asked, request, self._cursor(reply.cursor_s) if told is None else told or None)
        return reply

    def _masterlist(self, _asked: Asked, _request: Request) -> Reply:
        stations = list(self.masterlist.items())
        self._shuffle.shuffle(stations)
        shuffled = {}
        for station, entries in stations:
            names = list(entries.items())
            self._shuffle.shuffle(names)
            shuffled[station] = dict(names)
        return Reply(json.dumps(shuffled))

    def _session(self, asked: Asked, request: Request) -> Reply:
        self._only_keys(asked, request)
        return Reply(json.dumps({"id": self.sessions.make()}))

    def _restore(self, asked: Asked, request: Request) -> Reply:
        name = urlsplit(asked.uri).path.rpartition("/")[2]
        if asked.session is None or not self.sessions.alive(asked.session):
            self._only_keys(asked, request)
        if not self.sessions.alive(name):
            raise _RefusedError(404)
        return Reply(json.dumps({"id": name}))

    def _snapshot(self, asked: Asked, _request: Request) -> Reply:
        if self.keys.forbidden:
            raise _RefusedError(403)
        if not self.sessions.alive(asked.session):
            raise _RefusedError(401)
        if asked.cursor is None:
            return self.array.snapshot(None)
        at_s, again = self._known(asked.cursor)
        return self.array.snapshot(at_s, again=again)

    def _history(self, asked: Asked, request: Request) -> Reply:
        if asked.session is None or not self.sessions.alive(asked.session):
            self._only_keys(asked, request)
        query = asked.query
        if len(urlsplit(asked.uri).query) > MAX_LINE_BYTES:
            raise _RefusedError(414)
        try:
            window = [int(query[key][0]) for key in ("startTime", "endTime")]
            return self.array.history(query["observatory"], query["field"], *window)
        except (KeyError, ValueError):
            raise _RefusedError(400) from None

    def _forecast(self, _asked: Asked, _request: Request) -> Reply:
        return Reply(FORECAST)

    def _only_keys(self, asked: Asked, request: Request) -> None:
        header = request.getHeader("authorization")
        if len(header or "") > MAX_LINE_BYTES:
            raise _RefusedError(400)
        status = self.keys.status(header, asked.method, asked.uri)
        if status == 401:
            request.setHeader("www-authenticate", self.keys.challenge(header).encode())
        if status != 200:
            raise _RefusedError(status)

    def _cursor(self, at_s: float) -> str | None:
        if self.cursor_form == "none":
            return None
        if self.cursor_form == "garbage":
            return f"x{self._shuffle.getrandbits(64):x}!~"
        if self.cursor_form == "opaque":
            return f"r{at_s.hex()}/~"
        return str(int(at_s)) if self.cursor_form == "whole" else repr(at_s)

    def _known(self, cursor: str) -> tuple[float | None, bool]:
        """The time of a cursor, and whether points of that very time come again."""
        try:
            if cursor.startswith("r"):
                return float.fromhex(cursor[1:].removesuffix("/~")), False
            return float(cursor), "." not in cursor
        except ValueError:
            if self.strange_cursor:
                raise _RefusedError(self.strange_cursor) from None
            return None, False

    def _tell(self, asked: Asked, request: Request, cursor: str | None) -> None:
        asked.told = cursor
        if cursor is not None:
            request.responseHeaders.addRawHeader("set-cookie", f"{_COOKIE}={cursor}; Path=/")


class _Channel(HTTPChannel):
    """A connection that its site knows."""

    site: _Watched
    transport: Any

    def connectionMade(self) -> None:
        self.site.channels.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.channels.discard(self)
        super().connectionLost(reason)


class _Watched(Site):
    """A site that knows its connections."""

    protocol: Any = _Channel
    displayTracebacks = False  # noqa: N815

    def __init__(self, resource: Resource, channels: set[_Channel], reactor: Any) -> None:
        super().__init__(resource, reactor=reactor)
        self.channels = channels

    def log(self, request: Request) -> None:
        """The ledger is enough."""


class _Root(Resource):
    """Every path."""

    def __init__(self, vlbimon: Vlbimon, door: str) -> None:
        super().__init__()
        self.isLeaf = True
        self._vlbimon = vlbimon
        self._door = door

    def render(self, request: Request) -> Any:
        vlbimon = self._vlbimon
        asked = _asked(vlbimon, self._door, request)
        vlbimon.asked.append(asked)
        request.notifyFinish().addCallbacks(lambda _: setattr(asked, "whole", True), lambda _: None)
        fault = vlbimon.faults.next(asked.call, self._door)
        if fault is not None:
            asked.fault = fault.kind
        request.setHeader("content-type", b"application/json")
        try:
            reply = vlbimon.answer(asked, request) if asked.call else _nothing(request)
        except _RefusedError as refused:
            reply = Reply(json.dumps({"error": refused.status}))
            request.setResponseCode(refused.status)
        body = reply.body.encode("utf-8", "surrogatepass")
        if fault is None or fault.kind == "drip":
            asked.numbers, asked.pairs = list(reply.numbers), dict(reply.pairs)
        if fault is None:
            request.setHeader("content-length", b"%d" % len(body))
            request.write(body)
            request.finish()
        else:
            suffer(fault, request, body, vlbimon.reactor)
        asked.status = request.code if request.startedWriting else 0
        return NOT_DONE_YET


def _nothing(_request: Request) -> Reply:
    raise _RefusedError(404)


def _asked(vlbimon: Vlbimon, door: str, request: Request) -> Asked:
    path = request.path.decode("ascii", "replace")
    method = request.method.decode("ascii", "replace")
    sent: dict[str, str] = {}
    for part in (request.getHeader("cookie") or "").split(";"):
        name, mark, value = part.strip().partition("=")
        if mark:
            sent[name] = value
    return Asked(
        len(vlbimon.asked),
        vlbimon.reactor.seconds(),
        door,
        _call(method, path),
        method,
        request.uri.decode("ascii", "replace"),
        (request.getHeader("authorization") or "").partition(" ")[0].lower(),
        sent.get("sessionid"),
        sent.get(_COOKIE),
    )


def _call(method: str, path: str) -> str:
    calls = {
        ("GET", "/static/masterlist.json"): "masterlist",
        ("POST", "/session"): "session",
        ("GET", "/data/snapshot"): "snapshot",
        ("GET", "/data/history"): "history",
        ("GET", "/img/plots/tau225.txt"): "forecast",
    }
    if method == "PATCH" and path.startswith("/session/"):
        return "restore"
    return calls.get((method, path), "")
