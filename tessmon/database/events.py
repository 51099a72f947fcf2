# SPDX-License-Identifier: MIT
"""The table ``telem``, as the command line asks it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tessmon.database.plain import rows

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

_SELECT = """
SELECT t.ts, t.ns, t.device, t.ec, t.prio, t.msg, t.digest, f.origin_host, f.origin_path, t.file_offset
FROM telem AS t LEFT JOIN file_origins AS f ON f.file_id = t.file_id"""
_KNOWN_DEVICES = "SELECT DISTINCT device FROM file_origins WHERE kind <> ''"
_CHOSEN = f"""
WHERE t.device = ANY(CASE WHEN %(all)s THEN ARRAY({_KNOWN_DEVICES}) ELSE %(devices)s::text[] END)
  AND (%(ec)s IS NULL OR t.ec = %(ec)s)"""
_NEWEST_SQL = f"""{_SELECT} {_CHOSEN} AND t.ts >= %(since)s AND t.ts <= %(until)s
ORDER BY t.ts DESC, t.ns DESC, t.file_offset DESC LIMIT %(limit)s"""
_AFTER_SQL = f"""{_SELECT} {_CHOSEN} AND t.ts >= %(since)s ORDER BY t.ts, t.ns, t.file_offset"""


class Choice(NamedTuple):
    """Whose events: those of some devices, of all when none is named; of one event code, or of any (None)."""

    devices: Sequence[str] = ()
    ec: str | None = None


class StoredEvent(NamedTuple):
    """A row of ``telem``; host and path are None when ``file_origins`` has no row of its file."""

    ts: datetime
    ns: int
    device: str
    ec: str
    prio: str
    msg: Any
    digest: int
    host: str | None
    path: str | None
    offset: int

    @property
    def stamp(self) -> str:
        """2026-03-01T22:00:00.123456789Z"""
        return f"{self.ts.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{self.ts.microsecond:06}{self.ns:03}Z"

    def plain(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return {
            "ts": self.stamp,
            "device": self.device,
            "prio": self.prio,
            "ec": self.ec,
            "msg": self.msg,
            "host": self.host,
            "path": self.path,
            "offset": self.offset,
        }


def newest(
    connection: PlainConnection, chosen: Choice, since: datetime, until: datetime, limit: int
) -> list[StoredEvent]:
    """The newest of a time, both ends included, in the order of time."""
    given = {**_chosen(chosen), "since": since, "until": until, "limit": limit}
    return [StoredEvent(*row) for row in reversed(rows(connection, _NEWEST_SQL, given))]


def after(connection: PlainConnection, chosen: Choice, since: datetime) -> list[StoredEvent]:
    """All from a time on, in the order of time."""
    return [StoredEvent(*row) for row in rows(connection, _AFTER_SQL, {**_chosen(chosen), "since": since})]


def _chosen(chosen: Choice) -> dict[str, Any]:
    return {"all": not chosen.devices, "devices": list(chosen.devices), "ec": chosen.ec}
