# SPDX-License-Identifier: MIT
"""Heavy work on the database under ``tessmon_maintenance``, while readings arrive."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tessmon.demo.servers import Broker
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
from tests.operating import ROOT, SESSIONS, done, shell_with_tessmon, tessmon

PHOTOMETERS = 10
RATE_HZ = 500

WORK = """
import sys
import psycopg2

connection = psycopg2.connect(sys.argv[1])
connection.autocommit = True
cursor = connection.cursor()
cursor.execute("SET lock_timeout = '10s'")
for statement in (
    "VACUUM FULL",
    "ALTER TABLE tess_readings_t ADD COLUMN remark text DEFAULT 'none'",
    "ALTER TABLE tess_readings_t ALTER COLUMN signal_strength TYPE bigint",
    "REINDEX TABLE tess_readings_t",
):
    cursor.execute(statement)
    cursor.execute(sys.argv[2])
    print(cursor.fetchone()[0])
"""
"""Each of these wants the tables for itself; how many sessions the service has is printed behind each."""


def test_tables_are_vacuumed_and_altered_while_readings_arrive(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    for number in range(PHOTOMETERS):
        publisher.register(f"stars{number}", f"AA:BB:CC:00:00:{number:02X}", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, PHOTOMETERS, service)
    messages = [
        reading(f"stars{number % PHOTOMETERS}", number, tstamp=stamp(number // PHOTOMETERS))
        for number in range(scale.MAINTAINED_MESSAGES)
    ]
    with in_background(publisher.at_rate, messages, RATE_HZ):
        wait_for(lambda: stored(database) > 0, "the first rows")
        finished = maintenance(service, sys.executable, "-c", WORK, database.superuser_dsn, SESSIONS)
    publisher.flush()
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == ["0", "0", "0", "0"]
    assert "paused: the service has no connection to the database any more" in finished.stderr
    assert finished.stderr.endswith("resumed\n")
    counted = wait_accounted(database.dsn, len(messages) + PHOTOMETERS, service)
    assert counted["stored"] == len(messages), counted
    assert fetch(database.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1") == [
        (number,) for number in range(len(messages))
    ]
    service.assert_quick()

    done(tessmon(service, "pause", "--by", "ana", "--for", "1h"))
    finished = maintenance(service, "sh", "-c", "exit 4")
    assert finished.returncode == 4
    assert "it was paused before, by ana since " in finished.stderr
    assert "it stays paused, by ana since " in finished.stderr
    assert service.lane_state() == "paused"


def stored(database: Any) -> int:
    ((count,),) = database.fetch("SELECT count(*) FROM tess_readings_t")
    return int(count)


def maintenance(service: Service, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "tessmon_maintenance", "--config", service.config, *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=shell_with_tessmon(service.directory / "bin"),
    )
