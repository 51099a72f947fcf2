# SPDX-License-Identifier: MIT
"""Dates in headers of HTTP (Source: RFC 9110, 5.6.7)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def http_date_s(text: str | None) -> float | None:
    """A date [s since 1970 UTC]; None for another text, or none."""
    try:
        found: datetime = parsedate_to_datetime(text or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
