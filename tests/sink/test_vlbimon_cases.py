# SPDX-License-Identifier: MIT
"""What the bridge that came before makes of replies, and what is wanted instead: from JSON text to the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.breath import Breath
from tessmon.config.model import Writer
from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.errors import Reason
from tessmon.feed import Feed
from tessmon.interfaces import Track
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Reject
from tessmon.records.vlbimon import HISTORY, MASTERLIST, POLL, SNAPSHOT, Exchange
from tessmon.stages.bridge import Bridge
from tessmon.stages.coordinates import Coordinates
from tessmon.stages.swept import Sweep
from tests.postgres import Database
from tests.vlbimon_rows import Rows, forget_rows, rows, tallies, used_database, warnings

__all__ = ["rows", "used_database", "warnings"]

ensure = pytest_twisted.ensureDeferred
FOLDER = Path(__file__).parents[1] / "vlbimon"
CASES = json.loads((FOLDER / "cases.json").read_text())
NOW_NS = round(CASES["frozen_now"] * 1e9)
SPLIT = ("_az", "_el", "_ra", "_dec")
EVENTS, RESTART = "bridge_events", "RESTART"
UNEVEN = ("same time, other value",)
"""What is received last decides there."""
COLUMNS = {
    "telescope_sourceName": "source",
    "telescope_onSource": "onsource",
    "telescope_observingMode": "mode",
    "if_1_systemTemp": "tsys",
    "weather_tau225": "tau225",
    **{f"recorder_{n}_shouldRecord": "recording" for n in range(1, 5)},
}


class Lane:
    """From a journal to the database, batch by batch, as the service's lane does it."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.journal = rows.journal
        self.count = 0

    @classmethod
    async def of_array(cls, rows: Rows) -> Lane:
        """One that knows the array's masterlist."""
        lane = cls(rows)
        await lane.start()
        lane.take(MASTERLIST, (FOLDER / "masterlist.json").read_text())
        await lane.drain()
        return lane

    async def start(self) -> None:
        """As a process that begins."""
        self.rows.sink = self.rows.new_sink()
        track = Track(VlbimonDecoder(), [Coordinates(), Bridge(), Sweep()])
        self.feed = Feed(self.journal, lambda settings: track, "1", Writer(), Breath(reactor))
        await self.feed.begin(partial(self.rows.sink.ask, self.rows.connection))

    def take(self, what: str, payload: str = "", **fields: Any) -> None:
        """A frame comes; each a millisecond later."""
        self.count += 1
        body = payload.encode("utf-8", "surrogatepass")
        topic = Exchange(what, "https://one.example", **fields).topic()
        self.journal.append(Frame(FrameKind.MESSAGE, NOW_NS + self.count * 1_000_000, topic, body, len(body)))

    async def drain(self) -> None:
        """All that is there."""
        while (batch := await self.feed.next()).moves:
            await self.rows.sink.prepare(batch)
            stored = await self.rows.sink.write(self.rows.connection, batch, ())
            self.feed.committed(stored.moves)


def points(snapshots: Sequence[Any]) -> list[tuple[str, str, Any]]:
    """(parameter, station, pair) of all that came."""
    return [
        (parameter, station, pair)
        for snapshot in snapshots
        if snapshot != RESTART
        for station, fields in snapshot.items()
        for parameter, pair in fields.get("data", {}).items()
    ]


def wanted_rows(case: dict[str, Any]) -> list[tuple[str, str, int, Any]]:
    """What must be there, but for what the bridge says of itself."""
    wanted = (case["wanted"] or {}).get("rows")
    rows = [
        (parameter, station, at_s, value.replace("\0", "\ufffd") if isinstance(value, str) else value)
        for parameter, station, at_s, value, _ in case["peer"]["rows"]
        if parameter == EVENTS or not parameter.startswith("bridge_")
    ]
    if wanted is None:
        return rows
    replaced = {tuple(row[:3]) for row in wanted}
    kept = [row for row in rows if row[:3] not in replaced and not row[0].endswith(SPLIT)]
    return kept + [tuple(row) for row in wanted]


def found_rows(database: Database) -> list[tuple[str, str, int, Any, str]]:
    """(parameter, station, time, value, value as text) as dashboards see them."""
    views = database.fetch(
        "SELECT DISTINCT parameter, view_name FROM vlbimon_parameters JOIN vlbimon_points USING (parameter_id) "
        "WHERE parameter !~ '^bridge_'"
    )
    queries = [f"SELECT '{EVENTS}', station, time, to_jsonb(value), value FROM ts_param_bridge_events"]
    queries += [f"SELECT '{name}', station, time, to_jsonb(value), sent FROM {view}" for name, view in views]
    return database.fetch(" UNION ALL ".join(queries))


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
@ensure
async def test_case(rows: Rows, case: dict[str, Any], warnings: list[str]) -> None:
    lane = await Lane.of_array(rows)
    for snapshot in case["snapshots"]:
        if snapshot == RESTART:
            await lane.start()
            continue
        lane.take(SNAPSHOT, snapshot if case.get("raw") else json.dumps(snapshot))
        counts = {station: len(fields.get("data", {})) for station, fields in snapshot.items()}
        lane.take(POLL, took_s=CASES["bridge_lag"], status=200, counts=counts)
        await lane.drain()

    wanted, found = wanted_rows(case), found_rows(lane.rows.database)
    if case["name"] == "same time, other value":
        wanted = [row for row in wanted if row[3] == 0.06]
    elif case["name"] == "restart":
        wanted = [row for row in wanted if row[0] != EVENTS or row[2] == 1712345600]
    elif case["name"] == "time from far ahead":
        wanted = [row for row in wanted if row[2] != 2_000_000_000]
    for row in wanted:
        assert [one for one in found if one[:3] == row[:3] and row[3] in one[3:]], (row, found)
    sent = {(parameter, station) for parameter, station, _ in points(case["snapshots"])}
    beyond = {row[:2] for row in found} - {row[:2] for row in wanted}
    assert beyond <= sent | {(EVENTS, "NEWT")}
    if case["peer"]["crash"] is None:
        events = [row[1:] for row in wanted if row[0] == EVENTS]
        assert sorted(row[1:4] for row in found if row[0] == EVENTS) == sorted(events)

    expected = case["wanted"] or {}
    for parameter, count in expected.get("rows_count", {}).items():
        assert len([row for row in found if row[0] == parameter]) == count
    if expected.get("warning"):
        assert len(warnings) == 1
    check_status(lane.rows.status(), case, sent)
    check_bridge(lane.rows.database, case)
    if case["name"] not in UNEVEN:
        await check_any_way(lane, [one for one in case["snapshots"] if one != RESTART])


