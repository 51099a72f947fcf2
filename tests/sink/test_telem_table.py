# SPDX-License-Identifier: MIT
"""Telemetry events on their way into ``telem``: what is sent is what is read back, once."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import count
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.breath import Breath
from tessmon.database.connection import Connection, Connector
from tessmon.database.partitions import Partitions
from tessmon.errors import Reason
from tessmon.records.batch import Move, Standing
from tessmon.records.telemetry import TelemetryEvent, TelemetryFile
from tessmon.sink.files import LANE, Seen, open_files
from tessmon.sink.plan import Conflict, Plan, Sheet, TallyKey
from tessmon.sink.tables.telem import TELEM
from tessmon.sink.writer import Writer
from tests.postgres import Database

ensure = pytest_twisted.ensureDeferred
AT_NS = 1_729_567_290_123_456_789
ROWS = """
SELECT device, (extract(epoch FROM ts) * 1000000)::bigint * 1000 + ns, ec, prio, msg, digest, file_id, file_offset
FROM telem ORDER BY file_offset"""
_offsets = count()


class Sink:
    """Writes plans for one file."""

    def __init__(self, connection: Connection, file: TelemetryFile) -> None:
        self.connection = connection
        self.file = file
        self.writer = Writer("files", Partitions(), 1000, Breath(reactor))
        self.standing = Standing((0,), (0,))

    def event(self, msg: str, at_ns: int = AT_NS, ec: str = "telem_x", **fields: Any) -> TelemetryEvent:
        """One record; its bytes are its message's unless told otherwise."""
        raw = fields.pop("raw", f"{ec} {msg}".encode("utf-8", "surrogatepass"))
        digest = int.from_bytes(blake2b(raw, digest_size=8).digest(), "little", signed=True)
        offset = next(_offsets)
        return TelemetryEvent(self.file, AT_NS, offset, at_ns, ec, "TELM", msg, digest, raw, **fields)

    async def write(self, *events: TelemetryEvent) -> dict[str, int]:
        """What became of them, by outcome."""
        (offset,) = self.standing.position
        new = Standing((offset + 1,), (offset + 1,))
        moves = [Move(self.file.origin, self.standing, new)]
        sheets = [Sheet(TELEM, events)]
        plan = Plan(LANE, "", moves, sheets, [], Counter(), [], None, {}, Conflict(None))
        written = await self.writer.write(self.connection, plan)
        self.standing = new
        outcomes: Counter[str] = Counter()
        for key, number in written.tallies.items():
            outcomes[key.outcome] += number
        assert {key.subject for key in written.tallies} <= {"camwfs", ""}
        return {outcome: number for outcome, number in outcomes.items() if number}


@pytest_twisted.async_yield_fixture
async def sink(database: Database) -> AsyncIterator[Sink]:
    connection = await Connector(database.settings, reactor).connect()
    seen = Seen("/telem/a", "camwfs", "bintel", 9, 5, b"head", 4, AT_NS, AT_NS)
    [opened] = await open_files(connection, "exao1", [seen])
    assert opened is not None
    yield Sink(connection, opened.file)
    connection.close()


def read_back(database: Database) -> list[tuple[Any, ...]]:
    return database.fetch(ROWS)


def as_sent(events: Sequence[TelemetryEvent]) -> list[tuple[Any, ...]]:
    return [
        (e.file.device, e.ts_ns, e.ec, e.prio, json.loads(e.msg), e.digest, e.file.file_id, e.offset)
        for e in events
    ]


@ensure
async def test_every_value_is_read_back_as_it_was_sent(sink: Sink, database: Database) -> None:
    chance = random.Random(3)
    messages = [
        {"text": "quotes \" and \\ and ' and {braces}, [brackets], NULL, %s, \u2028, β, 😀, \t\n\r\x01\x7f"},
        {"big": 18_446_744_073_709_551_615, "low": -(1 << 63), "zero": 0},
        {"tiny": 5e-324, "third": 1 / 3, "f": 0.1},
        {"nan": "NaN", "up": "Infinity", "down": "-Infinity", "none": "-0.0"},
        {"nested": {"temp": -40.125, "deep": {"list": [1, 2.5, "x", None, True, [], {}]}}, "empty": ""},
        {},
        "a plain string",
        [],
        {"long": list(range(20_000))},
    ]
    sent = [
        sink.event(json.dumps(message, ensure_ascii=chance.random() < 0.5, separators=(",", ":")), AT_NS + n)
        for n, message in enumerate(messages)
    ]
    assert await sink.write(*sent) == {"stored": len(sent)}
    assert read_back(database) == as_sent(sent)


