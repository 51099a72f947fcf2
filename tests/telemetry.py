# SPDX-License-Identifier: MIT
"""The service with files and without a broker, and what of files is in the database."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.observatory import Service, fetch, tally, wait_for
from tests.postgres import Database

SAMPLES = Path(__file__).parent / "magaox"
HOST = "exao1"
LONG_AGO_S = 3600
"""A file that has not changed for so long is finished when its device has a newer one [s]."""
_ROWS_SQL = """
SELECT f.origin_path, t.file_offset, t.device, extract(epoch FROM t.ts)::numeric * 1000000000 + t.ns, t.ec, t.prio,
       t.msg::text, t.digest
FROM telem AS t JOIN file_origins AS f USING (file_id)"""


def following(directory: Path, tree: Path, database: Database, **tables: Any) -> Service:
    """A service that follows a tree of files; without a broker unless its table is given."""
    files = {"host": HOST, "directories": [str(tree)], **tables.pop("files", {})}
    service = Service(directory, "", database.dsn, files=files, **tables)
    if "mqtt" not in tables:
        del service.tables["mqtt"]
    service.write_config()
    return service


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Where devices write."""
    (tmp_path / "telem").mkdir()
    return tmp_path / "telem"


@pytest.fixture
def service(tmp_path: Path, tree: Path, database: Database) -> Iterator[Service]:
    """One that follows it."""
    made = following(tmp_path / "service", tree, database)
    yield made
    made.end()


def rows(database: Database, tree: Path | None = None) -> list[tuple[Any, ...]]:
    """(path, offset, device, ns since 1970, event, priority, message, digest) in the order of files; paths from the
    tree on."""
    found = fetch(database.reader_dsn, _ROWS_SQL)
    prefix = "" if tree is None else f"{tree}/"
    return sorted(
        [
            (path.removeprefix(prefix), offset, device, int(ns), ec, prio, json.loads(msg), digest)
            for path, offset, device, ns, ec, prio, msg, digest in found
        ],
        key=lambda row: row[:4],
    )


def contents(database: Database) -> list[tuple[Any, ...]]:
    """Rows without the file they came from."""
    return sorted([row[2:6] + row[7:] for row in rows(database)])


def rejects(database: Database) -> list[tuple[Any, ...]]:
    """(reason, subject, position) of each."""
    return sorted(fetch(database.reader_dsn, "SELECT reason, subject, position FROM rejects"))


def files(database: Database) -> dict[str, list[str]]:
    """Names of files → what became of them, the oldest first."""
    found: dict[str, list[str]] = {}
    for path, state in fetch(
        database.reader_dsn, "SELECT origin_path, state FROM file_origins ORDER BY file_id"
    ):
        found.setdefault(Path(path).name, []).append(state)
    return found


def events(database: Database) -> list[str]:
    """What happened, in order."""
    return [
        what for (what,) in fetch(database.reader_dsn, "SELECT what FROM source_events ORDER BY event_id")
    ]


def positions(database: Database) -> dict[str, list[int]]:
    """Names of files that are there → how far they were read."""
    sql = (
        "SELECT f.origin_path, p.position FROM positions AS p JOIN file_origins AS f "
        "ON p.origin = f.origin_host || '/' || f.file_id WHERE p.lane = 'telemetry' AND f.state = 'present'"
    )
    return {Path(path).name: position for path, position in fetch(database.reader_dsn, sql)}


def age(path: Path) -> None:
    """It was written long ago."""
    long_ago_s = time.time() - LONG_AGO_S
    os.utime(path, (long_ago_s, long_ago_s))


def append(path: Path, content: bytes) -> None:
    """Write behind what is there."""
    with path.open("ab") as file:
        file.write(content)


def wait_rows(database: Database, count: int, service: Service, timeout_s: float = 60.0) -> None:
    """Until so many are there.

    Raises:
        AssertionError: they never are, or more.
    """

    def there() -> bool:
        [(found,)] = fetch(database.reader_dsn, "SELECT count(*) FROM telem")
        assert found <= count, f"{found} rows are more than {count}"
        return bool(found == count)

    _wait(there, f"{count} rows", database, service, timeout_s)


def wait_tally(database: Database, service: Service, timeout_s: float = 60.0, **wanted: int) -> None:
    """Until exactly so many records are stored, duplicate, rejected_REASON."""
    expected = {key.replace("_", " ", 1): count for key, count in wanted.items() if count}

    def there() -> bool:
        counted = tally(database.dsn)
        del counted["total"]
        return counted == expected

    _wait(there, str(expected), database, service, timeout_s)


def wait_idle(service: Service, database: Database) -> None:
    """Until all that is there was read."""

    def idle() -> bool:
        status = service.status()
        assert status is not None, service.last_words()
        [files], [lane] = status["files"], [lane for lane in status["lanes"] if lane["name"] == "telemetry"]
        return files["state"] == "following" and not files["waiting"] and lane["state"] == "idle"

    _wait(idle, "rest", database, service, 60)


def _wait(condition: Any, what: str, database: Database, service: Service, timeout_s: float) -> None:
    try:
        wait_for(condition, what, timeout_s)
    except AssertionError as error:
        found = f"{tally(database.dsn)} {rejects(database)} {positions(database)} {files(database)}"
        raise AssertionError(f"{error}: {found}\n{service.last_words()}") from error
