# SPDX-License-Identifier: MIT
"""What can go wrong, in the words of the people who read it.

Expected failures in the data path are values that carry a `Reason` or a `Cause`; exceptions are for edges.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a frame or record was refused and kept in ``rejects``; the value is the counter's name."""

    TOO_LONG = "too_long"
    UNKNOWN_TOPIC = "unknown_topic"
    NOT_JSON = "not_json"
    NO_NAME = "no_name"
    INVALID = "invalid"
    BAD_MAC = "bad_mac"
    BAD_TIME = "bad_time"
    IMPLAUSIBLE_TIME = "implausible_time"
    ZERO_POINT = "zero_point"
    UNREGISTERED = "unregistered"
    HASH_MISMATCH = "hash_mismatch"
    CONFLICT = "conflict"
    DATABASE_REFUSED = "database_refused"
    UNKNOWN_CODE = "unknown_code"
    DAMAGED = "damaged"
    FRAMING = "framing"
    CUT = "cut"
    BAD_NAME = "bad_name"
    BAD_PAIR = "bad_pair"
    NULL_VALUE = "null_value"
    LIST_VALUE = "list_value"
    OBJECT_VALUE = "object_value"
    OVER_64_BITS = "over_64_bits"


class Cause(StrEnum):
    """Why a frame or record was filtered on purpose; the value is the counter's name."""

    RETAINED = "retained"
    DENIED = "denied"
    UNAUTHORISED = "unauthorised"
    RESOLUTION = "resolution"
    STALE = "stale"
    DECIMATED = "decimated"
    DAYLIGHT = "daylight"
    PLACEHOLDER = "placeholder"
    BEFORE_WINDOW = "before_window"
    UNKNOWN_PART = "unknown_part"
    SUPERSEDED = "superseded"


class TessmonError(Exception):
    """Base of every error whose text is one sentence that tells an operator what to do."""


class ConfigurationError(TessmonError):
    """The configuration can't be used; the text lists every problem with table, key and, where known, line."""


class SchemaError(TessmonError):
    """The database's schema version is not the one this program knows; the text has both and the command to run."""


class JournalError(TessmonError):
    """A journal can't be opened or written; the text names its directory."""


class JournalInUseError(JournalError):
    """Another process holds the journal's lock."""