@ensure
async def test_the_manuals_way_to_read_numbers_gives_the_very_float(sink: Sink, database: Database) -> None:
    floats = [5e-324, 1.7976931348623157e308, 1 / 3, 0.1, -2.5, 1e16, 1e22, 123456789.123456789]
    words = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity", "-0.0": "-0"}
    values: list[Any] = [*floats, *words]
    await sink.write(*(sink.event(json.dumps({"k": value}), AT_NS + n) for n, value in enumerate(values)))
    found = database.fetch(
        "SELECT (msg ->> 'k')::float8, (msg ->> 'k')::float8::text FROM telem ORDER BY ts, ns"
    )
    assert [number for number, _ in found[: len(floats)]] == floats
    assert [text for _, text in found[len(floats) :]] == list(words.values())


@ensure
async def test_each_nanosecond_has_its_place(sink: Sink, database: Database) -> None:
    moments = [AT_NS, AT_NS + 1, AT_NS + 999, AT_NS + 1000, 946_684_800_000_000_000, 946_684_800_000_000_999]
    chance = random.Random(5)
    moments += [AT_NS + chance.randrange(10**15) for _ in range(500)]
    sent = [sink.event("{}", at_ns, raw=b"%d" % at_ns) for at_ns in sorted(moments)]
    assert await sink.write(*sent) == {"stored": len(sent)}
    assert read_back(database) == as_sent(sent)
    assert database.fetch("SELECT count(*) FROM telem WHERE ts = '2024-10-22 03:21:30.123456+00'") == [(2,)]


@ensure
async def test_two_different_records_of_one_instant_are_two_and_twins_are_one(
    sink: Sink, database: Database
) -> None:
    one, other, code = (
        sink.event('{"a":1}'),
        sink.event('{"a":2}'),
        sink.event('{"a":1}', ec="telem_y", raw=b"1"),
    )
    assert await sink.write(one, other, code) == {"stored": 3}
    twin = sink.event('{"a":1}')
    assert twin.digest == one.digest
    assert await sink.write(twin, sink.event('{"a":3}')) == {"stored": 1, "duplicate": 1}
    assert await sink.write(sink.event('{"a":4}'), sink.event('{"a":4}'), other) == {
        "stored": 1,
        "duplicate": 2,
    }
    assert [row[4]["a"] for row in read_back(database)] == [1, 2, 1, 3, 4]
    assert database.fetch("SELECT count(*) FROM rejects") == [(0,)]


@ensure
async def test_bytes_that_other_schemas_read_otherwise_are_duplicates(sink: Sink, database: Database) -> None:
    await sink.write(sink.event('{"a":1}', raw=b"same"))
    assert await sink.write(sink.event('{"a":1,"new":2}', raw=b"same")) == {"duplicate": 1}
    assert [row[4] for row in read_back(database)] == [{"a": 1}]


@pytest.mark.parametrize(
    "bad", ['{"a":"\\u0000"}', "", "1,2", "]", '["a', "nan", '{"a":1', '"\ud800"', "\x00"]
)
@ensure
async def test_a_message_that_is_no_json_harms_no_other(sink: Sink, database: Database, bad: str) -> None:
    good = [sink.event(f'{{"a":{n}}}', AT_NS + n) for n in range(20)]
    assert await sink.write(*good[:10], sink.event(bad), *good[10:]) == {"stored": 20, "rejected": 1}
    assert read_back(database) == as_sent(good)
    assert [reason for (reason,) in database.fetch("SELECT reason FROM rejects")] == [Reason.DATABASE_REFUSED]


@ensure
async def test_rows_of_any_month_find_a_partition(sink: Sink, database: Database) -> None:
    months = [datetime(2000 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(0, 300, 37)]
    edges = [month + step for month in months for step in (timedelta(0), timedelta(microseconds=-1))][:-1]
    edges = [edge for edge in edges if edge.year >= 2000]
    whole = [
        (edge - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000 + 999 for edge in edges
    ]
    sent = [sink.event("{}", at_ns) for at_ns in whole]
    assert TELEM.months(sent) == {(edge.year, edge.month) for edge in edges}
    assert await sink.write(*sent) == {"stored": len(sent)}
    partitions = "SELECT DISTINCT right(tableoid::regclass::text, 7) FROM telem"
    assert {name for (name,) in database.fetch(partitions)} == {f"{edge:%Y_%m}" for edge in edges}


@ensure
async def test_what_is_counted_is_counted_for_the_device(sink: Sink, database: Database) -> None:
    await sink.write(sink.event("{}"))
    hour_s = AT_NS // 10**9 // 3600 * 3600
    assert database.fetch("SELECT lane, subject, extract(epoch FROM hour)::bigint, stored FROM tallies") == [
        (LANE, "camwfs", TallyKey("camwfs", hour_s, "", "stored").hour_s, 1)
    ]
