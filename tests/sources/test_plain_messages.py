# SPDX-License-Identifier: MIT
"""The contract of the short cut: whether plain messages pass paho by or not, the same comes out and the same goes back.

The same bytes go to a connection, and to paho alone, which reads every packet itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tessmon.config.model import Mqtt
from tessmon.sources.mqtt_client import MqttClient, PacketSocket, message_of
from tessmon.sources.mqtt_connection import MqttConnection
from tessmon.sources.packets import Message, Packets
from tests.sources.test_mqtt_client import Gathered
from tests.sources.test_packets import length_bytes, taken

MAX_PAYLOAD_BYTES = 1000
LONG = MAX_PAYLOAD_BYTES + 70_000
PUBACK, CONNACK, CONNACK_5 = 0x40, b"\x20\x02\x00\x00", b"\x20\x03\x00\x00\x00"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
PROPERTIES = (
    b"",
    b"\x02\x00\x00\x00\x3c",  # expires in a minute
    b"\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01w",  # what a user adds
    b"\x23\x00\x07",  # a topic alias
    b"\x0b\x05\x03\x00\x01t",  # whose subscription it is, and what kind of content
    b"\x99\x01",  # no property
    b"\x26\x00\x09k",  # one that ends too early
)


def publish(
    first: int, topic: bytes, payload: bytes, packet_id: int = 7, properties: bytes | None = None
) -> bytes:
    """A PUBLISH whose first byte has these four bits: DUP, QoS (two), retain."""
    body = len(topic).to_bytes(2, "big") + topic
    body += packet_id.to_bytes(2, "big") if first & 0b0110 else b""
    body += length_bytes(len(properties)) + properties if properties is not None else b""
    return bytes((0x30 | first,)) + length_bytes(len(body) + len(payload)) + body + payload


class Taker:
    """Who uses a connection: it remembers, and acknowledges at once unless told not to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.at_once = True
        self.connection: MqttConnection | None = None

    def accepted(self, session_present: bool) -> None: ...
    def subscribed(self, answers: object) -> None: ...
    def unsubscribed(self, filters: object) -> None: ...

    def arrived(self, message: Message) -> None:
        self.messages.append(message)
        if message.qos and self.at_once and self.connection is not None:
            self.connection.ack(message.packet_id, message.qos)


class Wire(StringTransport):
    """A transport in memory that can be cut."""

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def abortConnection(self) -> None:
        self.aborted = True


def settings(five: bool, **more: object) -> Mqtt:
    return Mqtt(
        client_id="contract",
        protocol="5" if five else "3.1.1",
        max_payload_bytes=MAX_PAYLOAD_BYTES,
        **more,  # type: ignore[arg-type]
    )


class Connected:
    """A connection that the broker has taken, on a clock of its own."""

    def __init__(self, five: bool = False, **more: object) -> None:
        self.clock, self.wire, self.taker = Clock(), Wire(), Taker()
        self.connection = MqttConnection(self.clock, settings(five, **more), None, self.taker, None)  # type: ignore[arg-type]
        self.taker.connection = self.connection
        self.connection.makeConnection(self.wire)
        self.clock.advance(0)
        self.wire.clear()
        self.take(CONNACK_5 if five else CONNACK)

    def take(self, chunk: bytes) -> bytes:
        """Bytes come; gives what goes back in this turn of the reactor and the next few."""
        self.connection.dataReceived(chunk)
        return self.pass_time(0.0)

    def pass_time(self, seconds: float) -> bytes:
        """Gives what was sent in the meantime."""
        self.clock.advance(seconds)
        for _ in range(10):
            self.clock.advance(0)
        sent = self.wire.value()
        self.wire.clear()
        return sent

    def end(self) -> None:
        self.connection.connectionLost()


def by_connection(chunks: Iterable[bytes], five: bool) -> tuple[list[Message], bytes, bool]:
    """Messages, what was sent, and whether the connection was given up."""
    connected = Connected(five)
    sent = b"".join([connected.take(chunk) for chunk in chunks if not connected.connection._closed])
    given_up = connected.wire.aborted or connected.wire.disconnecting
    connected.end()
    return connected.taker.messages, sent, given_up


def by_paho_alone(chunks: Iterable[bytes], five: bool) -> tuple[list[Message], bytes, bool]:
    """The same without a short cut."""
    outlet, packets, messages = Gathered(), Packets(MAX_PAYLOAD_BYTES, properties=five), []
    client = MqttClient(settings(five), None, lambda: PacketSocket(packets, outlet))
    client.on_socket_register_write = lambda *_args: None

    def took(_client: object, _userdata: object, read: object) -> None:
        message = message_of(read, packets.full_length)  # type: ignore[arg-type]
        messages.append(message)
        client.ack(message.packet_id, message.qos)

    client.on_message = took
    client.introduce()
    client.loop_write()
    outlet.sent = b""
    for chunk in (CONNACK_5 if five else CONNACK, *chunks):
        packets.feed(chunk)
        while not outlet.closed and packets.next():
            client.loop_read()
        client.loop_write()
    return messages, outlet.sent, outlet.closed


