# SPDX-License-Identifier: MIT
"""What a point may be: a stamp that is a time, a value that is one number, truth value or text."""

from __future__ import annotations

import math
import re
from json import JSONDecoder
from typing import Any

from tessmon.decode.refusal import Refusal, quoted
from tessmon.decode.stamps import EARLIEST_S, LATEST_AHEAD_S
from tessmon.errors import Cause, Reason
from tessmon.records.vlbimon import Value

PLACEHOLDER_S = 946_684_800
"""2000-01-01: what the server has where it knows no time [s since 1970 UTC].

Source: last points of lists in its history.
"""

_HUGE = object()
"""An integer of so many digits that nobody need know them."""
_HUGE_DIGITS = 21
_NESTED = re.compile(r"[ \t\n\r]*\[[^\[\]{}]*,[ \t\n\r]*([\[{])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MARK = "\N{REPLACEMENT CHARACTER}"


def _whole(digits: str) -> object:
    return int(digits) if len(digits) <= _HUGE_DIGITS else _HUGE


_read = JSONDecoder(parse_int=_whole, strict=False).raw_decode


class Omission(Exception):  # noqa: N818 - it never leaves the decoder, which makes a Filtered of it
    """A point is left out on purpose."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


def parse(text: str) -> Any:
    """A value from its JSON text, which is known to be well-formed.

    Raises:
        Refusal: it is nested too deep to be anything.
    """
    try:
        return _read(text)[0]
    except RecursionError:
        nested = _NESTED.match(text)
        reason = Reason.BAD_PAIR if nested is None else _REASONS[{"[": list, "{": dict}[nested[1]]]
        raise Refusal(reason, "lists or objects in lists or objects, over and over") from None


def parse_pair(text: str) -> list[Any]:
    """A stamp and a value.

    Raises:
        Refusal: it is no list of two.
    """
    pair = parse(text)
    if not isinstance(pair, list):
        raise Refusal(Reason.BAD_PAIR, f"{quoted(text)} is no pair of time and value")
    if len(pair) != 2:
        raise Refusal(Reason.BAD_PAIR, f"a list of {len(pair)} is no pair of time and value")
    return pair


def check_stamp(stamp: Any, received_s: float, start_s: int | None = None) -> int | float:
    """A time [s since 1970 UTC] as it is.

    Args:
        received_s: when it came [s since 1970 UTC].
        start_s: begin of the window that was asked for.

    Raises:
        Refusal: it is no time, or one that only a wrong clock can say.
        Omission: it is the placeholder, or before the window.
    """
    if type(stamp) is not float and type(stamp) is not int:
        if stamp is _HUGE:
            raise Refusal(Reason.IMPLAUSIBLE_TIME, "the time is a huge number")
        raise Refusal(Reason.BAD_TIME, f"the time {_shown(stamp)} is no number")
    if not math.isfinite(stamp):
        raise Refusal(Reason.BAD_TIME, f"the time is {stamp}")
    if stamp == PLACEHOLDER_S:
        raise Omission(Cause.PLACEHOLDER)
    if start_s is not None and stamp < start_s:
        raise Omission(Cause.BEFORE_WINDOW)
    if stamp < EARLIEST_S:
        raise Refusal(Reason.IMPLAUSIBLE_TIME, f"the time {stamp} lies before the year 2000")
    if stamp > received_s + LATEST_AHEAD_S:
        raise Refusal(Reason.IMPLAUSIBLE_TIME, f"the time {stamp} lies more than a day after its arrival")
    return stamp


def check_value(value: Any) -> Value:
    """A value as it is.

    Raises:
        Refusal: it is none that a row can hold.
    """
    kind = type(value)
    if kind is float or kind is str or kind is bool:
        return value  # type: ignore[no-any-return]
    if kind is int and -(2**63) <= value < 2**63:
        return value  # type: ignore[no-any-return]
    raise Refusal(_REASONS.get(kind, Reason.OVER_64_BITS), f"the value is {_shown(value)}")


_REASONS: dict[type, Reason] = {
    type(None): Reason.NULL_VALUE,
    list: Reason.LIST_VALUE,
    dict: Reason.OBJECT_VALUE,
}


def storable(text: str) -> str:
    """Text as PostgreSQL takes it: each NUL and each half of a surrogate pair becomes U+FFFD."""
    if "\0" not in text and text.isascii():
        return text
    return _UNSTORABLE.sub(_MARK, text)


def _shown(value: object) -> str:
    if value is _HUGE:
        return "a huge number"
    return "null" if value is None else quoted(value)
