# SPDX-License-Identifier: MIT
"""A soak: photometers that never stop, faults that never stop, and a ledger that must come out even.

The tables are compared with what a plain model makes of the messages in the order in which they were journalled.
TESSMON_SOAK_SEED repeats the messages and the faults of an earlier run.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tessmon.control.client import tell
from tessmon.database.check import check
from tessmon.demo.servers import Broker, PostgresServer, new_directory
from tessmon.records.frame import FrameKind
from tests import scale
from tests.observatory import Publisher, Service, fetch, in_background, wait_for
from tests.violence.soak_evidence import Evidence
from tests.violence.soak_faults import ROOMY, Faults, schedule
from tests.violence.soak_model import Model, Row, modelled
from tests.violence.soak_traffic import DENIED, EVERY, KEPT_BYTES, LEFT_ALONE, Message, Traffic, mac_of
from tests.watch import RSS_LIMIT_BYTES, Watch, descriptors

RATE_HZ = 300
LONGEST_FAULT_S = 15.0 if scale.FULL else 1.5
DEPTH, MAX_AGE_S = 5, 10
RETENTION_S = 10
MOST_DESCRIPTORS, MORE_DESCRIPTORS = 60, 6
MOST_FILES = 200
"""Segments of the journal: eight that are not passed, those that a restart began, and those of the last
`RETENTION_S`, some ten a second when the journal is small and the source catches up."""
TALLIES = (
    "SELECT cause, sum(stored), sum(duplicate), sum(filtered), sum(rejected) FROM tallies GROUP BY cause"
)
OUTCOMES = ("stored", "duplicate", "filtered", "rejected")
ROWS = """
SELECT mac_address, zp1, extract(epoch FROM tstamp)::bigint, sequence_number, magnitude,
       (extract(epoch FROM received_at) * 1000000)::bigint
