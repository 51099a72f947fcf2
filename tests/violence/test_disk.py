# SPDX-License-Identifier: MIT
"""The journal's disk is full, or the journal is damaged, cut, or older than the database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessmon.demo.servers import Broker, PostgresServer
from tests import scale
from tests.observatory import (
    Publisher,
    Service,
    fetch,
    in_background,
    reading,
    stamp,
    wait_accounted,
    wait_for,
)

SMALL_DISK = "48m"
ON_A_SMALL_DISK = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
"""Whoever may not mount may do so in a name space of users, too."""


def test_a_full_disk_makes_the_client_leave_and_come_back(
    tmp_path: Path,
    broker: Broker,
    publisher: Publisher,
    database: Any,
    postgres: PostgresServer,
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        broker, database, journal={"directory": str(tmp_path), "min_free_bytes": 1 << 20, "retention_s": 0}
    )
    mount = f'mount -t tmpfs -o size={SMALL_DISK} tmpfs "$0" && exec "$@"'
    service.prefix = [*ON_A_SMALL_DISK, "sh", "-c", mount, str(tmp_path)]
    _begin(service, publisher, database)
    postgres.stop()
    count = 12_000
    try:
        for n in range(count):
            publisher.publish(*_message(n, "x" * 4000))
        publisher.flush()
        wait_for(
            lambda: service.source_state() == "journal_full", "the source to say that the journal is full"
        )
        status = service.status()
        assert status is not None
        assert status["journals"][0]["full"]
        assert status["sources"][0]["unacknowledged"] <= 5000
        assert service.process is not None
        small_disk = Path(f"/proc/{service.process.pid}/root{tmp_path}")  # as the service sees it
        filler = small_disk / "filler"  # now the disk itself, not only our floor
        with filler.open("wb") as file:
            try:
                while file.write(bytes(65_536)):
                    file.flush()
            except OSError:
                pass
    finally:
        postgres.start()
    wait_for(lambda: service.lane_state() in ("running", "idle"), "the lane to go on")
    filler.unlink()
    _assert_stored(service, database, count)
    wait_for(lambda: service.source_state() == "connected", "the source to come back")


@pytest.mark.parametrize("damage", ["overwritten", "cut", "emptied", "garbage"])
def test_a_damaged_journal_is_reported_and_stops_no_start(
    damage: str, broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    _begin(service, publisher, database)
    for n in range(500):
        publisher.publish(*_message(n))
    publisher.flush()
    wait_accounted(database.dsn, 501, service)
    service.kill()
    newest = max(service.journal.glob("*.journal"))
    _damage(newest, damage)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    for n in range(500, 600):
        publisher.publish(*_message(n))
    publisher.flush()
    _assert_stored(service, database, 600)
    assert list(service.journal.glob("*.damaged*")) or damage == "cut"
    if damage != "cut":
        wait_for(
            lambda: fetch(database.dsn, "SELECT 1 FROM source_events WHERE what = 'journal_damaged'"),
            "the event that tells of the damage",
        )


def test_a_journal_older_than_the_database_loses_nothing_new(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service], tmp_path: Path
) -> None:
    """The journal is put back from a backup; what came after the backup is stored already."""
    service = make_service(broker, database)
    _begin(service, publisher, database)
    publisher.publish(*_message(0))
    publisher.flush()
    wait_accounted(database.dsn, 2, service)
    service.stop()
    backup = tmp_path / "backup"
    shutil.copytree(service.journal, backup)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.publish(*_message(1))
    publisher.flush()
    wait_accounted(database.dsn, 3, service)
    service.stop()
    shutil.rmtree(service.journal)
    shutil.copytree(backup, service.journal)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.publish(*_message(2))
    publisher.flush()
    _assert_stored(service, database, 3)
    wait_for(
        lambda: fetch(database.dsn, "SELECT 1 FROM source_events WHERE what = 'gap'"),
        "the event that tells of the gap",
    )


def test_a_lost_journal_begins_anew(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    _begin(service, publisher, database)
    publisher.publish(*_message(0))
    publisher.flush()
    wait_accounted(database.dsn, 2, service)
    service.kill()
    shutil.rmtree(service.journal)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.publish(*_message(1))
    publisher.flush()
    _assert_stored(service, database, 2)


def test_a_second_service_on_one_journal_is_refused(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    _begin(service, publisher, database)
    other = make_service(broker, database, admin={"socket": str(service.directory / "other.sock")})
    other.tables["journal"] = service.tables["journal"]
    other.write_config()
    other.start(wait=False)
    assert other.process is not None
    assert other.process.wait(30) == 1
    assert "lock" in other.last_words() or "in use" in other.last_words()
    assert service.alive


def test_what_a_long_outage_brings_is_stored_afterwards(
    broker: Broker,
    publisher: Publisher,
    database: Any,
    postgres: PostgresServer,
    make_service: Callable[..., Service],
) -> None:
    service = make_service(broker, database)
    _begin(service, publisher, database)
    postgres.stop()
    count = scale.KILL_MESSAGES
    try:
        with in_background(lambda: [publisher.publish(*_message(n)) for n in range(count)] and None):
            pass
        publisher.flush()
        wait_for(
            lambda: (service.status() or {})["sources"][0]["acknowledged"] >= count, "the journal to take all"
        )
    finally:
        postgres.start()
    _assert_stored(service, database, count)


def _begin(service: Service, publisher: Publisher, database: Any) -> None:
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)


def _message(n: int, padding: str = "") -> tuple[str, dict[str, Any]]:
    return reading("stars1", n, tstamp=stamp(n), pad=padding)


def _assert_stored(service: Service, database: Any, count: int) -> None:
    wait_for(
        lambda: fetch(database.dsn, "SELECT count(*) FROM tess_readings_t") == [(count,)],
        f"{count} rows\n{service.last_words()}",
    )
    rows = fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
    assert rows == [(n,) for n in range(count)]
    service.assert_quick()


def _damage(path: Path, how: str) -> None:
    size = path.stat().st_size
    for side in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if how != "cut":
            side.unlink(missing_ok=True)
    with path.open("r+b") as file:
        if how == "overwritten":
            file.seek(0)
            file.write(b"\xa5" * min(size, 16_384))
        elif how == "cut":
            file.truncate(size // 2)
        elif how == "emptied":
            file.truncate(0)
        else:
            file.truncate(0)
            file.write(b"this is no database" * 1000)
