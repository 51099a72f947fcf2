# SPDX-License-Identifier: MIT
"""The sink of the lane `telemetry`: events of devices become rows, and files get their names in the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from zope.interface import implementer

from tessmon.breath import Breath
from tessmon.config.model import Rejects as RejectsSettings
from tessmon.database.session import Session
from tessmon.interfaces import ISink
from tessmon.records.batch import Batch
from tessmon.records.frame import Frame
from tessmon.records.outcome import Reject, SourceEvent, Withdrawn
from tessmon.records.telemetry import TelemetryEvent
from tessmon.sink.arrays import filled_number_array
from tessmon.sink.batch_sink import BatchSink
from tessmon.sink.draft import Draft
from tessmon.sink.files import (
    LANE,
    Opened,
    Seen,
    Touched,
    mark_paths_vanished,
    note_ingested,
    open_files,
    reopen_cut_off,
    standings,
    touch_files,
)
from tessmon.sink.plan import Conflict, Due, Plan, Stored, by_place, hour_s_of
from tessmon.sink.tables.telem import TELEM
from tessmon.sink.writer import Writer

SLICE_ITEMS = 500
"""Records looked at before one looks how long it took."""
_KNOWN_CODES_SQL = """
UPDATE rejects SET due = true
WHERE lane = %s AND starts_with(origin, %s || '/') AND reason = 'unknown_code' AND NOT due
  AND get_byte(payload || '\\x000000', 1) + 256 * get_byte(payload || '\\x000000', 2) = ANY(%s::bigint[])"""
"""The code stands in a record's second and third byte."""


class CutOff(NamedTuple):
    """A question: a file has become shorter than it was read. Its answer is an `Opened` or None."""

    file_id: int
    seen: Seen


class Fresh(NamedTuple):
    """No question but news of files: sizes and times, which are stored to the end, which paths have none any more. Its
    answer is None."""

    touched: Sequence[Touched] = ()
    ingested: Sequence[int] = ()
    vanished: Sequence[str] = ()


class Stands(NamedTuple):
    """A question: how far a file was read. Its answer is a `Standing`."""

    origin: str


class KnownCodes(NamedTuple):
    """No question but news: records of these event codes can be decoded. Rejects that were refused because theirs was
    not known are made due. Its answer is None."""

    codes: Sequence[int]


class _Draft(Draft):
    """With what was cut and is whole now."""

    def __init__(self) -> None:
        super().__init__()
        self.withdrawn: list[Frame] = []


@implementer(ISink)
class TelemetrySink(BatchSink[_Draft]):
    """Stores batches of telemetry events.

    Args:
        host: whose files they are; the origin of what is no file's.
        rejects: replaced as a whole at a reload.
        writer: carries out plans.
        breath: lets the reactor do other things.
    """

    channels: Mapping[str, Callable[[str], None]] = {}

    def __init__(self, host: str, rejects: RejectsSettings, writer: Writer, breath: Breath) -> None:
        super().__init__(LANE, rejects, writer, breath)
        self._host = host
        self._due_origins = f"{host}/"  # the rest of a long record is in a file, which only its host has

    async def ask(self, connection: Session, questions: Sequence[Any]) -> Sequence[Any]:
        """The answer to each `Seen`, `CutOff`, `Fresh`, `Stands` or `KnownCodes`; all of a call are of one kind."""
        if isinstance(questions[0], Seen):
            return await open_files(connection, self._host, questions)
        if isinstance(questions[0], Stands):
            return await standings(connection, [question.origin for question in questions])
        return [await self._answer(connection, question) for question in questions]

    async def _answer(self, connection: Session, question: CutOff | Fresh | KnownCodes) -> Opened | None:
        if isinstance(question, CutOff):
            return await reopen_cut_off(connection, self._host, *question)
        if isinstance(question, KnownCodes):
            await connection.execute(
                _KNOWN_CODES_SQL, [LANE, self._host, filled_number_array(question.codes)]
            )
            return None
        if question.touched:
            await touch_files(connection, self._host, question.touched)
        if question.ingested:
            await note_ingested(connection, question.ingested)
        if question.vanished:
            await mark_paths_vanished(connection, self._host, question.vanished)
        return None

    async def write(
        self,
        connection: Any,
        batch: Batch,
        due: Sequence[Due] = (),
        waits: Callable[[], None] = lambda: None,
    ) -> Stored:
        draft = await self._drafted(batch)
        plan = Plan(
            LANE,
            self._host,
            batch.moves,
            draft.sheets,
            draft.rejects,
            draft.tallies,
            draft.events,
            None,
            by_place(due),
            Conflict(None),
            draft.withdrawn,
        )
        written = await self._writer.write(connection, plan, waits)
        return Stored(batch.moves, len(batch.items), written)

    async def clean_up(self, connection: Session, now_ns: int) -> None:
        await self._expire(connection, self._host, now_ns, (hour_s_of(now_ns),))

    async def _look_at(self, batch: Batch) -> _Draft:
        draft = _Draft()
        for number, item in enumerate(batch.items, 1):
            record = item.record
            if isinstance(record, TelemetryEvent):
                draft.add(TELEM, record)
            elif isinstance(record, Reject):
                draft.rejects.append(record)
            elif isinstance(record, Withdrawn):
                draft.withdrawn.append(record.frame)
            elif isinstance(record, SourceEvent):
                draft.events.append(record)
            if not number % SLICE_ITEMS and self._breath.due:
                await self._breath.take()
        draft.cut(self._writer.statement_rows)
        return draft
