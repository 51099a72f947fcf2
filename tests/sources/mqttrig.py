# SPDX-License-Identifier: MIT
"""What the tests of the MQTT source stand on: a real mosquitto, a publisher, a journal that settles on command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGTERM
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from tessmon.config.model import Mqtt
from tessmon.interfaces import IJournal
from tessmon.records.frame import Frame, FrameKind
from tessmon.sources.mqtt import MqttSource

READING = "STARS4ALL/stars1/reading"


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker with its files in ``directory``; it keeps its port and its sessions through restarts."""

    def __init__(
        self, directory: Path, *lines: str, security: Iterable[str] = ("allow_anonymous true",)
    ) -> None:
        self.port = free_port()
        self._directory = directory
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text(
            "\n".join(
                (
                    "user root",
                    f"listener {self.port} 127.0.0.1",
                    *security,
                    "persistence true",
                    "autosave_interval 0",
                    f"persistence_location {directory}/",
                    "max_queued_messages 0",
                    "max_inflight_messages 0",
                    *lines,
                )
            )
            + "\n"
        )
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self._directory / "log").read_text()

    def start(self) -> Mosquitto:
        """Run it and wait for its port."""
        with (self._directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                ["/usr/sbin/mosquitto", "-c", str(self._configuration), "-v"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    raise AssertionError(f"mosquitto doesn't start: {self.log}") from None
                time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._server is not None
        os.kill(self._server.pid, number)

    def stop(self, number: int = SIGTERM) -> None:
        """End it and wait; SIGKILL leaves what it saved last."""
        if self._server is not None:
            self.signal(SIGCONT)
            self.signal(number)
            self._server.wait(10)
            self._server = None

    def settings(self, **changes: Any) -> Mqtt:
        """Settings for a source at this broker."""
        return self.settings_of(self.port, **changes)

    @staticmethod
    def settings_of(port: int, **changes: Any) -> Mqtt:
        """Settings for a source at this port."""
        return Mqtt(**{"broker": f"mqtt://127.0.0.1:{port}", "client_id": "tessmon-test"} | changes)


class Publisher:
    """A photometer's side: paho with its own thread."""

    def __init__(
        self, broker: Mosquitto, client_id: str = "", *, version: int = paho.MQTTv311, **more: Any
    ) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, **more)
        self.client.max_inflight_messages_set(1000)
        self._taken = threading.Event()
        self.client.on_connect = lambda *_args: self._taken.set()
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self._taken.wait(10)

    def publish(
        self, payloads: Iterable[bytes | str], topic: str = READING, *, qos: int = 1, retain: bool = False
    ) -> Deferred[None]:
        """Publish in a thread; the Deferred fires when the broker has them all."""
        return deferToThread(self._publish, list(payloads), topic, qos, retain)

    def _publish(self, payloads: list[bytes | str], topic: str, qos: int, retain: bool) -> None:
        for sent in [self.client.publish(topic, payload, qos, retain) for payload in payloads]:
            sent.wait_for_publish(20)
            assert sent.is_published()

    def close(self) -> None:
        """Go."""
        self.client.disconnect()
        self.client.loop_stop()


@implementer(IJournal)
class CommandedJournal:
    """A journal in memory whose "disk" obeys: `settle` writes, unless ``at_once``."""

    identity = "commanded"

    def __init__(self, *, at_once: bool = True, before: Iterable[Frame] = ()) -> None:
        self.frames: list[Frame] = list(before)
        self.at_once = at_once
        self.full: str | None = None
        self.pending_bytes = 0
        self.most_pending = 0
        self.source: MqttSource | None = None
        self._pending: deque[tuple[Frame, object | None]] = deque()
        self._watchers: list[Callable[[], None]] = []
        self.scheduled = False

    def append(self, frame: Frame, receipt: object | None = None) -> None:
        self._pending.append((frame, receipt))
        self.pending_bytes += len(frame.payload)
        self.most_pending = max(self.most_pending, len(self._pending))
        if self.at_once and not self.scheduled:
            self.scheduled = True
            reactor.callLater(0, self.settle)

    def settle(self, count: int = 1_000_000) -> None:
        """Put the oldest ``count`` on disk."""
        self.scheduled = False
        gone = [self._pending.popleft() for _ in range(min(count, len(self._pending)))]
        self.frames += [frame for frame, _receipt in gone]
        self.pending_bytes -= sum(len(frame.payload) for frame, _receipt in gone)
        receipts = [receipt for _frame, receipt in gone if receipt is not None]
        if receipts and self.source is not None:
            self.source.settled(receipts)
        for watcher in self._watchers:
            watcher()

    def lose(self) -> None:
        """A kill: what is not on disk is gone."""
        self._pending.clear()
        self.pending_bytes = 0

    def tail(self, max_frames: int, max_bytes: int) -> Deferred[list[Frame]]:
        return succeed(self.frames[-max_frames:])

    def watch(self, callback: Callable[[], None]) -> None:
        self._watchers.append(callback)

    def open(self) -> Deferred[None]: ...
    def read(self, after: object, max_frames: int, max_bytes: int) -> Deferred[Any]: ...
    def adopt(self, position: object) -> Deferred[None]: ...
    def passed(self, low: object) -> None: ...
    def status(self) -> None: ...
    def waiting(self, after: object) -> Deferred[Any]: ...
    def close(self) -> Deferred[None]: ...

    # What tests ask.

    @property
    def appended(self) -> list[Frame]:
        """On disk or not."""
        return self.frames + [frame for frame, _receipt in self._pending]

    @property
    def messages(self) -> list[Frame]:
        return [frame for frame in self.appended if frame.kind == FrameKind.MESSAGE]

    @property
    def payloads(self) -> list[bytes]:
        return [frame.payload for frame in self.messages]

    def events(self, what: str) -> list[dict[str, Any]]:
        """The details of all events of this name."""
        return [json.loads(f.payload) for f in self.appended if f.kind == FrameKind.EVENT and f.topic == what]


def source_into(journal: CommandedJournal, settings: Mqtt, **more: Any) -> MqttSource:
    """A source that the journal tells what is on disk."""
    journal.source = MqttSource(settings, journal, reactor, **more)
    return journal.source


@asynccontextmanager
async def running(*sources: MqttSource) -> AsyncIterator[MqttSource]:
    """Sources that are started, taken by the broker, and stopped whatever happens."""
    for source in sources:
        source.startService()
    try:
        for source in sources:
            await connected(source)
        yield sources[0] if sources else None
    finally:
        for source in sources:
            if source.running:
                await source.stopService()
            journal: Any = source._journal
            await until(lambda journal=journal: not journal.scheduled, "the journal's last commit")


async def kill(source: MqttSource, journal: CommandedJournal) -> list[Frame]:
    """A kill -9: what the disk has is all that is left; nothing is acknowledged any more, no goodbye is said."""
    journal.lose()
    journal.source = None
    left = list(journal.frames)
    source._stopping = True
    cut(source)
    await until(lambda: source._connection is None, "cut")
    await source.stopService()
    return left


def cut(source: MqttSource) -> None:
    """Cut the connection as a network does."""
    assert source._connection is not None
    source._connection.transport.abortConnection()


async def until(condition: Callable[[], Any], what: str = "", limit_s: float = 15.0) -> None:
    """Wait for a condition; fail after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        await deferLater(reactor, 0.005)


async def connected(source: MqttSource, times: int = 1) -> None:
    """Wait until the broker has taken it and its topics, so many times."""
    journal: Any = source._journal
    await until(lambda: len(journal.events("subscribed")) >= times, "subscribed")
