# SPDX-License-Identifier: MIT
"""History, from a server that speaks the true API into the database or files: all of it once, whatever happens."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from tessmon.config.model import Config, Database, Vlbimon
from tessmon.database.parameters import session_parameters
from tessmon.files.link import Link
from tessmon.past import csv_lines
from tessmon.past.asking import MAX_TRIES, Asking, GivenUpError
from tessmon.past.fetching import Fetching, Place
from tessmon.past.storing import OvertakenError, Storing
from tessmon.past.to_csv import STATE, ToCsv, TreeError
from tessmon.past.to_database import ToDatabase
from tessmon.past.windows import Wanted
from tessmon.sources.vlbimon_client import LoginRefused
from tests import postgres
from tests.past.emptied import emptied, unchanged_database
from tests.vlbimon_array import Raw, Received
from tests.vlbimon_doors import NAME, PASSWORD
from tests.vlbimon_faults import Fault
from tests.vlbimon_service import expected, rows
from tests.vlbimon_site import Said
from tests.vlbimon_site import Vlbimon as Server
from tests.vlbimon_stations import Stations

__all__ = ["emptied", "unchanged_database"]

NOW_S = int(time.time())
START_S = NOW_S - 3 * 3600
PARAMETERS = (
    "telescope_onSource",
    "telescope_azimuthElevation",
    "telescope_sourceName",
    "telescope_status",
    "weather_tau225",
    "recorder_1_groupaSpaceLeft",
)
WANTED = Wanted(START_S, NOW_S, ("KP", "LMT", "SMA"), PARAMETERS)


class Stop(Exception):  # noqa: N818
    """In place of Ctrl-C."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with three hours of three stations."""
    made = Server(reactor)
    made.url = f"http://127.0.0.1:{made.listen()}"
    stations = Stations(START_S, parameters=PARAMETERS, stations=("KP", "LMT", "SMA"))
    made.array.receive([delivery[1:] for delivery in stations.until(NOW_S - 10)])
    yield made
    pytest_twisted.blockon(ensureDeferred(made.close()))


class Bench:
    """Everything that a run needs, as fast as it goes."""

    def __init__(self, directory: Path, server: Server, database: postgres.Database) -> None:
        auth_file = directory / "logins.yaml"
        auth_file.touch(0o600)
        auth_file.write_text(
            f"127.0.0.1:\n  basicauth:\n  - {json.dumps(NAME)}\n  - {json.dumps(PASSWORD)}\n"
        )
        self.directory = directory
        self.database = database
        self.settings = Vlbimon(servers=(server.url,), auth_file=auth_file, timeout_s=5.0)
        self.config = Config(database=Database(dsn=database.dsn), vlbimon=self.settings)
        self.said: list[str] = []
        self.link = Link(
            session_parameters(self.config.database, application_name="test", statement_timeout_s=30),
            lambda: None,
            lambda why, wait_s: self.said.append(why),
            time.monotonic,
        )

    def in_database(self, wanted: Wanted = WANTED) -> ToDatabase:
        return ToDatabase(Storing(self.config, self.link, wanted.origin), wanted.origin)

    def in_files(self, wanted: Wanted = WANTED) -> ToCsv:
        return ToCsv(self.directory / "csv", wanted.origin, wanted.start_s, wanted.end_s, self.said.append)

    async def fetch(
        self,
        place: Place,
        wanted: Wanted = WANTED,
        pause_s: float = 0.0,
        check: Callable[[], None] = lambda: None,
    ) -> Place:
        asking = Asking(self.settings, reactor, self.said.append, pause_s, 0.001)
        try:
            fetching = Fetching(wanted, (), asking, place, time.time_ns, lambda progress: None, check)
            await fetching.run()
        finally:
            await asking.close()
            if isinstance(place, ToCsv):
                place.close()
        return place

    def lines(self) -> list[tuple[str, str, str]]:
        """Station, parameter, line of all files."""
        return sorted(
            (path.parent.name, path.stem, f"{line.time},{line.value}")
            for path in (self.directory / "csv").rglob("*.csv")
            for line in csv_lines.lines(io.BytesIO(path.read_bytes()))
        )


@pytest.fixture
def bench(tmp_path: Path, server: Server, emptied: postgres.Database) -> Iterator[Bench]:
    made = Bench(tmp_path, server, emptied)
    yield made
    made.link.close()


def after(calls: int) -> Callable[[], None]:
    """Raises `Stop` when it is called so often."""
    left = [calls]

    def check() -> None:
        left[0] -= 1
        if not left[0]:
            raise Stop

    return check


def tallied(database: postgres.Database) -> dict[str, int]:
    sql = "SELECT sum(stored), sum(duplicate), sum(filtered), sum(rejected) FROM tallies WHERE subject <> 'bridge'"
    [counts] = database.fetch(sql)
    return dict(zip(("stored", "duplicate", "filtered", "rejected"), map(int, counts), strict=True))


