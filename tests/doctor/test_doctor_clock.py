# SPDX-License-Identifier: MIT
"""Clocks that are wrong by a known time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tessmon.config import model
from tessmon.doctor.clock import Offset, database_offset, judged_offset, judged_publishers
from tessmon.doctor.database import reading
from tessmon.doctor.finding import Verdict
from tests.doctor.examined import configured, examined
from tests.postgres import Database

OK, WARNING, FAULT, NOT_CHECKED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.NOT_CHECKED
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "words"),
    [
        (0.0004, OK, "0.4 ms ahead of ours, ± 0.2 ms"),
        (-0.9, OK, "900.0 ms behind ours"),
        (-90.0, WARNING, "1 min 30 s behind ours"),
        (86400.0, FAULT, "1 d 0 h ahead of ours"),
    ],
)
def test_an_offset_is_judged_by_its_size(ahead_s: float, verdict: Verdict, words: str) -> None:
    found = judged_offset(Offset(ahead_s, 0.0002))
    assert found.verdict is verdict
    assert words in found.found


def test_the_same_clock_is_not_off(unchanged_database: Database) -> None:
    with reading(model.Database(dsn=unchanged_database.dsn), None) as connection:
        offset = database_offset(connection)
    assert abs(offset.ahead_s) <= offset.uncertain_s + 0.001


def test_a_clock_that_is_wrong_is_measured(unchanged_database: Database, tmp_path: Path) -> None:
    """Ours is two hours ahead of the database's."""
    faketime = shutil.which("faketime")
    assert faketime is not None
    configured(tmp_path, database={"dsn": unchanged_database.dsn})
    command = ["--config", str(tmp_path / "tessmon.toml"), "doctor", "clock", "--json"]
    done = subprocess.run(
        [faketime, "-f", "+2h", sys.executable, "-m", "tessmon", *command],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
    )
    found = {each["subject"]: each for each in json.loads(done.stdout)}
    assert done.returncode == 1
    assert found["clock database"]["verdict"] == "fault"
    assert found["clock database"]["found"].startswith(("2 h 0 min behind", "1 h 59 min behind"))


def test_publishers_are_judged_by_their_newest_stamps(unchanged_database: Database, tmp_path: Path) -> None:
    database, now = unchanged_database, datetime.now(UTC).replace(microsecond=0)
    database.execute(
        "SELECT tessmon_ensure_partitions('tess_readings_t', ARRAY[%s, %s]::date[])",
        [(now - timedelta(days=1)).date().replace(day=1), now.date().replace(day=1)],
    )
    loaded = configured(tmp_path, database={"dsn": database.dsn})
    assert examined("clock", loaded)["clock publishers"].verdict is NOT_CHECKED
    for mac, ages_s, units in (("aa", (7200, 4), 1), ("bb", (6,), 1), ("cc", (-300,), 1), ("dd", (9000,), 0)):
        ((tess_id,),) = database.fetch(
            "INSERT INTO tess_t (mac_address, valid_since, zp1) VALUES (%s, '2026-01-01', 20) RETURNING tess_id",
            [mac],
        )
        for minutes, age_s in enumerate(reversed(ages_s)):
            arrived = now - timedelta(minutes=10 * (minutes + 1))
            database.execute(
                "INSERT INTO tess_readings_t (date_id, time_id, tess_id, units_id, sequence_number, frequency,"
                " magnitude, box_temperature, sky_temperature, signal_strength, tstamp, received_at)"
                " VALUES (20260101, 0, %s, %s, 1, 8, 18, 9, -14, -61, %s, %s)",
                [tess_id, units, arrived - timedelta(seconds=age_s), arrived],
            )
    found = examined("clock", loaded)["clock publishers"]
    database.execute("TRUNCATE tess_readings_t, tess_t")
    assert found.verdict is WARNING
    assert "of 3 photometers came a median of 4.0 s after their stamp, cc -5 min 0 s" in found.found


def test_stamps_that_come_soon_are_good() -> None:
    assert judged_publishers([("aa", 0.5), ("bb", 12.0)]).verdict is OK


def test_without_a_database_the_other_clocks_are_looked_at(tmp_path: Path) -> None:
    found = examined("clock", configured(tmp_path, database={"dsn": f"host={tmp_path}"}))
    assert found["clock database"].verdict is NOT_CHECKED
    assert found["clock broker"].verdict is NOT_CHECKED
    assert found["clock"].verdict in (OK, WARNING)
