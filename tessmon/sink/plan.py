# SPDX-License-Identifier: MIT
"""A plan: everything that one transaction is to do, as an immutable value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from tessmon.errors import Cause, Reason
from tessmon.records.batch import Move
from tessmon.records.frame import Frame
from tessmon.records.outcome import Reject, SourceEvent
from tessmon.records.position import Position

if TYPE_CHECKING:
    from tessmon.database.connection import Connection

HOUR_S = 3600
DAY_S = 86_400
NS_PER_S = 1_000_000_000
REPLACED = "replaced"
"""The cause under which a row is counted as stored that took the place of another."""
MARKED = "marked"
"""The cause under which a new row is counted as stored whose text could not be kept as it was."""
Statement: TypeAlias = tuple[str, list[Any]]
"""SQL and its parameters."""


class Row(Protocol):
    """A record on its way into a fact table."""

    @property
    def frame(self) -> Frame:
        """The frame that brought it."""

    @property
    def received_ns(self) -> int:
        """When it came [ns since 1970 UTC]."""

    @property
    def subject(self) -> str:
        """The instrument it is accounted to."""


class Table(Protocol):
    """One fact table: how rows become the columns of an ``unnest`` insert."""

    name: str
    insert_sql: str
    """``INSERT … SELECT … FROM unnest(%s::…, …)``, without ON CONFLICT and RETURNING."""
    key_sql: str
    """The columns of the unique key, for RETURNING."""
    replace_sql: str
    """Behind ``ON CONFLICT``: what makes a row whose key is taken take the place of the one that is there, if it is
    to; empty when that never happens. Then no key may stand in a statement twice, and the column ``replaced`` counts
    what each row took the place of."""
    compare_sql: str
    """Takes the columns too; gives, for each row in order, (its ordinal from 1, whether a row with its key
    stands in the table and has the same values; NULL when there is none)."""

    def columns(self, rows: Sequence[Any]) -> list[str]:
        """One array literal per parameter of `insert_sql`."""

    def key(self, row: Any) -> tuple[Any, ...]:
        """The row's unique key, equal to what RETURNING `key_sql` gives."""

    def months(self, rows: Sequence[Any]) -> set[tuple[int, int]]:
        """The (year, month) of the partitions these rows need."""

    def marked(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Those of the rows whose text could not be kept as it was, with a NUL or half a character."""


class Sheet:
    """Rows of one table that go in one statement, and what is made of them, once and when it is asked for.

    Args:
        table: theirs.
        rows: in order.
    """

    def __init__(self, table: Table, rows: Sequence[Any]) -> None:
        self.table = table
        self.rows = rows

    @cached_property
    def columns(self) -> list[str]:
        """The parameters of the statement.

        Raises:
            ValueError: a text holds what no text array can.
        """
        return self.table.columns(self.rows)

    def prepare(self) -> None:
        """Make all of it now.

        Raises:
            ValueError: as `columns`.
        """
        _ = self.columns, self.months, self.stored

    @cached_property
    def months(self) -> set[tuple[int, int]]:
        """The partitions that these rows need."""
        return self.table.months(self.rows)

    @cached_property
    def stored(self) -> Counter[TallyKey]:
        """What is counted when all rows are stored."""
        return tallies_of_new(self.table, self.rows)


class TallyKey(NamedTuple):
    """Where an outcome is counted: instrument (empty when not known for sure), hour [s since 1970 UTC], cause,
    and outcome (stored, duplicate, filtered, rejected)."""

    subject: str
    hour_s: int
    cause: str
    outcome: str


Place: TypeAlias = tuple[str, Position]
"""Where a frame stands: its origin and position."""


def place_of(frame: Frame) -> Place:
    """The key of a frame among the rejects that are tried again."""
    return frame.origin, frame.position


class Due(NamedTuple):
    """A reject that is tried again: its id, what it was refused for, and its frame."""

    reject_id: int
    reason: Reason
    subject: str
    frame: Frame


def by_place(due: Iterable[Due]) -> Mapping[Place, Due]:
    """Rejects that are tried again, by the place of their frames."""
    return {place_of(one.frame): one for one in due}


class Conflict(NamedTuple):
    """What becomes of a row whose key is taken by other values: a filter's cause, or None for a reject."""

    cause: Cause | None


Step: TypeAlias = Callable[["Connection"], Coroutine[Any, Any, "StepResult"]]


class StepResult(NamedTuple):
    """What a registration did: tallies, a reject, how many rejects it made due."""

    tallies: Counter[TallyKey]
    rejects: list[Reject]
    made_due: int


class Plan(NamedTuple):
    """One transaction.

    Attributes:
        lane: whose positions move.
        origin: where a reject or event comes from whose frame does not say it.
        moves: what is fenced and moved.
        sheets: the rows, statement by statement.
        rejects, tallies, events: what is kept and counted beside them.
        step: a coroutine function that runs behind the rows, None when there is nothing to decide.
        retried: the rejects that are tried again in this transaction, by the place of their frames.
        withdrawn: frames whose reject is void, if it is there still: what was cut has its rest now.
        conflict: what becomes of rows whose key is taken.
        beside: statements that go behind all others; the database must not refuse what is in them.
        known: the subjects of all rejects are instruments that are known, and counted for.
    """

    lane: str
    origin: str
    moves: Sequence[Move]
    sheets: Sequence[Sheet]
    rejects: Sequence[Reject]
    tallies: Counter[TallyKey]
    events: list[SourceEvent]
    step: Step | None
    retried: Mapping[Place, Due]
    conflict: Conflict
    withdrawn: Sequence[Frame] = ()
    beside: Sequence[Statement] = ()
    known: bool = False

    def reject_key(self, frame: Frame, reason: Reason, subject: str) -> TallyKey:
        """Where a reject is counted."""
        accountable = self.known or reason in KNOWN_SUBJECT
        return TallyKey(subject if accountable else "", hour_of(frame), reason, "rejected")


class Stored(NamedTuple):
    """What of a batch is in the database now.

    Attributes:
        moves: where its origins stand.
        used: how many of the batch's items it took; the rest waits for what the last of them changed.
        written: what was counted.
    """

    moves: Sequence[Move]
    used: int
    written: Written


class Written(NamedTuple):
    """What a committed transaction did.

    Attributes:
        tallies: all that was counted, corrections of retried rejects (negative) included.
        made_due: rejects that can be tried again because of it.
    """

    tallies: Counter[TallyKey]
    made_due: int


def hour_of(frame: Frame) -> int:
    """The hour a frame is accounted to: of its receive time, so that a replay counts it alike."""
    return hour_s_of(frame.received_ns)


def hour_s_of(at_ns: int) -> int:
    """The hour of an instant [s since 1970 UTC]."""
    second = at_ns // NS_PER_S
    return second - second % HOUR_S


def tallies_of_new(table: Table, rows: Sequence[Row]) -> Counter[TallyKey]:
    """Rows that the table had not, counted."""
    marked = table.marked(rows)
    if not marked:
        return tallies_of(rows, "stored")
    ids = set(map(id, marked))
    kept = [row for row in rows if id(row) not in ids]
    return tallies_of(kept, "stored") + tallies_of(marked, "stored", MARKED)


def tallies_of(rows: Sequence[Row], outcome: str, cause: str = "") -> Counter[TallyKey]:
    """Rows that have one outcome and cause, counted."""
    received_ns = [row.received_ns for row in rows]
    first_s, last_s = hour_s_of(min(received_ns, default=0)), hour_s_of(max(received_ns, default=0))
    if first_s == last_s:  # as nearly always: counting names alone takes half the time
        names = Counter([row.subject for row in rows])
        return Counter({TallyKey(name, first_s, cause, outcome): count for name, count in names.items()})
    return Counter([TallyKey(row.subject, hour_s_of(row.received_ns), cause, outcome) for row in rows])


KNOWN_SUBJECT = frozenset({Reason.CONFLICT, Reason.HASH_MISMATCH, Reason.DATABASE_REFUSED})
"""Reasons that are given only to instruments that are registered: others are accounted to no one, or names that
anybody can make up would fill the tallies."""