@pytest_twisted.ensureDeferred
async def test_every_point_is_stored_once_and_a_second_run_adds_none(bench: Bench, server: Server) -> None:
    place = await bench.fetch(bench.in_database())
    stored = rows(bench.database)
    assert stored == expected(server.array.received)
    assert place.outcomes["stored"] == len(stored)
    assert place.outcomes["filtered"] > 0
    halves = bench.database.fetch("SELECT count(*) FROM ts_param_telescope_azimuthelevation_az")
    assert halves == bench.database.fetch("SELECT count(*) FROM ts_param_telescope_azimuthelevation")
    positions = bench.database.fetch("SELECT origin, position, notes FROM positions WHERE lane = 'vlbimon'")
    assert positions == [(WANTED.origin, [NOW_S, 0, 0], {})]
    before = tallied(bench.database)
    again = await bench.fetch(bench.in_database())
    assert rows(bench.database) == stored
    assert again.outcomes["stored"] == 0
    assert again.outcomes["duplicate"] > 0
    pairs = sum(sum(asked.pairs.values()) for asked in server.asked if asked.call == "history")
    assert sum(tallied(bench.database).values()) == pairs
    assert tallied(bench.database)["stored"] - before["stored"] == again.outcomes["replaced"]


@pytest_twisted.ensureDeferred
async def test_the_first_and_last_points_of_lists_are_never_stored(bench: Bench, server: Server) -> None:
    server.array.placeholder_every = 1
    wanted = WANTED._replace(start_s=START_S + 3600)
    place = await bench.fetch(bench.in_database(wanted), wanted)
    assert all(time_s >= START_S + 3600 for _, _, time_s in rows(bench.database))
    by_cause = dict(
        bench.database.fetch("SELECT cause, sum(filtered) FROM tallies WHERE filtered > 0 GROUP BY 1")
    )
    assert set(by_cause) == {"placeholder", "before_window"}
    assert sum(by_cause.values()) == place.outcomes["filtered"]


@pytest_twisted.ensureDeferred
async def test_a_window_that_fails_is_asked_for_again_and_never_skipped(bench: Bench, server: Server) -> None:
    for kind in ("status", "html", "empty", "reset", "reset_halfway", "not_whole", "cut"):
        server.faults.add(Fault(kind, ("history",), 1))
    place = await bench.fetch(bench.in_database())
    assert rows(bench.database) == expected(server.array.received)
    assert place.outcomes["duplicate"] < 20  # nothing of what was cut was taken
    # One may go unseen: what looks like a kept connection that was closed is asked again at once.
    assert sum("asking again" in said for said in bench.said) >= 6


@pytest_twisted.ensureDeferred
async def test_it_is_given_up_in_time_and_goes_on_where_it_ended(bench: Bench, server: Server) -> None:
    with pytest.raises(Stop):
        await bench.fetch(bench.in_database(), check=after(2))
    kept = rows(bench.database)
    server.faults.add(Fault("status", ("history",)))
    server.asked.clear()
    with pytest.raises(GivenUpError, match="answers with status 503"):
        await bench.fetch(bench.in_database())
    assert sum(asked.call == "history" for asked in server.asked) == MAX_TRIES
    assert rows(bench.database) == kept
    server.faults.call_off()
    server.asked.clear()
    await bench.fetch(bench.in_database())
    starts = {int(asked.query["startTime"][0]) for asked in server.asked if asked.call == "history"}
    assert starts == {START_S + 3600, START_S + 7200}
    assert rows(bench.database) == expected(server.array.received)


@pytest_twisted.ensureDeferred
async def test_calls_come_one_by_one_with_a_pause_and_not_before_they_may(
    bench: Bench, server: Server
) -> None:
    server.faults.add(Fault("status", ("history",), 1, retry_after="1"))
    await bench.fetch(bench.in_database(), pause_s=0.1)
    assert len(server.asked) == 5
    steps_s = [other.at_s - one.at_s for one, other in pairwise(server.asked)]
    assert min(steps_s) >= 0.1
    assert steps_s[1] >= 1


@pytest_twisted.ensureDeferred
async def test_the_next_server_is_asked_when_the_first_one_fails(bench: Bench, server: Server) -> None:
    bench.settings = Vlbimon(servers=("http://127.0.0.1:1", server.url), auth_file=bench.settings.auth_file)
    await bench.fetch(bench.in_database())
    assert rows(bench.database) == expected(server.array.received)
    assert f"asking {server.url} now" in bench.said


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_one_sentence_and_no_second_try(bench: Bench, server: Server) -> None:
    server.keys.password = "another"
    with pytest.raises(LoginRefused, match="correct \\[vlbimon\\] auth_file"):
        await bench.fetch(bench.in_database())
    assert [asked.call for asked in server.asked] == ["masterlist", "history", "session"]


