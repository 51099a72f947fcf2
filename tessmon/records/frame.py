# SPDX-License-Identifier: MIT
"""A frame: bytes as they came, with origin and time, and their packed form.

A packed frame is a header (`_HEADER`, little endian) followed by the topic and the payload; packed frames are
joined without separators to make a journal group, and stand alone in ``rejects``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum

import msgspec

from tessmon.records.position import Position

_HEADER = struct.Struct("<BBHIqIHI")
"""kind, flags, packet id, connection generation, receive time [ns], full payload length, topic length,
stored payload length [bytes]."""

_RETAIN, _DUP, _QOS_SHIFT, _QOS_MASK = 1, 2, 2, 3
MAX_TOPIC_BYTES = 0xFFFF


class FrameKind(IntEnum):
    """What a frame carries."""

    MESSAGE = 0
    """Bytes that an instrument sent."""
    EVENT = 1
    """Something that happened to the source: topic is what, payload a JSON object with details."""
    TICK = 2
    """Nothing came for a minute; the frame's time is the lane's clock."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """Bytes as they came.

    Attributes:
        kind: a `FrameKind`, as int.
        received_ns: when it came [ns since 1970 UTC]; strictly increasing within a source, unless the clock was put
            back by more than a day.
        topic: MQTT topic, or the name of an event; odd bytes as surrogates (``surrogateescape``).
        payload: the message's bytes, cut to the configured maximum when it was longer.
        length: the message's full length [bytes]; larger than ``len(payload)`` when it was cut.
        qos, dup, retain, packet_id: of the MQTT PUBLISH that brought it; 0 otherwise.
        generation: which of the source's connections brought it, counted from 1 in each process.
        position: where it stands in its journal; empty until it has been read from there.
        origin: the key of the journal or file it stands in; empty for the lane's own journal.
    """

    kind: int
    received_ns: int
    topic: str
    payload: bytes
    length: int
    qos: int = 0
    dup: bool = False
    retain: bool = False
    packet_id: int = 0
    generation: int = 0
    position: Position = ()
    origin: str = ""


class FrameFormatError(ValueError):
    """Packed frames end in the middle of one, or hold a number that no writer puts there."""


def pack_frame(frame: Frame) -> bytes:
    """The frame as bytes; its position is not part of them.

    Raises:
        ValueError: the topic is longer than `MAX_TOPIC_BYTES`.
    """
    topic = frame.topic.encode("utf-8", "surrogateescape")
    if len(topic) > MAX_TOPIC_BYTES:
        raise ValueError(f"a topic of {len(topic)} bytes is longer than {MAX_TOPIC_BYTES}")
    flags = frame.retain * _RETAIN | frame.dup * _DUP | frame.qos << _QOS_SHIFT
    payload = frame.payload
    header = _HEADER.pack(
        frame.kind,
        flags,
        frame.packet_id,
        frame.generation,
        frame.received_ns,
        frame.length,
        len(topic),
        len(payload),
    )
    return b"".join((header, topic, payload))


def pack_frames(frames: Iterable[Frame]) -> bytes:
    """Frames one behind the other: the blob of a journal group."""
    return b"".join(map(pack_frame, frames))


def unpack_frames(blob: bytes, segment: int = 0, group: int = 0) -> list[Frame]:
    """All frames of a group, each with its position (segment, group, index from 0).

    Raises:
        FrameFormatError: the blob is cut or is no group.
    """
    frames = []
    unpack, header_size, size = _HEADER.unpack_from, _HEADER.size, len(blob)
    at = index = 0
    while at < size:
        if at + header_size > size:
            raise FrameFormatError(f"{size - at} bytes are left after frame {index}, less than a header")
        kind, flags, packet_id, generation, received_ns, length, topic_size, stored = unpack(blob, at)
        topic_at = at + header_size
        payload_at = topic_at + topic_size
        at = payload_at + stored
        if at > size or kind > FrameKind.TICK:
            raise FrameFormatError(f"frame {index} is cut or damaged")
        frames.append(
            Frame(
                kind,
                received_ns,
                blob[topic_at:payload_at].decode("utf-8", "surrogateescape"),
                blob[payload_at:at],
                length,
                flags >> _QOS_SHIFT & _QOS_MASK,
                bool(flags & _DUP),
                bool(flags & _RETAIN),
                packet_id,
                generation,
                (segment, group, index),
            )
        )
        index += 1
    return frames
