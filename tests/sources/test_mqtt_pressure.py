# SPDX-License-Identifier: MIT
"""Back-pressure: what waits for the disk is bounded, and every way of settling lets messages in again."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tessmon.sources.mqtt import MqttSource
from tessmon.sources.mqtt_intake import MAX_PENDING_BYTES, MAX_UNACKNOWLEDGED
from tests.sources.mqttrig import (
    CommandedJournal,
    Mosquitto,
    Publisher,
    connected,
    cut,
    running,
    source_into,
    until,
)

BOTH = pytest.mark.parametrize("protocol", ["3.1.1", "5"])


def reading(source: MqttSource) -> bool:
    """Does the transport read?"""
    assert source._connection is not None
    return source._connection.transport in reactor.getReaders()  # type: ignore[attr-defined]


async def held(source: MqttSource) -> None:
    """Wait until nothing is read any more, and see that it stays so."""
    await until(lambda: not reading(source), "paused")
    received = source.status().received
    await deferLater(reactor, 0.1)
    assert source.status().received == received
    assert "waiting for the disk" in source.status().detail


@BOTH
@pytest_twisted.ensureDeferred
async def test_5000_wait_for_the_disk_and_no_more(
    broker: Mosquitto, publisher: Publisher, protocol: str
) -> None:
    journal = CommandedJournal(at_once=False)
    settings = broker.settings(protocol=protocol, receive_maximum=60_000)
    async with running(source_into(journal, settings)) as source:
        await publisher.publish([b"x"] * 7000)
        await held(source)
        assert source.status().unacknowledged == MAX_UNACKNOWLEDGED == len(journal.messages)
        journal.settle(100)
        await until(lambda: len(journal.messages) > MAX_UNACKNOWLEDGED)
        await held(source)
        journal.at_once = True
        journal.settle()
        await until(lambda: source.status().acknowledged == 7000)
        assert reading(source)
        assert source.status().unacknowledged == 0


@BOTH
@pytest_twisted.ensureDeferred
async def test_a_smaller_window_is_kept(broker: Mosquitto, publisher: Publisher, protocol: str) -> None:
    journal = CommandedJournal(at_once=False)
    settings = broker.settings(protocol=protocol, receive_maximum=30)
    async with running(source_into(journal, settings)) as source:
        await publisher.publish([b"x"] * 100)
        await held(source)
        assert source.status().unacknowledged == 30
        while source.status().acknowledged < 100:
            journal.settle()
            await deferLater(reactor, 0.005)
        assert len(journal.messages) == 100


@pytest_twisted.ensureDeferred
async def test_a_lost_connection_does_not_open_the_window_and_the_disk_does(
    broker: Mosquitto, publisher: Publisher
) -> None:
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings(receive_maximum=50))) as source:
        await publisher.publish([b"%d" % number for number in range(200)])
        await held(source)
        cut(source)
        await until(lambda: source.status().connects == 2, "back")
        await held(source)
        assert source.status().unacknowledged == 50
        journal.at_once = True
        journal.settle()
        await until(lambda: source.status().acknowledged == 200, "all acknowledged")
        assert [int(payload) for payload in journal.payloads] == list(range(200))
        assert source.status().redelivered == 50


@pytest_twisted.ensureDeferred
async def test_settling_while_the_connection_is_away_lets_the_next_one_read(
    broker: Mosquitto, publisher: Publisher
) -> None:
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings(receive_maximum=50))) as source:
        await publisher.publish([b"x%d" % number for number in range(60)])
        await held(source)
        cut(source)
        await until(lambda: source._connection is None)
        journal.at_once = True
        journal.settle()
        await connected(source, 2)
        await until(lambda: source.status().acknowledged == 60)
        assert len(journal.messages) == 60


@pytest_twisted.ensureDeferred
async def test_messages_without_acknowledgement_are_bounded_in_bytes(
    broker: Mosquitto, publisher: Publisher
) -> None:
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings())) as source:
        await publisher.publish([b"x" * 60_000] * 300, qos=0)
        await held(source)
        assert MAX_PENDING_BYTES <= journal.pending_bytes < MAX_PENDING_BYTES + 60_000
        taken = len(journal.messages)
        journal.at_once = True
        journal.settle()
        await until(lambda: len(journal.messages) > taken and reading(source), "goes on")


@pytest_twisted.ensureDeferred
async def test_no_call_from_the_reactor_takes_long(broker: Mosquitto) -> None:
    """A large chunk is worked through in slices; 5000 receipts are acknowledged in one go."""
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings())) as source:
        assert source._connection is not None
        packet = b"\x32\x7f\x00\x03a/b\x00\x01" + b"x" * 120
        started = time.thread_time()
        source._connection.dataReceived(packet * 5000)
        took_s = [time.thread_time() - started]
        await until(lambda: source.status().unacknowledged == 5000)
        started = time.thread_time()
        journal.settle()
        took_s.append(time.thread_time() - started)
        flush = source._connection._flush
        started = time.thread_time()
        flush()
        took_s.append(time.thread_time() - started)
        print(
            f"chunk {took_s[0] * 1e3:.1f} ms, settle {took_s[1] * 1e3:.1f} ms, flush {took_s[2] * 1e3:.1f} ms"
        )
        assert max(took_s) < 0.05


@pytest_twisted.ensureDeferred
async def test_a_full_journal_makes_the_source_leave_and_room_brings_it_back(
    broker: Mosquitto, publisher: Publisher
) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings())) as source:
        journal.full = "the disk is full, make room"
        source.journal_full(journal.full)
        await until(lambda: source.status().state == "journal_full")
        assert "the disk is full, make room" in source.status().detail
        await until(lambda: "Received DISCONNECT from tessmon-test" in broker.log, "a goodbye")
        await publisher.publish([b"a", b"b"])
        assert journal.messages == []
        journal.full = None
        source.journal_has_room()
        await until(lambda: len(journal.messages) == 2)
        assert journal.events("connected")[-1]["session_present"] is True
        assert journal.events("journal_full") == [{"why": "the disk is full, make room"}]
        assert journal.events("journal_room") == [{}]
        assert journal.events("lost") == []


@pytest_twisted.ensureDeferred
async def test_a_journal_that_is_full_at_the_start_keeps_the_source_away(
    broker_with: Callable[..., Mosquitto],
) -> None:
    broker = broker_with()
    journal = CommandedJournal()
    journal.full = "no room"
    source = source_into(journal, broker.settings())
    source.startService()
    await until(lambda: source.status().state == "journal_full")
    assert "tessmon-test" not in broker.log
    journal.full = None
    source.journal_has_room()
    async with running():
        await connected(source)
        await source.stopService()
        await until(lambda: not journal.scheduled)
