# SPDX-License-Identifier: MIT
"""A tree of telemetry files, a database, and ``tessmon files`` on both, here or in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tessmon.cli import main
from tessmon.decode.bintel import BintelDecoder
from tessmon.decode.schemas import Schemas
from tessmon.records.telemetry import Piece, TelemetryEvent, TelemetryFile
from tests import flatlogs
from tests.observatory import fetch
from tests.postgres import Database

HOST = "exao1"
ROOT = Path(__file__).parents[2]
OLD_S = 1_729_600_000
BATCH_ROWS = 100
"""Of a statement: a file of some thousand records has many transactions."""
CHILDREN_SQL = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
)


def name(device: str, number: int = 0, kind: str = "bintel") -> str:
    """A device's file, the later the higher its number."""
    return f"{device}_20241022031640{number:09d}.{kind}"


class Archive:
    """Files below a directory, and a configuration that names it."""

    def __init__(self, directory: Path, database: Database, **files: Any) -> None:
        self.directory = directory
        self.tree = directory / "telem"
        self.tree.mkdir(parents=True)
        self.database = database
        self.socket = directory / "admin.sock"
        self.state = directory / "state"
        self.config = directory / "tessmon.toml"
        self.running: list[subprocess.Popen[str]] = []
        table = {"host": HOST, "directories": [str(self.tree)], **files}
        lines = [
            "[database]",
            f"dsn = {json.dumps(database.dsn)}",
            "[journal]",
            f"directory = {json.dumps(str(self.state))}",
            "[admin]",
            f"socket = {json.dumps(str(self.socket))}",
            "[writer]",
            f"batch_rows = {BATCH_ROWS}",
            "[files]",
            *(f"{key} = {json.dumps(value)}" for key, value in table.items()),
        ]
        self.config.write_text("\n".join(lines))

    def write(self, path: str, content: bytes, modified_s: int = OLD_S) -> Path:
        """A file that has not changed for long."""
        place = self.tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, (modified_s, modified_s))
        return place

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, errors of ``tessmon files``, in this process."""
        code = main(["--config", str(self.config), "files", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    def json(self, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
        """What it prints as JSON."""
        found, text, errors = self.run(capsys, *arguments, "--json")
        assert found == code, (text, errors)
        return json.loads(text)

    def start(self, *arguments: str, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        """The same in a process of its own, whose group a terminal would send Ctrl-C to."""
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tessmon", "--config", str(self.config), "files", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            process_group=0,
        )
        self.running.append(process)
        return process

    def end(self) -> None:
        """Whatever happened, no process stays."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def stored(self) -> list[tuple[int, int, int]]:
        """(offset, ns since 1970, digest) of all rows, in order."""
        sql = (
            "SELECT file_offset, (extract(epoch FROM ts) * 1000000)::bigint * 1000 + ns, digest FROM telem "
            "ORDER BY file_id, file_offset"
        )
        return fetch(self.database.reader_dsn, sql)  # type: ignore[return-value]

    def sessions(self) -> int:
        """Connections that back-fills have now."""
        return int(self.database.fetch(CHILDREN_SQL, ["tessmon backfill"])[0][0])

    def position(self) -> int:
        """How far the first file was read."""
        rows = self.database.fetch(
            "SELECT position[1] FROM positions WHERE lane = 'telemetry' ORDER BY origin LIMIT 1"
        )
        return int(rows[0][0]) if rows else 0


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C."""
    os.killpg(process.pid, signal.SIGINT)


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a back-fill has started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def decoded(content: bytes) -> list[tuple[int, int, int]]:
    """What `Archive.stored` must be for one file of sound records."""
    decoder = BintelDecoder(Schemas.load(), 1 << 20)
    file, at, found = TelemetryFile("x/1", "x", "/x", "x", "bintel", 1), 0, []
    while at < len(content):
        piece = Piece(file, time.time_ns(), at, content[at : at + 262_144])
        records, used, _ = decoder.decode(piece)
        for record in records:
            assert isinstance(record, TelemetryEvent)
            found.append((record.offset, record.ts_ns, record.digest))
        at += used
    return found


def mixed(count: int, seed: int = 1) -> bytes:
    """Records of many types."""
    return flatlogs.mixed(count, seed)
