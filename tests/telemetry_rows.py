# SPDX-License-Identifier: MIT
"""Rows of ``telem`` for tests of those who read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from tests.postgres import Database

BEGIN = datetime(2026, 3, 1, 22, tzinfo=UTC)
_INSERT = "INSERT INTO telem (ts, ns, file_id, file_offset, digest, device, ec, prio, msg) VALUES %s"
_FILE = """
INSERT INTO file_origins (origin_host, origin_path, modification_time, creation_time, size_bytes, device, kind, fsid,
                          inode, head_bytes)
VALUES ('exao1', %s, now(), now(), 0, %s, 'bintel', 1, 1, 0) RETURNING file_id"""
_numbers = count(1)


def store_events(
    database: Database,
    messages: Iterable[Any],
    device: str = "camwfs",
    ec: str = "telem_stdcam",
    begin: datetime = BEGIN,
    step: timedelta = timedelta(seconds=1),
    ns: int = 0,
) -> None:
    """One record after the other, a step of time apart, as if they came from one file."""
    with psycopg2.connect(database.dsn) as connection, connection.cursor() as cursor:
        cursor.execute(_FILE, [f"/telem/{device}_{next(_numbers)}.bintel", device])
        ((file_id,),) = cursor.fetchall()
        cursor.execute(
            "SELECT tessmon_ensure_partitions('telem', ARRAY[%s]::date[])", [begin.date().replace(day=1)]
        )
        events = [
            (begin + n * step, ns, file_id, n, next(_numbers), device, ec, "TELM", json.dumps(message))
            for n, message in enumerate(messages)
        ]
        execute_values(cursor, _INSERT, events)
    connection.close()