@ensure
async def test_rejects_that_become_points_bring_their_halves_and_all_of_them_are_counted(rows: Rows) -> None:
    """They were refused by a version that understood less: one a point, the other a whole reply."""
    lane = await Lane.of_array(rows)
    rows.standing = lane.feed.here()[0].new
    sky = "telescope_azimuthElevation"
    part = {"KP": {"data": {sky: [1712345600, "123.4+45.6"]}}}
    reply = {"ALMA": {"data": {sky: [1712345600, "10.5-1.5"], "weather_pwv": [1712345600, None]}}, "GLT": {}}
    topic = Exchange(SNAPSHOT, "https://one.example").topic()
    for position, body in (((1, 1, 5, 2), part), ((1, 1, 7), reply)):
        payload = json.dumps(body).encode()
        frame = Frame(FrameKind.MESSAGE, NOW_NS, topic, payload, len(payload), position=position)
        await rows.write(Reject(frame, Reason.INVALID, "", "KP" if body is part else ""))
    before = tallies(rows.database)
    assert before == {"KP": {"rejected invalid": 1}, "": {"rejected invalid": 1}}
    rows.database.execute("UPDATE rejects SET due = true")
    due = await rows.sink.load_due(rows.connection, 10)
    await rows.write(*(record for one in due for record in lane.feed.again(one.frame)), due=due)
    assert [row[:4] for row in rows.rows()] == [
        (sky, "ALMA", 1712345600, "10.5-1.5"),
        (sky, "KP", 1712345600, "123.4+45.6"),
        (f"{sky}_az", "ALMA", 1712345600, 10.5),
        (f"{sky}_az", "KP", 1712345600, 123.4),
        (f"{sky}_el", "ALMA", 1712345600, -1.5),
        (f"{sky}_el", "KP", 1712345600, 45.6),
    ]
    assert tallies(rows.database) == {
        "KP": {"stored": 1},
        "ALMA": {"stored": 1, "rejected null_value": 1},
        "bridge": {"stored": 4},
    }
    assert rows.database.fetch("SELECT reason, position, due FROM rejects") == [
        ("null_value", [1, 1, 7, 2], False)
    ]


def check_status(found: dict[str, Any], case: dict[str, Any], sent: set[tuple[str, str]]) -> None:
    """Columns that a point in the case sets are as the bridge has them or as wanted; others are unknown."""
    wanted = (case["wanted"] or {}).get("status", {})
    for station in {*case["peer"]["status"], *wanted}:
        columns = {
            COLUMNS[parameter] for parameter, where in sent if where == station and parameter in COLUMNS
        }
        peer = case["peer"]["status"].get(station, {})
        row = {column: peer[column] for column in (*columns, "time") if column in peer}
        row |= wanted.get(station, {})
        if case["name"] == "huge integer in the status" and station == "ALMA":
            row.pop("tsys", None)
        assert {name: value for name, value in found[station].items() if name in row} == row
        assert found[station].keys() - {"time", "station"} <= columns


def check_bridge(database: Database, case: dict[str, Any]) -> None:
    """What the bridge says of itself is said for each poll, and no lag is negative."""
    polls = [snapshot for snapshot in case["snapshots"] if snapshot != RESTART]
    [(newest,)] = database.fetch("SELECT value FROM ts_param_bridge_points WHERE station = 'bridge'")
    assert newest == len(points(polls[-1:]))
    assert database.fetch("SELECT value FROM ts_param_bridge_bridgeLag") == [(CASES["bridge_lag"],)]
    lags = database.fetch("SELECT station, value FROM ts_param_bridge_totalLag")
    assert "bridge" in dict(lags)
    assert all(value >= 0 for _, value in lags)


def shuffled(snapshots: Sequence[dict[str, Any]]) -> str:
    """All points of snapshots as history has them, the newest first."""
    history: dict[str, dict[str, list[Any]]] = {}
    for parameter, station, pair in reversed(points(snapshots)):
        history.setdefault(station, {}).setdefault(parameter, []).append(pair)
    return json.dumps(history)


async def check_any_way(lane: Lane, snapshots: Sequence[dict[str, Any]]) -> None:
    """The same is there when snapshots are lost, come in disorder, and history brings the rest, the newest first."""
    database = lane.rows.database
    undisturbed = sorted(found_rows(database), key=repr), lane.rows.status()
    forget_rows(database, "vlbimon_points", "vlbimon_status", "bridge_stationstatus")
    for snapshot in snapshots[::-2]:
        lane.take(SNAPSHOT, json.dumps(snapshot))
    lane.take(HISTORY, shuffled(snapshots))
    await lane.drain()
    assert (sorted(found_rows(database), key=repr), lane.rows.status()) == undisturbed
