# SPDX-License-Identifier: MIT
"""One connection to a broker: paho speaks MQTT, Twisted does everything else.

Plain messages and their acknowledgements, which are nearly all there is, pass paho by: see `Packets`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from struct import Struct
from time import perf_counter
from typing import Any, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from tessmon.config.model import Mqtt
from tessmon.sources.mqtt_client import MqttClient, PacketSocket, message_of
from tessmon.sources.mqtt_ending import Ending, Kind, broker_left, connect_refused
from tessmon.sources.packets import Message, Packets
from tessmon.sources.tls import Tls

SLICE_S = 0.01
"""Packets are given to paho no longer than this in one call from the reactor."""
ANSWER_TIMEOUT_S = 15.0
"""For TLS and CONNACK together."""
CLOSE_TIMEOUT_S = 3.0
_QOS = 1
_PUBACK, _PUBACK_HEAD = Struct(">HH"), 0x4002
"""Head and packet id, of MQTT 5 too: no reason code means success (Source: MQTT 5.0, 3.4.2.1)."""
_PINGREQ = b"\xc0\x00"


class Owner(Protocol):
    """Who uses a connection. Called from inside paho: append to the journal here, send nothing."""

    def accepted(self, session_present: bool) -> None:
        """The broker took us; messages follow."""

    def arrived(self, message: Message) -> None:
        """A message came."""

    def subscribed(self, answers: Mapping[str, ReasonCode]) -> None:
        """What the broker says to each filter asked for."""

    def unsubscribed(self, filters: Collection[str]) -> None:
        """These filters are gone."""


class MqttConnection(TwistedProtocol):
    """From CONNECT to the end of the connection.

    Attributes:
        ended: fires once with an `Ending`.
        packets: what came and paho has not read.
    """

    log = Logger()
    transport: Any

    def __init__(
        self,
        reactor: Any,
        settings: Mqtt,
        password: str | None,
        owner: Owner,
        tls: Tls | None,
        *,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.ended: Deferred[Ending] = Deferred()
        self.packets = Packets(settings.max_payload_bytes, properties=settings.protocol == "5")
        self._reactor = reactor
        self._owner = owner
        self._tls = tls
        self._answer_timeout_s = answer_timeout_s
        self._client = MqttClient(settings, password, lambda: PacketSocket(self.packets, self))
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = self._on_unsubscribe
        self._client.on_socket_register_write = self._on_register_write
        self._asked: dict[int, tuple[str, ...]] = {}
        self._ending: Ending | None = None
        self._accepted_at_s: float | None = None
        self._closed = self._gone = self._paho_gave_up = False
        self._held = self._reading_stopped = self._wound_down = False
        self._outgoing: list[bytes] = []
        self._flush_call: IDelayedCall | None = None
        self._feed_call: IDelayedCall | None = None
        self._limit_call: IDelayedCall | None = None
        self._drained: Deferred[None] | None = None
        self._alive = LoopingCall(self._look_alive)
        self._alive.clock = reactor
        self._quiet_s = self._mute_s = 0.0

    # What the owner calls.

    def ack(self, packet_id: int, qos: int) -> None:
        """Acknowledge a message; all that are acknowledged before the reactor's next turn go out together."""
        if qos != _QOS:
            self._client.ack(packet_id, qos)
        elif not self._closed:
            self._outgoing.append(_PUBACK.pack(_PUBACK_HEAD, packet_id))
            self._flush_soon()

    def subscribe(self, filters: Collection[str]) -> None:
        """Ask for these topic filters."""
        _result, mid = self._client.subscribe([(each, _QOS) for each in filters])
        if mid is not None:
            self._asked[mid] = tuple(filters)

    def unsubscribe(self, filters: Collection[str]) -> None:
        """Ask no longer for these."""
        _result, mid = self._client.unsubscribe(list(filters))
        if mid is not None:
            self._asked[mid] = tuple(filters)

    def hold(self) -> None:
        """Take no more messages until `resume`: paho gets none, the transport reads none."""
        self._held = True

    def resume(self) -> None:
        """Take messages again."""
        if self._held:
            self._held = False
            self._feed_soon()

    def wind_down(self) -> Deferred[None]:
        """Read nothing more from the network; fires when what was read has been given to the owner."""
        self._wound_down = True
        self._drained = Deferred()
        drained = self._drained
        self._feed_soon()
        return drained

    def leave(self) -> None:
        """Send DISCONNECT and go; the broker keeps the session."""
        self._end(Ending(Kind.LEFT, "tessmon left"))
        self._client.disconnect()
        self._close_within(CLOSE_TIMEOUT_S)

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Introduce ourselves; with TLS, the handshake goes on underneath."""
        self.transport.setTcpNoDelay(True)
        self._limit_call = self._reactor.callLater(self._answer_timeout_s, self._no_answer)
        try:
            self._client.introduce()
        except Exception as error:  # such as a user name of more than 64 KiB
            self._give_up(Ending(Kind.REFUSED, f"[mqtt] has settings that no CONNECT can carry: {error}"))

    def dataReceived(self, data: bytes) -> None:
        """Give whole packets to paho."""
        if self._closed:
            return
        self._quiet_s = 0.0
        self.packets.feed(data)
        if self._feed_call is None and not self._held:
            self._feed()
        self._regulate()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the owner how it ended."""
        self._closed = self._gone = True
        for call in (self._flush_call, self._feed_call, self._limit_call):
            if call is not None and call.active():
                call.cancel()
        if self._alive.running:
            self._alive.stop()
        ending = self._ending or self._natural_ending(reason)
        if self._accepted_at_s is not None:
            ending = ending._replace(stood_s=max(self._reactor.seconds() - self._accepted_at_s, 0.0))
        if self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)
        self.ended.callback(ending)

    # What paho calls through its socket.

    def write(self, packet: bytes) -> None:
        """Gather what goes out in one write."""
        self._outgoing.append(packet)

    def close(self) -> None:
        """paho sent DISCONNECT, or gave the connection up, or is collected as garbage."""
        if self._gone:
            return
        self._closed = True
        self._paho_gave_up = True
        self._send()
        self._regulate()
        self._close_within(CLOSE_TIMEOUT_S)
        if self._ending is None or self._ending.kind is not Kind.LEFT:
            self.transport.loseConnection()
        # else the broker closes: if we did it with something unread, our DISCONNECT could be lost to a reset

    # paho's callbacks: it holds a lock while they run, so nothing is sent from here.

    def _on_connect(
        self, client: Client, _u: object, flags: ConnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if reason.is_failure:
            self._end(Ending(Kind.REFUSED, connect_refused(reason)))
            return
        if self._limit_call is not None and self._ending is None:
            self._limit_call.cancel()
        self._accepted_at_s = self._reactor.seconds()
        self._quiet_s = 0.0
        if client.keepalive:
            self._alive.start(min(client.keepalive / 16, 5.0), now=False)
        self._owner.accepted(bool(flags.session_present))

    def _on_disconnect(
        self, _c: Client, _u: object, flags: DisconnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end(broker_left(reason))

    def _on_message(self, _c: Client, _u: object, message: MQTTMessage) -> None:
        self._owner.arrived(message_of(message, self.packets.full_length))

    def _on_subscribe(
        self, _c: Client, _u: object, mid: int, reasons: list[ReasonCode], _p: Properties | None
    ) -> None:
        self._owner.subscribed(dict(zip(self._asked.pop(mid, ()), reasons, strict=False)))

    def _on_unsubscribe(
        self, _c: Client, _u: object, mid: int, _r: list[ReasonCode], _p: Properties | None
    ) -> None:
        self._owner.unsubscribed(self._asked.pop(mid, ()))

    def _on_register_write(self, _c: Client, _u: object, _socket: object) -> None:
        self._flush_soon()

    # Inside.

    def _flush_soon(self) -> None:
        if self._flush_call is None:
            self._flush_call = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        self._client.loop_write()
        self._send()

    def _send(self) -> None:
        if self._outgoing:
            outgoing, self._outgoing = self._outgoing, []
            self._mute_s = 0.0
            self.transport.write(b"".join(outgoing))

    def _feed_soon(self) -> None:
        if self._feed_call is None and not self._closed:
            self._feed_call = self._reactor.callLater(0, self._feed)
        self._regulate()

    def _feed(self) -> None:
        """Give plain messages to the owner and the rest to paho, which reads one packet a call."""
        self._feed_call = None
        stop_at = perf_counter() + SLICE_S
        advance, plain = self.packets.next, self.packets.message
        try:
            while not self._held and not self._closed and advance():
                message = plain()
                if message is not None:
                    self._owner.arrived(message)
                else:
                    self._client.loop_read()
                if perf_counter() > stop_at:
                    self._feed_soon()
                    return
        except Exception as error:
            self.log.failure("A packet from the broker could not be read")
            self._give_up(Ending(Kind.LOST, f"the broker sent a packet that can't be read ({error!r})"))
        if self._drained is not None and not self._held:
            drained, self._drained = self._drained, None
            drained.callback(None)
        self._regulate()

    def _regulate(self) -> None:
        """Let the transport read, or not. A closed connection reads, to see the other side's end."""
        stop = not self._closed and (self._held or self._wound_down or self._feed_call is not None)
        if stop == self._reading_stopped:
            return
        self._reading_stopped = stop
        self._quiet_s = 0.0
        if stop:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def _look_alive(self) -> None:
        """Ping, and notice a silent broker, which is not possible while we don't read. paho's own watch would miss what
        passes it by, and blame the broker for an answer that is still in the socket."""
        if self._closed:
            return
        period_s, keepalive_s = self._alive.interval or 0.0, self._client.keepalive
        self._mute_s += period_s
        if not self._reading_stopped:
            self._quiet_s += period_s
        if self._quiet_s >= 1.5 * keepalive_s - period_s:
            self._give_up(Ending(Kind.LOST, f"nothing came from the broker for {self._quiet_s:.0f} s"))
        elif max(self._quiet_s, self._mute_s) > keepalive_s - period_s:
            self.write(_PINGREQ)
            self._flush_soon()

    def _no_answer(self) -> None:
        self._give_up(
            Ending(Kind.UNREACHABLE, f"the broker doesn't answer CONNECT within {self._answer_timeout_s:g} s")
        )

    def _close_within(self, limit_s: float) -> None:
        if self._limit_call is not None and self._limit_call.active():
            self._limit_call.cancel()
        if not self._gone:
            self._limit_call = self._reactor.callLater(limit_s, self.transport.abortConnection)

    def _give_up(self, ending: Ending) -> None:
        self._end(ending)
        self._closed = True
        self.transport.abortConnection()

    def _end(self, ending: Ending) -> None:
        """The first who says so knows why."""
        self._ending = self._ending or ending

    def _natural_ending(self, reason: Failure) -> Ending:
        if self._tls is not None and (why := self._tls.why(reason)):
            return Ending(Kind.REFUSED, why)
        if self._paho_gave_up:
            return Ending(Kind.LOST, "the broker sent something that is no MQTT")
        if self._accepted_at_s is None:
            return Ending(Kind.UNREACHABLE, f"the broker closed the connection at once: {_text(reason)}")
        if reason.check(ConnectionDone, ConnectionLost):
            return Ending(Kind.CLOSED, "the broker closed the connection without a word")
        return Ending(Kind.LOST, f"the connection broke: {_text(reason)}")


def _text(reason: Failure) -> str:
    return reason.getErrorMessage().removesuffix(".")
