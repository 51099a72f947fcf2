# SPDX-License-Identifier: MIT
"""systemd's notify protocol, over a real datagram socket: the part alone, and the real service."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock

from tessmon.control.notify import LOOK_S, STATUS_S, Notify
from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker
from tests.control.supervisor import Supervisor
from tests.observatory import Publisher, Service, reading, wait_for
from tests.standin import PlainFace, source_status

NOBODY = SimpleNamespace(dsn="host=127.0.0.1 port=1 dbname=nowhere user=nobody")
"""A database that is away."""
PATIENCE_S = 1.0


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    listening = Supervisor(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", listening.variable)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield listening
    listening.close()


class Started:
    """The part alone, under a clock that the test moves."""

    def __init__(self) -> None:
        self.face = PlainFace()
        self.clock = Clock()
        self.notify = Notify(self.face, self.clock)
        self.notify.startService()


@pytest.fixture
def started(supervisor: Supervisor) -> Iterator[Started]:
    part = Started()
    yield part
    part.notify.stopService()
    assert part.clock.getDelayedCalls() == []


def test_readiness_is_told_when_it_is_so_and_not_before(started: Started, supervisor: Supervisor) -> None:
    started.clock.pump([LOOK_S] * 5)
    assert "READY=1" not in supervisor.listen_for(0.1)
    started.notify.reloaded()  # a SIGHUP in the middle of a start
    assert "READY=1" not in supervisor.listen_for(0.1)
    started.notify.ready()
    assert supervisor.next("READY=") == "READY=1"


def test_a_long_start_asks_for_more_time_until_it_is_ready(started: Started, supervisor: Supervisor) -> None:
    started.clock.pump([LOOK_S] * 3)
    heard = supervisor.listen_for(0.1)
    assert heard.count("EXTEND_TIMEOUT_USEC=30000000") == 4
    assert "STATUS=starting: the journals are being opened" in heard
    started.notify.ready()
    supervisor.next("READY=1")
    started.clock.pump([LOOK_S] * 3)
    assert not [one for one in supervisor.listen_for(0.1) if one.startswith("EXTEND")]


def test_a_start_that_is_broken_off_asks_for_no_more_time(started: Started, supervisor: Supervisor) -> None:
    started.face.state = "stopping"
    started.notify.stopping()
    supervisor.next("STOPPING=1")
    supervisor.next("STATUS=stopping: ")
    started.clock.pump([LOOK_S] * 3)
    assert not [one for one in supervisor.listen_for(0.1) if one.startswith("EXTEND")]


def test_status_is_one_line_in_utf8_at_each_change_and_every_minute(
    started: Started, supervisor: Supervisor
) -> None:
    started.notify.ready()
    started.clock.advance(LOOK_S)
    supervisor.listen_for(0.1)
    started.clock.pump([LOOK_S] * 10)
    assert supervisor.listen_for(0.1) == []
    started.face.state, started.face.readiness = "waiting", (False, "no\nREADY=1 → Ñ\udcff")
    started.face.sources = [source_status(state="refused")]
    started.clock.advance(LOOK_S)
    assert supervisor.listen_for(0.1) == ["STATUS=waiting: no READY=1 → Ñ?; mqtt refused; 3 frames wait"]
    started.face.frames_waiting = 4
    started.clock.advance(STATUS_S)
    assert supervisor.listen_for(0.1)[-1].endswith("4 frames wait")


def test_signs_of_life_come_twice_in_a_period_and_only_while_there_is_life(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    part = Started()
    part.notify.ready()
    part.clock.pump([10.0] * 6)
    assert supervisor.listen_for(0.1).count("WATCHDOG=1") == 3  # at 0, 30 and 60 s
    part.face.liveness = (False, "the journal in /x has not answered for 31 s")
    part.clock.pump([10.0] * 6)
    heard = supervisor.listen_for(0.1)
    assert "WATCHDOG=1" not in heard
    assert "the journal in /x has not answered" in heard[0]
    part.notify.stopService()


def test_a_watchdog_that_watches_another_process_gets_no_signs_of_ours(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
    part = Started()
    part.notify.ready()
    part.clock.pump([LOOK_S] * 3)
    assert "WATCHDOG=1" not in supervisor.listen_for(0.1)
    part.notify.stopService()


def test_a_socket_that_is_full_blocks_nobody_and_gets_everything_but_signs_of_life_later(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    part = Started()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.sendto(b"X=1", supervisor.variable)
    part.notify.ready()
    part.clock.pump([LOOK_S] * 3)
    while supervisor.receive():
        pass
    assert "READY=1" not in supervisor.heard
    part.clock.advance(LOOK_S / 2)
    assert supervisor.listen_for(0.1) == []
    part.clock.advance(LOOK_S / 2)
    heard = supervisor.listen_for(0.1)
    assert heard.count("READY=1") == 1
    assert heard.count("WATCHDOG=1") == 1
    part.notify.stopService()


def test_without_systemd_nothing_is_told_and_life_is_looked_at_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    part = Started()
    asked = []
    part.face.live = lambda: (asked.append(1) is None, "live")  # type: ignore[method-assign]
    part.notify.ready()
    part.clock.pump([LOOK_S] * 3)
    assert len(asked) >= 3
    part.notify.stopService()


def test_a_systemd_that_is_gone_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, supervisor: Supervisor, started: Started
) -> None:
    supervisor.close()
    started.notify.ready()
    started.clock.pump([LOOK_S] * 3)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nothing"))
    part = Started()
    part.notify.ready()
    part.notify.stopService()


# the real service


@pytest.fixture
def watched(
    supervisor: Supervisor, broker: Broker, make_service: Callable[..., Service], tmp_path: Path
) -> Service:
    """A service without a database under a supervisor; the test starts it."""
    service = make_service(broker, NOBODY, web={"listen": f"127.0.0.1:{free_port()}"})
    service.environment = {"NOTIFY_SOCKET": supervisor.variable, "WATCHDOG_USEC": "400000"}
    return service


def livez(service: Service) -> tuple[int, str]:
    host, _, port = service.tables["web"]["listen"].rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.request("GET", "/livez")
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_a_service_without_a_database_is_ready_reloads_and_stops(watched: Service) -> None:
    supervisor = Supervisor(f"\0tessmon-test-{os.getpid()}")  # as systemd has it in a user's session
    watched.environment["NOTIFY_SOCKET"] = supervisor.variable
    try:
        watched.start(wait=False)
        supervisor.next("READY=1")
        assert watched.socket.exists()
        supervisor.next("WATCHDOG=1")
        supervisor.next("STATUS=waiting: ", containing="mqtt connected")
        watched.signal(signal.SIGHUP)
        supervisor.next("RELOADING=1")
        assert int(supervisor.next("MONOTONIC_USEC=").partition("=")[2]) > 0
        supervisor.next("READY=1")
        watched.config.write_text("[photometer]\ndeny = 5\n")
        watched.signal(signal.SIGHUP)
        supervisor.next("RELOADING=1")
        supervisor.next("READY=1")
        supervisor.next("WATCHDOG=1")
        assert watched.stop() == 0
        supervisor.next("STOPPING=1")
        supervisor.next("STATUS=stopping: ")
    finally:
        supervisor.close()


def test_a_journal_whose_disk_hangs_ends_the_signs_of_life_until_it_answers_again(
    watched: Service, supervisor: Supervisor, publisher: Publisher, tmp_path: Path
) -> None:
    stuck = tmp_path / "stuck"
    watched.arguments = [f"--hang=journal.before_commit:{stuck}", f"--patience={PATIENCE_S}"]
    watched.start(wait=False)
    supervisor.next("READY=1")
    wait_for(lambda: watched.source_state() == "connected", "the broker's session")
    supervisor.next("WATCHDOG=1")
    assert livez(watched)[0] == 200
    stuck.touch()
    publisher.publish(*reading("stars1", 1))
    publisher.flush()
    code, sentence = wait_for(lambda: (answer := livez(watched))[0] != 200 and answer, "the hang to be seen")
    assert code == 503
    assert f"the journal in {watched.journal} has not answered for " in sentence
    supervisor.next("STATUS=waiting: the journal", containing="has not answered")
    while supervisor.receive():
        pass
    assert "WATCHDOG=1" not in supervisor.listen_for(PATIENCE_S)
    stuck.unlink()
    supervisor.next("WATCHDOG=1")
    assert livez(watched)[0] == 200
    assert watched.stop() == 0
