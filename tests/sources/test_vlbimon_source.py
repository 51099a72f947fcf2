# SPDX-License-Identifier: MIT
"""The vlbimon source at a server that speaks the true API: what was served is in the journal, nothing is left out."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.application.service import IService
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from tessmon.interfaces import IJournalListener
from tessmon.records.vlbimon import HISTORY, MASTERLIST, SNAPSHOT
from tests.sources.vlbimonrig import Bench, asked, pairs, polled, sent, settings, until
from tests.vlbimon_array import Raw
from tests.vlbimon_site import Said, Vlbimon


@pytest.fixture
def bench(server: Vlbimon, tmp_path: Path) -> Bench:
    """A source that asks it."""
    return Bench(tmp_path, settings(tmp_path, server.url))


async def swept(bench: Bench) -> None:
    """Until a sweep that begins from now on is over."""
    source = bench.source
    await until(lambda: not source.status().sweeping, "an older sweep to end")
    source._sweep.wanted = True
    await until(lambda: source.status().sweeping, "a sweep")
    await until(lambda: not source.status().sweeping, "a whole sweep")


def test_it_keeps_the_interfaces(bench: Bench) -> None:
    from tessmon.sources.vlbimon import VlbimonSource

    source = VlbimonSource(
        bench.settings, None, reactor, recall=lambda: None, directory=bench.directory, end=lambda: None
    )
    assert verifyObject(IJournalListener, source)
    assert verifyObject(IService, source)
    assert source.status().state == "stopped"
    assert (source.status().next_poll_ns, source.status().cursor) == (0, None)


@pytest_twisted.ensureDeferred
async def test_every_served_point_is_journalled_and_the_cursor_goes_on(server: Vlbimon, bench: Bench) -> None:
    async with bench.running() as source:
        await polled(bench)
        for number in range(5):
            server.array.receive(pairs([number]))
            await polled(bench, 2)
        status = source.status()
        assert (status.name, status.state, status.failed, status.sessions) == ("vlbimon", "connected", 0, 1)
        assert status.server == server.url
        assert status.cursor == asked(server, "snapshot")[status.polls - 1].told
        assert 0 <= status.next_poll_ns - status.last_poll_ns < 1e9
        assert (status.left_alone, status.listed, status.asked_s) == (False, True, None)
    assert source.status().next_poll_ns == 0
    assert bench.found(SNAPSHOT) == sent(server)
    asks = asked(server, "snapshot")
    assert asks[0].cursor is None
    assert [each.cursor for each in asks[1:]] == [each.told for each in asks[:-1]]
    assert all(each.authorization == "" and each.session for each in asks)
    first = bench.exchanges()[0]
    assert (first.what, first.cursor, first.status) == (MASTERLIST, None, 200)
    assert sum(sum(poll.counts.values()) for poll in bench.polls()) == 5
    assert {poll.status for poll in bench.polls()} == {200}
    times = [frame.received_ns for frame in bench.frames]
    assert all(earlier < later for earlier, later in pairwise(times))


@pytest_twisted.ensureDeferred
async def test_a_restart_goes_on_with_cursor_session_and_sweep(server: Vlbimon, bench: Bench) -> None:
    async with bench.running() as source:
        await until(lambda: source.status().swept_s, "the first sweep")
        await until(lambda: not source.status().sweeping)
        await polled(bench)
    cursor, was_swept = bench.polls()[-1].cursor, source.status().swept_s
    before = len(server.asked)
    bench.told = None  # the database was not asked yet, and need not be
    server.array.receive(pairs(range(20)))
    async with bench.running() as source:
        await until(lambda: source.status().sweeping, "a sweep")
        await until(lambda: not source.status().sweeping, "its end")
    calls = [each.call for each in server.asked[before:]]
    assert calls[:3] == ["masterlist", "restore", "snapshot"]
    assert "session" not in calls
    assert next(each for each in server.asked[before:] if each.call == "snapshot").cursor == cursor
    [first, *_] = [each for each in server.asked[before:] if each.call == "history"]
    assert int(first.query["startTime"][0]) == was_swept - 3600
    assert bench.found() >= sent(server)
    assert (bench.directory / "sessions").stat().st_mode & 0o777 == 0o600


@pytest_twisted.ensureDeferred
async def test_what_was_replaced_between_two_snapshots_comes_with_the_sweep(
    server: Vlbimon, bench: Bench
) -> None:
    server.array.receive(pairs(range(50)))
    server.array.receive(pairs(range(50), "SMA", "not_in_the_masterlist"))
    server.array.receive(pairs(range(50), "XX", "weather_tau225"))
    async with bench.running():
        await polled(bench)
        await swept(bench)
    assert len(bench.found(SNAPSHOT)) == 3
    assert bench.found(HISTORY) >= sent(server)
    assert bench.swept() == sorted(bench.swept())
    assert bench.points.count("vlbimon.swept") == len(bench.swept())
    assert {"vlbimon.reply", "vlbimon.appended", "vlbimon.settled"} <= set(bench.points)


@pytest_twisted.ensureDeferred
async def test_an_hour_of_the_whole_array_is_few_calls_one_after_the_other(
    server: Vlbimon, bench: Bench
) -> None:
    async with bench.running() as source:
        await until(lambda: source.status().swept_s)
        await until(lambda: not source.status().sweeping)
        asks = asked(server, "history")
        windows = {tuple(each.query["startTime"] + each.query["endTime"]) for each in asks}
        assert len(windows) == 2  # from an hour before the first hour
        assert len(asks) <= 10
        assert all(int(end) - int(start) <= 3600 for start, end in windows)
        assert all(len(each.uri.partition("?")[2]) < 8000 for each in asks)
    stations, fields = set(), set()
    for each in asks:
        stations |= set(each.query["observatory"])
        fields |= set(each.query["field"])
    assert stations == set(server.masterlist) - {"default"}
    assert fields == {name for entries in server.masterlist.values() for name in entries}


@pytest_twisted.ensureDeferred
async def test_only_configured_stations_are_asked_history_for(server: Vlbimon, bench: Bench) -> None:
    bench.settings = settings(bench.directory, server.url, stations=("KP", "XX"))
    async with bench.running():
        await swept(bench)
    assert all(each.query["observatory"] == ["KP", "XX"] for each in asked(server, "history"))


@pytest_twisted.ensureDeferred
async def test_stations_that_come_with_new_settings_are_asked_for_at_once(
    server: Vlbimon, bench: Bench
) -> None:
    bench.settings = settings(bench.directory, server.url, stations=("KP",))
    async with bench.running() as source:
        await swept(bench)
        source.reconfigure(settings(bench.directory, server.url, stations=("KP", "XX")))
        await until(lambda: asked(server, "history")[-1].query["observatory"] == ["KP", "XX"])


@pytest_twisted.ensureDeferred
async def test_the_database_says_where_to_begin_when_the_journal_does_not(
    server: Vlbimon, bench: Bench
) -> None:
    bench.told = None
    async with bench.running() as source:
        await polled(bench, 3)
        assert asked(server, "history") == []
        assert source.status().swept_s is None
        bench.told = told = int(time.time()) - 9000
        await until(lambda: source.status().swept_s not in (None, told))
        assert int(asked(server, "history")[0].query["startTime"][0]) == told - 3600
        await until(lambda: not source.status().sweeping)
    assert bench.swept() == sorted(set(bench.swept()))
    assert bench.swept()[0] == told + 3600
    windows = dict.fromkeys((each.start_s, each.end_s) for each in bench.exchanges(HISTORY))
    assert all(end_s - start_s <= 3600 for start_s, end_s in windows)


@pytest_twisted.ensureDeferred
async def test_a_sweep_never_comes_before_a_poll(server: Vlbimon, bench: Bench) -> None:
    """Between two calls for history, a poll that is due is made."""
    bench.told = int(time.time()) - 20 * 3600
    async with bench.running() as source:
        await until(lambda: len(asked(server, "history")) > 30)
        assert source.status().sweeping
        source._sweep.give_up()
    polls = [each.at_s for each in asked(server, "snapshot")]
    calls = [each.at_s for each in asked(server, "history")]
    for earlier, later in pairwise(polls):
        between = [at_s for at_s in calls if earlier < at_s < later]
        assert len([at_s for at_s in between if at_s > earlier + 0.05]) <= 1


@pytest_twisted.ensureDeferred
async def test_a_large_reply_is_cut_between_points(server: Vlbimon, bench: Bench) -> None:
    server.array.receive([("KP", f"p{number}", 1_712_345_600, number) for number in range(1700)])
    server.array.clients = {"SMA": {"127.0.0.1": {"recvTime": 1_712_345_600}}}
    async with bench.running():
        await polled(bench)
    pieces = [each for each in bench.exchanges(SNAPSHOT) if each.cursor is None]
    assert len(pieces) == 4
    assert bench.found(SNAPSHOT) == sent(server)
    assert bench.polls()[0].counts == {"KP": 1700}
    texts = [
        frame.payload for frame in bench.frames if b'"p' in frame.payload and b"default" not in frame.payload
    ]
    assert all(len(text) <= 66_000 and b"vexfiles" not in text for text in texts)
    assert [part.station for part in bench.parts(SNAPSHOT) if part.kind == "client"].count("SMA") >= 1


@pytest_twisted.ensureDeferred
async def test_a_small_reply_is_kept_as_it_came(server: Vlbimon, bench: Bench) -> None:
    body = ' {"KP": {"data": {"a": [1712345600, 1e5], "b": [1, NaN], "c": null, "d": "x\\u0000\\ud800"}}}\n'
    server.say("snapshot", Said(body))
    async with bench.running():
        await polled(bench)
    assert body.encode() in [frame.payload for frame in bench.frames]


@pytest_twisted.ensureDeferred
async def test_bytes_that_are_no_text_cost_nothing(server: Vlbimon, bench: Bench) -> None:
    """One station's bad byte must not keep the cursor from going on."""
    server.array.receive([("KP", "a", 1_712_345_600, Raw('"\udcff"')), ("K\udcfe", "b", 1_712_345_600, 1)])
    async with bench.running() as source:
        await polled(bench, 2)
        assert source.status().failed == 0
    assert bench.polls()[1].cursor != bench.polls()[0].cursor


