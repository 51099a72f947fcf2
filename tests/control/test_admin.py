# SPDX-License-Identifier: MIT
"""The admin socket, over real UNIX sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher

from tessmon.control.admin import AdminSocket, AdminSocketError, make_room
from tessmon.control.bounded import MAX_BODY_BYTES, MAX_CONNECTIONS
from tessmon.control.client import AdminError, NoAnswerError, NotRunningError, ask, tell
from tessmon.errors import ConfigurationError
from tests.standin import PlainFace

DEADLINE_S = 10


@pytest.fixture
def face() -> PlainFace:
    return PlainFace()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "admin.sock"


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def served(face: PlainFace, path: Path) -> Iterator[AdminSocket]:
    admin = AdminSocket(reactor, face, path)
    admin.startService()
    yield admin
    pytest_twisted.blockon(admin.stopService())


def exchange(path: Path, request: bytes, finish: bool = False) -> bytes:
    """All bytes that come back until the service closes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(os.fspath(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request)
        if finish:
            client.shutdown(socket.SHUT_WR)
        return received(client)


def received(client: socket.socket) -> bytes:
    answer = b""
    try:
        while chunk := client.recv(65536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer


async def until(condition: Callable[[], Any]) -> None:
    for _ in range(DEADLINE_S * 100):
        if condition():
            return
        await deferLater(reactor, 0.01, lambda: None)
    pytest.fail("it did not come true in time")


@pytest_twisted.ensureDeferred
async def test_status_carries_everything_the_service_says(served: AdminSocket, path: Path) -> None:
    status = await deferToThread(ask, path, "/status")
    assert status["state"] == "running"
    assert status["waiting"]["photometer"]["frames"] == 3
    assert status["journals"][0]["newest"] == [5, 6, 7]
    assert ["rejected", "not_json", 3] in status["lanes"][0]["outcomes"]
    assert status["ready"] is True


@pytest_twisted.ensureDeferred
async def test_a_journal_is_told_with_what_waits_in_it(served: AdminSocket, path: Path) -> None:
    answer = await deferToThread(ask, path, "/journal")
    (journal,) = answer["journals"]
    assert journal["segments"] == 2
    assert journal["waiting"]["photometer"]["frames"] == 3


@pytest_twisted.ensureDeferred
async def test_only_its_owner_may_use_the_socket(served: AdminSocket, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest_twisted.ensureDeferred
async def test_steering_reaches_the_coordinator_with_who_asked(
    served: AdminSocket, face: PlainFace, path: Path
) -> None:
    paused = await deferToThread(tell, path, "/pause", "ana\x00\n" + "x" * 200)
    assert paused["state"] == "paused"
    resumed = await deferToThread(tell, path, "/resume", "ana")
    assert resumed["state"] == "running"
    reloaded = await deferToThread(tell, path, "/reload", "ana")
    assert reloaded["said"] == ["[log] level: info -> debug"]
    assert face.asked == ["pause ana" + "x" * 97, "resume ana", "reload"]


@pytest_twisted.ensureDeferred
async def test_each_wish_reaches_the_coordinator(served: AdminSocket, face: PlainFace, path: Path) -> None:
    paused = await deferToThread(tell, path, "/pause", "ana", for_s=90)
    assert paused["paused"]["until_ns"] - paused["paused"]["since_ns"] == 90 * 10**9
    assert (await deferToThread(tell, path, "/pause", "bob"))["said"] == ["it was paused before, by ana"]
    await deferToThread(tell, path, "/resume", "ana", only_by="eve")
    await deferToThread(tell, path, "/reload", "ana", dry_run=True)
    flushed = await deferToThread(tell, path, "/flush", "ana")
    assert flushed["said"] == ["photometer: stored, all that was held back"]
    await deferToThread(tell, path, "/restart", "ana")
    await deferToThread(tell, path, "/stop", "ana")
    assert face.asked == [
        "pause ana for 90 s",
        "pause bob",
        "resume ana only by eve",
        "reload, dry run",
        "flush ana",
        "restart ana",
        "stop ana",
    ]


@pytest.mark.parametrize("for_s", [0, -1, 1e9, "2h", True])
@pytest_twisted.ensureDeferred
async def test_a_pause_has_a_length_that_makes_sense(
    served: AdminSocket, face: PlainFace, path: Path, for_s: Any
) -> None:
    with pytest.raises(AdminError, match=r"no wish of this service: .*for_s"):
        await deferToThread(tell, path, "/pause", "ana", for_s=for_s)
    assert face.asked == []


@pytest_twisted.ensureDeferred
async def test_pause_answers_when_the_last_connection_is_closed(
    served: AdminSocket, face: PlainFace, path: Path
) -> None:
    face.pausing = Deferred()
    answers: list[dict[str, Any]] = []
    asking = deferToThread(tell, path, "/pause", "ana")
    asking.addCallback(answers.append)
    await until(lambda: face.asked)
    await deferLater(reactor, 0.1, lambda: None)
    assert answers == []
    face.pausing.callback([])
    await asking
    assert answers[0]["state"] == "paused"


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_while_pausing_harms_nothing(
    served: AdminSocket, face: PlainFace, path: Path
) -> None:
    face.pausing = Deferred()
    with pytest.raises(NoAnswerError, match=r"no answer in 0\.2 s"):
        await deferToThread(tell, path, "/pause", "ana", 0.2)
    face.pausing.callback([])
    assert (await deferToThread(ask, path, "/status"))["state"] == "paused"


@pytest_twisted.ensureDeferred
async def test_a_refused_reload_is_told_in_its_own_words(
    served: AdminSocket, face: PlainFace, path: Path
) -> None:
    face.reloads = [fail(ConfigurationError("[log] level: no such level"))]
    with pytest.raises(AdminError, match=r"^\[log\] level: no such level$"):
        await deferToThread(tell, path, "/reload", "ana")


@pytest.mark.logs_failures
@pytest_twisted.ensureDeferred
async def test_a_fault_of_ours_is_an_answer_and_a_log_entry(
    served: AdminSocket, face: PlainFace, path: Path, logged: list[dict[str, Any]]
) -> None:
    face.reloads = [fail(ZeroDivisionError())]
    with pytest.raises(AdminError, match="its log says why"):
        await deferToThread(tell, path, "/reload", "ana")
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("request_bytes", "line"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
        (b"DELETE /status HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
        (b"GET /pause HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
        (b"POST /status HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 405"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 400"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]", b"HTTP/1.1 400"),
        (b'POST /pause HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"who":1}', b"HTTP/1.1 400"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: 3000\r\n\r\n" + b"[" * 3000, b"HTTP/1.1 400"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"HTTP/1.1 413"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, b"HTTP/1.1 413"),
        (b"POST /pause HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400"),
        (
            b"POST /pause HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"400\r\n"
            + b"x" * 1024
            + b"\r\n",
            b"",
        ),
        (b"\x00\xff\x16\x03\x01" * 20 + b"\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /status HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b""),
        (b"GET /status HTTP/1.1\r\n" + b"X: a\r\n" * 1000 + b"\r\n", b"HTTP/1.1 400"),
        (b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n", b""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_hostile_requests_change_nothing(
    served: AdminSocket, face: PlainFace, path: Path, request_bytes: bytes, line: bytes
) -> None:
    answer = await deferToThread(exchange, path, request_bytes, True)
    assert answer.startswith(line)
    assert face.asked == []
    assert (await deferToThread(ask, path, "/status"))["state"] == "running"


@pytest_twisted.ensureDeferred
async def test_a_chunked_body_without_end_is_refused(
    served: AdminSocket, face: PlainFace, path: Path
) -> None:
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    body = chunk * (2 * MAX_BODY_BYTES // 1024)
    head = b"POST /pause HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await deferToThread(exchange, path, head + body)
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.count(b"HTTP/1.1") == 1
    assert face.asked == []


@pytest_twisted.ensureDeferred
async def test_one_connection_brings_one_request(served: AdminSocket, face: PlainFace, path: Path) -> None:
    pipelined = b"POST /resume HTTP/1.1\r\nContent-Length: 0\r\n\r\n" * 1000
    answer = await deferToThread(exchange, path, pipelined)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert face.asked == ["resume admin socket"]


@pytest_twisted.ensureDeferred
async def test_who_holds_all_connections_keeps_others_out_for_a_time_only(
    face: PlainFace, path: Path
) -> None:
    admin = AdminSocket(reactor, face, path)
    admin._site.timeOut = 0.5
    admin.startService()
    stop = threading.Event()
    idle = [socket.socket(socket.AF_UNIX) for _ in range(MAX_CONNECTIONS)]
    try:
        for client in idle:
            client.connect(os.fspath(path))
        await until(lambda: len(admin._site.channels) == MAX_CONNECTIONS)
        with pytest.raises(AdminError, match="broke off"):
            await deferToThread(ask, path, "/status")
        trickling = deferToThread(_trickle, idle[0], stop)
        await until(lambda: not admin._site.channels)
        assert (await deferToThread(ask, path, "/status"))["state"] == "running"
        stop.set()
        await trickling
    finally:
        stop.set()
        for client in idle:
            client.close()
        await admin.stopService()


def _trickle(client: socket.socket, stop: threading.Event) -> None:
    """A header byte now and then must not keep a connection open."""
    while not stop.wait(0.05):
        try:
            client.send(b"x")
        except OSError:
            return


def test_the_socket_of_a_dead_process_is_removed(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    assert path.exists()
    make_room(path)
    assert not path.exists()


@pytest_twisted.ensureDeferred
async def test_a_living_service_keeps_its_socket(served: AdminSocket, face: PlainFace, path: Path) -> None:
    second = AdminSocket(reactor, PlainFace(), path)
    second.startService()
    assert second.trouble == f"another service answers at {path}: stop it, or set another [admin] socket"
    await second.stopService()
    assert (await deferToThread(ask, path, "/status"))["pid"] == 4711


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(AdminSocketError, match="is no socket"):
        make_room(path)
    assert path.read_text() == "precious"


def test_a_path_too_long_for_a_socket_is_told_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(AdminSocketError, match=r"\d+ bytes, a socket's has at most 107"):
        make_room(path)


@pytest_twisted.ensureDeferred
async def test_a_socket_that_someone_removed_does_not_hinder_the_stop(face: PlainFace, path: Path) -> None:
    admin = AdminSocket(reactor, face, path)
    admin.startService()
    path.unlink()
    await admin.stopService()


@pytest_twisted.ensureDeferred
async def test_after_a_stop_nothing_is_left(face: PlainFace, path: Path) -> None:
    admin = AdminSocket(reactor, face, path)
    admin.startService()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(os.fspath(path))
        await until(lambda: admin._site.channels)
        await admin.stopService()
        assert await deferToThread(received, client) == b""
    assert not path.exists()


def test_no_service_is_a_sentence_that_says_how_to_start_one(path: Path) -> None:
    with pytest.raises(NotRunningError, match=r"is it running\? start it with `tessmon run`$"):
        ask(path, "/status")


def test_something_else_behind_the_socket_is_recognised(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(os.fspath(path))
        other.listen()
        stranger = threading.Thread(target=_greet, args=[other])
        stranger.start()
        with pytest.raises(AdminError, match=r"broke off|no tessmon service"):
            ask(path, "/status", 2.0)
        stranger.join()


def _greet(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.recv(1000)
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.close()


def test_a_service_that_hangs_is_not_waited_for_without_end(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(path))
        silent.listen()
        with pytest.raises(AdminError, match=r"no answer in 0\.2 s"):
            ask(path, "/status", 0.2)
