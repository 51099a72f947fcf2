# SPDX-License-Identifier: MIT
"""The memory of a session tells redeliveries from messages that only look alike."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tessmon.records.frame import Frame, FrameKind, pack_frames, unpack_frames
from tessmon.sources.mqtt_session import Seen, Session

BROKER, ID = "mqtt://broker:1883", "tessmon"


def message(packet_id: int, payload: bytes = b"{}", **more: Any) -> Frame:
    fields = {"topic": "t", "length": len(payload), "qos": 1, "generation": 1} | more
    return Frame(FrameKind.MESSAGE, 1, payload=payload, packet_id=packet_id, **fields)


def connected(present: bool, broker: str = BROKER) -> Frame:
    detail = {"session_present": present, "broker": broker, "client_id": ID, "topics": ["a/#"]}
    payload = json.dumps(detail).encode()
    return Frame(FrameKind.EVENT, 1, "connected", payload, len(payload))


def recalled(*frames: Frame) -> Session:
    """As after a start: frames went through the journal's bytes."""
    session = Session()
    for _step in session.recall(unpack_frames(pack_frames(frames), 1, 1)):
        pass
    return session


def test_only_the_last_frame_under_an_id_counts() -> None:
    session = recalled(connected(False), message(5, b"old"), message(5, b"new"), message(6, b"other"))
    assert session.look(message(5, b"new", dup=True)) is Seen.ON_DISK
    assert session.look(message(5, b"old", dup=True)) is Seen.NEW
    assert session.look(message(6, b"new", dup=True)) is Seen.NEW
    assert session.look(message(5, b"new", topic="u", dup=True)) is Seen.NEW


def test_a_cut_payload_is_known_again_and_one_of_another_length_is_not() -> None:
    session = recalled(connected(False), message(5, b"x" * 100, length=10_000_000))
    assert session.look(message(5, b"x" * 100, length=10_000_000, dup=True)) is Seen.ON_DISK
    assert session.look(message(5, b"x" * 100, length=10_000_001, dup=True)) is Seen.NEW


def test_a_new_session_or_another_broker_forgets() -> None:
    assert recalled(connected(False), message(5), connected(True)).look(message(5)) is Seen.ON_DISK
    assert recalled(connected(False), message(5), connected(False)).look(message(5)) is Seen.NEW
    assert recalled(connected(False), message(5), connected(True, "mqtt://b:1")).look(message(5)) is Seen.NEW
    assert recalled(message(5), connected(True)).look(message(5)) is Seen.ON_DISK


def test_topics_of_an_earlier_process_are_known() -> None:
    assert recalled(connected(False)).topics == {"a/#"}


def test_a_pending_copy_takes_the_acknowledgement_to_the_new_connection() -> None:
    session = Session()
    receipt = session.journalled(message(5, generation=1))
    assert session.look(message(5, generation=2, dup=True)) is Seen.PENDING
    assert receipt.generation == 2
    session.settled(receipt)
    assert session.look(message(5, generation=3, dup=True)) is Seen.ON_DISK
    assert receipt.generation == 2


def test_what_is_pending_from_a_lost_session_does_not_touch_the_new_one() -> None:
    session = Session()
    old = session.journalled(message(5, b"old", generation=1))
    session.begin(False, BROKER, ID)
    new = session.journalled(message(5, b"new", generation=2))
    session.settled(old)
    assert session.look(message(5, b"new", generation=3, dup=True)) is Seen.PENDING
    assert (old.generation, new.generation) == (1, 3)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0xDCFF)), st.binary(max_size=50))
def test_any_topic_and_payload_is_known_again(topic: str, payload: bytes) -> None:
    odd = topic.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    session = recalled(message(9, payload, topic=odd))
    assert session.look(message(9, payload, topic=odd, dup=True)) is Seen.ON_DISK