FROM (SELECT tess_id, tstamp, sequence_number, magnitude, received_at FROM tess_readings_t
      UNION ALL SELECT tess_id, tstamp, sequence_number, mag1, received_at FROM tess_readings4c_t
      WHERE mag1 = mag2 AND mag2 = mag3 AND mag3 = mag4) AS r JOIN tess_t USING (tess_id)"""


@pytest.fixture
def lasting_broker() -> Iterator[Broker]:
    """A mosquitto that keeps sessions and messages over a restart."""
    directory = new_directory("tessmon-soak-broker-")
    server = Broker(directory, kind="mosquitto", lines=("max_inflight_messages 500",))
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


class Ledger:
    """What was sent: how often, and what it is, by the beginning of the payload."""

    def __init__(self) -> None:
        self.sent: Counter[bytes] = Counter()
        self.messages: dict[bytes, Message] = {}

    def note(self, message: Message) -> None:
        head = message.payload[:KEPT_BYTES]
        self.sent[head] += 1
        self.messages.setdefault(head, message)


class CountingPublisher(Publisher):
    """Knows how often it said something twice, because a connection ended before the broker's confirmation.

    Attributes:
        repeated: PUBLISH packets with the DUP flag.
    """

    def __init__(self, broker: Broker, client_id: str) -> None:
        self.repeated = 0
        super().__init__(broker, client_id)
        self._client.on_log = self._look

    def _look(self, client: object, user: object, level: int, line: str) -> None:
        self.repeated += line.startswith("Sending PUBLISH (d1")


def test_faults_of_all_kinds_change_no_row_and_no_count(
    lasting_broker: Broker, database: Any, postgres: PostgresServer, make_service: Callable[..., Service]
) -> None:
    seed = os.environ.get("TESSMON_SOAK_SEED") or str(random.SystemRandom().randrange(1_000_000))
    print(f"soak of {scale.SOAK_S} s, TESSMON_SOAK_SEED={seed}")
    service = make_service(
        lasting_broker,
        database,
        journal={"max_bytes": ROOMY, "retention_s": RETENTION_S},
        mqtt={"max_payload_bytes": KEPT_BYTES, "keepalive_s": 5},
        photometer={"deny": [DENIED]},
        writer={"statement_timeout_s": 3},
        **{
            "photometer.every": EVERY,
            "photometer.daylight": {
                "enabled": True,
                "depth": DEPTH,
                "max_age_s": MAX_AGE_S,
                "disabled_for": LEFT_ALONE,
            },
        },
    )
    evidence = Evidence(service.journal, service.directory / "kept")
    faults = Faults(service, lasting_broker, postgres, evidence)
    ledger, traffic = Ledger(), Traffic(int(seed))
    messages, enough = iter(traffic), threading.Event()
    publisher = CountingPublisher(lasting_broker, "soak")
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    with Watch(service, evidence.look) as watch:
        with in_background(_speak, publisher, messages, ledger, enough):
            try:
                faults.run(schedule(f"{seed} first", scale.SOAK_S * 2 / 3, LONGEST_FAULT_S, deadly=True))
                faults.put_right()
                before = descriptors(_pid(service))
                faults.run(schedule(f"{seed} then", scale.SOAK_S / 3, LONGEST_FAULT_S, deadly=False))
                faults.put_right()
            finally:
                enough.set()
        last = traffic.farewell()
        ledger.note(last)
        publisher.publish(last.topic, last.payload)
        try:
            wait_for(lambda: _is_stored(database, last), "the last message", 300)
        except AssertionError as error:
            raise AssertionError(f"{error}: {service.status()}\n{service.last_words()}") from error
        assert tell(service.socket, "/flush", "soak", 90)["said"] == [
            "photometer: stored, all that was held back"
        ]
        wait_for(lambda: service.lane_state() == "idle", "all to be stored", 120)
        after = descriptors(_pid(service))
    publisher.close()
    assert service.stop() == 0
    evidence.settle()
    model = modelled(evidence.frames(), ledger.messages, DEPTH, MAX_AGE_S)
    print(f"{publisher.repeated} messages were said twice by the publisher")
    _print_ledger(ledger, evidence, model, faults, database, watch, service)

    journalled = _journalled(evidence)
    lost = ledger.sent - journalled
    assert not lost, f"{lost.total()} of {ledger.sent.total()} were sent and not journalled: {list(lost)[:3]}"
    repeated = (journalled - ledger.sent).total()
    assert repeated <= publisher.repeated, "a message that the broker delivered again was journalled again"
    counted = _counted(database)
    assert counted == +model.outcomes
    assert _difference(set(_rows(database)), model.rows) == ([], [])
    assert (
        Counter(
            (reason, bytes(payload))
            for reason, payload in fetch(database.dsn, "SELECT reason, payload FROM rejects")
        )
        == +model.rejects
    )
    assert [finding for finding in check(database.superuser_dsn) if not finding.ok] == []
    assert watch.most_bytes < RSS_LIMIT_BYTES
    assert watch.most_descriptors < MOST_DESCRIPTORS
    assert after < before + MORE_DESCRIPTORS, f"{before} files were open, then {after}"
    assert evidence.most_files < MOST_FILES
    log = service.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
    assert "a defect of the program" not in log
    service.assert_quick()


def _speak(
    publisher: Publisher, messages: Iterator[Message], ledger: Ledger, enough: threading.Event
) -> None:
    began = time.monotonic()
    for count, message in enumerate(messages):
        ahead_s = began + count / RATE_HZ - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)  # the rate is what is asked for
        if enough.is_set():
            return
        ledger.note(message)
        publisher.publish(message.topic, message.payload, retain=message.retain)


def _pid(service: Service) -> int:
    assert service.process is not None
    return service.process.pid


def _is_stored(database: Any, message: Message) -> bool:
    return bool(
        fetch(
            database.dsn,
            "SELECT 1 FROM tess_readings_t JOIN tess_t USING (tess_id) WHERE mac_address = %s "
            "AND sequence_number = %s",
            [mac_of(message.name), message.sequence_number],
        )
    )


def _journalled(evidence: Evidence) -> Counter[bytes]:
    return Counter(
        frame.payload[:KEPT_BYTES]
        for frame in evidence.frames()
        if frame.kind == FrameKind.MESSAGE and not frame.retain
    )


def _counted(database: Any) -> Counter[tuple[str, str]]:
    counted: Counter[tuple[str, str]] = Counter()
    for cause, *numbers in fetch(database.dsn, TALLIES):
        for outcome, number in zip(OUTCOMES, numbers, strict=True):
            counted[outcome, cause] += int(number)
    return +counted


def _rows(database: Any) -> list[Row]:
    rows = [Row(*row) for row in fetch(database.dsn, ROWS)]
    assert len(rows) == len(set(rows)), "a row stands there twice"
    return rows


def _difference(there: set[Row], expected: set[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
    """Some rows that should not be there, some that are missing."""
    return sorted(there - expected)[:5], sorted(expected - there)[:5]


def _print_ledger(
    ledger: Ledger,
    evidence: Evidence,
    model: Model,
    faults: Faults,
    database: Any,
    watch: Watch,
    service: Service,
) -> None:
    journalled, counted = _journalled(evidence), _counted(database)
    retained = counted["filtered", "retained"]
    repeated = (journalled - ledger.sent).total()
    waiting = journalled.total() + retained - counted.total()
    print(f"{sum(faults.done.values())} faults:")
    for name, count in sorted(faults.done.items()):
        print(f"{count:>8} {name}")
    print("Ledger:")
    print(f"{ledger.sent.total():>8} messages sent, at QoS 1, until the broker confirmed each")
    print(f"{repeated:>8} of them journalled once more, after a connection or a broker was lost")
    print(f"{retained:>8} copies of retained messages that came with a subscription")
    print(f"{(ledger.sent - journalled).total():>8} never journalled")
    print(f"{journalled.total() + retained:>8} journalled =")
    for outcome in OUTCOMES:
        causes = {cause: count for (each, cause), count in sorted(counted.items()) if each == outcome}
        named = ", ".join(f"{cause or 'readings'} {count}" for cause, count in causes.items())
        print(f"{sum(causes.values()):>8} {outcome} ({named})")
    print(f"{waiting:>8} waiting, {model.held} of them held back by the filter")
    print(
        f"RssAnon {watch.most_bytes / 1e6:.1f} MB, {watch.most_descriptors} files open, "
        f"{evidence.most_files} segments at most, {evidence.files} in all; {service.log.stat().st_size} bytes of log"
    )