@pytest_twisted.ensureDeferred
async def test_the_masterlist_is_journalled_at_a_start_and_when_it_changed(
    server: Vlbimon, bench: Bench
) -> None:
    async with bench.running() as source:
        await polled(bench)
        for _ in range(2):  # its keys come in another order each time
            before = len(asked(server, "masterlist"))
            source._errands._list_s = 0.0
            await until(lambda before=before: len(asked(server, "masterlist")) > before)
            await polled(bench)
        server.masterlist = {**server.masterlist, "XX": {"new_one": {"datatype": "int"}}}
        source._errands._list_s = 0.0
        await polled(bench, 2)
        await swept(bench)
    assert len(bench.exchanges(MASTERLIST)) == 2
    last = asked(server, "history")[-1].query
    assert "XX" in last["observatory"]
    assert "new_one" in last["field"]
    async with bench.running():
        await polled(bench)
    assert len(bench.exchanges(MASTERLIST)) == 3


@pytest_twisted.ensureDeferred
async def test_polls_keep_their_pace(server: Vlbimon, bench: Bench) -> None:
    async with bench.running() as source:
        await until(lambda: source.status().swept_s)
        await until(lambda: not source.status().sweeping)
        began_s, before = time.monotonic(), source.status().polls
        await polled(bench, 10)
        took_s, polls = time.monotonic() - began_s, source.status().polls - before
    assert took_s >= (polls - 1) * 0.05 - 0.02


