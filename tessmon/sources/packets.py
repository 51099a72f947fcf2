# SPDX-License-Identifier: MIT
"""The bytes of an MQTT connection, cut into whole packets: plain messages are read here, the rest by paho.

paho reads a PUBLISH in 12 µs, which is a third of all that a reading costs until it is a row; here it takes 1.
What is more than a plain message (QoS 2, properties, faults) stays paho's, so nothing of the protocol is known twice.

paho also collects a packet in memory however long it is (the protocol allows 256 MiB). Here the end of an
over-long PUBLISH is dropped while it arrives and the packet is rewritten to what was kept, so memory stays
bounded.
Source: MQTT 3.1.1 and 5.0, sections 2.2 (fixed header) and 3.3 (PUBLISH).
"""

from __future__ import annotations

import msgspec

_PUBLISH = 3
_PLAIN_MASK, _PLAIN = 0b1111_0100, 0b0011_0000
"""First byte of a PUBLISH at QoS 0 or 1."""
_DUP, _RETAIN = 0b1000, 0b0001
_MAX_LENGTH_BYTES = 4
_ADDRESS_BYTES = 2 + 0xFFFF + 2 + _MAX_LENGTH_BYTES
"""The most that topic, packet id and the length of the properties take."""


def _number(packet: bytes | bytearray, at: int) -> tuple[int, int]:
    """The variable byte integer at ``at`` and where it ends; (-1, at) when more bytes are needed.

    Raises:
        ValueError: it is longer than four bytes.
    """
    value = 0
    for place in range(_MAX_LENGTH_BYTES):
        if at + place >= len(packet):
            return -1, at
        byte = packet[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a length of more than four bytes")


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | 0x80 if value else low)
        if not value:
            return bytes(encoded)


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as the broker sent it.

    Attributes:
        topic: odd bytes as surrogates (``surrogateescape``).
        payload: its bytes, cut when it was over-long.
        length: of the whole payload [bytes].
        qos, dup, retain, packet_id: of the PUBLISH.
    """

    topic: str
    payload: bytes
    length: int
    qos: int
    dup: bool
    retain: bool
    packet_id: int


class Packets:
    """A queue of bytes that knows where MQTT packets end.

    Attributes:
        max_payload_bytes: longer payloads are cut to this many bytes.
        full_length: the whole payload's length when that of the current packet was cut, else None [bytes].
    """

    def __init__(self, max_payload_bytes: int, *, properties: bool) -> None:
        """Args: properties: packets have MQTT 5 properties."""
        self.max_payload_bytes = max_payload_bytes
        self.full_length: int | None = None
        self._properties = properties
        self._buffer = b""
        self._at = self._body = self._end = 0
        self._kept = bytearray()
        self._command = self._long = self._missing = 0
        self._cut_length: int | None = None

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they came from the network."""
        if self._missing:
            chunk = self._swallow(chunk)
        self._buffer = self._buffer[self._at :] + chunk if self._at < len(self._buffer) else chunk
        self._end -= self._at
        self._at = 0

    def next(self) -> bool:
        """Make the next packet readable; False when it is not complete yet."""
        self.full_length, self._cut_length = self._cut_length, None
        buffer, at = self._buffer, self._end
        self._at = at
        if len(buffer) < at + 2:
            return False
        length = buffer[at + 1]
        body = at + 2
        if length >= 0x80:
            try:
                length, body = _number(buffer, at + 1)
            except ValueError:
                self._body = self._end = len(buffer)  # paho finds the same fault and ends the connection
                return True
            if length < 0:
                return False
        if body + length <= len(buffer):
            self._body, self._end = body, body + length
            return True
        if length > self.max_payload_bytes + _ADDRESS_BYTES and buffer[at] >> 4 == _PUBLISH:
            self._begin_long(body, length)
        return False

    def message(self) -> Message | None:
        """The current packet, read whole, if it is a plain message; None leaves it for `recv`."""
        buffer, at, end = self._buffer, self._body + 2, self._end
        command = buffer[self._at]
        if command & _PLAIN_MASK != _PLAIN or at > end:
            return None
        topic_end = at + (buffer[at - 2] << 8 | buffer[at - 1])
        qos = command >> 1 & 1
        payload_at = topic_end + 2 * qos + self._properties
        if payload_at > end or topic_end == at or (self._properties and buffer[payload_at - 1]):
            return None
        self._at = end
        payload = buffer[payload_at:end]
        return Message(
            buffer[at:topic_end].decode("utf-8", "surrogateescape"),
            payload,
            self.full_length or len(payload),
            qos,
            command & _DUP != 0,
            command & _RETAIN != 0,
            buffer[topic_end] << 8 | buffer[topic_end + 1] if qos else 0,
        )

    def recv(self, size: int) -> bytes:
        """Bytes of the current packet.

        Raises:
            BlockingIOError: all of it has been read.
        """
        at = self._at
        stop = min(at + size, self._end)
        if at == stop:
            raise BlockingIOError
        self._at = stop
        return self._buffer[at:stop]

    def _begin_long(self, body: int, length: int) -> None:
        self._command = self._buffer[self._at]
        self._long = self._missing = length
        self._kept = bytearray()
        rest = self._buffer[body:]
        self._buffer, self._at, self._end = b"", 0, 0
        self._swallow(rest)

    def _swallow(self, chunk: bytes) -> bytes:
        """Take what belongs to the over-long packet; when it is complete, it stands cut before the rest."""
        room = self.max_payload_bytes + _ADDRESS_BYTES - len(self._kept)
        self._kept += chunk[: min(room, self._missing)]
        rest = chunk[self._missing :]
        self._missing = max(self._missing - len(chunk), 0)
        return rest if self._missing else self._cut() + rest

    def _cut(self) -> bytes:
        """The over-long packet without its properties and the end of its payload."""
        kept, self._kept = bytes(self._kept), bytearray()
        at = 2 + int.from_bytes(kept[:2], "big") + (2 if self._command & 0b110 else 0)
        head, start = kept[:at], at
        if self._properties:
            size, start = _number(kept, at)
            head, start = head + b"\0", start + size
        payload = kept[start : start + self.max_payload_bytes]
        self._cut_length = max(self._long - start, 0)
        return bytes((self._command,)) + _encoded(len(head) + len(payload)) + head + payload
