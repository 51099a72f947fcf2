# SPDX-License-Identifier: MIT
"""A broker that restarts, is away, or refuses: each trouble has its name, is tried again ever more seldom, and is over
by itself when its cause is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker, new_directory
from tests import scale
from tests.observatory import Publisher, Service, fetch, reading, stamp, wait_accounted, wait_for
from tests.sources.certificates import make_identity, password_line

REFUSED_DELAYS_S = (10, 20, 40, 80, 160, 300)
"""After each attempt that only a person can help."""
SOONER = 0.75
"""What chance may make of a delay at least."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that a broker's own user can walk through."""
    directory = new_directory("tessmon-states-")
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("persistence", ["true", *(["false"] if scale.FULL else [])])
def test_a_broker_that_restarts_costs_nothing_that_it_kept(
    persistence: str, place: Path, database: Any, make_service: Callable[..., Service]
) -> None:
    broker = Broker(place / "broker", kind="mosquitto", lines=[f"persistence {persistence}"])
    broker.start()
    service = make_service(broker, database)
    kept = persistence == "true"
    try:
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the broker's session")
        _publish(broker, range(100), register=True)
        wait_accounted(database.dsn, 101, service)
        assert service.stop() == 0
        _publish(broker, range(100, 200))  # for the session of a client that is away
        broker.stop()
        broker.start()
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the broker's session")
        assert ("the broker kept our session" if kept else "a new session") in _detail(service)
        broker.stop()
        wait_for(lambda: service.source_state() == "connecting", "the source to notice")
        assert "next attempt in" in _detail(service)
        broker.start()
        wait_for(lambda: service.source_state() == "connected", "the source to come back")
        _publish(broker, range(200, 300))
        expected = [*range(100), *range(100 if kept else 200, 300)]
        wait_accounted(database.dsn, 1 + len(expected), service)
        rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
        assert rows == [(n,) for n in expected]
        service.assert_quick()
        assert service.stop() == 0
    finally:
        broker.stop()


class Doors:
    """One broker with a door for each trouble."""

    def __init__(self, place: Path) -> None:
        place.chmod(0o755)
        self.place = place
        self.authority = make_identity(place, "authority")
        self.users = place / "users"
        self.users.write_text(password_line("tess", "right"))
        self._wrong = {
            "another name": make_identity(place, "other", self.authority, hosts=("example.test",)),
            "expired": make_identity(place, "expired", self.authority, days=(-30, -1)),
            "stranger": make_identity(place, "server", make_identity(place, "stranger")),
        }
        self.ports = {name: free_port() for name in ("password", *self._wrong)}
        lines = ["per_listener_settings true", "allow_anonymous true"]
        lines += [f"listener {self.ports['password']} 127.0.0.1", "allow_anonymous false"]
        lines += [f"password_file {self.users}"]
        for name, identity in self._wrong.items():
            certificate, key = self._files(name)
            shutil.copy(identity.certificate_file, certificate)
            shutil.copy(identity.key_file, key)
            key.chmod(0o644)
            lines += [f"listener {self.ports[name]} 127.0.0.1", "allow_anonymous true"]
            lines += [f"certfile {certificate}", f"keyfile {key}"]
        self.broker = Broker(place / "broker", kind="mosquitto", lines=lines)

    def _files(self, name: str) -> tuple[Path, Path]:
        base = name.replace(" ", "-")
        return self.place / f"{base}-door.crt", self.place / f"{base}-door.key"

    def put_right(self) -> None:
        """Every door shows the certificate that it should."""
        right = make_identity(self.place, "right", self.authority)
        for name in self._wrong:
            certificate, key = self._files(name)
            certificate.write_bytes(right.certificate_file.read_bytes())
            key.write_bytes(right.key_file.read_bytes())
        os.kill(self.broker.pid, signal.SIGHUP)

    def attempts(self, name: str) -> int:
        """Connections that came to a door."""
        text = self.broker.log.read_text(errors="replace")
        return len(re.findall(rf"New connection from \S+ on port {self.ports[name]}\b", text))


