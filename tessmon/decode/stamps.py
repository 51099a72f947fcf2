# SPDX-License-Identifier: MIT
"""The time a publisher gives: ``tstamp``.

Source: what tessdb and the gateways exchange: date, T or blank, time, an optional fraction, an optional Z or
numeric offset from UTC; without either it is UTC.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from tessmon.decode.refusal import Refusal, quoted
from tessmon.errors import Reason

EARLIEST_S = 946_684_800
"""2000-01-01T00:00:00Z; no photometer is that old [s since 1970 UTC]."""
LATEST_AHEAD_S = 86_400
"""A stamp further ahead of its arrival than this comes from a wrong clock [s]."""

_MAX_CHARACTERS = 64
_MAX_OFFSET_HOURS = 15
_UNIX_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.\d+)?(?:Z|([+-])(\d\d)(?::?([0-5]\d))?)?",
    re.ASCII,
)


def parse_stamp(stamp: object) -> int:
    """A stamp as seconds since 1970 UTC, its fraction cut off.

    Raises:
        Refusal: it has another form or names a day that doesn't exist.
    """
    if isinstance(stamp, str) and len(stamp) <= _MAX_CHARACTERS:
        return _stamp_s(stamp)
    raise _refusal(stamp)


@lru_cache(maxsize=4096)
def _stamp_s(stamp: str) -> int:
    """Many photometers speak in one second, and their stamps are alike."""
    if match := _STAMP.fullmatch(stamp):
        day, hour, minute, second, sign, offset_hours, offset_minutes = match.groups()
        day_s = _day_s(day)
        if day_s is not None and (sign is None or int(offset_hours) <= _MAX_OFFSET_HOURS):
            at_s = day_s + int(hour) * 3600 + int(minute) * 60 + int(second)
            if sign is None:
                return at_s
            offset_s = int(offset_hours) * 3600 + int(offset_minutes or 0) * 60
            return at_s - offset_s if sign == "+" else at_s + offset_s
    raise _refusal(stamp)


def _refusal(stamp: object) -> Refusal:
    return Refusal(Reason.BAD_TIME, f"tstamp: {quoted(stamp)} is not like 2026-03-01T22:15:00Z")


def check_plausible(at_s: int, received_s: int) -> None:
    """Refuse what only a wrong clock can say.

    Raises:
        Refusal: it lies before 2000 or more than a day after its arrival.
    """
    if at_s < EARLIEST_S:
        raise Refusal(Reason.IMPLAUSIBLE_TIME, "tstamp: lies before the year 2000")
    if at_s > received_s + LATEST_AHEAD_S:
        raise Refusal(Reason.IMPLAUSIBLE_TIME, f"tstamp: lies {at_s - received_s} s after its arrival")


@lru_cache(maxsize=1024)
def _day_s(day: str) -> int | None:
    """Begin of a day [s since 1970 UTC], None when there is no such day."""
    try:
        return (date.fromisoformat(day).toordinal() - _UNIX_EPOCH_ORDINAL) * 86_400
    except ValueError:
        return None
