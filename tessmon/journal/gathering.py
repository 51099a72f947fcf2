# SPDX-License-Identifier: MIT
"""Frames on their way to the disk: packed, and cut into groups with the receipts they came with."""

from __future__ import annotations

import struct
from collections import deque
from typing import NamedTuple

import msgspec

from tessmon.journal.appending import Group
from tessmon.records.frame import Frame, FrameKind, pack_frame

GROUP_BYTES = 1 << 20
"""A group is cut when it has this much [bytes]: one blob that a reader holds in memory."""

COMMIT_BYTES = 4 << 20
"""What goes into one transaction at most, and at least one group [bytes]."""


class Parcel(NamedTuple):
    """A group and the receipts of its frames."""

    group: Group
    receipts: list[object]


class Gathering:
    """What was appended and is not on disk."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.newest_ns = 0
        self._packed: list[bytes] = []
        self._receipts: list[object] = []
        self._first_ns = 0
        self._gathered_bytes = 0
        self._parcels: deque[Parcel] = deque()

    def add(self, frame: Frame, receipt: object) -> bool:
        """Take a frame; whether a group is full now."""
        packed = _packed(frame)
        if not self._packed:
            self._first_ns = frame.received_ns
        self.newest_ns = frame.received_ns
        self._packed.append(packed)
        if receipt is not None:
            self._receipts.append(receipt)
        self.size_bytes += len(packed)
        self._gathered_bytes += len(packed)
        if self._gathered_bytes < GROUP_BYTES:
            return False
        self.cut()
        return True

    def cut(self) -> None:
        """What is gathered is a group now."""
        if self._packed:
            group = Group(self._packed, self._first_ns, self.newest_ns, self._gathered_bytes)
            self._parcels.append(Parcel(group, self._receipts))
            self._packed, self._receipts, self._gathered_bytes = [], [], 0

    def ready(self) -> list[Parcel]:
        """The oldest groups, as many as one transaction takes; they stay here until they are ``written``."""
        parcels: list[Parcel] = []
        size_bytes = 0
        for parcel in self._parcels:
            size_bytes += parcel.group.size_bytes
            if parcels and size_bytes > COMMIT_BYTES:
                break
            parcels.append(parcel)
        return parcels

    def written(self, parcels: list[Parcel]) -> None:
        """The oldest groups are on disk."""
        for parcel in parcels:
            self._parcels.popleft()
            self.size_bytes -= parcel.group.size_bytes


def _packed(frame: Frame) -> bytes:
    """The frame, or an event in its place when its numbers or its topic can't be packed: no source makes such, but an
    append never fails and nothing goes in silence."""
    try:
        return pack_frame(frame)
    except (ValueError, struct.error) as error:
        detail = msgspec.json.encode(
            {"why": str(error), "topic": repr(frame.topic)[:200], "bytes": len(frame.payload)}
        )
        return pack_frame(Frame(FrameKind.EVENT, frame.received_ns, "frame_not_packed", detail, len(detail)))
