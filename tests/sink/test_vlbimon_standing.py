# SPDX-License-Identifier: MIT
"""Where the lane goes on: as committed, and with a new journal from what is known to be whole."""

from __future__ import annotations

import time
from typing import Any

import pytest_twisted

from tessmon.records.batch import Standing
from tests.vlbimon_rows import NOW_S, Rows, rows, used_database

__all__ = ["rows", "used_database"]

ensure = pytest_twisted.ensureDeferred


async def notes(rows: Rows, identity: str) -> Any:
    [standing] = await rows.sink.ask(rows.connection, [identity])
    return dict(standing.notes)


@ensure
async def test_an_empty_database_knows_nothing_to_go_on_from(rows: Rows) -> None:
    assert rows.standing == Standing(notes={})


@ensure
async def test_a_journal_that_was_read_goes_on_from_its_own_notes(rows: Rows) -> None:
    rows.database.execute(
        'UPDATE positions SET position = \'{1,2,3}\', notes = \'{"swept": {"until": 5}, "x": 1}\''
    )
    [standing] = await rows.sink.ask(rows.connection, ["journal"])
    assert (standing.position, standing.notes) == ((1, 2, 3), {"swept": {"until": 5}, "x": 1})
    rows.database.execute("UPDATE positions SET notes = '{}'")
    assert await notes(rows, "journal") == {}


@ensure
async def test_a_new_journal_takes_over_what_the_newest_other_has_swept(rows: Rows) -> None:
    rows.database.execute(
        """INSERT INTO positions (lane, origin, position, low, updated_at, notes) VALUES
           ('vlbimon', 'older', '{1,1,1}', '{1,1,1}', now() - interval '2 h', '{"swept": {"until": 900}}'),
           ('vlbimon', 'newer', '{1,1,1}', '{1,1,1}', now() - interval '1 h', '{"swept": {"until": 700}}'),
           ('vlbimon', 'none', '{1,1,1}', '{1,1,1}', now(), '{}'),
           ('vlbimon', 'null', '{1,1,1}', '{1,1,1}', now(), '{"swept": null}'),
           ('vlbimon', 'odd', '{1,1,1}', '{1,1,1}', now(), '{"swept": {"until": "x"}}'),
           ('photometer', 'other', '{1,1,1}', '{1,1,1}', now(), '{"swept": {"until": 1}}')"""
    )
    assert await notes(rows, "new") == {"swept": {"until": 700}}
    assert await notes(rows, "newer") == {"swept": {"until": 700}}


@ensure
async def test_without_another_journal_it_is_the_newest_time_that_is_stored(rows: Rows) -> None:
    ahead_s = int(time.time()) + 3000
    await rows.write(
        rows.point("weather_pwv", "KP", NOW_S - 50, 1), rows.point("weather_pwv", "SMA", NOW_S - 60, 1)
    )
    await rows.write(rows.point("bridge_points", "bridge", NOW_S, 1, derived=True))
    await rows.write(rows.point("weather_pwv", "KP", ahead_s, 1, ahead_s - 1200))
    rows.database.execute("DELETE FROM positions")
    assert await notes(rows, "new") == {"swept": {"until": NOW_S - 50}}
    await rows.begin()
    await rows.write(rows.point("telescope_sourceName", "KP", NOW_S - 90, "M87"))
    rows.database.execute("DELETE FROM positions")
    rows.database.execute(f"INSERT INTO bridge_stationstatus (time, station) VALUES ({ahead_s}, 'LMT')")
    assert await notes(rows, "new") == {"swept": {"until": NOW_S - 90}}
