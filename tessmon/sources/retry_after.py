# SPDX-License-Identifier: MIT
"""How long a server wants to be left alone (Source: RFC 9110, 10.2.3)."""

from __future__ import annotations

from tessmon.sources.http_date import http_date_s

LONGEST_S = 3600.0
"""Nobody is left alone for longer [s]."""
_MAX_DIGITS = 9


def retry_after_s(header: str | None, date: str | None, now_s: float) -> float | None:
    """What ``Retry-After`` says.

    Args:
        header: seconds, or a date of HTTP.
        date: what the server's ``Date`` says, whose clock may not be ours.
        now_s: our own clock [s since 1970 UTC].

    Returns:
        From 0 to `LONGEST_S`; None when it says nothing that can be understood.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[-_MAX_DIGITS:]) if len(text) <= _MAX_DIGITS else LONGEST_S, LONGEST_S)
    until = http_date_s(text)
    if until is None:
        return None
    theirs = http_date_s(date)
    return min(max(0.0, until - (now_s if theirs is None else theirs)), LONGEST_S)
