# SPDX-License-Identifier: MIT
"""What becomes of a frame that is not stored as a row: rejects, filtered frames, events, ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from tessmon.errors import Cause, Reason
from tessmon.records.frame import Frame
from tessmon.records.photometer import Reading, Registration
from tessmon.records.telemetry import TelemetryEvent
from tessmon.records.vlbimon import Contact, Masterlist, Point, Poll, Swept

FLUSH = "flush"
"""The event with which an operator asks stages to let go of what they hold."""
JOURNAL_FULL = "journal_full"
"""The event with which a source takes nothing more. Stages let go of what they hold then: it keeps the journal from
being passed, and as long as nothing comes no frame makes it older, so the journal would be full for ever."""


class Reject(msgspec.Struct, frozen=True):
    """A frame or record refused: kept with its reason, can be replayed.

    Attributes:
        frame: the smallest piece that replays alone.
        reason: the counter's name.
        detail: one sentence for the operator; no longer than 500 characters.
        subject: the photometer's name when it is known for sure, else empty.
    """

    frame: Frame
    reason: Reason
    detail: str
    subject: str = ""


class Filtered(msgspec.Struct, frozen=True):
    """A frame or record left out on purpose: only counted."""

    frame: Frame
    cause: Cause
    subject: str = ""


class SourceEvent(msgspec.Struct, frozen=True):
    """Something that happened to a source: connected, lost, paused, journal full.

    Attributes:
        frame: the event frame.
        what: one word or two, joined by underscores.
        detail: a JSON object as text.
    """

    frame: Frame
    what: str
    detail: str


class Withdrawn(msgspec.Struct, frozen=True):
    """What was rejected as cut at the place of this frame has its rest now: that reject is void."""

    frame: Frame


class Tick(msgspec.Struct, frozen=True):
    """A minute in which a source had nothing to say."""

    frame: Frame


class Several(msgspec.Struct, frozen=True):
    """A frame that is more than one record, or none. Each that may be rejected has a frame of its own, which stands
    behind this one's position and decodes to that record alone."""

    frame: Frame
    records: Sequence[Record]


Record: TypeAlias = (
    Reading
    | Registration
    | TelemetryEvent
    | Point
    | Contact
    | Masterlist
    | Poll
    | Swept
    | Reject
    | Filtered
    | SourceEvent
    | Withdrawn
    | Tick
    | Several
)
