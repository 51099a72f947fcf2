# SPDX-License-Identifier: MIT
"""Frames survive packing exactly, and damage is recognised."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.records.frame import (
    MAX_TOPIC_BYTES,
    Frame,
    FrameFormatError,
    FrameKind,
    pack_frame,
    pack_frames,
    unpack_frames,
)

TOPICS = st.binary(max_size=60).map(lambda topic: topic.decode("utf-8", "surrogateescape"))
FRAMES = st.builds(
    Frame,
    kind=st.sampled_from([int(kind) for kind in FrameKind]),
    received_ns=st.integers(-(2**63), 2**63 - 1),
    topic=TOPICS,
    payload=st.binary(max_size=300),
    length=st.integers(0, 2**32 - 1),
    qos=st.integers(0, 2),
    dup=st.booleans(),
    retain=st.booleans(),
    packet_id=st.integers(0, 2**16 - 1),
    generation=st.integers(0, 2**32 - 1),
)


@given(st.lists(FRAMES, max_size=20), st.integers(1, 2**62), st.integers(1, 2**62))
def test_frames_come_back_exactly_with_their_positions(frames: list[Frame], segment: int, group: int) -> None:
    back = unpack_frames(pack_frames(frames), segment, group)
    assert [frame.position for frame in back] == [(segment, group, index) for index in range(len(frames))]
    assert [msgspec.structs.replace(frame, position=()) for frame in back] == frames


@given(FRAMES)
def test_position_is_not_packed(frame: Frame) -> None:
    assert pack_frame(msgspec.structs.replace(frame, position=(1, 2, 3))) == pack_frame(frame)


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
def test_cut_group_is_refused_unless_cut_between_frames(frames: list[Frame], drawn: st.DataObject) -> None:
    packed = [pack_frame(frame) for frame in frames]
    blob = b"".join(packed)
    ends = [sum(map(len, packed[:count])) for count in range(len(packed) + 1)]
    cut = drawn.draw(st.integers(0, len(blob)))
    if cut in ends:
        assert len(unpack_frames(blob[:cut])) == ends.index(cut)
    else:
        with pytest.raises(FrameFormatError):
            unpack_frames(blob[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_a_format_error(blob: bytes) -> None:
    try:
        frames = unpack_frames(blob)
    except FrameFormatError:
        return
    assert sum(len(frame.payload) for frame in frames) <= len(blob)


def test_unknown_kind_is_refused() -> None:
    blob = bytearray(pack_frame(Frame(FrameKind.TICK, 1, "", b"", 0)))
    blob[0] = 3
    with pytest.raises(FrameFormatError):
        unpack_frames(bytes(blob))


def test_topic_of_the_largest_size_is_kept_and_a_longer_one_refused() -> None:
    largest = Frame(FrameKind.MESSAGE, 1, "t" * MAX_TOPIC_BYTES, b"p", 1)
    assert unpack_frames(pack_frame(largest))[0].topic == largest.topic
    with pytest.raises(ValueError, match="longer than"):
        pack_frame(Frame(FrameKind.MESSAGE, 1, "é" * (MAX_TOPIC_BYTES // 2 + 1), b"", 0))
