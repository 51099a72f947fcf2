# SPDX-License-Identifier: MIT
"""The sink of the lane `vlbimon`: points become rows, stations have a status, parameters get numbers and views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from tessmon.breath import Breath
from tessmon.config.model import Rejects as RejectsSettings
from tessmon.database.connection import Connection
from tessmon.errors import Cause
from tessmon.interfaces import IJournal, ISink
from tessmon.records.batch import Batch, Standing
from tessmon.records.outcome import Filtered, Record, Reject, SourceEvent
from tessmon.records.position import START
from tessmon.records.vlbimon import SWEPT, Contact, Masterlist, Point
from tessmon.sink import keeping
from tessmon.sink.batch_sink import BatchSink
from tessmon.sink.draft import Draft
from tessmon.sink.plan import REPLACED, Conflict, Due, Plan, Sheet, Stored, by_place
from tessmon.sink.tables.vlbimon import POINTS, Key, PointRow, same
from tessmon.sink.vlbimon_names import Names
from tessmon.sink.vlbimon_status import Newest
from tessmon.sink.writer import Writer

SLICE_ITEMS = 100
"""Records looked at before one looks how long it took."""
_key = attrgetter("key")

_SWEPT_ELSEWHERE_SQL = """
SELECT (notes #>> '{swept,until}')::numeric::bigint FROM positions
WHERE lane = %s AND origin <> %s AND jsonb_typeof(notes #> '{swept,until}') = 'number'
ORDER BY updated_at DESC LIMIT 1"""
_NEWEST_STATUS_SQL = (
    "SELECT max(time) FROM bridge_stationstatus WHERE time <= extract(epoch FROM now())::bigint"
)
_NEWEST_POINT_SQL = """
SELECT max(n.time) FROM vlbimon_parameters AS q CROSS JOIN vlbimon_stations AS s
CROSS JOIN LATERAL (
    SELECT p.time FROM vlbimon_points AS p
    WHERE p.parameter_id = q.parameter_id AND p.station = s.station AND p.time <= extract(epoch FROM now())::bigint
    ORDER BY p.time DESC LIMIT 1
) AS n"""


class _Draft(Draft):
    """With at most one row for each second of a parameter at a station."""

    def __init__(self) -> None:
        super().__init__()
        self.newest = Newest()
        self._points: dict[Key, PointRow] = {}

    def place(self, row: PointRow) -> None:
        """A point; of two for one second the one received last stays, and of equal values the later stamp."""
        former = self._points.get(row.key)
        if former is None:
            self._points[row.key] = row
            return
        equal = same(row.point.value, former.point.value)
        if row.point.stamp > former.point.stamp if equal else row.received_us >= former.received_us:
            self.count(former.point.frame, former.subject, REPLACED, "stored")
            self._points[row.key] = row
        elif equal:
            self.count(row.point.frame, row.subject, "", "duplicate")
        else:
            self.count(row.point.frame, row.subject, Cause.SUPERSEDED, "filtered")

    def cut_points(self, statement_rows: int) -> Iterator[None]:
        """Make sheets of the points, each in the order of keys, as they stand in the index. Each step is short."""
        rows = list(self._points.values())
        for at in range(0, len(rows), statement_rows):
            some = sorted(rows[at : at + statement_rows], key=_key)
            self.sheets.append(Sheet(POINTS, some))
            yield


@implementer(ISink)
class VlbimonSink(BatchSink[_Draft]):
    """Stores batches of points.

    Args:
        lane: the lane's name.
        journal: whose identity is the origin.
        rejects: replaced as a whole at a reload.
        writer: carries out plans.
        breath: lets the reactor do other things.
    """

    log = Logger()

    def __init__(
        self, lane: str, journal: IJournal, rejects: RejectsSettings, writer: Writer, breath: Breath
    ) -> None:
        super().__init__(lane, rejects, writer, breath)
        self._journal = journal
        self._names = Names(breath)
        self._position = START
        self.channels: dict[str, Callable[[str], None]] = {}

    def forget(self) -> None:
        super().forget()
        self._names.forget()

    async def ask(self, connection: Connection, questions: Sequence[Any]) -> Sequence[Standing]:
        """Where the lane stands with journals. A new one takes over what another has swept, or what is stored."""
        return [await self._standing(connection, origin) for origin in questions]

    async def _standing(self, connection: Connection, origin: str) -> Standing:
        standing = await keeping.load_position(connection, self._lane, origin)
        if standing.position != START or SWEPT in standing.notes:
            return standing
        for sql, arguments in (
            (_SWEPT_ELSEWHERE_SQL, [self._lane, origin]),
            (_NEWEST_STATUS_SQL, []),
            (_NEWEST_POINT_SQL, []),
        ):
            for (until,) in await connection.query(sql, arguments):
                if until is not None:
                    return standing._replace(notes={**standing.notes, SWEPT: {"until": until}})
        return standing

    async def prepare(self, batch: Batch) -> None:
        if not any(isinstance(item.record, Masterlist) for item in batch.items):
            await super().prepare(batch)

    async def write(
        self,
        connection: Connection,
        batch: Batch,
        due: Sequence[Due] = (),
        waits: Callable[[], None] = lambda: None,
    ) -> Stored:
        await self._names.learn(connection, batch)
        draft = await self._drafted(batch)
        plan = Plan(
            self._lane,
            self._journal.identity,
            batch.moves,
            draft.sheets,
            draft.rejects,
            draft.tallies,
            draft.events,
            None,
            by_place(due),
            Conflict(Cause.SUPERSEDED),
            beside=draft.newest.statements(),
            known=True,
        )
        written = await self._writer.write(connection, plan, waits)
        self._position = batch.moves[0].new.position
        return Stored(batch.moves, len(batch.items), written)

    async def clean_up(self, connection: Connection, now_ns: int) -> None:
        await self._expire(connection, self._journal.identity, now_ns, self._position)

    async def _look_at(self, batch: Batch) -> _Draft:
        draft, numbers = _Draft(), self._names.parameters
        for ordinal, item in enumerate(batch.items):
            record = item.record
            if isinstance(record, Point):
                draft.place(PointRow(record, numbers[record.parameter], ordinal))
                draft.newest.see(record)
            else:
                _place(draft, record)
            if not ordinal % SLICE_ITEMS and self._breath.due:
                await self._breath.take()
        draft.used = len(batch.items)
        for _ in draft.cut_points(self._writer.statement_rows):
            if self._breath.due:
                await self._breath.take()
        return draft


def _place(draft: _Draft, record: Record) -> None:
    if isinstance(record, Contact):
        draft.newest.hear(record)
    elif isinstance(record, Reject):
        draft.rejects.append(record)
    elif isinstance(record, Filtered):
        draft.count(record.frame, record.subject, record.cause, "filtered")
    elif isinstance(record, SourceEvent):
        draft.events.append(record)
