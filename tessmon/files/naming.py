# SPDX-License-Identifier: MIT
"""What the name of a telemetry file says: device, start, kind.

Source: file names of MagAO-X: ``DEVICE_YYYYMMDDHHMMSSNNNNNNNNN.bintel`` (UTC, time of the first record) and
``DEVICE_YYYY-MM-DDTHHMMSS.ndjson`` of Python devices (local time of the process's start).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from tessmon.files.tree import shown

KINDS = ("bintel", "binlog", "ndjson", "ndjson.gz")
"""Ends of names, without the dot."""

_NAME = re.compile(
    r"(?P<device>.+)_"  # greedy: a device's own name may hold underscores, so it ends at the last one
    r"(?:(?P<stamp>[0-9]{14})(?P<ns>[0-9]{9})|(?P<local>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}))"
    rf"\.(?P<kind>{'|'.join(map(re.escape, KINDS))})",
    re.DOTALL,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_SECOND_NS = 1_000_000_000
_END_NS = 1 << 63


class FileName(NamedTuple):
    """A telemetry file's name, taken apart.

    Attributes:
        device: all before the last underscore; bytes that are no printable text as `shown` writes them.
        start_ns: the stamp [ns since 1970 UTC].
        kind: one of `KINDS`.
    """

    device: str
    start_ns: int
    kind: str


def name_of(file_name: str, timezone: tzinfo) -> FileName | None:
    """Take a name apart.

    Args:
        file_name: without directories.
        timezone: of the clocks of Python devices. Of an hour that comes twice there, the first is taken.

    Returns:
        None for a name that is no telemetry file's, also when its stamp is no time between 1970 and 2262.
    """
    found = _NAME.fullmatch(file_name)
    if found is None:
        return None
    try:
        start = _moment(found["stamp"], UTC) if found["stamp"] else _moment(found["local"], timezone)
        start_ns = (start - _EPOCH) // _SECOND * _SECOND_NS + int(found["ns"] or 0)
    except (ValueError, OverflowError):
        return None
    if not 0 <= start_ns < _END_NS:
        return None
    device = found["device"]
    return FileName(device if device.isprintable() else shown(device), start_ns, found["kind"])


def _moment(stamp: str, zone: tzinfo) -> datetime:
    """Year to second; strptime takes five times as long."""
    digits = stamp.replace("-", "").replace("T", "")
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
    return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=zone)
