# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""The admin socket: HTTP and JSON over a UNIX socket, whose file permissions are the key.

GET /status, GET /journal; POST /pause, /resume, /reload, /flush, /stop, /restart, each with an optional body: the
fields of a `Wish`. The answer to a POST has ``state`` and ``paused`` as the status has them, and ``said``: what there
is to say, or what changed.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.tcp import Port as TCPPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from tessmon.control.bounded import Answer, BoundedRequest, BoundedSite, Responder, Routes
from tessmon.control.face import ServiceFace
from tessmon.control.pausing import MAX_PAUSE_S
from tessmon.errors import TessmonError

MAX_PATH_BYTES = 107
"""Source: sun_path in unix(7), 108 bytes with the NUL at its end."""
_MAX_WHO = 100


class Wish(msgspec.Struct, frozen=True):
    """What a POST may say; each command looks at what concerns it.

    Attributes:
        who: whose wish it is, for the log and the state.
        for_s: a pause ends by itself after this time [s].
        only_by: resume only if it is this one's pause.
        dry_run: only say what a reload would change.
    """

    who: str = "admin socket"
    for_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_PAUSE_S)] | None = None
    only_by: str | None = None
    dry_run: bool = False


class AdminSocketError(TessmonError):
    """The admin socket can't be opened; the text names its path."""


class AdminSocket(Service):
    """Serves the coordinator on a UNIX socket. A socket that can't be opened is loud, and stops nothing else.

    Args:
        reactor: provides UNIX sockets and time.
        face: the coordinator.
        path: where the socket is made, mode 0600; its directory is made with mode 0700 when it is missing.

    Attributes:
        trouble: None, or the sentence that says why nothing listens.
    """

    log = Logger()

    def __init__(self, reactor: Any, face: ServiceFace, path: Path) -> None:
        self._reactor = reactor
        self._face = face
        self._path = path
        self._port: TCPPort | None = None
        self._site = BoundedSite(_routes(face), reactor)
        self.trouble: str | None = None

    def startService(self) -> None:
        super().startService()
        try:
            make_room(self._path)
            self._port = self._reactor.listenUNIX(os.fspath(self._path), self._site, mode=0o600)
        except (AdminSocketError, CannotListenError, OSError) as error:
            self.trouble = _sentence(self._path, error)
            self.log.error("no admin socket: {why}", why=self.trouble)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            try:
                await maybeDeferred(port.stopListening)
            except FileNotFoundError:
                self.log.warn("the admin socket {path} was removed by someone else", path=str(self._path))
                TCPPort.connectionLost(port, Failure(ConnectionDone()))  # the UNIX port gave up before this
        self._site.close()


def make_room(path: Path) -> None:
    """Make the socket's directory, and remove a socket that a dead process left.

    Two services that start on one path in the same instant are told apart by their journal's lock, not here.

    Raises:
        AdminSocketError: a living process answers there, or the path is none for a socket.
    """
    size = len(os.fsencode(path))
    if size > MAX_PATH_BYTES:
        raise AdminSocketError(f"the path {path} has {size} bytes, a socket's has at most {MAX_PATH_BYTES}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = path.parent.stat().st_uid
    if os.geteuid() != 0 and owner not in (0, os.geteuid()):
        raise AdminSocketError(
            f"{path.parent} belongs to another user (uid {owner}): set another [admin] socket"
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AdminSocketError(
            f"{path} is there and is no socket: move it away, or set another [admin] socket"
        )
    if _answers(path):
        raise AdminSocketError(f"another service answers at {path}: stop it, or set another [admin] socket")
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _sentence(path: Path, error: Exception) -> str:
    if isinstance(error, AdminSocketError):
        return str(error)
    cause = error.socketError if isinstance(error, CannotListenError) else error
    return f"{path} can't be opened ({getattr(cause, 'strerror', None) or cause}): set another [admin] socket"


def _routes(face: ServiceFace) -> Routes:
    async def status(request: BoundedRequest) -> Answer:
        ready, why = face.ready()
        return _json({**face.status(), "waiting": await face.waiting(), "ready": ready, "ready_detail": why})

    async def journal(request: BoundedRequest) -> Answer:
        status, waiting = face.status(), await face.waiting()
        return _json({"journals": [_with_waiting(each, status, waiting) for each in status["journals"]]})

    def steer(act: Callable[[Wish], Deferred[list[str]]]) -> Responder:
        async def steered(request: BoundedRequest) -> Answer:
            try:
                wish = _wish(request.content.read())
            except (ValueError, RecursionError) as error:
                return _refusal(400, f"the body is no wish of this service: {error}")
            said = await act(wish)
            status = face.status()
            return _json({"state": status["state"], "paused": status["paused"], "said": said})

        return steered

    return Routes(
        {
            b"/status": {b"GET": status},
            b"/journal": {b"GET": journal},
            b"/pause": {b"POST": steer(lambda wish: face.pause(wish.who, wish.for_s))},
            b"/resume": {b"POST": steer(lambda wish: face.resume(wish.who, wish.only_by))},
            b"/reload": {b"POST": steer(lambda wish: face.reload(wish.dry_run))},
            b"/flush": {b"POST": steer(lambda wish: face.flush(wish.who))},
            b"/stop": {b"POST": steer(lambda wish: face.stop(wish.who))},
            b"/restart": {b"POST": steer(lambda wish: face.restart(wish.who))},
        },
        _refusal,
    )


def _with_waiting(journal: dict[str, Any], status: dict[str, Any], waiting: dict[str, Any]) -> dict[str, Any]:
    """A journal with what its lane, by name, has not taken yet."""
    lanes = [lane["name"] for lane in status["lanes"] if lane["journal"] == journal["name"]]
    return {**journal, "waiting": {lane: waiting[lane] for lane in lanes if lane in waiting}}


def _wish(body: bytes) -> Wish:
    """The wish in a body; its names are made printable and short.

    Raises:
        ValueError: it is none.
    """
    wish = msgspec.json.decode(body, type=Wish) if body else Wish()
    only_by = None if wish.only_by is None else _name(wish.only_by)
    return msgspec.structs.replace(wish, who=_name(wish.who), only_by=only_by)


def _name(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:_MAX_WHO]


def _json(body: dict[str, Any], code: int = 200) -> Answer:
    return Answer(json.dumps(body).encode(), code, b"application/json")


def _refusal(code: int, sentence: str) -> Answer:
    return _json({"error": sentence}, code)