@pytest_twisted.ensureDeferred
async def test_what_is_refused_is_kept_once_and_told(bench: Bench, server: Server) -> None:
    odd = [None, [1], {"a": 1}, 2**64, Raw("1e999")]
    server.array.receive([("KP", "weather_tau225", START_S + n, value) for n, value in enumerate(odd)])
    place = await bench.fetch(bench.in_database())
    assert place.outcomes["rejected"] == 4
    assert [(one.subject, str(one.reason)) for one in place.refused] == [
        ("KP", "null_value"),
        ("KP", "list_value"),
        ("KP", "object_value"),
        ("KP", "over_64_bits"),
    ]
    await bench.fetch(bench.in_database())
    kept = bench.database.fetch("SELECT reason, subject, due FROM rejects ORDER BY reject_id")
    assert len(kept) == 4
    assert tallied(bench.database)["rejected"] == 4


@pytest_twisted.ensureDeferred
async def test_two_at_once_are_told_and_nothing_is_doubled(
    bench: Bench, server: Server, tmp_path: Path
) -> None:
    moved: list[Any] = []

    def other_comes() -> None:
        if not moved:
            moved.append(bench.database.execute("UPDATE positions SET position = '{5,0,0}', low = '{5,0,0}'"))

    with pytest.raises(OvertakenError):
        await bench.fetch(bench.in_database(), check=other_comes)
    await bench.fetch(bench.in_database())
    assert rows(bench.database) == expected(server.array.received)


# Files.


def written(points: list[Received]) -> set[tuple[str, str, str]]:
    """Times and values of these points, as files hold them."""
    return {(point.station, point.parameter, f"{point.stamp!r},{point.value}") for point in points}


@pytest_twisted.ensureDeferred
async def test_files_hold_every_point_once_and_a_second_run_adds_none(bench: Bench, server: Server) -> None:
    place = await bench.fetch(bench.in_files())
    lines = bench.lines()
    assert written(server.array.received) == set(lines)
    assert place.outcomes["stored"] == len({(p.series, p.pair) for p in server.array.received})
    assert bench.database.fetch("SELECT count(*) FROM positions") == [(0,)]
    again = await bench.fetch(bench.in_files())
    assert bench.lines() == lines
    assert again.outcomes["stored"] == 0
    other = WANTED._replace(start_s=START_S + 5000, parameters=PARAMETERS[:3])
    await bench.fetch(bench.in_files(other), other)
    assert bench.lines() == lines


@pytest_twisted.ensureDeferred
async def test_files_that_were_cut_in_the_midst_of_a_window_are_made_whole(
    bench: Bench, server: Server
) -> None:
    with pytest.raises(Stop):
        await bench.fetch(bench.in_files(), check=after(2))
    assert json.loads((bench.directory / "csv" / STATE).read_text()) == {WANTED.origin: START_S + 3600}
    begun = bench.lines()
    path = bench.directory / "csv" / "KP" / "weather_tau225.csv"
    path.write_bytes(path.read_bytes()[:-4])
    server.asked.clear()
    await bench.fetch(bench.in_files())
    assert any("was cut off and is written anew" in said for said in bench.said)
    assert {int(asked.query["startTime"][0]) for asked in server.asked if asked.call == "history"} == {
        START_S + 3600,
        START_S + 7200,
    }
    assert len(begun) < len(bench.lines())
    assert len(bench.lines()) == len(set(bench.lines()))
    assert written(server.array.received) == set(bench.lines())


@pytest_twisted.ensureDeferred
async def test_no_name_from_the_server_leads_out_of_the_tree(bench: Bench, server: Server) -> None:
    at = START_S + 9
    hostile = {
        "../../outside": {"../up": [[at, 1]], "a/b": [[at, 2]]},
        "..": {".": [[at, 3]]},
        "KP": {"é" * 200: [[at, 4]], "/etc/x": [[at, 5]]},
    }
    server.say("history", Said(json.dumps(hostile)))
    place = await bench.fetch(bench.in_files())
    assert {path.name for path in bench.directory.iterdir()} == {"logins.yaml", "csv"}
    found = {
        str(path.relative_to(bench.directory / "csv")) for path in (bench.directory / "csv").rglob("*%*.csv")
    }
    assert found == {
        "%2E%2E%2F..%2Foutside/%2E%2E%2Fup.csv",
        "%2E%2E%2F..%2Foutside/a%2Fb.csv",
        "%2E%2E/%2E.csv",
        "KP/%2Fetc%2Fx.csv",
    }
    assert place.outcomes["rejected"] == 1
    assert any("too long for a file's name" in said for said in bench.said)


@pytest_twisted.ensureDeferred
async def test_a_link_in_the_tree_is_not_followed(bench: Bench) -> None:
    outside = bench.directory / "outside.csv"
    outside.write_text("mine\n")
    (bench.directory / "csv" / "KP").mkdir(parents=True)
    (bench.directory / "csv" / "KP" / "weather_tau225.csv").symlink_to(outside)
    with pytest.raises(TreeError, match=r"weather_tau225.csv can't be written: it, or its folder, is a link"):
        await bench.fetch(bench.in_files())
    assert outside.read_text() == "mine\n"


@pytest_twisted.ensureDeferred
async def test_only_one_writes_to_a_tree(bench: Bench) -> None:
    first = bench.in_files()
    with pytest.raises(TreeError, match="another history writes to"):
        bench.in_files()
    first.close()
    bench.in_files().close()
