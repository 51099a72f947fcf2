# SPDX-License-Identifier: MIT
"""The contract with paho: what tessmon relies on beyond its documentation."""

from __future__ import annotations

import inspect

import paho.mqtt
from paho.mqtt.client import Client

from tessmon.config.model import Mqtt
from tessmon.sources.mqtt_client import MqttClient, PacketSocket
from tessmon.sources.packets import Packets

SETTINGS = Mqtt(client_id="contract")


class Gathered:
    """An outlet that keeps what it gets."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False

    def write(self, packet: bytes) -> None:
        self.sent += packet

    def close(self) -> None:
        self.closed = True


def client_on(outlet: Gathered, packets: Packets) -> MqttClient:
    client = MqttClient(SETTINGS, None, lambda: PacketSocket(packets, outlet))
    client.on_socket_register_write = lambda *_args: None
    return client


def test_paho_asks_the_private_hook_for_its_socket_and_uses_it() -> None:
    assert inspect.signature(Client._create_socket).parameters.keys() == {"self"}, (
        f"paho {paho.mqtt.__version__} changed _create_socket; tessmon.sources.mqtt_client must follow"
    )
    outlet, packets = Gathered(), Packets(1000, properties=False)
    client = client_on(outlet, packets)
    client.introduce()
    client.loop_write()
    assert outlet.sent.startswith(b"\x10"), "CONNECT did not come out of the socket that the hook gave"
    assert b"contract" in outlet.sent
    packets.feed(b"\x20\x02\x01\x00")
    assert packets.next()
    client.loop_read()
    assert client.is_connected(), "CONNACK was not read from the socket that the hook gave"


def test_one_call_of_loop_read_takes_one_packet() -> None:
    outlet, packets = Gathered(), Packets(1000, properties=False)
    client = client_on(outlet, packets)
    topics: list[str] = []
    client.on_message = lambda _c, _u, message: topics.append(message.topic)
    client.introduce()
    packets.feed(b"\x20\x02\x00\x00" + b"\x30\x03\x00\x01a" + b"\x30\x03\x00\x01b")
    for expected in ([], ["a"], ["a", "b"]):
        assert packets.next()
        client.loop_read(10)
        assert topics == expected


def test_nothing_is_acknowledged_by_paho_itself_and_acknowledgements_wait_for_loop_write() -> None:
    outlet, packets = Gathered(), Packets(1000, properties=False)
    client = client_on(outlet, packets)
    client.introduce()
    client.loop_write()
    packets.feed(b"\x20\x02\x00\x00" + b"\x32\x05\x00\x01a\x00\x07")
    while packets.next():
        client.loop_read()
    client.loop_write()
    assert b"\x40\x02" not in outlet.sent
    client.ack(7, 1)
    assert b"\x40\x02" not in outlet.sent
    client.loop_write()
    assert outlet.sent.endswith(b"\x40\x02\x00\x07")