@pytest_twisted.ensureDeferred
async def test_the_exit_file_ends_the_service_once(server: Vlbimon, bench: Bench) -> None:
    exit_file = bench.directory / "PLEASE-EXIT"
    exit_file.touch()
    async with bench.running():
        assert not exit_file.exists()
        await polled(bench)
        assert bench.ended == 0
        exit_file.touch()
        await until(lambda: bench.ended)
        assert not exit_file.exists()
        await polled(bench, 2)
        assert bench.ended == 1


@pytest_twisted.ensureDeferred
async def test_an_exit_file_that_can_not_be_removed_counts_once(server: Vlbimon, bench: Bench) -> None:
    stubborn = bench.directory / "PLEASE-EXIT"
    (stubborn / "inside").mkdir(parents=True)  # a directory: unlink refuses it, whoever we are
    async with bench.running() as source:
        source._look_for_exit()
        assert bench.ended == 0


@pytest_twisted.ensureDeferred
async def test_new_settings_are_taken_up_at_once(server: Vlbimon, bench: Bench, tmp_path: Path) -> None:
    other = Vlbimon(reactor)
    url = f"http://127.0.0.1:{other.listen()}"
    try:
        async with bench.running() as source:
            await polled(bench)
            source.reconfigure(settings(tmp_path, url, period_s=0.1))
            await until(lambda: len(asked(other, "snapshot")) > 1)
            before = len(server.asked)
            await polled(bench, 2)
            assert len(server.asked) == before
            assert source.status().server == url
    finally:
        await other.close()
    assert asked(other, "snapshot")[0].cursor is None


