# SPDX-License-Identifier: MIT
"""The server's state and settings, as far as they matter to the service; each look is one finding."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

from tessmon.cli.table import size
from tessmon.database.objects import TABLES
from tessmon.database.plain import rows, value
from tessmon.doctor.finding import Finding, fault, milliseconds, ok, warning

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

_COMMITS = 5
_SLOW_COMMIT_S = 0.1
_FEW_CONNECTIONS = 5


def _durability(connection: PlainConnection) -> Finding:
    """synchronous_commit is the service's own affair; these two are the server's."""
    subject = "database durability"
    fsync, whole_pages = (value(connection, f"SHOW {name}") for name in ("fsync", "full_page_writes"))
    found = f"fsync {fsync}, full_page_writes {whole_pages}"
    if fsync != "on":
        return fault(subject, f"{found}: a power cut can ruin the database", "ALTER SYSTEM SET fsync = on")
    if whole_pages != "on":
        return warning(
            subject,
            f"{found}: a power cut can ruin pages unless the file system writes them whole",
            "ALTER SYSTEM SET full_page_writes = on",
        )
    return ok(subject, found)


def _connections(connection: PlainConnection) -> Finding:
    [(limit, taken, role_limit, role_taken)] = rows(
        connection,
        """SELECT current_setting('max_connections')::integer
                      - current_setting('superuser_reserved_connections')::integer,
                  (SELECT sum(numbackends) FROM pg_stat_database)::integer,
                  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
                  (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)""",
    )
    left = limit - taken if role_limit < 0 else min(limit - taken, role_limit - role_taken)
    found = f"{left} of {limit} left"
    if left < _FEW_CONNECTIONS:
        return warning("database connections", found, "raise max_connections, or the role's CONNECTION LIMIT")
    return ok("database connections", found)


_ENDING_SETTINGS = ("idle_session_timeout", "transaction_timeout")
"""The service sets the other time-outs itself; the first of these ends its LISTEN, the second its batches."""


def _timeouts(connection: PlainConnection) -> Finding:
    ending = rows(
        connection,
        "SELECT name, current_setting(name), quote_ident(current_user) FROM pg_settings"
        " WHERE name = ANY (%s) AND setting <> '0' ORDER BY 1",
        [list(_ENDING_SETTINGS)],
    )
    if ending:
        return warning(
            "database time-outs",
            f"{', '.join(f'{name} = {text}' for name, text, _ in ending)} ends sessions that the service needs",
            " ".join(f"ALTER ROLE {user} SET {name} = 0;" for name, _, user in ending),
        )
    return ok("database time-outs", "none that ends the service's sessions")


_BLOCKING_SQL = """
SELECT l.pid, l.mode, c.relname::text FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted
  AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND l.pid <> pg_backend_pid()
  AND (c.relname = ANY (%(tables)s) OR EXISTS (
       SELECT FROM pg_inherits AS i JOIN pg_class AS p ON p.oid = i.inhparent
       WHERE i.inhrelid = c.oid AND p.relname = ANY (%(tables)s)))
ORDER BY 1, 3
"""


def _locks(connection: PlainConnection) -> Finding:
    """Locks that hold up an INSERT, as ALTER TABLE, VACUUM FULL or CREATE INDEX take them."""
    blocking = rows(connection, _BLOCKING_SQL, {"tables": list(TABLES)})
    if not blocking:
        return ok("database locks", "nobody holds up writing to our tables")
    held = ", ".join(f"process {pid} has {mode} on {name}" for pid, mode, name in blocking[:5])
    pids = ", ".join(str(pid) for pid in sorted({pid for pid, _, _ in blocking}))
    return warning(
        "database locks",
        f"{held}: the service waits for it",
        f"let it end, or SELECT pg_terminate_backend({pids})",
    )


def _slots(connection: PlainConnection) -> Finding:
    idle = rows(
        connection,
        """SELECT slot_name::text, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
           FROM pg_replication_slots WHERE NOT active ORDER BY 2 DESC""",
    )
    if not idle:
        return ok("database slots", "no unused replication slot keeps WAL from being removed")
    held = ", ".join(f"{name} ({size(kept_bytes)})" for name, kept_bytes in idle)
    return warning(
        "database slots",
        f"unused replication slots keep WAL until the disk is full: {held}",
        "start their subscriber, or SELECT pg_drop_replication_slot(name)",
    )


def _commit(connection: PlainConnection) -> Finding:
    """An empty logical message is a commit like any other, and leaves no trace in a table."""
    took_s = []
    for _ in range(_COMMITS):
        began_s = time.monotonic()
        rows(connection, "SELECT pg_logical_emit_message(true, 'tessmon doctor', '')")
        took_s.append(time.monotonic() - began_s)
    found = f"{milliseconds(median(took_s))}, median of {_COMMITS}; longest {milliseconds(max(took_s))}"
    if median(took_s) > _SLOW_COMMIT_S:
        return warning(
            "database commit", found, "look at the disk of the server's WAL and synchronous standbys"
        )
    return ok("database commit", found)


LOOKS: dict[str, Callable[[PlainConnection], Finding]] = {
    "database durability": _durability,
    "database connections": _connections,
    "database time-outs": _timeouts,
    "database locks": _locks,
    "database slots": _slots,
    "database commit": _commit,
}
"""Subject → what finds out about it."""
