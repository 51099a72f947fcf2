# SPDX-License-Identifier: MIT
"""The sink of the lane `photometer`: gives readings their photometer, decides about registrations, makes plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from tessmon.breath import Breath
from tessmon.config.model import Photometer as PhotometerSettings
from tessmon.config.model import Rejects as RejectsSettings
from tessmon.database.connection import Connection, Trouble, sentence_of, trouble_of
from tessmon.database.driver import psycopg2
from tessmon.errors import Cause, Reason
from tessmon.interfaces import IJournal, ISink
from tessmon.records.batch import Batch, Standing
from tessmon.records.outcome import Filtered, Record, Reject, SourceEvent
from tessmon.records.photometer import Reading, Registration
from tessmon.records.position import START
from tessmon.sink import keeping
from tessmon.sink.batch_sink import BatchSink
from tessmon.sink.draft import Draft
from tessmon.sink.photometers import Photometers, UnknownError, Version, hash_fits, nearest_version
from tessmon.sink.plan import (
    NS_PER_S,
    Conflict,
    Due,
    Plan,
    StepResult,
    Stored,
    TallyKey,
    by_place,
    hour_of,
)
from tessmon.sink.registration import Decision, Known, Outcome, carry_out, decide, known_about, mark_due
from tessmon.sink.tables.tess import ReadingRow, table_of
from tessmon.sink.writer import Writer

SLICE_ITEMS = 100
"""Records looked up before one looks how long it took."""
_NAMED = (Reading, Registration)


class _Draft(Draft):
    """With the registration that it ends with, if any."""

    step: Registration | None = None

    def place(self, reading: Reading, version: Version) -> None:
        row = ReadingRow(reading, version.tess_id, version.location_id, version.observer_id)
        self.add(table_of(reading), row)


@implementer(ISink)
class PhotometerSink(BatchSink[_Draft]):
    """Stores batches of readings and registrations.

    Args:
        lane: the lane's name.
        journal: whose identity is the origin.
        settings, rejects: replaced as a whole at a reload.
        writer: carries out plans.
        breath: lets the reactor do other things.
    """

    log = Logger()

    def __init__(
        self,
        lane: str,
        journal: IJournal,
        settings: PhotometerSettings,
        rejects: RejectsSettings,
        writer: Writer,
        breath: Breath,
    ) -> None:
        super().__init__(lane, rejects, writer, breath)
        self.settings = settings
        self._journal = journal
        self._photometers = Photometers()
        self._changed_elsewhere = True
        self._position = START
        self.channels = {"tessmon_photometers": lambda payload: self.photometers_changed()}

    def forget(self) -> None:
        super().forget()
        self._changed_elsewhere = True

    def photometers_changed(self) -> None:
        """Somebody changed photometers: learn them anew, beginning with the next batch."""
        self._changed_elsewhere = True

    async def ask(self, connection: Connection, questions: Sequence[Any]) -> Sequence[Standing]:
        """Where the lane stands with journals."""
        return [await keeping.load_position(connection, self._lane, origin) for origin in questions]

    async def write(
        self,
        connection: Connection,
        batch: Batch,
        due: Sequence[Due] = (),
        waits: Callable[[], None] = lambda: None,
    ) -> Stored:
        """Store a batch, or its head up to the first registration that changes something."""
        draft = await self._draft(connection, batch)
        used, step = draft.used, draft.step
        moves = batch.moves
        if used < len(batch.items):  # of one journal
            new = moves[0].old._replace(position=batch.items[used - 1].position)
            moves = [moves[0]._replace(new=new)]
        plan = Plan(
            self._lane,
            self._journal.identity,
            moves,
            draft.sheets,
            draft.rejects,
            draft.tallies,
            draft.events,
            None if step is None else partial(self._register, step),
            by_place(due[:used]),
            Conflict(Cause.RESOLUTION if self.settings.seconds_resolution > 1 else None),
        )
        written = await self._writer.write(connection, plan, waits)
        self._position = moves[0].new.position
        return Stored(moves, used, written)

    async def clean_up(self, connection: Connection, now_ns: int) -> None:
        await self._expire(connection, self._journal.identity, now_ns, self._position)

    async def _draft(self, connection: Connection, batch: Batch) -> _Draft:
        if self._changed_elsewhere:
            self._photometers.forget()
            self._changed_elsewhere = False
        try:
            return await self._drafted(batch)
        except UnknownError:
            await self._photometers.learn(connection, _names(batch))
        return await self._drafted(batch)

    def _basis(self) -> object:
        return self._photometers.edition, self.settings

    async def _look_at(self, batch: Batch) -> _Draft:
        draft, used = _Draft(), 0
        find, plain = self._photometers.spans.get, not self.settings.require_authorised
        for used, item in enumerate(batch.items, 1):
            record = item.record
            if plain and type(record) is Reading and record.hash is None:
                span = find(record.name)
                if span is not None and span.since_s <= record.at_s < span.until_s:
                    draft.place(record, span.version)  # as nearly all
                else:
                    self._place_reading(draft, record)
            else:
                draft.step = self._place(draft, record)
                if draft.step is not None:
                    break
            if not used % SLICE_ITEMS and self._breath.due:
                await self._breath.take()
        draft.used = used
        draft.cut(self._writer.statement_rows)
        return draft

    def _place(self, draft: _Draft, record: Record) -> Registration | None:
        """Put one record where it belongs; gives it back when it is a registration that changes something."""
        if isinstance(record, Reading):
            self._place_reading(draft, record)
        elif isinstance(record, Registration):
            return None if self._reboots(draft, record) else record
        elif isinstance(record, Reject):
            draft.rejects.append(record)
        elif isinstance(record, Filtered):
            draft.count(record.frame, self._subject(record), record.cause, "filtered")
        elif isinstance(record, SourceEvent):
            draft.events.append(record)
        return None

    def _subject(self, record: Filtered) -> str:
        """Whom to account it to: a name that anybody can make up is no one's."""
        name = record.subject
        known = name and (record.cause is Cause.DENIED or self._photometers.associations(name))
        return name if known else ""

    def _place_reading(self, draft: _Draft, reading: Reading) -> None:
        frame, name = reading.frame, reading.name
        span = self._photometers.surely(name, reading.at_s)
        if span is not None and reading.hash is None and not self.settings.require_authorised:
            draft.place(reading, span.version)
            return
        received_s = frame.received_ns / NS_PER_S
        mac = self._photometers.holder(name, reading.at_s, received_s, self.settings.unregistered_max_age_s)
        versions = self._photometers.versions(mac) if mac is not None else ()
        if mac is None or not versions:
            detail = f"nobody has registered the name {name!r} for that time"
            draft.rejects.append(Reject(frame, Reason.UNREGISTERED, detail, name))
        elif not hash_fits(mac, reading.hash):
            detail = f"the hash {reading.hash!r} is not the end of the MAC {mac}"
            draft.rejects.append(Reject(frame, Reason.HASH_MISMATCH, detail, name))
        else:
            version = nearest_version(versions, reading.at_s)
            if self.settings.require_authorised and not version.authorised:
                draft.count(frame, name, Cause.UNAUTHORISED, "filtered")
                return
            draft.place(reading, version)

    def _reboots(self, draft: _Draft, registration: Registration) -> bool:
        """Count a registration that only says that a device booted, as most do: what is remembered tells, without a
        lock. False for any other."""
        current = next((a for a in self._photometers.associations(registration.name) if a.current), None)
        if current is None or current.mac != registration.mac:
            return False
        version = next((v for v in self._photometers.versions(current.mac) if v.current), None)
        decision = decide(
            registration, Known(current, current, version, None), self.settings.zero_point_min_mag
        )
        if decision.outcome is not Outcome.REBOOTED:
            return False
        self._warn(registration, decision)
        draft.count(registration.frame, registration.name, Outcome.REBOOTED, "stored")
        return True

    async def _register(self, registration: Registration, connection: Connection) -> StepResult:
        """The step of a plan: decide under the lock and write what was decided."""
        known = await known_about(connection, registration)
        decision = decide(registration, known, self.settings.zero_point_min_mag)
        frame, name = registration.frame, registration.name
        former = known.by_mac.name if known.by_mac is not None else name
        self._photometers.drop([name, former], [registration.mac])
        if isinstance(decision.refusal, Reason):
            return StepResult(Counter(), [Reject(frame, decision.refusal, decision.detail, name)], 0)
        if isinstance(decision.refusal, Cause):
            return StepResult(Counter({TallyKey("", hour_of(frame), decision.refusal, "filtered"): 1}), [], 0)
        self._warn(registration, decision)
        await connection.execute("SAVEPOINT registration")
        try:
            await carry_out(connection, registration, decision)
        except (psycopg2.Error, ValueError) as error:
            if trouble_of(error) is not Trouble.DATA:
                raise
            await connection.execute("ROLLBACK TO registration")
            reject = Reject(frame, Reason.DATABASE_REFUSED, sentence_of(error), name)
            return StepResult(Counter(), [reject], 0)
        made_due = 0
        if decision.associate:
            max_age_s = self.settings.unregistered_max_age_s
            made_due = await mark_due(connection, self._lane, registration, max_age_s)
        key = TallyKey(name, hour_of(frame), str(decision.outcome), "stored")
        self.log.info(
            "{outcome}: {name} is {mac}, zero points {points}",
            outcome=decision.outcome,
            name=name,
            mac=registration.mac,
            points=[channel.zero_point_mag for channel in registration.channels],
        )
        return StepResult(Counter({key: 1}), [], made_due)

    def _warn(self, registration: Registration, decision: Decision) -> None:
        if decision.detail:
            self.log.warn("{name}: {detail}", name=registration.name, detail=decision.detail)


def _names(batch: Batch) -> set[str]:
    names = {item.record.name for item in batch.items if isinstance(item.record, _NAMED)}
    names |= {item.record.subject for item in batch.items if isinstance(item.record, Filtered)}
    return names - {""}