@pytest_twisted.ensureDeferred
async def test_a_full_journal_stops_the_polls_until_it_has_room(server: Vlbimon, bench: Bench) -> None:
    bench.max_bytes = 1 << 20
    async with bench.running() as source:
        await polled(bench)
        stopped: Any = None
        for number in range(200):
            server.array.receive([("KP", "long", 1_712_345_600 + number, "x" * 60_000)])
            polls = source.status().polls
            await until(
                lambda polls=polls: source.status().polls > polls or source.status().state == "journal_full"
            )
            if source.status().state == "journal_full":
                stopped = len(server.asked)
                break
        assert stopped
        await until(lambda: source._rest is not None)
        stopped = len(server.asked)
        bench.journal.passed((await bench.read())[-1].position)
        await until(lambda: bench.journal.full is None, "room")
        assert len(server.asked) >= stopped
        await polled(bench, 2)
        assert source.status().state == "connected"
    assert bench.events("journal_full")
    assert bench.events("journal_room")


@pytest_twisted.ensureDeferred
async def test_new_servers_while_the_journal_is_full_in_a_sweep_are_taken_up_when_it_has_room(
    server: Vlbimon, bench: Bench
) -> None:
    """The question that waited for room is none for them."""
    other = Vlbimon(reactor)
    url = f"http://127.0.0.1:{other.listen()}"
    bench.max_bytes = 1 << 20
    bench.settings = settings(bench.directory, server.url, period_s=600.0)
    server.array.receive(
        [(station, parameter, stamp, "x" * 60_000) for station, parameter, stamp, _ in pairs(range(50))]
    )
    try:
        async with bench.running() as source:
            await until(lambda: source.status().state == "journal_full")
            await until(lambda: source._errands._ask_s < reactor.seconds() and source._rest is not None)
            assert source.status().sweeping
            source.reconfigure(settings(bench.directory, url))
            bench.journal.passed((await bench.read())[-1].position)
            await until(lambda: asked(other, "history"))
            assert source.status().server == url
    finally:
        await other.close()
