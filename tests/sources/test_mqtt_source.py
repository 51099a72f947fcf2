# SPDX-License-Identifier: MIT
"""The MQTT source at a real broker: what comes is journalled as it came, acknowledged when it is on disk."""

from __future__ import annotations

import time
import tracemalloc
from itertools import pairwise

import pytest
import pytest_twisted
from twisted.application.service import IService
from zope.interface.verify import verifyObject

from tessmon.interfaces import IJournalListener
from tessmon.records.frame import Frame, FrameKind
from tests.sources.mqttrig import (
    READING,
    CommandedJournal,
    Mosquitto,
    Publisher,
    connected,
    running,
    source_into,
    until,
)

BOTH = pytest.mark.parametrize("protocol", ["3.1.1", "5"])


def test_it_keeps_the_interfaces() -> None:
    source = source_into(CommandedJournal(), Mosquitto.settings_of(1))
    assert verifyObject(IJournalListener, source)
    assert verifyObject(IService, source)
    assert source.status().state == "stopped"


@BOTH
@pytest_twisted.ensureDeferred
async def test_qos_1_is_journalled_in_order_and_acknowledged(
    broker: Mosquitto, publisher: Publisher, protocol: str
) -> None:
    journal = CommandedJournal()
    sent = [b"%d" % number for number in range(3000)]
    async with running(source_into(journal, broker.settings(protocol=protocol))) as source:
        await publisher.publish(sent)
        await until(lambda: source.status().acknowledged == 3000, "all acknowledged")
        status = source.status()
        assert (status.received, status.journalled, status.unacknowledged) == (3000, 3000, 0)
        assert (status.redelivered, status.connects, status.state) == (0, 1, "connected")
    assert journal.payloads == sent
    first = journal.messages[0]
    assert (first.topic, first.qos, first.dup, first.retain, first.generation) == (
        READING,
        1,
        False,
        False,
        1,
    )
    assert (first.kind, first.length) == (FrameKind.MESSAGE, 1)
    assert len({frame.packet_id for frame in journal.messages}) == 3000
    times = [frame.received_ns for frame in journal.appended]
    assert all(earlier < later for earlier, later in pairwise(times))


@BOTH
@pytest_twisted.ensureDeferred
async def test_qos_0_is_journalled_without_a_receipt(
    broker: Mosquitto, publisher: Publisher, protocol: str
) -> None:
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings(protocol=protocol))) as source:
        await publisher.publish([b"a", b"b"], qos=0)
        await until(lambda: len(journal.messages) == 2)
        assert source.status().unacknowledged == 0
        assert [(frame.qos, frame.packet_id) for frame in journal.messages] == [(0, 0), (0, 0)]


@pytest_twisted.ensureDeferred
async def test_nothing_is_acknowledged_before_it_is_on_disk(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal(at_once=False)
    points: list[str] = []
    async with running(source_into(journal, broker.settings(), reached=points.append)) as source:
        await publisher.publish([b"a", b"b", b"c"])
        await until(lambda: len(journal.messages) == 3)
        assert "Received PUBACK from tessmon-test" not in broker.log
        assert source.status().unacknowledged == 3
        assert points == []
        journal.settle()
        assert points == ["mqtt.before_ack"]
        await until(lambda: broker.log.count("Received PUBACK from tessmon-test") == 3, "three PUBACK")


@pytest_twisted.ensureDeferred
async def test_the_acknowledgements_of_a_commit_go_out_in_few_writes(
    broker: Mosquitto, publisher: Publisher
) -> None:
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings())) as source:
        await publisher.publish([b"x"] * 1000)
        await until(lambda: len(journal.messages) == 1000)
        assert source._connection is not None
        writes: list[int] = []
        transport = source._connection.transport
        send = transport.write
        transport.write = lambda outgoing: (writes.append(len(outgoing)), send(outgoing))
        journal.settle()
        await until(lambda: broker.log.count("Received PUBACK from tessmon-test") == 1000, "all PUBACK")
        assert writes == [4000]


@pytest_twisted.ensureDeferred
async def test_retained_messages_are_journalled_with_their_flag(
    broker: Mosquitto, publisher: Publisher
) -> None:
    await publisher.publish([b"retained"], retain=True)
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings())):
        await publisher.publish([b"live"], retain=True)
        await until(lambda: len(journal.messages) == 2)
    assert [(frame.payload, frame.retain) for frame in journal.messages] == [
        (b"retained", True),
        (b"live", False),
    ]


@BOTH
@pytest_twisted.ensureDeferred
async def test_an_over_long_payload_is_cut_in_bounded_memory(
    broker: Mosquitto, publisher: Publisher, protocol: str
) -> None:
    journal = CommandedJournal()
    settings = broker.settings(protocol=protocol, max_payload_bytes=2000)
    async with running(source_into(journal, settings)) as source:
        long = b"0123456789" * 1_000_000
        tracemalloc.start()
        publishing = publisher.publish([long, b"x" * 2001, b"x" * 2000, b"short"])
        before, _most = tracemalloc.get_traced_memory()
        await publishing
        await until(lambda: source.status().acknowledged == 4)
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [(len(frame.payload), frame.length) for frame in journal.messages] == [
        (2000, 10_000_000),
        (2000, 2001),
        (2000, 2000),
        (5, 5),
    ]
    assert journal.messages[0].payload == long[:2000]
    assert most - before < 21_000_000, "more than the publisher's own copies"


@pytest_twisted.ensureDeferred
async def test_a_topic_of_odd_bytes_is_kept(broker: Mosquitto) -> None:
    """mosquitto passes on no such topic, so the connection gets the packet from us."""
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings())) as source:
        assert source._connection is not None
        source._connection.dataReceived(b"\x30\x06\x00\x03a\xff\xfe!")
        await until(lambda: journal.messages)
        assert journal.messages[0].topic == "a\udcff\udcfe"
        assert journal.payloads == [b"!"]


