# SPDX-License-Identifier: MIT
"""The time in a line of a Python device: local time without a zone.

Source: ``datetime.now().isoformat()`` with ``000`` behind it: microseconds and three zeros, or, when the microsecond is
0, seconds and three zeros without a point. The instrument's own programs print nine digits behind a point.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache, partial

from tessmon.decode.refusal import Refusal, quoted
from tessmon.errors import Reason

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_USUAL_CHARACTERS = len("2024-03-20T05:46:58.123456000")
_MINUTE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")
_SECONDS = re.compile(r":([0-5][0-9])(?:\.([0-9]{1,9})|000)?")


class LocalStamps:
    """Turns stamps into nanoseconds since 1970 UTC.

    When clocks are put back an hour comes twice: its stamps are taken for the first one, whoever reads them and
    whatever stands beside them. When clocks are put forward an hour is missing: a stamp in it is refused, because the
    clock it was read from can't have been in this time zone.

    Args:
        timezone: in which the clocks of the devices are.
    """

    def __init__(self, timezone: tzinfo) -> None:
        self._minute_ns: Callable[[str], int] = lru_cache(1024)(partial(_minute_ns, timezone))

    def parse(self, stamp: str) -> int:
        """A stamp [ns since 1970 UTC].

        Raises:
            Refusal: it has another form, or there is no such time.
        """
        if len(stamp) == _USUAL_CHARACTERS and stamp[19] == "." and stamp[16] == ":":
            digits = stamp[17:19] + stamp[20:]
            if digits.isdigit() and digits.isascii() and (in_minute_ns := int(digits)) < _MINUTE_NS:
                return self._minute_ns(stamp[:16]) + in_minute_ns
        if (found := _SECONDS.fullmatch(stamp[16:])) is None:
            raise _refusal(stamp)
        in_minute_ns = int(found[1]) * _SECOND_NS + int((found[2] or "").ljust(9, "0"))
        return self._minute_ns(stamp[:16]) + in_minute_ns


def _minute_ns(timezone: tzinfo, minute: str) -> int:
    """Begin of a minute of local time [ns since 1970 UTC]. Zones change theirs at full minutes."""
    if _MINUTE.fullmatch(minute) is None:
        raise _refusal(minute)
    try:
        local = datetime.fromisoformat(minute)
        at = local.replace(tzinfo=timezone).astimezone(UTC)
        exists = at.astimezone(timezone).replace(tzinfo=None) == local
    except (ValueError, OverflowError):
        raise _refusal(minute) from None
    if not exists:
        raise Refusal(
            Reason.BAD_TIME, f"ts: there is no {minute} in {timezone}, where clocks are put forward then"
        )
    return (at - _EPOCH) // _SECOND * _SECOND_NS


def _refusal(stamp: str) -> Refusal:
    return Refusal(Reason.BAD_TIME, f"ts: {quoted(stamp)} is not like 2024-03-20T05:46:58.123456000")
