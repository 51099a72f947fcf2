# SPDX-License-Identifier: MIT
"""One way to write: a plan becomes one transaction.

First all statements go in one round trip, in the hope that every row is new. When one is not, when the database
refuses one, or when there is something to decide, the same plan is carried out with a savepoint per statement:
conflicts are left out and compared, what is refused is halved until the bad row stands alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tessmon.breath import Breath
from tessmon.database.driver import psycopg2
from tessmon.database.partitions import Month, Partitions
from tessmon.database.trouble import (
    NO_SUCH_PARTITION,
    POSITION_MOVED,
    Trouble,
    is_missing_partition,
    sentence_of,
    trouble_of,
)
from tessmon.errors import Reason
from tessmon.records.outcome import Reject
from tessmon.sink import keeping
from tessmon.sink.plan import (
    REPLACED,
    Plan,
    Row,
    Sheet,
    Statement,
    Table,
    TallyKey,
    Written,
    place_of,
    tallies_of,
    tallies_of_new,
)

if TYPE_CHECKING:
    from tessmon.database.connection import Connection

T = TypeVar("T")

_NO_PARTITION = "its time is far from the database's: was the clock wrong, of the sender or of this machine?"


class FencedError(Exception):
    """Somebody else moved the position, or took the rejects that were due: nothing of the batch is stored."""


class _Refused(NamedTuple):
    row: Row
    reason: Reason
    detail: str


class _Fate(NamedTuple):
    """What became of the rows of one table."""

    stored: list[Row]
    duplicate: list[Row]
    taken: list[Row]
    refused: list[_Refused]
    replacing: list[Row]


class Writer:
    """Carries out plans on a connection.

    Args:
        source: name that events are noted under.
        partitions: knows which months have a partition.
        statement_rows: rows in one INSERT.
        breath: lets the reactor do other things.
        reached: called at the named points, for tests that kill the process there.
    """

    def __init__(
        self,
        source: str,
        partitions: Partitions,
        statement_rows: int,
        breath: Breath,
        reached: Callable[[str], None] = lambda point: None,
    ) -> None:
        self.statement_rows = statement_rows
        self.source = source
        self._partitions = partitions
        self._breath = breath
        self._reached = reached
        self._expect_all_new = True

    def forget(self) -> None:
        """What was known of the database: at each connect."""
        self._partitions.forget()

    async def write(
        self, connection: Connection, plan: Plan, waits: Callable[[], None] = lambda: None
    ) -> Written:
        """Store all of a plan or nothing.

        Args:
            connection: idle and outside a transaction.
            plan: what to store.
            waits: called, once or more, when the database is at work and there is time for other things.

        Raises:
            FencedError: the position is not where the plan says.
            psycopg2.Error: the database's trouble; the transaction is rolled back or its fate is unknown.
        """
        plan = await self._with_partitions(connection, plan)
        try:
            return await self._write(connection, plan, waits)
        except psycopg2.Error as error:
            if error.pgcode == POSITION_MOVED:
                raise FencedError from error
            if not is_missing_partition(error):
                raise
        self._partitions.forget()
        return await self._write(connection, await self._with_partitions(connection, plan), waits)

    async def _write(self, connection: Connection, plan: Plan, waits: Callable[[], None]) -> Written:
        if self._expect_all_new and plan.step is None and not plan.retried and not plan.withdrawn:
            try:
                return await self._write_at_once(connection, plan, waits)
            except psycopg2.Error as error:
                if is_missing_partition(error):
                    raise
                if trouble_of(error) is not Trouble.DATA:
                    raise
            except ValueError:  # the driver refuses a text before it sends anything
                pass
        waits()
        return await self._write_carefully(connection, plan)

    async def _with_partitions(self, connection: Connection, plan: Plan) -> Plan:
        """Have the partitions made that the rows need; rows of months that get none, because the clock that they
        came by was far ahead, are rejected."""
        rejects = list(plan.rejects)
        kept: list[Sheet] = []
        for sheet in plan.sheets:
            table = sheet.table
            refused = await self._refused_months(connection, table, sheet.months)
            if not refused:
                kept.append(sheet)
                continue
            sound = [row for row in sheet.rows if not table.months([row]) & refused]
            kept += [Sheet(table, sound)] if sound else []
            rejects += [
                Reject(row.frame, Reason.IMPLAUSIBLE_TIME, _NO_PARTITION, row.subject)
                for row in sheet.rows
                if table.months([row]) & refused
            ]
        return plan._replace(sheets=kept, rejects=rejects)

    async def _refused_months(self, connection: Connection, table: Table, months: set[Month]) -> set[Month]:
        try:
            await self._partitions.ensure(connection, table.name, months)
            return set()
        except psycopg2.Error as error:
            if error.pgcode != NO_SUCH_PARTITION:
                raise
        refused = set()
        for month in months:
            try:
                await self._partitions.ensure(connection, table.name, {month})
            except psycopg2.Error as error:
                if error.pgcode != NO_SUCH_PARTITION:
                    raise
                refused.add(month)
        return refused

    async def _write_at_once(self, connection: Connection, plan: Plan, waits: Callable[[], None]) -> Written:
        statements = [keeping.advance(plan.lane, move) for move in sorted(plan.moves)]
        tallies = Counter(plan.tallies)
        for sheet in plan.sheets:
            statements.append((sheet.table.insert_sql, sheet.columns))
            tallies.update(sheet.stored)
            if self._breath.due:
                await self._breath.take()
        async for some in self._chunks(plan.rejects):
            statements.append(keeping.insert_rejects(plan.lane, plan.origin, some))
            _count_rejects(tallies, plan, some)
        statements += self._beside(plan, tallies)
        text = ";\n".join(sql for sql, _ in statements)
        parameters = [parameter for _, given in statements for parameter in given]
        self._reached("writer.before_commit")
        answer = connection.query(text, parameters)
        self._reached("writer.commit_sent")
        waits()
        await answer
        self._reached("writer.after_commit")
        return Written(tallies, 0)

    async def _write_carefully(self, connection: Connection, plan: Plan) -> Written:
        await connection.execute("BEGIN")
        try:
            written = await self._carry_out(connection, plan)
            self._reached("writer.before_commit")
            answer = connection.execute("COMMIT")
            self._reached("writer.commit_sent")
            await answer
        except BaseException:
            if not connection.closed:
                await connection.execute("ROLLBACK")
            raise
        self._reached("writer.after_commit")
        return written

    async def _carry_out(self, connection: Connection, plan: Plan) -> Written:
        for move in sorted(plan.moves):  # who moves several waits for others in one order
            await connection.execute(*keeping.advance(plan.lane, move))
        tallies, rejects = Counter(plan.tallies), list(plan.rejects)
        if plan.withdrawn:
            for frame, reason, subject in await keeping.withdraw(connection, plan.lane, plan.withdrawn):
                tallies[plan.reject_key(frame, reason, subject)] -= 1
        missing = False
        for sheet in plan.sheets:
            fate = await self._insert(connection, sheet)
            tallies.update(tallies_of_new(sheet.table, fate.stored))
            tallies.update(tallies_of(fate.replacing, "stored", REPLACED))
            tallies.update(tallies_of(fate.duplicate, "duplicate"))
            if plan.conflict.cause is not None:
                tallies.update(tallies_of(fate.taken, "filtered", plan.conflict.cause))
            else:
                rejects += [_conflict(row) for row in fate.taken]
            rejects += [
                Reject(one.row.frame, one.reason, one.detail, one.row.subject) for one in fate.refused
            ]
            missing = missing or len(fate.stored) < len(sheet.rows)
            if self._breath.due:
                await self._breath.take()
        self._expect_all_new = not missing
        await self._keep(connection, plan, rejects, tallies)
        made_due = 0
        if plan.step is not None:
            result = await plan.step(connection)  # finds the rejects that it makes due
            await self._keep(connection, plan, result.rejects, tallies)
            rejects += result.rejects
            tallies.update(result.tallies)
            made_due = result.made_due
        if plan.retried:
            await self._delete_done(connection, plan, rejects, tallies)
        for sql, parameters in self._beside(plan, tallies):
            await connection.execute(sql, parameters)
        return Written(tallies, made_due)

    def _beside(self, plan: Plan, tallies: Counter[TallyKey]) -> list[Statement]:
        statements = []
        if tallies:
            statements.append(keeping.insert_tallies(plan.lane, tallies))
        if plan.events:
            statements.append(keeping.insert_events(plan.lane, plan.origin, self.source, plan.events))
        return [*statements, *plan.beside]

    async def _keep(
        self, connection: Connection, plan: Plan, rejects: Sequence[Reject], tallies: Counter[TallyKey]
    ) -> None:
        """Insert rejects that are new, update those that were tried again in vain."""
        _count_rejects(tallies, plan, rejects)
        new = [one for one in rejects if place_of(one.frame) not in plan.retried]
        async for some in self._chunks(new):
            await connection.execute(*keeping.insert_rejects(plan.lane, plan.origin, some))
        again = [(due, one) for one in rejects if (due := plan.retried.get(place_of(one.frame))) is not None]
        if again and await connection.execute(*keeping.refuse_again(again)) != len(again):
            raise FencedError

    async def _delete_done(
        self, connection: Connection, plan: Plan, rejects: Sequence[Reject], tallies: Counter[TallyKey]
    ) -> None:
        """Delete the retried rejects that found their place; all of them are counted anew by now."""
        again = {place_of(one.frame) for one in rejects}
        done = [due for place, due in plan.retried.items() if place not in again]
        if done and await connection.execute(*keeping.delete_rejects(done)) != len(done):
            raise FencedError
        for due in plan.retried.values():
            tallies[plan.reject_key(due.frame, due.reason, due.subject)] -= 1

    async def _insert(self, connection: Connection, sheet: Sheet) -> _Fate:
        """One INSERT under a savepoint; what the database refuses is halved until the bad row stands alone."""
        table, rows = sheet.table, sheet.rows
        try:
            await connection.execute("SAVEPOINT rows")
            returned = await connection.query(_insert_sql(table), sheet.columns)
            await connection.execute("RELEASE rows")
        except (psycopg2.Error, ValueError) as error:
            if trouble_of(error) is not Trouble.DATA or is_missing_partition(error):
                raise
            await connection.execute("ROLLBACK TO rows")
            return await self._halve(connection, table, rows, sentence_of(error))
        if not table.replace_sql:
            return await self._compare(connection, table, rows, Counter(returned))
        replacing = {row[:-1] for row in returned if row[-1]}
        fate = await self._compare(connection, table, rows, Counter([row[:-1] for row in returned]))
        return fate._replace(
            stored=[row for row in fate.stored if table.key(row) not in replacing],
            replacing=[row for row in fate.stored if table.key(row) in replacing],
        )

    async def _halve(self, connection: Connection, table: Table, rows: Sequence[Row], detail: str) -> _Fate:
        if len(rows) == 1:
            return _Fate([], [], [], [_Refused(rows[0], Reason.DATABASE_REFUSED, detail)], [])
        middle = len(rows) // 2
        first = await self._insert(connection, Sheet(table, rows[:middle]))
        second = await self._insert(connection, Sheet(table, rows[middle:]))
        return _Fate(
            first.stored + second.stored,
            first.duplicate + second.duplicate,
            first.taken + second.taken,
            first.refused + second.refused,
            first.replacing + second.replacing,
        )

    async def _compare(
        self, connection: Connection, table: Table, rows: Sequence[Row], inserted: Counter[tuple[Any, ...]]
    ) -> _Fate:
        """Tell rows that are there already with equal values from those whose key others have."""
        stored: list[Row] = []
        missing: list[Row] = []
        for row in rows:
            key = table.key(row)
            if inserted[key]:
                inserted[key] -= 1
                stored.append(row)
            else:
                missing.append(row)
        if not missing:
            return _Fate(stored, [], [], [], [])
        duplicate: list[Row] = []
        taken: list[Row] = []
        for ordinal, equal in await connection.query(table.compare_sql, table.columns(missing)):
            if equal is None:
                raise FencedError  # the row that was in the way is gone: look again
            (duplicate if equal else taken).append(missing[ordinal - 1])
        return _Fate(stored, duplicate, taken, [], [])

    async def _chunks(self, rows: Sequence[T]) -> AsyncIterator[Sequence[T]]:
        for start in range(0, len(rows), self.statement_rows):
            yield rows[start : start + self.statement_rows]
            if self._breath.due:
                await self._breath.take()


def _insert_sql(table: Table) -> str:
    """The INSERT that leaves out what it can't insert, and tells what it did."""
    if table.replace_sql:
        return f"{table.insert_sql} ON CONFLICT {table.replace_sql} RETURNING {table.key_sql}, replaced > 0"
    return f"{table.insert_sql} ON CONFLICT DO NOTHING RETURNING {table.key_sql}"


def _count_rejects(tallies: Counter[TallyKey], plan: Plan, rejects: Sequence[Reject]) -> None:
    for reject in rejects:
        tallies[plan.reject_key(reject.frame, reject.reason, reject.subject)] += 1


def _conflict(row: Row) -> Reject:
    return Reject(row.frame, Reason.CONFLICT, "another row with other values has its key", row.subject)
