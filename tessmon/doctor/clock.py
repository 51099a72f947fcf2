# SPDX-License-Identifier: MIT
"""Clocks: ours, the database's, the publishers'. MQTT carries no time, so a broker's clock can't be seen."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from tessmon.cli.table import duration
from tessmon.database.driver import psycopg2
from tessmon.database.plain import DatabaseError, rows, value
from tessmon.database.trouble import sentence_of
from tessmon.doctor.database import password_of, reading
from tessmon.doctor.finding import Finding, Wishes, fault, milliseconds, not_checked, ok, warning
from tessmon.doctor.patience import Patience

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

LIMIT_S = 30.0

_TRIES = 5
_OFF_S = 1.0
"""Times of readings are whole seconds."""
_ABSURD_S = 3600.0
_PUBLISHERS = 200
_PUBLISHERS_OFF_S = 60.0

_STA_UNSYNC = 0x40
"""Source: adjtimex(2)."""
_TIMEX = struct.Struct("@Illlli")
"""The beginning of struct timex: modes, offset, freq, maxerror, esterror [µs], status."""


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """Ours first: the other figures are differences from it."""
    yield _kernel()
    settings = wishes.loaded.config.database
    try:
        with reading(settings, password_of(settings)) as connection:
            offset = database_offset(connection)
            patience.left_s(1)
            yield judged_offset(offset)
            yield _publishers(connection)
    except (ValueError, DatabaseError) as error:
        yield not_checked("clock database", str(error))
    yield not_checked(
        "clock broker", "MQTT carries no time; publishers' stamps are compared above where they send them"
    )


def _kernel() -> Finding:
    """What the kernel knows of the daemon that disciplines its clock."""
    buffer = ctypes.create_string_buffer(
        1024
    )  # struct timex has 208 bytes, and only the kernel knows its future
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(buffer) < 0:
        why = os.strerror(ctypes.get_errno())
        return not_checked("clock", f"the kernel does not tell whether it is synchronised: {why}")
    _, _, _, max_error_us, _, status = _TIMEX.unpack_from(buffer.raw)
    if status & _STA_UNSYNC:
        return warning(
            "clock",
            "nothing keeps this machine's clock right, says the kernel (in a virtual machine its host may)",
            "run chrony or systemd-timesyncd",
        )
    return ok("clock", f"synchronised, off by {milliseconds(max_error_us / 1e6)} at most")


class Offset(NamedTuple):
    """How far a clock is ahead of ours, and by how much that can be wrong, half a round trip [s]."""

    ahead_s: float
    uncertain_s: float


def database_offset(connection: PlainConnection) -> Offset:
    """Of the quickest of some questions."""
    found = []
    for _ in range(_TRIES):
        began_s, began = time.time(), time.monotonic()
        theirs_s = float(value(connection, "SELECT extract(epoch FROM clock_timestamp())"))
        half_s = (time.monotonic() - began) / 2
        found.append(Offset(theirs_s - (began_s + half_s), half_s))
    return min(found, key=lambda each: each.uncertain_s)


def judged_offset(offset: Offset, subject: str = "clock database") -> Finding:
    """How much of it is certain counts."""
    ahead = "ahead of" if offset.ahead_s > 0 else "behind"
    found = f"{_short(abs(offset.ahead_s))} {ahead} ours, ± {milliseconds(offset.uncertain_s)}"
    advice = "set the clock that is wrong; NTP keeps both right"
    certain_s = abs(offset.ahead_s) - offset.uncertain_s
    if certain_s >= _ABSURD_S:
        return fault(subject, found, advice)
    if certain_s >= _OFF_S:
        return warning(subject, found, advice)
    return ok(subject, found)


_STAMPED_SQL = """
SELECT p.mac_address, extract(epoch FROM r.received_at - r.tstamp)::double precision
FROM (SELECT tess_id, mac_address FROM tess_t WHERE valid_state = 'Current' ORDER BY tess_id DESC LIMIT %(most)s) AS p
CROSS JOIN LATERAL (
    SELECT tstamp, received_at, units_id FROM {table} AS r
    WHERE r.tess_id = p.tess_id AND r.tstamp BETWEEN now() - interval '1 day' AND now() + interval '2 days'
    ORDER BY tstamp DESC LIMIT 1
) AS r
JOIN tess_units_t AS u ON u.units_id = r.units_id
WHERE u.timestamp_source = 'Publisher'
"""


def _publishers(connection: PlainConnection) -> Finding:
    subject = "clock publishers"
    try:
        late = [
            each
            for table in ("tess_readings_t", "tess_readings4c_t")
            for each in rows(connection, _STAMPED_SQL.format(table=table), {"most": _PUBLISHERS})
        ]
    except psycopg2.Error as error:
        return not_checked(subject, f"readings can't be read: {sentence_of(error)}")
    if not late:
        return not_checked(subject, "no reading of the last day has a stamp of its publisher")
    return judged_publishers(late)


def judged_publishers(late: list[tuple[str, float]]) -> Finding:
    """What the newest stamped reading of each photometer says: how long it was under way by its publisher's clock.

    Args:
        late: MAC, time from stamp to arrival [s]; below 0 the publisher's clock is ahead of ours.
    """
    middle_s = median(seconds for _, seconds in late)
    mac, worst_s = max(late, key=lambda each: abs(each[1]))
    found = (
        f"newest stamped readings of {len(late)} photometers came a median of {_signed(middle_s)} after their stamp, "
        f"{mac} {_signed(worst_s)}"
    )
    if abs(worst_s) >= _PUBLISHERS_OFF_S:
        return warning(
            "clock publishers", found, "set the clocks of these gateways, or find what holds readings up"
        )
    return ok("clock publishers", found)


def _signed(seconds: float) -> str:
    return f"{'-' if seconds < 0 else ''}{_short(abs(seconds))}"


def _short(seconds: float) -> str:
    return milliseconds(seconds) if seconds < 1 else duration(seconds)
