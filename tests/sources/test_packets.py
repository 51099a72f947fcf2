# SPDX-License-Identifier: MIT
"""Packets: whole ones come out whole, over-long ones cut, and memory stays bounded."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.sources.packets import Packets


def length_bytes(value: int) -> bytes:
    encoded = b""
    while True:
        value, low = divmod(value, 128)
        encoded += bytes((low | 0x80 if value else low,))
        if not value:
            return encoded


def publish(topic: bytes, payload: bytes, packet_id: int = 0, properties: bytes | None = None) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic
    body += packet_id.to_bytes(2, "big") if packet_id else b""
    if properties is not None:
        body += length_bytes(len(properties)) + properties
    return bytes((0x32 if packet_id else 0x30,)) + length_bytes(len(body) + len(payload)) + body + payload


def taken(packets: Packets) -> list[tuple[bytes, int | None]]:
    """All that is complete, read as paho reads."""
    found = []
    while packets.next():
        full_length = packets.full_length
        packet = packets.recv(1) + packets.recv(100_000_000)
        with pytest.raises(BlockingIOError):
            packets.recv(1)
        found.append((packet, full_length))
    return found


@given(
    st.lists(st.binary(max_size=300), max_size=20).map(
        lambda bodies: [publish(b"t", each) for each in bodies]
    ),
    st.integers(1, 70),
)
def test_packets_come_out_whole_however_they_arrive(packets: list[bytes], chunk: int) -> None:
    queue = Packets(1024, properties=False)
    stream, found = b"".join(packets), []
    for at in range(0, len(stream), chunk):
        queue.feed(stream[at : at + chunk])
        found += taken(queue)
    assert found == [(packet, None) for packet in packets]


@pytest.mark.parametrize("properties", [None, b"", b"\x26\x00\x01a\x00\x01b" * 30])
@pytest.mark.parametrize("packet_id", [0, 7])
@pytest.mark.parametrize("chunk", [999, 65_536, 10_000_000])
def test_an_over_long_payload_is_cut_and_its_length_told(
    properties: bytes | None, packet_id: int, chunk: int
) -> None:
    queue = Packets(1000, properties=properties is not None)
    payload = bytes(range(256)) * 1000
    after = publish(b"next", b"short", packet_id, properties)
    stream = publish(b"topic", payload, packet_id, properties) + after
    found = []
    for at in range(0, len(stream), chunk):
        queue.feed(stream[at : at + chunk])
        found += taken(queue)
    if chunk < len(stream):
        cut = publish(b"topic", payload[:1000], packet_id, None if properties is None else b"")
        assert found == [(cut, len(payload)), (after, None)]
    else:
        assert found == [(stream[: -len(after)], None), (after, None)]


def test_an_over_long_packet_is_not_given_before_its_end() -> None:
    queue = Packets(1000, properties=False)
    stream = publish(b"topic", b"x" * 1_000_000, 3)
    queue.feed(stream[:-1])
    assert taken(queue) == []
    queue.feed(stream[-1:])
    assert [length for _packet, length in taken(queue)] == [1_000_000]


def test_memory_is_bounded_by_the_maximum_and_not_by_the_sender() -> None:
    queue = Packets(1000, properties=False)
    stream = publish(b"topic", b"x" * 20_000_000, 3)
    tracemalloc.start()
    try:
        for at in range(0, len(stream), 65_536):
            queue.feed(stream[at : at + 65_536])
            queue.next()
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000


def test_a_length_that_is_none_goes_to_paho_to_be_refused() -> None:
    queue = Packets(1000, properties=False)
    queue.feed(b"\x30\xff\xff\xff\xff\x01rest")
    assert queue.next()
    assert queue.recv(100) == b"\x30\xff\xff\xff\xff\x01rest"
