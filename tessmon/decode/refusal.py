# SPDX-License-Identifier: MIT
"""How a decoder's parts say that a payload is no record, and how they quote from it."""

from __future__ import annotations

from tessmon.errors import Reason

MAX_DETAIL_CHARACTERS = 500
_MAX_QUOTED_CHARACTERS = 80


class Refusal(Exception):  # noqa: N818 - it never leaves the decoder, which makes a Reject of it
    """A payload is no record."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail[:MAX_DETAIL_CHARACTERS]


def quoted(value: object) -> str:
    """A value from outside, fit for a sentence: ASCII only, of bounded length and cost."""
    if isinstance(value, (str, bytes)):
        shown = ascii(value[: _MAX_QUOTED_CHARACTERS + 1])
    elif isinstance(value, int) and value.bit_length() > 64:
        shown = "a huge number"
    elif value is None or isinstance(value, (int, float)):
        shown = repr(value)
    else:
        shown = "an object" if isinstance(value, dict) else "a list"
    return shown if len(shown) <= _MAX_QUOTED_CHARACTERS else shown[: _MAX_QUOTED_CHARACTERS - 1] + "~"
