# SPDX-License-Identifier: MIT
"""What this side knows of its MQTT session: the packets journalled in it and the topics subscribed.

The broker sends an unacknowledged message again after a lost connection, with the DUP flag and its old packet
id. Whether it stands in the journal already is told by the last frame journalled under that id.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from hashlib import blake2b

import msgspec
import ujson

from tessmon.records.frame import Frame, FrameKind

_DIGEST_BYTES = 16


class Receipt(msgspec.Struct):
    """What the journal gives back when a frame is on disk: whom to acknowledge.

    Attributes:
        generation: the connection that brought the packet last.
        packet_id, qos: of the PUBLISH.
    """

    generation: int
    packet_id: int
    qos: int


class Seen(Enum):
    """Whether a frame has been journalled in this session."""

    NEW = 0
    ON_DISK = 1
    """Acknowledge it at once."""
    PENDING = 2
    """It is acknowledged when the first copy is on disk."""


class Session:
    """The memory of one MQTT session; it outlives connections and is rebuilt from the journal after a start.

    Attributes:
        topics: filters that the broker may hold for this client.
    """

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self._owner: tuple[str, str] | None = None
        self._digests: dict[int, bytes] = {}
        self._pending: dict[int, Receipt] = {}

    def begin(self, present: bool, broker: str, client_id: str) -> None:
        """A connection was accepted.

        Args:
            present: the broker kept the session; otherwise, or at another broker, packet ids begin anew.
            broker, client_id: whose session it is.
        """
        owner = (broker, client_id)
        if not present or self._owner not in (None, owner):
            self._digests.clear()
            self._pending.clear()
            self.topics.clear()
        self._owner = owner

    def look(self, frame: Frame) -> Seen:
        """Is this frame, which came with DUP, journalled already? If it is pending, the acknowledgement goes
        to the connection that brought it now."""
        if self._digests.get(frame.packet_id) != _digest(frame):
            return Seen.NEW
        receipt = self._pending.get(frame.packet_id)
        if receipt is None:
            return Seen.ON_DISK
        receipt.generation = frame.generation
        return Seen.PENDING

    def journalled(self, frame: Frame) -> Receipt:
        """The frame is given to the journal with this receipt."""
        receipt = Receipt(frame.generation, frame.packet_id, frame.qos)
        self._digests[frame.packet_id] = _digest(frame)
        self._pending[frame.packet_id] = receipt
        return receipt

    def settled(self, receipt: Receipt) -> None:
        """The frame with this receipt is on disk."""
        if self._pending.get(receipt.packet_id) is receipt:
            del self._pending[receipt.packet_id]

    def recall(self, frames: Iterable[Frame]) -> Iterable[None]:
        """Take up frames of an earlier process, oldest first; a generator with a step a frame."""
        for frame in frames:
            if frame.kind == FrameKind.MESSAGE and frame.qos:
                self._digests[frame.packet_id] = _digest(frame)
            elif frame.kind == FrameKind.EVENT:
                self._recall_event(frame)
            yield

    def _recall_event(self, frame: Frame) -> None:
        detail = ujson.loads(frame.payload)
        if frame.topic == "connected":
            self.begin(detail["session_present"], detail["broker"], detail["client_id"])
        if frame.topic in ("connected", "subscribed"):
            self.topics = set(detail["topics"])


def _digest(frame: Frame) -> bytes:
    """Of topic, full length and what is kept of the payload: the same before and after the journal."""
    head = f"{frame.topic}\0{frame.length}\0".encode("utf-8", "surrogateescape")
    return blake2b(head + frame.payload, digest_size=_DIGEST_BYTES).digest()
