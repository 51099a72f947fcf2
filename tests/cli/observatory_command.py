# SPDX-License-Identifier: MIT
"""The command on a database with photometers, in the process of the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tessmon.cli import main
from tests.postgres import Database, unchanged_database

__all__ = ["Command", "misused", "tessmon", "unchanged_database"]

_CLEAN_SQL = """
DELETE FROM tess_readings_t; DELETE FROM tess_readings4c_t; DELETE FROM rejects; DELETE FROM name_to_mac_t;
DELETE FROM tess_t; DELETE FROM location_t WHERE location_id > 0; DELETE FROM observer_t WHERE observer_id > 0;
ALTER TABLE location_t ALTER location_id RESTART; ALTER TABLE observer_t ALTER observer_id RESTART"""

FAR = "2999-12-31 23:59:59+00"


@pytest.fixture
def tessmon(
    unchanged_database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The command on a database without photometers; the next test of the module finds it so again."""
    yield Command(unchanged_database, tmp_path / "tessmon.toml", capsys)
    unchanged_database.execute(_CLEAN_SQL)


def misused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The last line of what a wrong usage is told."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


class Command:
    """``tessmon`` as the service's user; as the owner for places and people."""

    def __init__(self, database: Database, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.database = database
        self.settings = settings
        self._capsys = capsys
        settings.write_text(f"[database]\ndsn = {json.dumps(database.dsn)}\n")

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        code = main(["--config", str(self.settings), *arguments])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def as_owner(self, *arguments: str) -> tuple[int, str, str]:
        return self.run(*arguments, "--dsn", self.database.owner_dsn)

    def done(self, *arguments: str) -> str:
        """The output of a command that must succeed."""
        code, text, errors = self.run(*arguments)
        assert (code, errors) == (0, "")
        return text

    def json(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "--json"))

    def refused(self, *arguments: str) -> str:
        """The one sentence of a command that must fail."""
        code, text, errors = self.run(*arguments)
        assert (code, text) == (1, "")
        assert errors.startswith("tessmon: ")
        assert len(errors.splitlines()) == 1
        return errors

    def photometer(
        self,
        name: str | None,
        mac: str,
        begins: Sequence[datetime],
        zero_points: Sequence[float] = (20.25,),
        model: str = "TESS-W",
    ) -> list[int]:
        """Make one, with a version for each begin; gives their ids."""
        ends = [*begins[1:], FAR]
        columns = [f"zp{number}" for number in range(1, len(zero_points) + 1)]
        ids = []
        for begin, end in zip(begins, ends, strict=True):
            ((tess_id,),) = self.database.fetch(
                f"INSERT INTO tess_t (mac_address, valid_since, valid_until, valid_state, model, nchannels,"
                f" registered, {', '.join(columns)}) VALUES (%s, %s, %s, %s, %s, %s, 'Automatic'"
                f"{', %s' * len(zero_points)}) RETURNING tess_id",
                [
                    mac,
                    begin,
                    end,
                    "Current" if end == FAR else "Expired",
                    model,
                    len(zero_points),
                    *zero_points,
                ],
            )
            ids.append(int(tess_id))
        if name is not None:
            self.database.execute(
                "INSERT INTO name_to_mac_t (name, mac_address, valid_since) VALUES (%s, %s, %s)",
                [name, mac, begins[0]],
            )
        return ids

    def reading(self, tess_id: int, at: datetime, table: str = "tess_readings_t") -> None:
        """Store one."""
        channels = "frequency, magnitude" if table == "tess_readings_t" else "freq1, mag1"
        more = "" if table == "tess_readings_t" else ", freq2, mag2, freq3, mag3, freq4, mag4"
        self.database.execute(
            "SELECT tessmon_ensure_partitions(%s, ARRAY[%s]::date[])", [table, at.date().replace(day=1)]
        )
        self.database.execute(
            f"INSERT INTO {table} (date_id, time_id, tess_id, units_id, sequence_number, {channels}{more},"
            f" box_temperature, sky_temperature, signal_strength, tstamp, received_at)"
            f" VALUES (20260101, 0, %s, 1, 1, 8, 18{', 8, 18' * 3 if more else ''}, 9, -14, -61, %s, %s)",
            [tess_id, at, at],
        )

    def location(self, name: str, latitude: float = 40.0, longitude: float = -4.0) -> int:
        ((number,),) = self.database.fetch(
            "INSERT INTO location_t (place, latitude, longitude, elevation, town, sub_region, region, country)"
            " VALUES (%s, %s, %s, 450, 'town', 'sub', 'region', 'country') RETURNING location_id",
            [name, latitude, longitude],
        )
        return int(number)

    def observer(self, name: str) -> int:
        ((number,),) = self.database.fetch(
            "INSERT INTO observer_t (type, name, valid_since) VALUES ('Individual', %s, '2026-01-01')"
            " RETURNING observer_id",
            [name],
        )
        return int(number)