def told_apart(sent: bytes) -> tuple[list[bytes], list[bytes]]:
    """PUBACKs, and the rest: only within these does the order matter."""
    queue = Packets(MAX_PAYLOAD_BYTES, properties=False)
    queue.feed(sent)
    packets = [packet for packet, _length in taken(queue)]
    assert b"".join(packets) == sent, "a packet went out in part"
    return [one for one in packets if one[0] == PUBACK], [one for one in packets if one[0] != PUBACK]


def assert_same(stream: bytes, cuts: Iterable[int], five: bool) -> list[Message]:
    edges = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    chunks = [stream[edges[n] : edges[n + 1]] for n in range(len(edges) - 1)]
    messages, sent, given_up = by_connection(chunks, five)
    expected, expected_sent, expected_given_up = by_paho_alone(chunks, five)
    assert messages == expected
    assert given_up == expected_given_up
    acknowledged, others = told_apart(sent)
    expected_acknowledged, expected_others = told_apart(expected_sent)
    if given_up:  # what paho has not sent by then it keeps to itself
        assert acknowledged[: len(expected_acknowledged)] == expected_acknowledged
    else:
        assert acknowledged == expected_acknowledged
        assert others == expected_others
    return messages


TOPICS = st.sampled_from(
    [b"STARS4ALL/stars1/reading", b"", b"\xff\xfe/odd", "stars/ñ/𝜆".encode(), b"with\0nul"]
)
PAYLOADS = st.one_of(
    st.binary(max_size=300), st.sampled_from([b"x" * MAX_PAYLOAD_BYTES, b"y" * LONG, b"z" * (LONG + 7)])
)


@st.composite
def packets(draw: st.DrawFn, five: bool) -> bytes:
    """A packet that a broker may send, or had better not."""
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return PINGRESP
    if kind == 1:
        return b"\x62\x02\x00" + bytes((draw(st.integers(1, 3)),))  # PUBREL, of what came at QoS 2
    if kind == 2:
        body = draw(st.binary(max_size=6))
        return bytes((0x30 | draw(st.integers(0, 15)),)) + length_bytes(len(body)) + body
    properties = draw(st.sampled_from([b""] * 8 + list(PROPERTIES))) if five else None
    packet_id = draw(st.integers(0, 3)) if kind == 3 else draw(st.integers(1, 0xFFFF))
    return publish(draw(st.integers(0, 15)), draw(TOPICS), draw(PAYLOADS), packet_id, properties)


@given(five=st.booleans(), choice=st.data())
def test_the_same_bytes_give_the_same_messages_and_answers(five: bool, choice: st.DataObject) -> None:
    stream = b"".join(choice.draw(st.lists(packets(five), max_size=12)))
    cuts = choice.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert_same(stream, cuts, five)


@pytest.mark.parametrize("five", [False, True])
def test_a_stream_that_is_cut_at_any_byte_gives_the_same(five: bool) -> None:
    properties = [b"", PROPERTIES[1], b"", PROPERTIES[2]] if five else [None] * 4
    stream = b"".join(
        (
            publish(0b0010, b"one", b"at least once", 1, properties[0]),
            publish(0b1010, b"two", b"again, as 3.1.1 or with a property", 1, properties[1]),
            PINGRESP,
            publish(0b0100, b"three", b"exactly once", 2, properties[0]),
            publish(0b0001, b"four", b"at most once, kept" * 12, 0, properties[2]),
            b"\x62\x02\x00\x02",
            publish(0b0011, b"five", b"", 3, properties[3]),
        )
    )
    whole = assert_same(stream, [], five)
    assert [message.topic for message in whole] == ["one", "two", "four", "three", "five"]
    for cut in range(1, len(stream)):
        assert assert_same(stream, [cut], five) == whole


@pytest.mark.parametrize("five", [False, True])
def test_only_plain_messages_pass_paho_by(five: bool) -> None:
    queue = Packets(MAX_PAYLOAD_BYTES, properties=five)
    none = b"" if five else None
    queue.feed(
        publish(0b0000, b"t", b"p", 0, none)
        + publish(0b1011, b"t", b"p", 9, none)
        + publish(0b0010, b"t", b"y" * LONG, 9, none)
    )
    for expected in (
        Message("t", b"p", 1, 0, False, False, 0),
        Message("t", b"p", 1, 1, True, True, 9),
        Message("t", b"y" * LONG, LONG, 1, False, False, 9),
    ):
        assert queue.next()
        assert queue.message() == expected
        with pytest.raises(BlockingIOError):
            queue.recv(1)
    others = [publish(0b0100, b"t", b"p", 9, none), publish(0b0110, b"t", b"p", 9, none)]
    others += [publish(0b0010, b"", b"p", 9, none), PINGRESP, b"\x32\x03\x00\x01t", b"\x30\x01\x00"]
    others += [publish(0b0010, b"t", b"p", 9, PROPERTIES[1]), b"\x30\x03\x00\x01t"] if five else []
    for other in others:
        queue.feed(other)
        assert queue.next()
        assert queue.message() is None
        assert queue.recv(len(other)) == other, "what is not plain is still there for paho"


