# SPDX-License-Identifier: MIT
"""Answers that a vlbimon server gives when it is unwell, on demand."""

from __future__ import annotations

import socket
import struct
import time
from email.utils import formatdate
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.web.http import Request

ALL = ("masterlist", "session", "restore", "snapshot", "history", "forecast")
"""The calls of a client."""
_UNDERWAY_S = 0.05
"""What is written has reached the other end by then: RST discards what was not read [s]."""
HTML = b'<!DOCTYPE html>\n<html><body><h1>Maintenance</h1>\n{"id": 1}</body></html>\n'


class Fault(msgspec.Struct):
    """What goes wrong, with which calls, how often.

    Attributes:
        kind: ``status``: that status with a page; ``reset``: RST instead of an answer; ``reset_halfway``: in the middle
            of the body; ``closed``: FIN instead of an answer; ``html``, ``empty``, ``no_json``: a body with status 200
            that is none; ``not_whole``: JSON cut in the middle, with the right Content-Length; ``cut``: less than its
            Content-Length says; ``cut_chunked``: no last chunk; ``drip``: one byte each ``pace_s``; ``silence``: no
            answer; ``silence_halfway``: none after half of the body; ``endless``: blanks without end. All with status
            200 have a new cursor in their cookie, as a good answer has.
        calls: which calls it hits, of `ALL`.
        count: how many requests; None: until it is called off.
        status: of HTTP.
        retry_after: seconds as text, or ``date+N`` for the date of N seconds from then; empty for none.
        pace_s: between two bytes [s].
        door: hits only requests that came through that door; empty: all.
    """

    kind: str
    calls: tuple[str, ...] = ALL
    count: int | None = None
    status: int = 503
    retry_after: str = ""
    pace_s: float = 0.2
    door: str = ""


class Faults:
    """What is to go wrong, the oldest first."""

    def __init__(self) -> None:
        self._due: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._due.append(fault)

    def call_off(self) -> None:
        """All is well again for requests that come now."""
        self._due.clear()

    def next(self, call: str, door: str) -> Fault | None:
        """What this request suffers."""
        for fault in self._due:
            if call in fault.calls and fault.door in ("", door):
                if fault.count is not None:
                    fault.count -= 1
                    if not fault.count:
                        self._due.remove(fault)
                return fault
        return None


def suffer(fault: Fault, request: Request, body: bytes, reactor: Any) -> None:
    """Answer a request with what is wrong; headers of a good answer are set already."""
    _ANSWERS[fault.kind](fault, request, body, reactor)


def _status(fault: Fault, request: Request, _body: bytes, _reactor: Any) -> None:
    request.setResponseCode(fault.status)
    request.setHeader(b"content-type", b"text/html")
    said = fault.retry_after
    if said.startswith("date+"):
        said = formatdate(time.time() + float(said.removeprefix("date+")), usegmt=True)
    if said:
        request.setHeader(b"retry-after", said.encode())
    _whole(request, HTML)


def _whole(request: Request, body: bytes) -> None:
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()


def reset(transport: Any) -> None:
    """RST to who is at the other end."""
    plain = transport
    while not isinstance(plain, socket.socket):
        plain = plain.transport if hasattr(plain, "transport") else plain.getHandle()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abortConnection()


def _reset_halfway(_fault: Fault, request: Request, body: bytes, reactor: Any) -> None:
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body[: len(body) // 2])
    reactor.callLater(_UNDERWAY_S, lambda: request.channel and reset(request.channel.transport))


def _cut(_fault: Fault, request: Request, body: bytes, _reactor: Any) -> None:
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body[: len(body) // 2])
    request.channel.transport.loseConnection()


def _cut_chunked(_fault: Fault, request: Request, body: bytes, _reactor: Any) -> None:
    request.write(body[: len(body) // 2])  # twisted.web sends chunks where it knows no length
    request.channel.transport.loseConnection()


def _silence_halfway(_fault: Fault, request: Request, body: bytes, _reactor: Any) -> None:
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body[: len(body) // 2])


def _drip(fault: Fault, request: Request, body: bytes, reactor: Any) -> None:
    request.setHeader(b"content-length", b"%d" % len(body))
    _repeat(request, reactor, fault.pace_s, [body[n : n + 1] for n in range(len(body))])


def _endless(_fault: Fault, request: Request, _body: bytes, reactor: Any) -> None:
    _repeat(request, reactor, 0.001, None)


def _repeat(request: Request, reactor: Any, pace_s: float, pieces: list[bytes] | None) -> None:
    """Write a piece each so many seconds until all is written or nobody is there; None: blanks for ever."""
    later: list[Any] = []

    def write(at: int = 0) -> None:
        if pieces is not None and at == len(pieces):
            request.finish()
            return
        request.write(bytes(65536).replace(b"\0", b" ") if pieces is None else pieces[at])
        later[:] = [reactor.callLater(pace_s, write, at + 1)]

    def gone(_reason: Any) -> None:
        if later and later[0].active():
            later[0].cancel()

    finished: Deferred[None] = request.notifyFinish()
    finished.addErrback(gone)
    write()


_ANSWERS = {
    "status": _status,
    "reset": lambda _fault, request, _body, _reactor: reset(request.channel.transport),
    "reset_halfway": _reset_halfway,
    "closed": lambda _fault, request, _body, _reactor: request.channel.transport.loseConnection(),
    "html": lambda _fault, request, _body, _reactor: _whole(request, HTML),
    "empty": lambda _fault, request, _body, _reactor: _whole(request, b""),
    "no_json": lambda _fault, request, _body, _reactor: _whole(request, b'\xff\xfe{"KP": nonsense'),
    "not_whole": lambda _fault, request, body, _reactor: _whole(request, body[: len(body) // 2]),
    "cut": _cut,
    "cut_chunked": _cut_chunked,
    "drip": _drip,
    "silence": lambda _fault, _request, _body, _reactor: None,
    "silence_halfway": _silence_halfway,
    "endless": _endless,
}
KINDS = tuple(_ANSWERS)
