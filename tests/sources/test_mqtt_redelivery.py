# SPDX-License-Identifier: MIT
"""Redeliveries: a message that was journalled and not acknowledged comes again and is journalled once."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.journal.journal import Journal
from tessmon.records.frame import FrameKind
from tessmon.records.position import START
from tests.sources.mqttrig import (
    CommandedJournal,
    Mosquitto,
    Publisher,
    connected,
    cut,
    kill,
    running,
    source_into,
    until,
)

BOTH = pytest.mark.parametrize("protocol", ["3.1.1", "5"])
MESSAGES = 400


@BOTH
@pytest_twisted.ensureDeferred
async def test_connection_lost_before_the_disk_has_it(
    broker: Mosquitto, publisher: Publisher, protocol: str
) -> None:
    """The redelivery comes while the first copy is pending: acknowledged when that one is on disk, not before."""
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings(protocol=protocol))) as source:
        await publisher.publish([b"a", b"b"])
        await until(lambda: len(journal.messages) == 2)
        cut(source)
        await connected(source, 2)
        await until(lambda: source.status().redelivered == 2, "both came again")
        assert source.status().acknowledged == 0
        assert "Received PUBACK from tessmon-test" not in broker.log
        journal.settle()
        await until(lambda: broker.log.count("Received PUBACK from tessmon-test") == 2, "acknowledged")
        assert source.status().acknowledged == 2
        assert journal.payloads == [b"a", b"b"]
        cut(source)
        await connected(source, 3)
        await publisher.publish([b"c"])
        await until(lambda: len(journal.messages) == 3)
        assert source.status().redelivered == 2
        journal.settle()


@BOTH
@pytest_twisted.ensureDeferred
async def test_connection_lost_between_disk_and_acknowledgement(
    broker: Mosquitto, publisher: Publisher, protocol: str
) -> None:
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings(protocol=protocol))) as source:
        await publisher.publish([b"a", b"b"])
        await until(lambda: len(journal.messages) == 2)
        cut(source)
        await until(lambda: source._connection is None)
        journal.settle()
        assert source.status().acknowledged == 0
        await connected(source, 2)
        await until(lambda: source.status().acknowledged == 2)
        assert source.status().redelivered == 2
        assert journal.payloads == [b"a", b"b"]


@pytest_twisted.ensureDeferred
async def test_an_acknowledgement_never_goes_to_another_connection(
    broker: Mosquitto, publisher: Publisher
) -> None:
    """After a lost session the same packet id stands for another message."""
    journal = CommandedJournal(at_once=False)
    async with running(source_into(journal, broker.settings())) as source:
        await publisher.publish([b"old"])
        await until(lambda: len(journal.messages) == 1)
        publisher.close()
        broker.stop(signal.SIGKILL)
        broker.start()
        await connected(source, 2)
        assert journal.events("connected")[-1]["session_present"] is False
        again = Publisher(broker)
        await again.publish([b"new"])
        again.close()
        await until(lambda: len(journal.messages) == 2)
        old, new = journal.messages
        assert (old.packet_id, new.packet_id) == (1, 1)
        journal.settle(1 + journal.appended.index(old))
        assert source.status().acknowledged == 0
        journal.settle()
        assert source.status().acknowledged == 1
        await until(lambda: broker.log.count("Received PUBACK from tessmon-test") == 1)


@pytest_twisted.ensureDeferred
async def test_a_redelivery_of_what_never_came_is_journalled(broker: Mosquitto, publisher: Publisher) -> None:
    """Killed before the disk had it: the DUP flag alone does not make a message known."""
    journal = CommandedJournal(at_once=False)
    source = source_into(journal, broker.settings())
    async with running(source):
        journal.settle()
        await publisher.publish([b"a", b"b", b"c"])
        await until(lambda: len(journal.messages) == 3)
        journal.settle(1)
        left = await kill(source, journal)
    later = CommandedJournal(before=left)
    async with running(source_into(later, broker.settings())) as source:
        await until(lambda: source.status().acknowledged == 3)
        assert later.payloads == [b"a", b"b", b"c"]
        assert [frame.dup for frame in later.messages] == [False, True, True]
        assert source.status().redelivered == 1


@pytest_twisted.ensureDeferred
async def test_a_restart_between_disk_and_acknowledgement(broker: Mosquitto, publisher: Publisher) -> None:
    journal = CommandedJournal(at_once=False)
    source = source_into(journal, broker.settings(max_payload_bytes=1024))
    async with running(source):
        await publisher.publish([b"a", b"long" * 1000, b"c"])
        await until(lambda: len(journal.messages) == 3)
        journal.source = None
        journal.settle()
        left = await kill(source, journal)
    later = CommandedJournal(before=left)
    async with running(source_into(later, broker.settings(max_payload_bytes=1024))) as source:
        await until(lambda: source.status().acknowledged == 3)
        assert source.status().redelivered == 3
        assert len(later.messages) == 3


@pytest_twisted.ensureDeferred
async def test_kills_before_the_acknowledgement_neither_lose_nor_double(
    broker: Mosquitto, publisher: Publisher, tmp_path: Path
) -> None:
    """A process with a real journal kills itself between disk and acknowledgement, three times."""
    directory = tmp_path / "journal"
    numbers = iter(range(4 * MESSAGES))
    for kill_at in (1, 1, 1, 0):
        arguments = [str(directory), str(broker.port), str(kill_at), str(4 * MESSAGES)]
        child = subprocess.Popen([sys.executable, "-m", "tests.sources.journalling", *arguments])
        try:
            await until(lambda: "Sending SUBACK to tessmon-test" in broker.log, "subscribed")
            await publisher.publish([b"%d" % next(numbers) for _ in range(MESSAGES)])
            await until(lambda child=child: child.poll() is not None, "its end")
        finally:
            child.kill()
            child.wait()
        assert child.returncode == (-signal.SIGKILL if kill_at else 0)
    journal = Journal(directory, None, reactor, max_bytes=1 << 30, min_free_bytes=0, retention_s=3600)
    await journal.open()
    frames, at = [], START
    while chunk := (await journal.read(at, 1000, 1 << 20)).frames:
        frames += chunk
        at = chunk[-1].position
    await journal.close()
    payloads = [int(frame.payload) for frame in frames if frame.kind == FrameKind.MESSAGE]
    assert sorted(payloads) == list(range(4 * MESSAGES))
    assert "d1, q1" in broker.log, "the broker had nothing to send again: the test proves nothing"
    times = [frame.received_ns for frame in frames]
    assert all(earlier < later for earlier, later in pairwise(times))
