# SPDX-License-Identifier: MIT
"""The vlbimon source when the server is unwell: given up in time, cursor unmoved, nothing missing afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tessmon.records.vlbimon import HISTORY, MASTERLIST, SNAPSHOT, SWEPT
from tests.sources.vlbimonrig import (
    Bench,
    asked,
    auth_file,
    failed,
    made_whole,
    pairs,
    polled,
    sent,
    settings,
    until,
)
from tests.vlbimon_faults import KINDS, Fault
from tests.vlbimon_site import Said, Vlbimon

Serve = Callable[[], Vlbimon]


@pytest.fixture
def bench(server: Vlbimon, tmp_path: Path) -> Bench:
    return Bench(tmp_path, settings(tmp_path, server.url, timeout_s=0.4, connect_timeout_s=0.4))


@pytest_twisted.ensureDeferred
async def test_whatever_is_wrong_the_cursor_stays_and_nothing_is_missing(
    server: Vlbimon, bench: Bench
) -> None:
    bench.settings = settings(bench.directory, server.url, timeout_s=0.5, max_reply_bytes=4 << 20)
    async with bench.running() as source:
        await polled(bench)
        for number, kind in enumerate(KINDS):
            # A kept connection may have been closed before, so it is tried again.
            twice = kind in ("reset", "closed")
            server.faults.add(Fault(kind, ("snapshot",), count=2 if twice else 1))
            server.array.receive(pairs([2 * number]))
            await failed(bench)
            server.array.receive(pairs([2 * number + 1]))
            await polled(bench)
            assert source.status().state == "connected", kind
        await made_whole(bench, lambda: sent(server))
    bad = [poll for poll in bench.polls() if poll.error]
    good = [poll for poll in bench.polls() if not poll.error]
    assert len(bad) >= len(KINDS)
    assert all(poll.counts == {} for poll in bad)
    assert {poll.status for poll in good} == {200}
    asks = asked(server, "snapshot")
    assert {each.fault for each in asks} == {"", *KINDS}
    told = [each.told for each in asks if not each.fault]
    kept = {poll.cursor for poll in bench.polls()}
    assert set(told[:-1]) <= kept <= set(told)  # the stop may have broken off the last one
    for earlier, later in pairwise(asks):
        assert later.cursor == (earlier.cursor if earlier.fault else earlier.told), earlier.fault
    assert len(bench.events("lost")) == len(KINDS)
    assert len(bench.events("connected")) == len(KINDS) + 1


@pytest_twisted.ensureDeferred
async def test_refused_connections_are_tried_at_growing_intervals(server: Vlbimon, bench: Bench) -> None:
    async with bench.running() as source:
        await polled(bench)
        await server.shut("http")
        server.array.receive(pairs([1]))
        await failed(bench, 3)
        assert source.status().state == "connecting"
        assert "can't be reached: Connection refused; next attempt in" in source.status().detail
        server.reopen("http")
        await polled(bench)
        await made_whole(bench, lambda: sent(server))
    tries = [frame.received_ns / 1e9 for frame in bench.frames if '"error"' in frame.topic]
    apart_s = [later - earlier for earlier, later in pairwise(tries)]
    assert apart_s[1] > apart_s[0]
    assert all(poll.status == 0 for poll in bench.polls() if poll.error)


@pytest_twisted.ensureDeferred
async def test_who_wants_to_be_left_alone_is(server: Vlbimon, bench: Bench) -> None:
    async with bench.running() as source:
        await polled(bench)
        assert not source.status().left_alone
        server.faults.add(Fault("status", ("snapshot",), count=1, status=429, retry_after="1"))
        await failed(bench)
        assert source.status().left_alone
        assert 0 <= source.status().next_poll_ns - time.time_ns() <= 1e9
        await polled(bench)
        assert not source.status().left_alone
    asks = asked(server, "snapshot")
    [at] = [place for place, each in enumerate(asks) if each.fault]
    assert asks[at + 1].at_s - asks[at].at_s >= 0.95
    assert not [each for each in server.asked if asks[at].at_s < each.at_s < asks[at + 1].at_s]


@pytest_twisted.ensureDeferred
async def test_503_in_a_row_are_fewer_and_fewer(server: Vlbimon, bench: Bench) -> None:
    async with bench.running():
        await polled(bench)
        server.faults.add(Fault("status", ("snapshot",), count=4, status=503))
        await failed(bench, 4)
        await polled(bench, 2)
    asks = asked(server, "snapshot")
    places = [place for place, each in enumerate(asks) if each.fault]
    apart_s = [asks[place + 1].at_s - asks[place].at_s for place in places]
    assert apart_s[3] > 3 * apart_s[0]
    assert asks[-1].at_s - asks[-2].at_s < apart_s[3]
    assert len(bench.events("lost")) == 1


@pytest_twisted.ensureDeferred
async def test_an_expired_session_is_made_anew_within_the_poll(server: Vlbimon, bench: Bench) -> None:
    async with bench.running() as source:
        await polled(bench)
        server.sessions.expire()
        await polled(bench, 2)
        assert (source.status().failed, source.status().sessions) == (0, 2)
    assert len(bench.events("session_made")) == 2


@pytest_twisted.ensureDeferred
async def test_a_session_that_expired_while_stopped_is_made_anew(server: Vlbimon, bench: Bench) -> None:
    async with bench.running():
        await polled(bench)
    server.sessions.expire()
    async with bench.running() as source:
        await polled(bench)
        assert source.status().failed == 0
    assert [each.call for each in server.asked].count("restore") == 1
    assert server.sessions.made == 2


@pytest_twisted.ensureDeferred
async def test_a_forbidden_account_makes_few_sessions(server: Vlbimon, bench: Bench) -> None:
    """Snapshots are answered with 403 whatever the session."""
    async with bench.running():
        await polled(bench)
        made = server.sessions.made
        server.faults.add(Fault("status", ("snapshot",), status=403))
        await failed(bench, 4)
        assert server.sessions.made - made <= 5
        apart_s = [later.at_s - earlier.at_s for earlier, later in pairwise(asked(server, "session"))]
        assert apart_s[-1] > 2 * 0.05
        server.faults.call_off()
        await polled(bench)


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_one_sentence_and_slow_tries(server: Vlbimon, bench: Bench) -> None:
    bench.settings = settings(
        bench.directory, server.url, auth_file=auth_file(bench.directory / "wrong.yaml", "wrong")
    )
    async with bench.running() as source:
        await until(lambda: source.status().state == "refused")
        assert (
            f"{server.url} does not take the name and password: correct [vlbimon] auth_file; next attempt in"
            in (source.status().detail)
        )
        await deferLater(reactor, 0.3)  # in which nothing may happen
        assert len(asked(server, "session")) == 1
        auth_file(bench.directory / "wrong.yaml")  # mended
        source.reconfigure(bench.settings)
        await polled(bench)
        assert source.status().state == "connected"
    [refused] = bench.events("refused")
    assert "auth_file" in refused["why"]
    assert bench.polls()[0].status == 401


@pytest_twisted.ensureDeferred
async def test_no_cursor_cookie_keeps_the_old_one(server: Vlbimon, bench: Bench) -> None:
    async with bench.running():
        await polled(bench, 2)
        server.cursor_form = "none"
        server.array.receive(pairs([1]))
        await polled(bench, 3)
        assert len({each.cursor for each in asked(server, "snapshot")[-2:]}) == 1
    assert bench.polls()[-1].cursor is not None
    assert bench.found() >= sent(server)


@pytest.mark.parametrize("form", ["float", "whole", "opaque"])
@pytest_twisted.ensureDeferred
async def test_a_cursor_of_any_form_goes_back_as_it_came(server: Vlbimon, bench: Bench, form: Any) -> None:
    server.cursor_form = form
    for number in range(2):
        async with bench.running():
            server.array.receive(pairs([number]))
            await polled(bench, 3)
    asks = asked(server, "snapshot")
    assert asks[0].cursor is None
    assert {each.cursor for each in asks[1:]} <= {each.told for each in asks}
    assert None not in {each.cursor for each in asks[1:]}
    assert bench.found() >= sent(server)


@pytest.mark.parametrize("strange", [400, 500])
@pytest_twisted.ensureDeferred
async def test_a_cursor_that_the_server_does_not_know_is_not_for_ever(
    server: Vlbimon, bench: Bench, strange: int
) -> None:
    server.strange_cursor = strange
    async with bench.running() as source:
        server.say("snapshot", Said("{}", "garbage"))
        await polled(bench)
        server.array.receive(pairs([1]))
        await polled(bench, 2)
        assert source.status().failed >= 1
        await made_whole(bench, lambda: sent(server))


@pytest_twisted.ensureDeferred
async def test_an_odd_cursor_goes_back_as_it_came(server: Vlbimon, bench: Bench) -> None:
    server.strange_cursor = 0
    odd = ["a=b", '"quoted 1.5"', "x\xe9\xff", "y" * 4096, "../%00", "1712345690.123456789", "\xe9 , x"]
    async with bench.running() as source:
        await polled(bench)
        for cursor in odd:
            server.say("snapshot", Said("{}", cursor))
        await polled(bench, len(odd) + 1)
        assert source.status().failed == 0
    as_bytes = [cursor.encode().decode("latin-1") for cursor in odd]  # what the server sent is UTF-8
    kept = [poll.cursor for poll in bench.polls()]
    assert [cursor for cursor in kept if cursor in as_bytes] == as_bytes
    snapshots = asked(server, "snapshot")
    back = [each.cursor for each in snapshots[1:]]
    assert [cursor for cursor in back if cursor in odd and cursor.isascii()] == [
        cursor for cursor in odd if cursor.isascii()
    ]
    assert all(each.session for each in snapshots)


@pytest_twisted.ensureDeferred
async def test_a_cursor_that_can_not_be_sent_back_is_none(server: Vlbimon, bench: Bench) -> None:
    bad = ["z" * 5000, "a\tb", "\x01", "a\x7f"]
    async with bench.running() as source:
        await polled(bench)
        for cursor in bad:
            server.say("snapshot", Said("{}", cursor))
        await polled(bench, len(bad) + 1)
        assert source.status().failed == 0
    assert not {poll.cursor for poll in bench.polls()} & {None, *bad}


@pytest_twisted.ensureDeferred
async def test_damaged_sessions_are_made_anew(server: Vlbimon, bench: Bench) -> None:
    for damage in (b"", b'{"a": 1}', b"\xff" * 100):
        (bench.directory / "sessions").write_bytes(damage)
        async with bench.running() as source:
            await polled(bench)
            assert source.status().sessions == 1, damage
    async with bench.running() as source:
        await polled(bench)
        assert source.status().sessions == 0


@pytest_twisted.ensureDeferred
async def test_a_damaged_journal_is_begun_anew_from_what_the_database_has(
    server: Vlbimon, bench: Bench
) -> None:
    server.array.receive(pairs(range(50)))
    async with bench.running() as source:
        await until(lambda: source.status().swept_s)
        await polled(bench)
    for path in (bench.directory / "journal").glob("*.journal*"):
        path.write_bytes(b"nonsense" * 1000)
    assert any((bench.directory / "journal").iterdir())
    bench.told = int(time.time()) - 50
    async with bench.running() as source:
        await until(lambda: source.status().swept_s not in (None, bench.told))
    assert bench.found() >= sent(server)


@pytest_twisted.ensureDeferred
async def test_history_that_fails_is_asked_for_again(server: Vlbimon, bench: Bench) -> None:
    server.array.receive(pairs(range(50)))
    server.faults.add(Fault("status", ("history",), count=1, status=404))
    async with bench.running() as source:
        await until(lambda: len([each for each in asked(server, "history") if each.fault]) == 1)
        assert source.status().state == "connected"
        assert source.status().questions == 0
        await made_whole(bench, lambda: sent(server))
        assert source.status().failed == 0


@pytest.mark.parametrize("ahead_s", [7200, -30])
@pytest_twisted.ensureDeferred
async def test_history_is_asked_for_up_to_the_servers_time_when_our_clock_is_ahead(
    server: Vlbimon, bench: Bench, ahead_s: int
) -> None:
    """By our clock, all that the server has is from before the window."""
    bench.now_ns = lambda: time.time_ns() + ahead_s * 10**9
    server.array.receive(pairs(range(50)))
    async with bench.running():
        await made_whole(bench, lambda: sent(server))
        await until(lambda: not bench.source.status().sweeping)
    [swept_s] = bench.swept()
    assert swept_s is not None
    assert abs(swept_s - time.time() - min(ahead_s, 0)) < 20


@pytest.mark.parametrize("told_ago_s", [None, 9000])
@pytest_twisted.ensureDeferred
async def test_a_machine_that_wakes_up_in_1970_forgets_nothing_and_asks_for_no_decades(
    server: Vlbimon, bench: Bench, told_ago_s: int | None
) -> None:
    began_s = int(time.time())
    ahead_ns = -began_s * 10**9
    bench.now_ns = lambda: time.time_ns() + ahead_ns
    bench.told = -1 if told_ago_s is None else began_s - told_ago_s
    bench.settings = settings(bench.directory, server.url, sweep_s=0.05)
    server.array.receive(pairs(range(50)))
    async with bench.running() as source:
        await until(lambda: source.status().questions > 40)
        assert source.status().swept_s == (
            began_s - 9000 if told_ago_s else pytest.approx(began_s - 3600, abs=5)
        )
        ahead_ns = 0
        await made_whole(bench, lambda: sent(server))
        await until(lambda: (source.status().swept_s or 0) >= began_s)
    windows = {(each.start_s, each.end_s) for each in bench.exchanges(HISTORY) if (each.end_s or 0) > 10**9}
    assert min(start_s for start_s, _ in windows) >= began_s - (told_ago_s or 3600) - 3605


@pytest_twisted.ensureDeferred
async def test_questions_get_smaller_when_a_server_does_not_answer_them(
    server: Vlbimon, bench: Bench
) -> None:
    """A proxy may have a shorter limit than usual."""
    async with bench.running() as source:
        source._errands._ask_again._first_s = 0.01
        server.faults.add(Fault("status", ("history",), count=3, status=414))
        await until(lambda: source.status().questions)
    sizes = [len(each.uri) for each in asked(server, "history")]
    assert sizes[3] <= sizes[2] / 1.8


@pytest_twisted.ensureDeferred
async def test_without_a_masterlist_and_names_polls_go_on_and_history_waits(
    server: Vlbimon, bench: Bench
) -> None:
    server.faults.add(Fault("status", ("masterlist",), count=1, status=404))
    async with bench.running() as source:
        await polled(bench, 3)
        assert asked(server, "history") == []
        source._errands.at_once()
        await until(lambda: source.status().questions)
    assert bench.found(HISTORY) >= sent(server)


@pytest_twisted.ensureDeferred
async def test_without_a_masterlist_history_is_asked_for_what_snapshots_had_and_for_all_when_there_is_one(
    server: Vlbimon, bench: Bench
) -> None:
    server.faults.add(Fault("status", ("masterlist",), status=404))
    server.array.receive(pairs(range(20)))
    server.array.receive(pairs(range(20), "XX", "in_no_list"))
    bench.told = told = int(time.time()) - 9000
    async with bench.running() as source:
        await until(lambda: source.status().asked_s and not source.status().sweeping, "all that was seen")
        status = source.status()
        assert (status.listed, status.swept_s) == (False, told)
        assert abs(status.asked_s - time.time()) < 60
        await polled(bench, 5)
        assert source.status().questions == status.questions  # no more than a sweep each sweep_s
        asks = asked(server, "history")
        assert {name for each in asks for name in each.query["field"]} == {"weather_tau225", "in_no_list"}
        assert {name for each in asks for name in each.query["observatory"]} == {"KP", "XX"}
        source._sweep.wanted = True  # what came later is asked for, and not all over again
        await until(lambda: source.status().questions > status.questions)
        await until(lambda: not source.status().sweeping)
        again = asked(server, "history")[len(asks)]
        assert abs(int(again.query["startTime"][0]) - (status.asked_s - 3600)) <= 1
        before = len(asked(server, "history"))
        await bench.read()
        assert bench.swept() == []
        server.faults.call_off()
        source._errands.at_once()
        await until(lambda: source.status().listed)
        await until(lambda: source.status().swept_s > told + 3600 and not source.status().sweeping)
        assert source.status().asked_s is None
    asks = asked(server, "history")[before:]
    assert int(asks[0].query["startTime"][0]) == told - 3600
    assert set(server.masterlist["default"]) | {"in_no_list"} <= {
        name for each in asks for name in each.query["field"]
    }
    assert bench.swept()[-1] > told + 3600
    assert bench.found(HISTORY) >= sent(server)


@pytest_twisted.ensureDeferred
async def test_a_list_that_comes_during_a_sweep_begins_it_anew(server: Vlbimon, bench: Bench) -> None:
    """Windows that were asked for without it do not count."""
    server.faults.add(Fault("status", ("masterlist",), status=404))
    server.array.receive(pairs(range(20)))
    bench.told = told = int(time.time()) - 20 * 3600
    async with bench.running() as source:
        await until(lambda: (source.status().asked_s or 0) > told and source.status().sweeping)
        server.faults.call_off()
        source._errands.at_once()
        await until(lambda: bench.points.count("vlbimon.swept") > 2)
        source._sweep.give_up()
    [came] = [each.number for each in asked(server, "masterlist") if each.status == 200]
    first = next(each for each in asked(server, "history") if each.number > came)
    assert int(first.query["startTime"][0]) == told - 3600
    [list_at] = [at for at, each in enumerate(bench.exchanges()) if each.what == MASTERLIST]
    assert all(each.what != SWEPT for each in bench.exchanges()[:list_at])
    assert bench.swept()[0] == told + 3600


@pytest_twisted.ensureDeferred
async def test_names_that_were_seen_are_asked_for_after_a_restart_too(server: Vlbimon, bench: Bench) -> None:
    """No snapshot has them again, when the cursor goes on."""
    server.faults.add(Fault("status", ("masterlist",), status=404))
    server.array.receive(pairs(range(20), "XX", "in_no_list"))
    bench.told = int(time.time()) - 9000
    async with bench.running() as source:
        await until(lambda: source.status().asked_s and not source.status().sweeping)
    newest = bench.exchanges(HISTORY)[-1].start_s
    before = len(asked(server, "history"))
    async with bench.running() as source:
        await until(lambda: source.status().questions and not source.status().sweeping)
        assert not source.status().listed
    first = asked(server, "history")[before].query
    assert (first["observatory"], first["field"]) == (["XX"], ["in_no_list"])
    assert int(first["startTime"][0]) == newest - 3600  # not all over again
    server.faults.call_off()
    before = len(asked(server, "history"))
    async with bench.running() as source:
        await until(lambda: source.status().questions)
    assert "in_no_list" in {
        name for each in asked(server, "history")[before:] for name in each.query["field"]
    }


@pytest_twisted.ensureDeferred
async def test_three_failures_and_the_next_server_is_asked_from_its_beginning(
    serve_vlbimon: Serve, bench: Bench, server: Vlbimon
) -> None:
    other = serve_vlbimon()
    bench.settings = settings(bench.directory, server.url, other.url)
    other.array.receive(pairs(range(30), "SMA"))
    async with bench.running() as source:
        await until(lambda: source.status().swept_s)
        assert source.status().server == server.url
        questions = source.status().questions
        server.faults.add(Fault("reset"))
        await until(lambda: source.status().server == other.url)
        await polled(bench)
        assert asked(other, "snapshot")[0].cursor is None
        await until(lambda: source.status().questions > questions + 3)
        await made_whole(bench, lambda: sent(other))
        server.faults.call_off()
        before = len(server.asked)
        source._servers._tried_s -= 601  # ten minutes later
        await until(lambda: source.status().server == server.url)
        [*_, last] = [each.told for each in server.asked[:before] if each.told and not each.fault]
        assert next(each for each in server.asked[before:] if each.call == "snapshot").cursor == last
        await polled(bench)
    failures = [poll.server for poll in bench.polls() if poll.error]
    assert failures[:3] == [server.url] * 3
    assert [event["new"] for event in bench.events("server_changed")] == [other.url, server.url]
    assert {poll.server for poll in bench.polls() if not poll.error} == {server.url, other.url}


@pytest_twisted.ensureDeferred
async def test_a_preferred_server_that_is_still_away_costs_one_poll(
    serve_vlbimon: Serve, bench: Bench, server: Vlbimon
) -> None:
    other = serve_vlbimon()
    server.faults.add(Fault("reset"))
    bench.settings = settings(bench.directory, server.url, other.url)
    async with bench.running() as source:
        await polled(bench, 2)
        failures = source.status().failed
        source._servers._tried_s -= 601
        await failed(bench)
        await polled(bench, 2)
        assert source.status().failed == failures + 1
        assert (source.status().state, source.status().server) == ("connected", other.url)
    server.faults.call_off()
    assert len(bench.events("connected")) == 1
    assert len(bench.events("server_changed")) == 1


@pytest_twisted.ensureDeferred
async def test_servers_that_all_refuse_are_asked_slowly(
    serve_vlbimon: Serve, bench: Bench, server: Vlbimon
) -> None:
    other = serve_vlbimon()
    wrong = auth_file(bench.directory / "wrong.yaml", "wrong")
    bench.settings = settings(bench.directory, server.url, other.url, auth_file=wrong)
    async with bench.running() as source:
        await until(lambda: source.status().failed == 2)
        await deferLater(reactor, 0.3)  # in which nothing may happen
        assert len(asked(server, "session")) == len(asked(other, "session")) == 1
        assert source.status().state == "refused"


@pytest_twisted.ensureDeferred
async def test_a_gap_between_two_snapshots_is_swept_at_once(server: Vlbimon, bench: Bench) -> None:
    async with bench.running() as source:
        await until(lambda: source.status().swept_s)
        await until(lambda: not source.status().sweeping)
        server.faults.add(Fault("status", ("snapshot",), count=2))
        server.array.receive(pairs(range(40)))
        await failed(bench, 2)
        await made_whole(bench, lambda: sent(server))
    assert len(bench.found(SNAPSHOT)) == 1


@pytest_twisted.ensureDeferred
async def test_a_stop_does_not_wait_for_a_silent_server(server: Vlbimon, bench: Bench) -> None:
    bench.settings = settings(bench.directory, server.url, timeout_s=60.0)
    server.faults.add(Fault("silence", ("snapshot",)))
    async with bench.running() as source:
        await until(lambda: asked(server, "snapshot"))
        began_s = time.monotonic()
        await source.stopService()
        assert time.monotonic() - began_s < 10
        assert source.status().state == "stopped"
    assert bench.polls() == []


class _Stumbling(Bench):
    """What it is asked for fails once in a way that nobody thought of."""

    stumbles = 1

    @property
    def told(self) -> int:
        if self.stumbles:
            self.stumbles -= 1
            raise ZeroDivisionError
        return -1

    @told.setter
    def told(self, value: int | None) -> None:
        pass


@pytest.mark.logs_failures
@pytest_twisted.ensureDeferred
async def test_a_defect_costs_a_while_and_not_the_source(server: Vlbimon, tmp_path: Path) -> None:
    bench = _Stumbling(tmp_path, settings(tmp_path, server.url))
    async with bench.running() as source:
        await until(lambda: not bench.stumbles, "the defect")
        server.array.receive(pairs([1]))
        await made_whole(bench, lambda: sent(server))
        assert source.status().state == "connected"
