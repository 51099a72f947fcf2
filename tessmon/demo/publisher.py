# SPDX-License-Identifier: MIT
"""Publishes simulated messages at their times, and keeps the ledger of what was sent."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from tessmon.demo.accounts import ServerError
from tessmon.demo.photometers import Kind, Message

_CONNECT_TIMEOUT_S = 10.0
_ACKNOWLEDGE_TIMEOUT_S = 15.0
_PAUSE_S = 0.05


class Ledger:
    """What was sent, by kind and by quality of service."""

    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()
        self.by_qos: Counter[int] = Counter()

    def note(self, message: Message) -> None:
        """One more."""
        self.kinds[message.kind] += 1
        self.by_qos[message.qos] += 1

    @property
    def sent(self) -> int:
        """All messages."""
        return self.kinds.total()


class Publisher:
    """A client of the broker with a thread that sends what is due.

    Args:
        port: the broker's, on 127.0.0.1.
        ledger: learns of each message that was handed to the client.
    """

    def __init__(self, port: int, ledger: Ledger) -> None:
        self._port = port
        self._ledger = ledger
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="tessmon-demo-photometers")
        self._client.max_inflight_messages_set(1000)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._newest: list[mqtt.MQTTMessageInfo] = []
        self.failure: str | None = None

    def connect(self) -> None:
        """Return when the broker knows us.

        Raises:
            ServerError: it does not answer.
        """
        self._client.connect("127.0.0.1", self._port, keepalive=30)
        self._client.loop_start()
        deadline = time.monotonic() + _CONNECT_TIMEOUT_S
        while not self._client.is_connected():
            if time.monotonic() > deadline:
                raise ServerError(f"the broker on port {self._port} does not answer; see its log")
            time.sleep(_PAUSE_S)

    def send(self, messages: Iterable[Message]) -> None:
        """Send these at once and wait until the broker has them."""
        for message in messages:
            self._send(message)
        self._wait_for_acknowledgements()

    def start(self, messages: Iterable[Message]) -> None:
        """Send these at their times from now on, in a thread, until `stop`."""
        self._thread = threading.Thread(target=self._run, args=(messages,), name="photometers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more, and return when the broker has acknowledged all of QoS 1."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._wait_for_acknowledgements()

    def close(self) -> None:
        """Leave the broker."""
        self._stop.set()
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self, messages: Iterable[Message]) -> None:
        begin = time.monotonic()
        for message in messages:
            if self._stop.wait(max(0.0, begin + message.at_s - time.monotonic())):
                return
            self._send(message)
            if self.failure:
                return

    def _send(self, message: Message) -> None:
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.failure = f"a message could not be published: {mqtt.error_string(info.rc)}"
            return
        self._ledger.note(message)
        self._newest = [each for each in self._newest if not each.is_published()]
        self._newest.append(info)

    def _wait_for_acknowledgements(self) -> None:
        deadline = time.monotonic() + _ACKNOWLEDGE_TIMEOUT_S
        for info in self._newest:
            info.wait_for_publish(max(0.0, deadline - time.monotonic()))
            if not info.is_published():
                self.failure = "the broker did not acknowledge all messages"