@pytest.mark.logs_failures
@pytest_twisted.ensureDeferred
async def test_packets_that_are_no_mqtt_cost_the_connection_and_nothing_else(
    broker: Mosquitto, publisher: Publisher
) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings())) as source:
        for number, nonsense in enumerate(
            [b"\x32\x01\x00", b"\x30\xff\xff\xff\xff\xff", b"\xf0\x00"], start=2
        ):
            assert source._connection is not None
            source._connection.dataReceived(nonsense)
            source._retry.reset()
            await connected(source, number)
        await publisher.publish([b"fine"])
        await until(lambda: journal.messages)
        assert len(journal.events("lost")) == 3


@pytest_twisted.ensureDeferred
async def test_no_registration_without_a_register_topic(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings(register_topic=""))):
        await publisher.publish([b"no"], topic="STARS4ALL/register")
        await publisher.publish([b"yes"])
        await until(lambda: journal.messages)
        assert journal.payloads == [b"yes"]
        assert journal.events("connected")[0]["topics"] == ["STARS4ALL/+/reading"]


@BOTH
@pytest_twisted.ensureDeferred
async def test_topics_change_without_a_new_connection(
    broker: Mosquitto, publisher: Publisher, protocol: str
) -> None:
    journal = CommandedJournal()
    settings = broker.settings(protocol=protocol, reading_topics=("a/reading", "b/reading"))
    async with running(source_into(journal, settings)) as source:
        source.reconfigure(broker.settings(protocol=protocol, reading_topics=("b/reading", "c/reading")))
        await until(lambda: len(journal.events("subscribed")) == 3, "subscribed and unsubscribed")
        for topic in "abc":
            await publisher.publish([topic], topic=f"{topic}/reading")
        await until(lambda: len(journal.messages) == 2)
        assert journal.payloads == [b"b", b"c"]
        assert source.status().connects == 1
        assert journal.events("subscribed")[-1]["topics"] == ["STARS4ALL/register", "b/reading", "c/reading"]


@pytest_twisted.ensureDeferred
async def test_topics_of_an_earlier_process_are_given_back(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings(reading_topics=("old/reading",)))):
        pass
    later = CommandedJournal(before=journal.appended)
    async with running(source_into(later, broker.settings(reading_topics=("new/reading",)))):
        await until(lambda: len(later.events("subscribed")) == 3)
        await publisher.publish([b"old"], topic="old/reading")
        await publisher.publish([b"new"], topic="new/reading")
        await until(lambda: later.messages)
        assert later.payloads == [b"new"]


@pytest_twisted.ensureDeferred
async def test_other_settings_make_a_new_connection_at_once(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings())) as source:
        source.reconfigure(broker.settings(protocol="5", keepalive_s=30))
        await connected(source, 2)
        assert [event["protocol"] for event in journal.events("connected")] == ["3.1.1", "5"]
        assert journal.events("connected")[1]["session_present"] is True
        await publisher.publish([b"x"])
        await until(lambda: journal.messages)
        assert journal.events("lost") == []


@pytest_twisted.ensureDeferred
async def test_a_shorter_maximum_holds_at_once(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings())) as source:
        source.reconfigure(broker.settings(max_payload_bytes=1024))
        await publisher.publish([b"x" * 1025])
        await until(lambda: journal.messages)
        assert len(journal.payloads[0]) == 1024
        assert source.status().connects == 1


@pytest_twisted.ensureDeferred
async def test_a_stop_loses_nothing(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal()
    source = source_into(journal, broker.settings())
    sent = [b"%d" % number for number in range(6000)]
    async with running(source):
        publishing = publisher.publish(sent)
        await until(lambda: len(journal.messages) > 500)
        await source.stopService()
        await publishing
        assert "Received DISCONNECT from tessmon-test" in broker.log
        assert journal.appended[-1].topic == "stopped"
        assert source.status().unacknowledged == 0
        assert source.status().acknowledged == source.status().journalled < 6000
    again = source_into(later := CommandedJournal(before=journal.appended), broker.settings())
    async with running(again):
        await until(lambda: len(later.messages) >= 6000, "the rest")
        assert sorted(map(int, later.payloads)) == list(range(6000))
        assert later.events("connected")[-1]["session_present"] is True


@pytest_twisted.ensureDeferred
async def test_a_stop_waits_for_the_disk_but_not_for_ever(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal(at_once=False)
    source = source_into(journal, broker.settings())
    async with running(source):
        await publisher.publish([b"a"])
        await until(lambda: journal.messages)
        stopping = source.stopService()
        await until(lambda: source._intake._all_settled is not None)
        assert "Received DISCONNECT" not in broker.log
        journal.settle()
        await stopping
        await until(lambda: "Received DISCONNECT from tessmon-test" in broker.log)
        assert broker.log.index("Received PUBACK from") < broker.log.index("Received DISCONNECT from tessmon")


@pytest_twisted.ensureDeferred
async def test_a_start_takes_later_times_than_the_journal_and_announces_in_order(broker: Mosquitto) -> None:
    ahead = Frame(FrameKind.TICK, time.time_ns() + 3600 * 10**9, "", b"", 0)
    journal = CommandedJournal(before=[ahead])
    source = source_into(journal, broker.settings())
    source.announce("paused", by="SIGUSR1")
    async with running(source):
        times = [frame.received_ns for frame in journal.appended]
        assert all(earlier < later for earlier, later in pairwise(times))
    assert [frame.topic for frame in journal.appended if frame.kind == FrameKind.EVENT] == [
        "clock_put_back",
        "started",
        "paused",
        "connected",
        "subscribed",
        "stopped",
    ]
