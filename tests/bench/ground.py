# SPDX-License-Identifier: MIT
"""What the benches stand on: servers of their own, photometers that are registered, and figures as JSON lines.

A figure is a median of several rounds, with that of its ceiling, taken in turns in the same minutes: on a shared
machine only their ratio means something.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tessmon.database.migrate import initialise
from tessmon.demo.servers import Broker, PostgresServer, new_directory
from tests.flood import PHOTOMETERS, Pipe
from tests.observatory import fetch
from tests.postgres import LOGINS, Database, run

BROKER_LINES = (
    "max_queued_messages 2000000",
    "max_inflight_messages 1000",
    "persistence false",
    "set_tcp_nodelay true",
)
POSTGRES_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "autovacuum": "off"}
"""All else as PostgreSQL has it, fsync too. Checkpoints come between the rounds and not in the middle of one."""


def figure(
    name: str, ours: Sequence[float], ceiling: Sequence[float], unit: str, goal: float, **conditions: Any
) -> dict[str, Any]:
    """One measurement: the medians of the rounds, and the median of the rounds' ratios."""
    ratios = [one / other for one, other in zip(ours, ceiling, strict=True)]
    return {
        "name": name,
        "ours": round(statistics.median(ours), 3),
        "ceiling": round(statistics.median(ceiling), 3),
        "ratio": round(statistics.median(ratios), 3),
        "goal": goal,
        "unit": unit,
        "conditions": {
            "rounds": [[round(one, 3), round(other, 3)] for one, other in zip(ours, ceiling, strict=True)],
            "cpus": os.cpu_count(),
            "load": [round(load, 1) for load in os.getloadavg()],
            **conditions,
        },
    }


def tell(figures: dict[str, Any]) -> None:
    """One line for one measurement."""
    print(json.dumps(figures), flush=True)


@contextmanager
def broker() -> Iterator[Broker]:
    """A mosquitto with room for everything."""
    directory = new_directory("tessmon-bench-broker-")
    server = Broker(directory, kind="mosquitto", lines=BROKER_LINES)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


@contextmanager
def database(*names: str) -> Iterator[list[Database]]:
    """A server with these databases, each with tessmon's schema and photometers."""
    directory = new_directory("tessmon-bench-postgres-")
    server = PostgresServer(directory, settings=POSTGRES_SETTINGS)
    server.start()
    try:
        for name in names:
            initialise(server.superuser_dsn(name), create_database=True)
        for role in ("tessmon_writer", "tessmon_reader"):
            run(server.superuser_dsn(), f"ALTER ROLE {role} PASSWORD '{LOGINS[role]}'")
        yield [Database(server, name) for name in names]
    finally:
        server.stop("immediate")
        shutil.rmtree(directory)


@contextmanager
def directory() -> Iterator[Path]:
    """A place for journals and logs."""
    place = new_directory("tessmon-bench-")
    try:
        yield place
    finally:
        shutil.rmtree(place)


def register(database: Database, photometers: int = PHOTOMETERS) -> None:
    """Photometers stars0, stars1 and so on, as if registered long ago."""
    database.execute(
        "INSERT INTO tess_t (mac_address, valid_since, valid_until, valid_state, model, firmware, registered,"
        " nchannels, zp1, filter1) SELECT 'mac ' || n, '2025-01-01Z', '2999-12-31 23:59:59Z', 'Current',"
        " 'TESS-W', '1.0', 'Manual', 1, 20.25, 'UV/IR-740' FROM generate_series(0, %s - 1) n",
        [photometers],
    )
    database.execute(
        "INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_until, valid_state) "
        "SELECT 'stars' || n, 'mac ' || n, '2025-01-01Z', '2999-12-31 23:59:59Z', 'Current' "
        "FROM generate_series(0, %s - 1) n",
        [photometers],
    )


def empty(database: Database) -> None:
    """No reading, no position: all can be written once more. What is dirty goes to the disk now."""
    database.execute(
        "TRUNCATE tess_readings_t, tess_readings4c_t, positions, tallies, rejects, source_events"
    )
    database.execute("CHECKPOINT")


def forget_session(port: int, client_id: str) -> None:
    """What the broker keeps for an absent client costs it time with each further message: let it drop that."""
    Pipe(port, client_id, 1).close()


def stored(database: Database) -> int:
    """Readings that are visible to others."""
    return int(fetch(database.reader_dsn, "SELECT coalesce(sum(stored), 0) FROM tallies")[0][0])


def cpu_s(pid: int) -> float:
    """CPU time that a process and its threads took so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_anon_bytes(pid: int | str = "self") -> int:
    """Memory of a process that no file stands behind [bytes]."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc")
