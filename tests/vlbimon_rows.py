# SPDX-License-Identifier: MIT
"""Points on their way into the database without a server: a sink, its batches, and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from tessmon.breath import Breath
from tessmon.config.model import Rejects
from tessmon.database.connection import Connection, Connector
from tessmon.database.partitions import Partitions
from tessmon.demo.servers import PostgresServer
from tessmon.records.batch import Batch, Item, Move, Standing
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record
from tessmon.records.vlbimon import SNAPSHOT, Contact, Exchange, Masterlist, Parameter, Point
from tessmon.sink.plan import Due
from tessmon.sink.vlbimon import VlbimonSink
from tessmon.sink.writer import Writer
from tests.memory_journal import MemoryJournal
from tests.postgres import Database, fresh_database
from tests.vlbimon_stations import masterlist as array_masterlist

NOW_S = 1_712_345_690
"""A moment in April 2024, when frames come if nothing else is said [s]."""


class Rows:
    """A sink with its lane's journal, and what it is given.

    Attributes:
        sink: under test.
        connection: of the service's role.
        standing: as committed.
    """

    def __init__(self, database: Database, connection: Connection, identity: str = "journal") -> None:
        self.database = database
        self.connection = connection
        self.journal = MemoryJournal(identity)
        self.breath = Breath(reactor)
        self.sink = self.new_sink()
        self.standing = Standing()
        self._frames = 0

    @classmethod
    async def connect(cls, database: Database, identity: str = "journal") -> Rows:
        """One whose lane stands where the database says."""
        made = cls(database, await Connector(database.settings, reactor).connect(), identity)
        await made.begin()
        return made

    def new_sink(self) -> VlbimonSink:
        """One that knows nothing."""
        writer = Writer("vlbimon", Partitions(), 1000, self.breath)
        return VlbimonSink("vlbimon", self.journal, Rejects(), writer, self.breath)

    async def begin(self) -> None:
        """As after a start of the service."""
        self.sink = self.new_sink()
        [self.standing] = await self.sink.ask(self.connection, [self.journal.identity])

    def frame(self, received_s: float = NOW_S, topic: str = "", payload: bytes = b"") -> Frame:
        """The next of the journal."""
        self._frames += 1
        topic = topic or Exchange(SNAPSHOT, "https://one.example").topic()
        received_ns = round(received_s * 1e6) * 1000
        position = (1, 1, self._frames)
        return Frame(FrameKind.MESSAGE, received_ns, topic, payload, len(payload), position=position)

    def point(
        self,
        parameter: str,
        station: str,
        stamp: float,
        value: Any,
        received_s: float = NOW_S,
        derived: bool = False,
    ) -> Point:
        """One in a frame of its own."""
        return Point(self.frame(received_s), parameter, station, stamp, value, derived)

    def contact(self, station: str, client: str, at: float, version: str | None = None) -> Contact:
        return Contact(self.frame(), station, client, at, version)

    def masterlist(self, *parameters: Parameter, stations: Sequence[str] = ()) -> Masterlist:
        """Of these parameters; the whole array's when none are given."""
        if parameters:
            return Masterlist(self.frame(), parameters, tuple(stations))
        return array_list(self.frame())

    async def write(self, *records: Record, due: Sequence[Due] = ()) -> dict[str, int]:
        """Store a batch; gives what was counted, by outcome and cause."""
        items = [Item(self.standing.position, record) for record in records]
        new = self.standing if due else self.standing._replace(position=(1, 1, self._frames + 1))
        self._frames += 1
        batch = Batch(items, [Move(self.journal.identity, self.standing, new)])
        await self.sink.prepare(batch)
        stored = await self.sink.write(self.connection, batch, due)
        assert stored.used == len(items)
        self.standing = new
        counted: Counter[str] = Counter()
        for key, number in stored.written.tallies.items():
            counted[f"{key.outcome} {key.cause}".strip()] += number
        return {what: number for what, number in counted.items() if number}

    def rows(self) -> list[tuple[Any, ...]]:
        """(parameter, station, time, value as JSON has it, replaced), sorted."""
        found = self.database.fetch(
            "SELECT q.parameter, p.station, p.time, p.kind, p.whole, p.number, p.word, p.replaced "
            "FROM vlbimon_points AS p JOIN vlbimon_parameters AS q USING (parameter_id) ORDER BY 1, 2, 3"
        )
        return [
            (parameter, station, at_s, _value(kind, whole, number, word), replaced)
            for parameter, station, at_s, kind, whole, number, word, replaced in found
        ]

    def events(self) -> list[tuple[Any, ...]]:
        """(time, text), sorted."""
        return sorted(self.database.fetch("SELECT time, value FROM ts_param_bridge_events"))

    def status(self) -> dict[str, dict[str, Any]]:
        """Station → what is known of it."""
        found = self.database.fetch("SELECT to_jsonb(s) FROM bridge_stationstatus AS s")
        return {
            row["station"]: {name: value for name, value in row.items() if value is not None}
            for (row,) in found
        }


