# SPDX-License-Identifier: MIT
"""What came and what became of it since the last time, in the lines that operators of tessdb-server look for.

Source: the names of the figures are those of tessdb-server 4.0.9's hourly log. Its figures counted look-ups; these
count messages by what became of them, and rows that are in the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tessmon.errors import Cause, Reason
from tessmon.interfaces import LaneStatus, SourceStatus
from tessmon.sink.registration import Outcome

Key = tuple[str, str]
"""(outcome, cause), as a lane's account counts."""

STORED: Key = ("stored", "")
NEW, REBOOTED, RENAMED, CHANGED, REPLACED, OVERRIDDEN = (
    ("stored", str(outcome))
    for outcome in (
        Outcome.NEW,
        Outcome.REBOOTED,
        Outcome.RENAMED,
        Outcome.CHANGED,
        Outcome.REPLACED,
        Outcome.OVERRIDDEN,
    )
)


def _filtered(*causes: Cause) -> tuple[Key, ...]:
    return tuple(("filtered", str(cause)) for cause in causes)


def _rejected(*reasons: Reason) -> tuple[Key, ...]:
    return tuple(("rejected", str(reason)) for reason in reasons)


NOT_REGISTERED = _rejected(Reason.UNREGISTERED)
NOT_AUTHORISED = _filtered(Cause.UNAUTHORISED)
DAYLIGHT = _filtered(Cause.DAYLIGHT)
DUPLICATE: tuple[Key, ...] = (
    ("duplicate", ""),
    *_rejected(Reason.CONFLICT),
    *_filtered(Cause.RESOLUTION),
)
OTHER = (*_filtered(Cause.DECIMATED), *_rejected(Reason.HASH_MISMATCH, Reason.DATABASE_REFUSED))
NOT_OK = (*NOT_REGISTERED, *NOT_AUTHORISED, *DAYLIGHT, *DUPLICATE, *OTHER)
READINGS = (STORED, *NOT_OK)
REGISTRATIONS = (
    *(NEW, REBOOTED, RENAMED, CHANGED, REPLACED, OVERRIDDEN),
    *_filtered(Cause.STALE),
    *_rejected(Reason.ZERO_POINT),
)
DISCARDED = _filtered(Cause.RETAINED, Cause.DENIED)
NOT_UNDERSTOOD = _rejected(
    Reason.TOO_LONG,
    Reason.UNKNOWN_TOPIC,
    Reason.NOT_JSON,
    Reason.NO_NAME,
    Reason.INVALID,
    Reason.BAD_MAC,
    Reason.BAD_TIME,
    Reason.IMPLAUSIBLE_TIME,
)
"""Nobody can say for all of these whether they were readings; tessdb had them in its total and nowhere else."""


OF_FILES = _rejected(Reason.UNKNOWN_CODE, Reason.DAMAGED, Reason.FRAMING, Reason.CUT)
"""No message of a broker is refused for these."""


OF_VLBIMON = (
    *_rejected(
        Reason.BAD_NAME,
        Reason.BAD_PAIR,
        Reason.NULL_VALUE,
        Reason.LIST_VALUE,
        Reason.OBJECT_VALUE,
        Reason.OVER_64_BITS,
    ),
    *_filtered(Cause.PLACEHOLDER, Cause.BEFORE_WINDOW, Cause.UNKNOWN_PART, Cause.SUPERSEDED),
)
"""Nor for these."""


class Line(NamedTuple):
    """One line of the log: title, with the figures' names in brackets, and as many figures."""

    title: str
    figures: list[int]


class Period(NamedTuple):
    """What happened between two looks.

    Attributes:
        received: messages that came from the broker, each once [count].
        redelivered: those that came again and were known [count].
        outcomes: (outcome, cause) → records that the lane has accounted for. Where rejects of an earlier time found
            their place, the count of their reason is negative.
    """

    received: int
    redelivered: int
    outcomes: Mapping[Key, int]

    def lines(self) -> Iterator[Line]:
        """What an operator greps for."""
        yield Line(
            "MQTT Stats [Total, Reads, Register, Discard]",
            [self.received, self._sum(READINGS), self._sum(REGISTRATIONS), self._sum(DISCARDED)],
        )
        yield Line(
            "DB Stats Readings [Total, OK, NOK]",
            [self._sum(READINGS), self._sum([STORED]), self._sum(NOT_OK)],
        )
        registered = (NEW, REBOOTED, RENAMED, CHANGED, REPLACED, OVERRIDDEN)
        yield Line(
            "DB Stats Register [Total, New, Rebooted, Renamed, ZP Changed, Replaced, Overriden]",
            [self._sum(REGISTRATIONS), *(self._sum([key]) for key in registered)],
        )
        details = (NOT_REGISTERED, NOT_AUTHORISED, DAYLIGHT, DUPLICATE, OTHER)
        yield Line(
            "DB Stats NOK details [Not Reg, Not Auth, Daylight, Dup, Other]",
            [self._sum(keys) for keys in details],
        )

    def __str__(self) -> str:
        """Everything, for the line that has no counterpart: what was received, and each outcome that occurred."""
        counted = [f"{' '.join(filter(None, key))} {count}" for key, count in sorted(self.outcomes.items())]
        return "; ".join(
            [
                f"{self.received} received",
                f"{self.redelivered} redelivered",
                ", ".join(counted) or "no records",
            ]
        )

    def _sum(self, keys: Iterable[Key]) -> int:
        return sum(self.outcomes.get(key, 0) for key in keys)


class Statistics:
    """Tells what is new in counts that only grow."""

    def __init__(self) -> None:
        self._received = self._redelivered = 0
        self._outcomes: Counter[Key] = Counter()

    def period(self, source: SourceStatus, lane: LaneStatus) -> Period:
        """What happened since the last call, or since the start of the process."""
        received, redelivered = source.received - source.redelivered, source.redelivered
        outcomes = Counter(lane.outcomes)
        changed = {
            key: outcomes[key] - self._outcomes[key]
            for key in outcomes
            if outcomes[key] != self._outcomes[key]
        }
        period = Period(received - self._received, redelivered - self._redelivered, changed)
        self._received, self._redelivered, self._outcomes = received, redelivered, outcomes
        return period
