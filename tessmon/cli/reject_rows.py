# SPDX-License-Identifier: MIT
"""The table ``rejects``, as the command line asks it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_LISTED = ("reject_id", "received_at", "reason", "subject", "topic", "due", "detail")
_SHOWN = (
    "reject_id",
    "lane",
    "origin",
    "position",
    "piece",
    "received_at",
    "rejected_at",
    "reason",
    "subject",
    "detail",
    "due",
    "topic",
    "envelope",
    "payload",
)


class Filter(NamedTuple):
    """Which rejects; what is None does not matter."""

    ids: Sequence[int] | None = None
    reason: str | None = None
    subject: str | None = None
    since: datetime | None = None

    def where(self) -> tuple[str, list[object]]:
        """A WHERE clause and its arguments."""
        tests = {
            "reject_id = ANY(%s)": None if self.ids is None else list(self.ids),
            "reason = %s": self.reason,
            "subject = %s": self.subject,
            "received_at >= %s": self.since,
        }
        chosen = {test: value for test, value in tests.items() if value is not None}
        return " AND ".join(chosen) or "true", list(chosen.values())


def count_by_reason(database: connection, chosen: Filter) -> dict[str, int]:
    """How many there are, the most frequent reason first."""
    where, values = chosen.where()
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT reason, count(*) FROM rejects WHERE {where} GROUP BY reason ORDER BY count(*) DESC, reason",
            values,
        )
        return dict(cursor.fetchall())


def newest(database: connection, chosen: Filter, limit: int) -> list[dict[str, Any]]:
    """The rejects, without their bytes."""
    where, values = chosen.where()
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(_LISTED)} FROM rejects WHERE {where}"
            " ORDER BY received_at DESC, reject_id DESC LIMIT %s",
            [*values, limit],
        )
        return [dict(zip(_LISTED, row, strict=True)) for row in cursor]


def one(database: connection, reject_id: int) -> dict[str, Any] | None:
    """All of one reject; its bytes as bytes."""
    with database.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(_SHOWN)} FROM rejects WHERE reject_id = %s", [reject_id])
        row = cursor.fetchone()
    if row is None:
        return None
    return {
        name: bytes(value) if isinstance(value, memoryview) else value
        for name, value in zip(_SHOWN, row, strict=True)
    }


def unknown_ids(database: connection, ids: Sequence[int]) -> list[int]:
    """Which of these are not there."""
    with database.cursor() as cursor:
        cursor.execute("SELECT reject_id FROM rejects WHERE reject_id = ANY(%s::bigint[])", [list(ids)])
        return sorted(set(ids).difference(reject_id for (reject_id,) in cursor))


def mark_due(database: connection, chosen: Filter) -> int:
    """Have the lane take them again; a trigger of the table tells it. Returns how many."""
    where, values = chosen.where()
    with database.cursor() as cursor:
        cursor.execute(f"UPDATE rejects SET due = true WHERE {where}", values)
        return cursor.rowcount
