# SPDX-License-Identifier: MIT
"""paho's client on bytes that come from somewhere else than a socket of its own.

The one private name of paho that tessmon depends on is `_create_socket`; tests/sources has a test that fails
when a future paho does not ask it for its socket any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tessmon.config.model import Mqtt
from tessmon.sources.packets import Message, Packets

PLACE = "broker"
"""paho wants a host name; nobody looks it up."""


class Outlet(Protocol):
    """Where a `PacketSocket` puts what paho wants sent."""

    def write(self, packet: bytes) -> None:
        """Send these bytes soon."""

    def close(self) -> None:
        """Send what was written, then close."""


class PacketSocket:
    """What paho takes for its socket."""

    def __init__(self, packets: Packets, outlet: Outlet) -> None:
        self._outlet = outlet
        self.recv = packets.recv

    def send(self, buffer: bytes | bytearray) -> int:
        """Take all of it."""
        self._outlet.write(bytes(buffer))
        return len(buffer)

    def close(self) -> None:
        """paho is through with this connection."""
        self._outlet.close()

    def fileno(self) -> int:
        """There is none."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""


class MqttClient(Client):
    """One client for one connection: a persistent session, acknowledged by hand."""

    def __init__(self, settings: Mqtt, password: str | None, new_socket: Callable[[], PacketSocket]) -> None:
        self._new_socket = new_socket
        five = settings.protocol == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if five else False,
            protocol=MQTTv5 if five else MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._keepalive_s = settings.keepalive_s
        self._properties = _properties(settings) if five else None
        if settings.username is not None:
            self.username_pw_set(settings.username, password)

    def introduce(self) -> None:
        """Send CONNECT."""
        if self._properties is None:
            self.connect(PLACE, keepalive=self._keepalive_s)
        else:
            self.connect(PLACE, keepalive=self._keepalive_s, clean_start=False, properties=self._properties)

    def _create_socket(self) -> PacketSocket:
        return self._new_socket()


def message_of(read: MQTTMessage, full_length: int | None) -> Message:
    """What paho read, as `Packets` would give it; it refuses to decode odd bytes, but its error has them."""
    try:
        topic = read.topic
    except UnicodeDecodeError as error:
        topic = error.object.decode("utf-8", "surrogateescape")
    payload = bytes(read.payload)
    length = full_length or len(payload)
    return Message(topic, payload, length, read.qos, read.dup, read.retain, read.mid)


def _properties(settings: Mqtt) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_expiry_s
    properties.ReceiveMaximum = settings.receive_maximum
    return properties
