# SPDX-License-Identifier: MIT
"""One connection of the doctor's to the broker: paho's client, driven by hand in the caller's thread."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from struct import error as StructError  # noqa: N812
from typing import Any, NamedTuple

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tessmon.config.model import Mqtt
from tessmon.doctor.patience import Patience
from tessmon.doctor.reach import broker_socket
from tessmon.errors import TessmonError
from tessmon.sources.mqtt_ending import connect_refused

ANSWER_S = 5.0
"""For the broker's answer to a packet [s]."""

_STEP_S = 0.1
_UNACKNOWLEDGED = 500
"""Messages of ours that wait for the broker at a time, unless it wants fewer."""
_NO_RETAINED = 2
"""Source: MQTT 5.0, 3.8.3.1, Retain Handling."""


class RefusedError(TessmonError):
    """The broker answers and wants no connection."""


class LostError(TessmonError):
    """The broker ended the connection, or does not answer."""


class Account(NamedTuple):
    """Who goes to which broker, and how: settings of the service, but with another client id.

    Attributes:
        settings: where the broker is, and as whom.
        password: of [mqtt] username.
        client_id: ours.
        five: MQTT 5; else 3.1.1.
        session_s: how long the broker keeps the session when we are away [s]; None: no session. 3.1.1 has no
            such time.
    """

    settings: Mqtt
    password: str | None
    client_id: str
    five: bool
    session_s: int | None = None


class Arrival(NamedTuple):
    """A message that came: packet id, QoS, payload, and when, by the monotonic clock [s]."""

    packet: int
    qos: int
    payload: bytes
    at_s: float


class _Client(Client):
    """paho's client on a socket that is connected already; see `tessmon.sources.mqtt_client` for the hook."""

    def __init__(self, account: Account, opened: socket.socket) -> None:
        self._opened = opened
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=account.client_id,
            clean_session=None if account.five else account.session_s is None,
            protocol=MQTTv5 if account.five else MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.max_inflight_messages = 0  # we count ourselves
        if account.settings.username is not None:
            self.username_pw_set(account.settings.username, account.password)

    def _create_socket(self) -> socket.socket:
        return self._opened


class Probe:
    """A connection, made by `__enter__` and ended in good order by `__exit__`.

    Attributes:
        session_present: the broker knew the client id.
        limits: what the broker said of itself; MQTT 5 only.
        tls_version: empty without TLS.
        arrived: messages that came and `forget` has not removed.
        denied: what the broker said of a message of ours that it did not take; MQTT 5 only.
    """

    def __init__(self, account: Account, patience: Patience) -> None:
        self._account = account
        self._patience = patience
        self.session_present = False
        self.limits = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
        self.tls_version = ""
        self.arrived: list[Arrival] = []
        self.denied = ""
        self._refusal: ReasonCode | None = None
        self._connected = False
        self._answers: dict[int, list[int]] = {}
        self._published = self._taken = 0

    def __enter__(self) -> Probe:
        """Raises:
        UnreachableError: no connection is made.
        RefusedError: the broker answers and wants none.
        LostError: it doesn't answer.
        OutOfTimeError: no time is left.
        """
        opened = broker_socket(self._account.settings, self._patience)
        self.tls_version = getattr(opened, "version", lambda: "")() or ""
        self._client = client = _Client(self._account, opened)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda c, u, mid, codes, p: self._answered(mid, codes)
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        try:
            self._introduce()
        except BaseException:
            opened.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self._client.disconnect()
        self._client.loop(0)

    def subscribe(self, filters: Sequence[str], qos: int = 1) -> list[int]:
        """What the broker grants for each: a QoS, or a refusal from 0x80 on.

        Raises:
            LostError: it doesn't answer.
        """
        options = SubscribeOptions(qos, retainHandling=_NO_RETAINED)
        wanted: Any = [(each, options if self._account.five else qos) for each in filters]
        return self._answer(self._client.subscribe(wanted)[1])

    def fence(self, topic: str) -> bool:
        """Wait until the broker has seen all that we sent: it acknowledges a message that nobody gets.

        Returns:
            Whether it did. Some broker reads nothing while its window to us is full.

        Raises:
            LostError: the connection ended.
        """
        self._published += 1
        self._client.publish(f"{topic}/nowhere", b"", 1)
        return self.until(self._all_taken, ANSWER_S)

    def publish(self, topic: str, payloads: Sequence[bytes], qos: int) -> None:
        """Give messages to the broker, and return when it has acknowledged those of QoS 1.

        Raises:
            LostError: it doesn't acknowledge them.
        """
        window = min(getattr(self.limits, "ReceiveMaximum", _UNACKNOWLEDGED), _UNACKNOWLEDGED)
        for payload in payloads:
            self._require(lambda: self._published - self._taken < window)
            self._published += 1
            self._client.publish(topic, payload, qos)
        self._require(self._all_taken)

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Acknowledge messages; those of QoS 0 want nothing."""
        for each in arrivals:
            if each.qos:
                self._client.ack(each.packet, each.qos)

    def until(self, condition: Callable[[], bool], at_most_s: float) -> bool:
        """Whether the condition became true in time.

        Raises:
            LostError: the connection ended.
            OutOfTimeError: no time is left for the whole check.
        """
        until_s = time.monotonic() + at_most_s
        while not condition():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            self._step(self._patience.left_s(min(left_s, _STEP_S)))
        return True

    def _introduce(self) -> None:
        properties = None
        if self._account.five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._account.session_s or 0
            properties.ReceiveMaximum = self._account.settings.receive_maximum
            self._client.connect("broker", clean_start=self._account.session_s is None, properties=properties)
        else:
            self._client.connect("broker")
        self._require(lambda: self._connected or self._refusal is not None)
        if self._refusal is not None:
            raise RefusedError(connect_refused(self._refusal))

    def _step(self, wait_s: float) -> None:
        try:
            code = self._client.loop(wait_s)
        except (MQTTException, StructError, ValueError, IndexError) as error:
            raise LostError(f"the broker's answer is no MQTT ({error})") from error
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS and self._refusal is None:
            raise LostError(f"the broker ended the connection{self._when()}: look at its log")

    def _when(self) -> str:
        if self._connected:
            return ""
        return f" at our first packet, by MQTT {'5' if self._account.five else '3.1.1'}"

    def _require(self, condition: Callable[[], bool]) -> None:
        if not self.until(condition, ANSWER_S):
            raise LostError(f"the broker gave no answer in {ANSWER_S:g} s: look at its log and its load")

    def _answer(self, packet: int | None) -> list[int]:
        assert packet is not None
        self._require(lambda: packet in self._answers)
        return self._answers.pop(packet)

    def _all_taken(self) -> bool:
        return self._published == self._taken

    def _answered(self, packet: int, codes: Sequence[ReasonCode]) -> None:
        self._answers[packet] = [each.value for each in codes]

    def _on_connect(
        self,
        client: Client,
        userdata: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = reason
            return
        self._connected, self.session_present = True, flags.session_present
        self.limits = properties or self.limits

    def _on_publish(
        self, client: Client, userdata: object, packet: int, reason: ReasonCode, properties: Properties
    ) -> None:
        self._taken += 1
        if reason.is_failure:
            self.denied = reason.getName()

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        self.arrived.append(Arrival(message.mid, message.qos, bytes(message.payload), time.monotonic()))