def test_acknowledgements_of_one_turn_go_out_in_one_write() -> None:
    connected = Connected()
    writes: list[bytes] = []
    connected.wire.write = writes.append  # type: ignore[method-assign]
    connected.take(b"".join([publish(0b0010, b"t", b"p", number) for number in range(1, 301)]))
    assert writes == [b"".join([b"\x40\x02" + number.to_bytes(2, "big") for number in range(1, 301)])]
    connected.end()


def test_nothing_is_acknowledged_behind_a_goodbye() -> None:
    connected = Connected()
    connected.connection.ack(1, 1)
    connected.connection.leave()
    connected.connection.ack(2, 1)
    assert connected.pass_time(0) == b"\x40\x02\x00\x01\x40\x02\x00\x02\xe0\x00"
    connected.connection.ack(3, 1)
    assert connected.pass_time(0) == b""
    connected.end()
    connected.connection.ack(4, 1)
    assert not connected.clock.getDelayedCalls()


KEEPALIVE_S = 60


def test_who_only_listens_is_heard_by_the_broker() -> None:
    """It closes a connection that it hears nothing from for one and a half keep-alives, whatever it sends itself."""
    connected = Connected(keepalive_s=KEEPALIVE_S)
    silent_s = longest_s = 0
    for _ in range(5 * KEEPALIVE_S):
        sent = connected.take(publish(0b0000, b"t", b"at most once")) + connected.pass_time(1)
        if sent:
            assert sent == PINGREQ
            connected.take(PINGRESP)
        silent_s = 0 if sent else silent_s + 1
        longest_s = max(longest_s, silent_s)
    assert KEEPALIVE_S / 2 < longest_s <= KEEPALIVE_S
    assert not connected.wire.aborted
    connected.end()


def test_who_acknowledges_does_not_ping() -> None:
    connected = Connected(keepalive_s=KEEPALIVE_S)
    for number in range(1, 3 * KEEPALIVE_S):
        sent = connected.take(publish(0b0010, b"t", b"p", number)) + connected.pass_time(1)
        assert sent == b"\x40\x02" + number.to_bytes(2, "big")
    connected.end()


def test_an_idle_connection_is_kept_by_pings_and_a_silent_broker_is_left() -> None:
    connected = Connected(keepalive_s=KEEPALIVE_S)
    pings = 0
    for _ in range(5 * KEEPALIVE_S):
        if connected.pass_time(1) == PINGREQ:
            pings += 1
            connected.take(PINGRESP)
    assert 5 <= pings <= 6
    assert not connected.wire.aborted
    for second in range(2 * KEEPALIVE_S):
        connected.pass_time(1)
        if connected.wire.aborted:
            assert KEEPALIVE_S < second <= 1.5 * KEEPALIVE_S
            break
    else:
        pytest.fail("a broker that says nothing is never left")
    connected.end()


def test_a_broker_that_had_nothing_to_say_is_asked_before_it_is_left() -> None:
    """Our own acknowledgements, late because of a slow disk, keep the connection but bring no answer."""
    connected = Connected(keepalive_s=KEEPALIVE_S)
    connected.taker.at_once = False
    connected.take(publish(0b0010, b"t", b"p"))
    for second in range(5 * KEEPALIVE_S):
        if second == KEEPALIVE_S * 2 // 3:
            connected.connection.ack(7, 1)
        if PINGREQ in connected.pass_time(1):
            connected.take(PINGRESP)
    assert not connected.wire.aborted
    connected.end()


def test_a_connection_that_waits_for_the_disk_is_kept_however_long_that_takes() -> None:
    """Its answers are not read meanwhile: they must not be missed, and the broker must not miss us."""
    connected = Connected(keepalive_s=KEEPALIVE_S)
    connected.connection.hold()
    connected.take(publish(0b0010, b"t", b"p"))
    connected.connection.ack(7, 1)
    connected.pass_time(0)
    assert connected.wire.producerState == "paused"
    sent = [connected.pass_time(1) for _ in range(5 * KEEPALIVE_S)]
    assert 5 <= sent.count(PINGREQ) <= 6
    assert not connected.wire.aborted
    connected.connection.resume()
    connected.pass_time(1)
    assert connected.wire.producerState == "producing"
    assert [message.payload for message in connected.taker.messages] == [b"p"]
    connected.end()
