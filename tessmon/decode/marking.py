# SPDX-License-Identifier: MIT
"""Strings of records, with a mark where PostgreSQL can't take them as they are.

A NUL, which ``jsonb`` refuses, and every byte that is not UTF-8 become U+FFFD (the replacement character) and two
hexadecimal digits: ``b"caf\\xe9"`` is stored as ``caf�E9``. So nothing is lost, and the place can be seen.
"""

from __future__ import annotations

MARK = "\N{REPLACEMENT CHARACTER}"
_ESCAPED = 0xDC00
"""What ``surrogateescape`` makes of a byte that is not UTF-8, less the byte."""
_MARKED = {_ESCAPED + byte: f"{MARK}{byte:02X}" for byte in range(0x80, 0x100)} | {0: f"{MARK}00"}


def marked_text(content: bytes) -> str:
    """A string as it can be stored."""
    return content.decode("utf-8", "surrogateescape").translate(_MARKED)
