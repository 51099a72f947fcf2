# SPDX-License-Identifier: MIT
"""What the database and the service say of themselves: the demo's table shows nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tessmon.control.client import ask
from tessmon.database.driver import psycopg2
from tessmon.errors import TessmonError

LANE = "photometer"

_PHOTOMETERS_SQL = """
WITH readings AS (
    SELECT tess_id, tstamp, received_at, magnitude FROM tess_readings_t
    UNION ALL
    SELECT tess_id, tstamp, received_at, mag1 FROM tess_readings4c_t
), refused AS (
    SELECT subject, count(*) AS rejects FROM rejects WHERE lane = %(lane)s GROUP BY subject
)
SELECT n.name, max(t.model), count(r.tstamp), (array_agg(r.magnitude ORDER BY r.tstamp DESC NULLS LAST))[1],
       max(r.tstamp), extract(epoch FROM now() - max(r.received_at))::float8,
       coalesce(max(refused.rejects), 0)
FROM name_to_mac_t AS n JOIN tess_t AS t USING (mac_address)
LEFT JOIN readings AS r USING (tess_id)
LEFT JOIN refused ON refused.subject = n.name
WHERE n.valid_state = 'Current' GROUP BY n.name ORDER BY n.name
"""
_TALLIES_SQL = """
SELECT cause, sum(stored)::bigint, sum(duplicate)::bigint, sum(filtered)::bigint, sum(rejected)::bigint
FROM tallies WHERE lane = %(lane)s GROUP BY cause ORDER BY cause
"""
_ROWS_SQL = "SELECT (SELECT count(*) FROM tess_readings_t) + (SELECT count(*) FROM tess_readings4c_t)"
_REJECTS_SQL = "SELECT count(*), count(*) FILTER (WHERE due) FROM rejects WHERE lane = %(lane)s"


class PhotometerLine(NamedTuple):
    """One photometer: rows stored, its newest magnitude [mag/arcsec²] and time, how long ago its last reading
    came [s], rejects that bear its name."""

    name: str
    model: str
    rows: int
    magnitude: float | None
    at: datetime | None
    ago_s: float | None
    rejects: int


@dataclass(frozen=True)
class Counts:
    """What the database has, all read in one moment.

    Attributes:
        readings: stored, as the tallies have it.
        registrations: what became of those that were stored: new, renamed, changed, rebooted ...
        duplicates: readings that were there already with equal values.
        filtered, rejected: by cause and by reason.
        rows: of the tables of readings.
        reject_rows: of the table of rejects.
        due: rejects that wait to be tried again.
    """

    readings: int
    registrations: Counter[str]
    duplicates: int
    filtered: Counter[str]
    rejected: Counter[str]
    rows: int
    reject_rows: int
    due: int

    @property
    def accounted(self) -> int:
        """Messages whose fate is known."""
        counted = (self.registrations, self.filtered, self.rejected)
        return self.readings + self.duplicates + sum(each.total() for each in counted)


@dataclass(frozen=True)
class Glance:
    """One look at everything."""

    photometers: list[PhotometerLine]
    counts: Counts


class Figures:
    """Reads the figures with the rights of a dashboard.

    Args:
        dsn: of the reader.
    """

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def glance(self) -> Glance:
        """Photometers and counts of one moment."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(_PHOTOMETERS_SQL, {"lane": LANE})
            photometers = [PhotometerLine(*row) for row in cursor.fetchall()]
            cursor.execute(_TALLIES_SQL, {"lane": LANE})
            tallies = cursor.fetchall()
            cursor.execute(_ROWS_SQL)
            (rows,) = cursor.fetchone() or (0,)
            cursor.execute(_REJECTS_SQL, {"lane": LANE})
            reject_rows, due = cursor.fetchone() or (0, 0)
        return Glance(photometers, _counts(tallies, rows, reject_rows, due))


def _counts(tallies: list[tuple[Any, ...]], rows: int, reject_rows: int, due: int) -> Counts:
    readings = duplicates = 0
    registrations: Counter[str] = Counter()
    filtered: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for cause, stored, duplicate, left_out, refused in tallies:
        if cause:
            registrations[cause] += stored
        else:
            readings += stored
        duplicates += duplicate
        filtered[cause] += left_out
        rejected[cause] += refused
    return Counts(readings, +registrations, duplicates, +filtered, +rejected, rows, reject_rows, due)


def service_status(admin_socket: Path) -> dict[str, Any]:
    """What the service says of itself; empty when it does not answer."""
    try:
        return ask(admin_socket, "/status", timeout_s=5)
    except TessmonError:
        return {}


def waiting_frames(status: dict[str, Any]) -> int | None:
    """What stands in the journal and is not in the database; None when the service does not say."""
    frames = status.get("waiting", {}).get(LANE, {}).get("frames")
    return frames if isinstance(frames, int) else None


def received_messages(status: dict[str, Any]) -> int | None:
    """Messages that the service's sources took since it started; None when it does not say."""
    sources = status.get("sources")
    return sum(source["received"] for source in sources) if sources else None


def lag_s(status: dict[str, Any]) -> float | None:
    """Age of the oldest message that is not stored [s]."""
    lags = [lane["lag_s"] for lane in status.get("lanes", []) if lane["lag_s"] is not None]
    return max(lags) if lags else None