_HOLD_ROWS = (
    *("vlbimon_points", "vlbimon_stations", "vlbimon_clients", "vlbimon_status", "bridge_stationstatus"),
    *("positions", "rejects", "tallies", "source_events"),
)


def forget_rows(database: Database, *tables: str) -> None:
    """Empty tables, all when none is named; of few rows, so not with TRUNCATE, which takes a tenth of a second."""
    database.execute(";".join(f"DELETE FROM {table}" for table in tables or _HOLD_ROWS))


@pytest.fixture(scope="module")
def used_database(postgres: PostgresServer) -> Iterator[Database]:
    """One for all tests of a module; parameters and their views stay."""
    with fresh_database(postgres) as fresh:
        yield fresh


@pytest_twisted.async_yield_fixture
async def rows(used_database: Database) -> AsyncIterator[Rows]:
    """A sink whose database has no rows."""
    forget_rows(used_database)
    made = await Rows.connect(used_database)
    yield made
    made.connection.close()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What was logged at warn and above."""
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.warn:
            lines.append(str(event["log_format"]).format(**event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def array_list(frame: Frame) -> Masterlist:
    """The whole array's masterlist, as the decoder makes it."""
    found = array_masterlist()
    entries: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
    for station, own in found.items():
        for name, entry in own.items():
            entries.setdefault(name, (entry, () if station == "default" else (station,)))
    parameters = [
        Parameter(
            name,
            entry["datatype"],
            entry.get("partype", ""),
            entry.get("units", ""),
            entry.get("description", ""),
            entry.get("cadence", {}).get("public"),
            entry.get("cadence", {}).get("private"),
            stations,
        )
        for name, (entry, stations) in entries.items()
    ]
    return Masterlist(frame, tuple(parameters), tuple(name for name in found if name != "default"))


def _value(kind: str, whole: int | None, number: float | None, word: str | None) -> Any:
    value: Any = {"b": whole == 1, "i": whole, "f": number, "t": word}[kind]
    others = {"b": (number, word), "i": (number, word), "f": (whole, word), "t": (whole, number)}[kind]
    assert others == (None, None)
    return value


def tallies(database: Database) -> dict[str, dict[str, int]]:
    """Subject → outcome and cause → count, as stored."""
    found: dict[str, dict[str, int]] = {}
    for subject, cause, *numbers in database.fetch(
        "SELECT subject, cause, sum(stored), sum(duplicate), sum(filtered), sum(rejected) FROM tallies "
        "WHERE lane = 'vlbimon' GROUP BY 1, 2"
    ):
        for outcome, number in zip(("stored", "duplicate", "filtered", "rejected"), numbers, strict=True):
            if number:
                found.setdefault(subject, {})[f"{outcome} {cause}".strip()] = int(number)
    return found
