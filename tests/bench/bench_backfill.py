# SPDX-License-Identifier: MIT
"""A back-fill of files with mixed records by two processes, beside ``psql \\copy`` of the same rows made ready.

Run as ``python -m tests.bench.bench_backfill [--records N]``. Each round runs the real command on files that the
database has never seen, and then copies the rows that came of it, written out once, into the emptied table. Both times
are those of whole programs, from start to exit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import flatlogs
from tests.bench import ground
from tests.observatory import fetch, wait_for
from tests.postgres import Database

RECORDS, ROUNDS, FILES, WORKERS = 1_000_000, 3, 16, 2
GOAL = 0.65
MAX_RSS_ANON_MB = 120
ROOT = Path(__file__).parents[2]
_STEP_NS = 10_000_000
_COLUMNS = "ts, file_id, file_offset, digest, ns, device, ec, prio, msg"
_SAMPLE_S = 0.05


def fill(directory: Path, records: int) -> None:
    """Files of four devices that write at once, one file after the other."""
    directory.mkdir(parents=True, exist_ok=True)
    each = records // FILES
    for number in range(FILES):
        turn, device = divmod(number, 4)
        began_ns = flatlogs.BEGAN_NS + turn * each * _STEP_NS
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(began_ns // 10**9)) + f"{began_ns % 10**9:09d}"
        count = each + (records % FILES if number == FILES - 1 else 0)
        path = directory / f"cam{device}_{stamp}.bintel"
        path.write_bytes(flatlogs.mixed(count, number + 1, began_ns, _STEP_NS))


class Memory:
    """The most anonymous memory that any process below one of ours had [bytes]."""

    def __init__(self) -> None:
        self.largest_bytes = 0

    @contextmanager
    def watched(self, pid: int) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(pid, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _watch(self, pid: int, ended: threading.Event) -> None:
        while not ended.wait(_SAMPLE_S):
            for each in (pid, *children(pid)):
                try:
                    self.largest_bytes = max(self.largest_bytes, ground.rss_anon_bytes(each))
                except (OSError, AssertionError):
                    continue  # it ends


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def server_cpu_s(database: Database) -> float:
    """CPU time of sessions that have ended [s]."""
    fields = Path(f"/proc/{_postmaster(database)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _sessions(database: Database) -> list[int]:
    """Processes of sessions with the database that have not ended."""
    found = []
    for pid in children(_postmaster(database)):
        with suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if not line or f" {database.name} ".encode() in line:  # one that has ended has none
                found.append(pid)
    return found


def _postmaster(database: Database) -> int:
    return int((database.server.data_directory / "postmaster.pid").read_text().splitlines()[0])


class Timed:
    """A program: how long it took, its CPU time with that of its children, and that of its sessions [s]."""

    def __init__(self, database: Database, command: list[str], memory: Memory | None = None) -> None:
        server_s, own = server_cpu_s(database), resource.getrusage(resource.RUSAGE_CHILDREN)
        began_s = time.perf_counter()
        with (
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process,
            (memory or Memory()).watched(process.pid),
        ):
            self.output = process.communicate()[0]
        self.seconds = time.perf_counter() - began_s
        assert process.returncode == 0, self.output
        wait_for(lambda: not _sessions(database), "the sessions to end")
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_s = spent.ru_utime + spent.ru_stime - own.ru_utime - own.ru_stime
        self.server_cpu_s = server_cpu_s(database) - server_s


def empty(database: Database) -> None:
    """No row and no file; what is dirty goes to the disk now."""
    database.execute(
        "TRUNCATE telem, file_origins, file_ingest_times, file_replicas, positions, tallies, rejects, source_events"
    )
    database.execute("CHECKPOINT")


def configure(directory: Path, database: Database) -> Path:
    """A configuration for the files."""
    config = directory / "tessmon.toml"
    config.write_text(
        f"[database]\ndsn = {json.dumps(database.dsn)}\n"
        f'[files]\nhost = "bench"\ndirectories = [{json.dumps(str(directory / "telem"))}]\n'
        f"[journal]\ndirectory = {json.dumps(str(directory / 'state'))}\n"
        f"[admin]\nsocket = {json.dumps(str(directory / 'admin.sock'))}\n"
    )
    return config


def measure(database: Database, directory: Path, records: int, rounds: int) -> dict[str, Any]:
    """Rows/s of both, where the CPU time goes, and the memory of the processes."""
    fill(directory / "telem", records)
    config, ready = configure(directory, database), directory / "rows"
    fetch(database.dsn, "SELECT tessmon_ensure_partitions('telem', '{2024-10-01}')")
    command = [sys.executable, "-m", "tessmon", "--config", str(config), "files", "backfill", "--json"]
    psql = [
        str(database.server.binaries / "psql") if database.server.binaries else "psql",
        "-qX",
        database.superuser_dsn,
    ]
    memory = Memory()
    ours: list[Timed] = []
    bare: list[Timed] = []
    for _ in range(rounds):
        empty(database)
        ours.append(Timed(database, [*command, "--workers", str(WORKERS)], memory))
        _check(database, records)
        if not ready.exists():
            subprocess.run([*psql, "-c", f"\\copy (SELECT {_COLUMNS} FROM telem) TO '{ready}'"], check=True)
        empty(database)
        bare.append(Timed(database, [*psql, "-c", f"\\copy telem ({_COLUMNS}) FROM '{ready}'"]))
        _check(database, records)
    rss_anon_mb = memory.largest_bytes / 1e6
    return ground.figure(
        "backfill",
        [records / one.seconds for one in ours],
        [records / one.seconds for one in bare],
        "rows/s",
        GOAL,
        records=records,
        record_bytes=round(sum(path.stat().st_size for path in (directory / "telem").iterdir()) / records, 1),
        workers=WORKERS,
        cpu_us_per_row={
            "ours": [_cpu_us(one, records) for one in ours],
            "copy": [_cpu_us(one, records) for one in bare],
        },
        rss_anon_mb=round(rss_anon_mb, 1),
        rss_anon_within=rss_anon_mb < MAX_RSS_ANON_MB,
    )


def _cpu_us(one: Timed, records: int) -> dict[str, float]:
    return {
        "client": round(one.cpu_s / records * 1e6, 2),
        "server": round(one.server_cpu_s / records * 1e6, 2),
    }


def _check(database: Database, records: int) -> None:
    rows = fetch(database.reader_dsn, "SELECT count(*) FROM telem")[0][0]
    assert rows == records, f"{rows} rows of {records} records"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with ground.database("bench") as (database,), ground.directory() as directory:
        figures = measure(database, directory, args.records, args.rounds)
        ground.tell(figures)
        assert figures["conditions"]["rss_anon_within"], "a worker took more memory than it may"


if __name__ == "__main__":
    main()
