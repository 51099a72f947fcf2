# SPDX-License-Identifier: MIT
"""An observatory for the violent tests: a broker, a database, the service as a child process, publishers.

Plain and synchronous: what is tested is the real service from outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg2

from tessmon.control.client import AdminError, NotRunningError, ask
from tessmon.demo.servers import Broker
from tests.service import longest_call

QUICK_S = 0.050
FIRST_STAMP_S = 1_772_000_000
REGISTER_TOPIC = "STARS4ALL/register"
_ROOT = Path(__file__).parent.parent


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """Until the condition is true; gives its value.

    Raises:
        AssertionError: it is not, after the time; the text says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.02)  # between two looks, not instead of one


class Publisher:
    """A client that publishes at QoS 1 and knows what the broker has taken."""

    def __init__(self, broker: Broker, client_id: str) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self._client.max_inflight_messages_set(1000)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        self._last: paho.MQTTMessageInfo | None = None
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def publish(
        self, topic: str, payload: dict[str, Any] | bytes, *, retain: bool = False, qos: int = 1
    ) -> None:
        """Give one message to the broker."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._last = self._client.publish(topic, raw, qos, retain)
        self.sent.append((topic, raw))

    def register(self, name: str, mac: str, zero_point_mag: float = 20.25, **more: Any) -> None:
        """A TESS-W presents itself."""
        self.publish(REGISTER_TOPIC, {"name": name, "mac": mac, "calib": zero_point_mag, "rev": 2, **more})

    def at_rate(
        self, messages: Sequence[tuple[str, dict[str, Any]]], rate_hz: float, qos: Sequence[int] = (1,)
    ) -> None:
        """Publish at a steady rate, with these qualities of service in turns."""
        began = time.monotonic()
        for count, (topic, payload) in enumerate(messages):
            ahead_s = began + count / rate_hz - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)  # the rate is what is asked for
            self.publish(topic, payload, qos=qos[count % len(qos)])

    def flush(self) -> None:
        """Until the broker has acknowledged everything."""
        if self._last is not None:
            self._last.wait_for_publish(120)
            assert self._last.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def stamp(after_s: int) -> str:
    """A publisher's time stamp, so many seconds after a fixed instant [s]."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(FIRST_STAMP_S + after_s))


def reading(name: str, seq: int, **more: Any) -> tuple[str, dict[str, Any]]:
    """Topic and payload of a TESS-W's reading."""
    payload = {
        "seq": seq,
        "rev": 2,
        "name": name,
        "freq": 8.215,
        "mag": 18.21,
        "tamb": 9.5,
        "tsky": -14.3,
        "wdBm": -61,
        **more,
    }
    return f"STARS4ALL/{name}/reading", payload


class Service:
    """The service as a child process, started and killed as often as a test likes."""

    def __init__(self, directory: Path, broker_url: str, dsn: str, **tables: dict[str, Any]) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "tessmon.toml"
        self.socket = directory / "admin.sock"
        self.journal = directory / "state" / "mqtt"
        self.log = directory / "service.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        """What stands before the command: a program that runs it in surroundings of its own."""
        self.arguments: list[str] = []
        """What stands behind it, besides what `start` takes."""
        self.environment: dict[str, str] = {}
        """Variables on top of our own."""
        self._starts = 0
        self.tables: dict[str, dict[str, Any]] = {
            "database": {"dsn": dsn},
            "journal": {"directory": str(directory / "state"), "min_free_bytes": 0},
            "mqtt": {"broker": broker_url, "client_id": "tessmon-test"},
            "web": {"listen": ""},
            "admin": {"socket": str(self.socket)},
        }
        for table, keys in tables.items():
            self.tables.setdefault(table, {}).update(keys)
        self.write_config()

    def write_config(self) -> None:
        """The tables as TOML; JSON's numbers, texts, booleans and lists are TOML's too."""
        lines = []
        for table, keys in self.tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""]
        self.config.write_text("\n".join(lines))

    def start(self, kill: str | None = None, *, wait: bool = True) -> None:
        """Start it; ``kill`` is "POINT:N"."""
        self._starts += 1
        command = [
            *self.prefix,
            sys.executable,
            str(_ROOT / "tests" / "service.py"),
            f"--config={self.config}",
            f"--quickness={self.directory / f'quickness-{self._starts}'}",
        ]
        if kill is not None:
            command.append(f"--kill={kill}")
        command += self.arguments
        with self.log.open("ab") as log:
            environment = {
                **os.environ,
                "PYTHONPATH": str(_ROOT),
                "PYTHONUNBUFFERED": "1",
                **self.environment,
            }
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        if wait:
            wait_for(lambda: self.status() or not self.alive, "the service to answer")
            assert self.alive, self.last_words()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def status(self) -> dict[str, Any] | None:
        """What the admin socket says, None while nobody answers."""
        try:
            return ask(self.socket, "/status")
        except (NotRunningError, AdminError):
            return None

    def lane_state(self) -> str:
        status = self.status()
        return status["lanes"][0]["state"] if status and status["lanes"] else ""

    def source_state(self) -> str:
        status = self.status()
        return status["sources"][0]["state"] if status and status["sources"] else ""

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def longest_call(self) -> tuple[float, str]:
        """The longest call of the reactor over all starts."""
        kept = [longest_call(path) for path in self.directory.glob("quickness-*")]
        return max(kept)

    def assert_quick(self) -> None:
        """No call of the reactor took more than 50 ms of its thread's CPU time."""
        seconds, what = self.longest_call()
        print(f"longest call of the reactor: {1000 * seconds:.1f} ms: {what}")
        assert seconds < QUICK_S, what

    def end(self) -> None:
        """Whatever happened, no process stays."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


def fetch(dsn: str, sql: str, args: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    """Rows of a query on a connection of its own."""
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()
    finally:
        connection.close()


def tally(dsn: str) -> dict[str, int]:
    """What became of all messages so far, by outcome and cause; ``total`` is their sum."""
    rows = fetch(
        dsn,
        "SELECT cause, sum(stored), sum(duplicate), sum(filtered), sum(rejected) FROM tallies GROUP BY cause",
    )
    counted = {"total": 0}
    for cause, *numbers in rows:
        for outcome, number in zip(("stored", "duplicate", "filtered", "rejected"), numbers, strict=True):
            if number:
                counted[f"{outcome} {cause}".strip()] = int(number)
                counted["total"] += int(number)
    return counted


def wait_accounted(dsn: str, sent: int, service: Service, timeout_s: float = 120.0) -> dict[str, int]:
    """Until as many messages are accounted for as were sent; gives the tally.

    Raises:
        AssertionError: it never becomes so, or more are accounted for than were sent.
    """

    def accounted() -> dict[str, int] | None:
        counted = tally(dsn)
        assert counted["total"] <= sent, f"{counted} is more than {sent}"
        return counted if counted["total"] == sent else None

    try:
        return wait_for(accounted, f"{sent} messages to be accounted for", timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: {tally(dsn)}\n{service.last_words()}") from error


@contextmanager
def in_background(function: Callable[..., None], *args: Any) -> Iterator[threading.Thread]:
    """Run a function in a thread; its failure is the caller's."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            function(*args)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    if failures:
        raise failures[0]
