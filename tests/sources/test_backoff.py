# SPDX-License-Identifier: MIT
"""Delays: they double, they vary, they begin anew after a good connection."""

from __future__ import annotations

from tessmon.sources.backoff import Backoff
from tessmon.sources.mqtt_ending import Ending, Kind
from tessmon.sources.mqtt_retry import Retry

CLOSED = "the broker closed the connection without a word"


def test_delays_double_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(1, 60, chance=lambda low, high: 1.0)
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 1


def test_delays_vary_by_a_quarter() -> None:
    delays = [Backoff(10, 60).next_s() for _ in range(200)]
    assert min(delays) >= 7.5
    assert max(delays) <= 12.5
    assert len(set(delays)) > 100


def test_three_silent_ends_in_a_row_are_probably_another_client() -> None:
    retry = Retry()
    verdicts = [retry.judge(Ending(Kind.CLOSED, CLOSED, 2.0)) for _ in range(4)]
    assert [each.state for each in verdicts] == ["connecting", "connecting", "taken_over", "taken_over"]
    assert [each.kind for each in verdicts] == ["lost", "lost", "taken_over", "taken_over"]
    assert "probably" in verdicts[2].why
    assert verdicts[3].delay_s > verdicts[2].delay_s > 5


def test_a_broker_that_is_away_in_between_is_no_other_client() -> None:
    retry = Retry()
    for _ in range(5):
        assert retry.judge(Ending(Kind.CLOSED, CLOSED, 2.0)).kind == "lost"
        assert retry.judge(Ending(Kind.UNREACHABLE, "refused")).kind == "unreachable"


def test_two_services_with_one_id_do_not_fight_at_full_speed() -> None:
    """Each stands until the other's delay is over; the delays grow to minutes."""
    ours, theirs = Retry(), Retry()
    delay_s, elapsed_s, fights = 1.0, 0.0, 0
    while elapsed_s < 86_400:
        delay_s = ours.judge(Ending(Kind.CLOSED, CLOSED, delay_s)).delay_s
        elapsed_s += delay_s
        delay_s = theirs.judge(Ending(Kind.CLOSED, CLOSED, delay_s)).delay_s
        elapsed_s += delay_s
        fights += 2
    assert fights < 86_400 / 150


def test_a_good_connection_begins_the_delays_anew() -> None:
    retry = Retry()
    for _ in range(5):
        retry.judge(Ending(Kind.UNREACHABLE, "refused"))
    assert retry.judge(Ending(Kind.LOST, "broken", 3600.0)).delay_s < 2


def test_the_same_news_is_told_once() -> None:
    retry = Retry()
    refused = Ending(Kind.UNREACHABLE, "connection refused")
    assert [retry.judge(refused).news for _ in range(3)] == [True, False, False]
    assert retry.judge(Ending(Kind.UNREACHABLE, "no route")).news
    assert retry.judge(refused).news