class Rival(threading.Thread):
    """Another client with our id, which comes back at once whenever it is thrown out."""

    def __init__(self, broker: Broker, client_id: str) -> None:
        super().__init__(daemon=True)
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self._port = broker.port
        self._leaving = False

    def run(self) -> None:
        while not self._leaving:
            self._client.connect("127.0.0.1", self._port)
            while self._client.loop(0.1) == paho.MQTT_ERR_SUCCESS and not self._leaving:
                pass
        self._client.disconnect()

    def leave(self) -> None:
        """For good."""
        self._leaving = True
        self.join()


def test_each_refusal_has_its_name_and_ends_with_its_cause(
    place: Path, database: Any, make_service: Callable[..., Service]
) -> None:
    doors = Doors(place)
    broker = doors.broker
    broker.start()
    absent = Broker(place / "absent", kind="mosquitto")
    secret, trusted = place / "secret", place / "trusted"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    trusted.write_bytes(doors.authority.certificate_file.read_bytes())

    def started(url: str, **more: Any) -> Service:
        service = make_service(broker, database, mqtt={"broker": url, **more})
        service.start(wait=False)
        return service

    tls = {
        name: started(f"mqtts://localhost:{doors.ports[name]}", ca_file=str(trusted))
        for name in ("another name", "expired", "stranger")
    }
    password = started(
        f"mqtt://127.0.0.1:{doors.ports['password']}", username="tess", password_file=str(secret)
    )
    unreachable = started(absent.url)
    shared = started(broker.url)
    rival = Rival(broker, str(shared.tables["mqtt"]["client_id"]))
    rival.start()
    try:
        _wait_named(password, "refused", "correct [mqtt] username and password_file")
        _wait_named(tls["another name"], "refused", "certificate is not for localhost")
        _wait_named(tls["expired"], "refused", "certificate has expired")
        _wait_named(tls["stranger"], "refused", "can't be trusted")
        _wait_named(unreachable, "connecting", "can't be reached: Connection refused")
        time.sleep(scale.BROKER_TROUBLE_S)  # the length of the trouble
        tried_s = max(_age_s(service) for service in (password, *tls.values()))
        for name in doors.ports:
            assert 1 <= doors.attempts(name) <= _most_attempts(tried_s, REFUSED_DELAYS_S)
        secret.write_text("right\n")
        doors.put_right()
        absent.start()
        _wait_named(shared, "taken_over", "probably another client uses our client id")
        rival.leave()
        recovering = [tls["stranger"], unreachable, password, tls["another name"], tls["expired"], shared]
        for service in recovering[: 1 if scale.FULL else None]:
            service.signal(signal.SIGHUP)  # who mends it need not wait for the next attempt
        for service in recovering:
            wait_for(
                lambda service=service: service.source_state() == "connected",
                f"the source to come back\n{_detail(service)}",
                scale.BROKER_TROUBLE_S * 2 + 60,
            )
        _assert_they_store(broker, absent, recovering, database)
    finally:
        broker.stop()
        absent.stop()


def _assert_they_store(broker: Broker, absent: Broker, services: list[Service], database: Any) -> None:
    _publish(broker, range(10), register=True)
    _publish(absent, range(10, 20))
    wait_accounted(database.dsn, 11 * (len(services) - 1) + 10, services[0])
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(20)]
    for service in services:
        service.assert_quick()
        assert service.stop() == 0


def _most_attempts(in_s: float, delays_s: tuple[int, ...]) -> int:
    """How often may be tried in so long a time [s], the first time at its beginning."""
    attempts, at_s = 1, 0.0
    for delay_s in delays_s:
        at_s += SOONER * delay_s
        attempts += at_s <= in_s
    return attempts


def _wait_named(service: Service, state: str, words: str) -> None:
    wait_for(
        lambda: service.source_state() == state and words in _detail(service),
        f"{state}: {words}",
    )
    assert "next attempt in" in _detail(service)


def _detail(service: Service) -> str:
    status = service.status()
    return str(status["sources"][0]["detail"]) if status else ""


def _age_s(service: Service) -> float:
    """How long ago the service started [s]."""
    status = service.status()
    assert status is not None
    return float(status["now_ns"] - status["started_ns"]) / 1e9


def _publish(broker: Broker, numbers: range, *, register: bool = False) -> None:
    publisher = Publisher(broker, f"publisher-{time.monotonic_ns()}")
    if register:
        publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    for n in numbers:
        publisher.publish(*reading("stars1", n, tstamp=stamp(n)))
    publisher.flush()
    publisher.close()
