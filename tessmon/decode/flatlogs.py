# SPDX-License-Identifier: MIT
"""Where a record of a ``.bintel`` or ``.binlog`` file begins and ends: packed headers, little endian, no checksum.

Source: the instrument's flatlogs header (MagAO-X), whose comment and code differ about a length of 65535; the code
counts. A reader goes by the first length byte alone, so a short message in a longer form is a record too.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

HEADER = Struct("<bHIIB")
"""Priority, event code, seconds since 1970 UTC, nanoseconds, length of the message or how it is given."""
MAX_HEADER_BYTES = 20
LONGEST_SHORT = 253
"""A message up to this has its length in the header's last byte [bytes]."""
_MEDIUM = 254
_MEDIUM_LENGTH = Struct("<H")
_LONG_LENGTH = Struct("<Q")

SECOND_NS = 1_000_000_000
PRIORITIES = {
    0: "EMER",
    1: "ALRT",
    2: "CRIT",
    3: "ERR",
    4: "WARN",
    5: "NOTE",
    6: "INFO",
    7: "DBG",
    8: "DBG2",
    64: "TELM",
    126: "DEF?",
    127: "UNK?",
}
"""As printed, without the blank behind."""
UNKNOWN_PRIORITY = "UNK?"


class Header(NamedTuple):
    """What stands before a message.

    Attributes:
        priority: a key of `PRIORITIES`, if it is sound.
        code: the event code.
        time_s: when [s since 1970 UTC].
        time_ns: nanoseconds in that second.
        size: of the header itself [bytes].
        length: of the message [bytes].
    """

    priority: int
    code: int
    time_s: int
    time_ns: int
    size: int
    length: int


def header_at(content: bytes, at: int) -> Header | None:
    """The header that begins there; None where the content ends inside it."""
    message_at = at + HEADER.size
    if message_at > len(content):
        return None
    priority, code, time_s, time_ns, length = HEADER.unpack_from(content, at)
    if length > LONGEST_SHORT:
        longer = _MEDIUM_LENGTH if length == _MEDIUM else _LONG_LENGTH
        if message_at + longer.size > len(content):
            return None
        (length,) = longer.unpack_from(content, message_at)
        message_at += longer.size
    return Header(priority, code, time_s, time_ns, message_at - at, length)
