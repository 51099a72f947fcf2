# SPDX-License-Identifier: MIT
"""The plug points. Promises of life cycle stand here and are not repeated by those who keep them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from zope.interface import Attribute, Interface

from tessmon.records.batch import Batch, Move
from tessmon.records.frame import Frame
from tessmon.records.outcome import Record
from tessmon.records.position import Position

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class Chunk(NamedTuple):
    """Frames that stand one behind the other in a journal.

    Attributes:
        frames: in order, each with its position; empty when all has been read.
        gap: None, or one sentence that says which frames should stand before these and are gone.
    """

    frames: list[Frame]
    gap: str | None


class Waiting(NamedTuple):
    """What stands in a journal behind a position: frames [count], bytes of payloads and headers, and the
    receive time of the oldest [ns], None when nothing waits."""

    frames: int
    size_bytes: int
    oldest_ns: int | None


class JournalStatus(NamedTuple):
    """A journal at a glance: segments on disk [count], their size [bytes], the size of those not passed yet
    [bytes], the limit [bytes], free space on the disk [bytes], why nothing is taken (None: it is), position of
    the newest frame, files set aside as damaged [count]."""

    segments: int
    size_bytes: int
    unpassed_bytes: int
    max_bytes: int
    free_bytes: int
    full: str | None
    newest: Position
    damaged: int


class SourceStatus(NamedTuple):
    """A source at a glance, counted since the start of the process.

    Attributes:
        name: "mqtt".
        state: one word: starting, connecting, connected, taken_over, refused, journal_full, stopped.
        detail: one sentence for the operator.
        since_ns: when this state began [ns].
        received: messages that came, redeliveries too.
        journalled: messages appended to the journal.
        acknowledged: messages acknowledged to the broker.
        redelivered: messages known already by their DUP flag, acknowledged and not journalled again.
        connects: connections made.
        unacknowledged: messages that came and wait for the disk.
    """

    name: str
    state: str
    detail: str
    since_ns: int
    received: int
    journalled: int
    acknowledged: int
    redelivered: int
    connects: int
    unacknowledged: int


class VlbimonStatus(NamedTuple):
    """The source of the array's monitor at a glance, counted since the start of the process.

    Attributes:
        name: "vlbimon".
        state: one word: starting, connecting, connected, refused, journal_full, stopped.
        detail: one sentence for the operator.
        since_ns: when this state began [ns].
        server: URL of the server that is asked.
        polls: snapshots that came.
        failed: polls that brought none.
        failures: of these, the last ones in a row.
        last_poll_ns: when the newest snapshot came [ns], 0 before the first.
        took_s: how long its answer took [s].
        journalled: frames appended to the journal, but for events.
        unacknowledged: of these, those that wait for the disk.
        sessions: sessions made.
        swept_s: history is whole up to here [s since 1970 UTC], None while nobody knows.
        sweeping: history is being asked for.
        questions: calls for history that were answered.
        cursor: where snapshots of this server go on, opaque text as the server sent it; None when it sent none yet.
        next_poll_ns: when the next poll begins [ns], now while one is due or under way; 0 while none is planned.
        left_alone: the server has asked to be left alone until then (Retry-After).
        listed: a masterlist says what there is to ask history for. Without one that is what snapshots had, and
            ``swept_s`` stands still.
        asked_s: without a masterlist, what snapshots had was asked for up to here [s since 1970 UTC]; None with one,
            and before the first such window.
    """

    name: str
    state: str
    detail: str
    since_ns: int
    server: str
    polls: int
    failed: int
    failures: int
    last_poll_ns: int
    took_s: float
    journalled: int
    unacknowledged: int
    sessions: int
    swept_s: int | None
    sweeping: bool
    questions: int
    cursor: str | None
    next_poll_ns: int
    left_alone: bool
    listed: bool
    asked_s: int | None


class LaneStatus(NamedTuple):
    """A lane at a glance, counted since the start of the process.

    Attributes:
        name: "photometer".
        state: one word: starting, running, idle, paused, waiting (for the database), refused, stopped.
        detail: one sentence for the operator.
        since_ns: when this state began [ns].
        position, low: as committed; None before the database was asked.
        batches: transactions committed.
        outcomes: (outcome, cause) → records; outcome is stored, duplicate, filtered, rejected; for stored
            registrations the cause is what became of them (new, renamed, replaced, overridden, changed, rebooted).
        retried: cause → rejects that were taken back, since they could be stored after all; ``outcomes`` has lost them.
        last_commit_ns: when the last transaction was committed [ns], 0 before the first.
        last_frame_ns: receive time of the newest frame committed [ns], 0 before the first.
        commit_s: duration of the last transaction [s].
        held: records that stages hold back, of frames before the position [count].
    """

    name: str
    state: str
    detail: str
    since_ns: int
    position: Position | None
    low: Position | None
    batches: int
    outcomes: dict[tuple[str, str], int]
    retried: dict[str, int]
    last_commit_ns: int
    last_frame_ns: int
    commit_s: float
    held: int


class IJournal(Interface):
    """The durable log of one source's frames, with one reader: its lane.

    All methods are called in the reactor's thread; the disk is touched in the journal's own thread only. Deferreds
    of frames and sums fail with `JournalError` when the journal is not open, or a segment can't be read now.
    """

    identity: str = Attribute("UUID as text, made with the journal; known once it is open.")
    full: str | None = Attribute(
        "None, or one sentence that says why nothing can be taken now and what to do."
    )
    pending_bytes: int = Attribute("Bytes appended and not on disk yet.")

    def open() -> Deferred[None]:
        """Lock the directory, salvage what is damaged, begin a new segment.

        Returns:
            A Deferred that fires with None. It fails with `JournalInUseError` when another process holds the
            lock, with `JournalError` when the directory can't be used at all; damaged files, a full disk and a
            clock that went back never make it fail.
        """

    def append(frame: Frame, receipt: object = None) -> None:
        """Take a frame. It never blocks or raises; when the frame is on disk, the receipt (any object but None)
        is among those given to the listener's ``settled``. What can't be written now is kept in memory and tried
        again until ``close``. Whoever appends watches ``pending_bytes`` and ``full``."""

    def tail(max_frames: int, max_bytes: int) -> Deferred[list[Frame]]:
        """A Deferred of the newest frames on disk, oldest first: no more than so many, and no more of payloads
        and topics than this [bytes] but for the group in which it is reached."""

    def read(after: Position, max_frames: int, max_bytes: int) -> Deferred[Chunk]:
        """Frames behind a position.

        Args:
            after: the last position taken up.
            max_frames: no more than this many.
            max_bytes: no more of payloads and topics than this, but at least one frame.

        Returns:
            A Deferred of a `Chunk`; it fires at once with no frames when all has been read.
        """

    def watch(callback: Callable[[], None]) -> None:
        """Call ``callback()`` after each commit that put frames on disk, until the journal is closed."""

    def adopt(position: Position) -> Deferred[None]:
        """Learn which position the database has, before the first read.

        Returns:
            A Deferred that fires when all frames taken since ``open`` stand behind that position; a journal
            restored from a backup under a clock that went back is mended so.
        """

    def passed(low: Position) -> None:
        """Nothing up to ``low`` will be read again: segments before it may be unlinked."""

    def status() -> JournalStatus:
        """A `JournalStatus` from memory, at no cost."""

    def waiting(after: Position) -> Deferred[Waiting]:
        """A Deferred of `Waiting`: what stands behind ``after``."""

    def close() -> Deferred[None]:
        """A Deferred that fires when all that was appended is on disk (or could not be written and was not
        settled), the files are closed and the lock is given back."""


class IJournalListener(Interface):
    """Who appends to a journal: a source."""

    def settled(receipts: Sequence[object]) -> None:
        """The frames that came with these receipts are on disk; once per commit, in order."""

    def journal_full(why: str) -> None:
        """Nothing can be taken any more; ``why`` is one sentence."""

    def journal_has_room() -> None:
        """What was full has room again."""


class IDecoder(Interface):
    """Turns one origin's frames into records. Synchronous, without clock or memory of earlier frames."""

    def decode(frame: Frame) -> Record:
        """One `Record` for a frame, whatever its bytes are, `Several` where it holds many; it never raises."""


class IStage(Interface):
    """Filters or enriches records, one after the other. Synchronous; time is what frames say.

    A stage may hold records back, or remember what it took otherwise. All of that must follow from the records it
    took and nothing else: after a start or a failed write it is told its ``notes()`` again and rebuilt by replay of
    the frames behind ``low()``. Rejects that are tried again come out of their order: see ``again``.
    """

    name: str = Attribute("One word, the key of its notes.")
    holds: bool = Attribute("True when it remembers anything, False when each record's fate is its own.")
    lasting: bool = Attribute(
        "True when its notes are all that it remembers and hold under other settings: its successor gets them."
    )

    def take(record: Record) -> Iterable[Record]:
        """The records (an iterable, maybe empty) that go on because this one came; the record itself, when it is
        among them and was not held back, is the last."""

    def again(record: Record) -> Iterable[Record]:
        """The same for what became of a reject that is tried again: nothing is held back or remembered of it."""

    def release() -> Iterable[Record]:
        """All records held back, which go on now; unless it is lasting, the stage is as new afterwards."""

    def held() -> int:
        """Records held back [count]."""

    def low() -> Position | None:
        """The position just before the oldest frame that this stage still depends on, None when there is none."""

    def notes() -> Any:
        """What a replay from ``low()`` (or from before it) can't find out by itself, as JSON knows it; None for
        nothing."""

    def reset(notes: Any = None) -> None:
        """Forget everything, as new; a replay follows when there are notes."""


Answer: TypeAlias = Coroutine[Any, Any, Sequence[Any]]
Ask: TypeAlias = Callable[[Sequence[Any]], Answer]
"""How a feed asks the database where its origins stand: one answer for each, in order, when the database has time."""


class IFeed(Interface):
    """Makes batches of what its origins have. It remembers how far it has read, until it begins again."""

    writer: Any = Attribute("Sizes of batches (`config.model.Writer`); replaced at a reload.")
    held: int = Attribute("Records that stages hold back [count].")
    standing: Any = Attribute(
        "As committed; None before the database was asked, or where many origins stand."
    )

    def watch(callback: Callable[[], None]) -> None:
        """Call ``callback()`` when there is something to read."""

    def begin(ask: Ask) -> Coroutine[Any, Any, str]:
        """Forget what was read and not committed, and go on from what the database says.

        Returns:
            Where it goes on, for the log.

        Raises:
            JournalError: it can't be read now.
        """

    def next() -> Coroutine[Any, Any, Batch]:
        """What comes next; an empty batch when all has been read."""

    def again(frame: Frame) -> Sequence[Record]:
        """What becomes of a frame that was rejected before."""

    def here() -> Sequence[Move]:
        """The fence of a transaction that moves nothing."""

    def committed(moves: Sequence[Move]) -> None:
        """These are in the database now."""


class ISink(Interface):
    """Stores batches: one transaction each."""

    channels: Any = Attribute("Channel → callback(payload), for LISTEN.")

    def forget() -> None:
        """All that was learned of the database: at each connect."""

    def ask(connection: Any, questions: Sequence[Any]) -> Answer:
        """Answers to what the feed asks; the connection is idle."""

    def load_due(connection: Any, limit: int) -> Answer:
        """The oldest rejects (`sink.plan.Due`) that this lane may try again; the connection is idle."""

    def let_go() -> None:
        """Free the records of the batch before the one that was sent last: that takes a while, and is done when the
        database is at work."""

    def prepare(batch: Batch) -> Coroutine[Any, Any, None]:
        """Do what of a batch's write can be done without the database, while that works on the batch before."""

    def write(
        connection: Any, batch: Batch, due: Sequence[Any], waits: Callable[[], None]
    ) -> Coroutine[Any, Any, Any]:
        """Store a batch or its head.

        Args:
            connection: idle and outside a transaction.
            batch: records of at least one frame, or of retried rejects.
            due: the rejects that the batch's records come from, none for a batch from the feed.
            waits: called when the database is at work and there is time for other things.

        Returns:
            A `sink.plan.Stored`.

        Raises:
            FencedError: somebody else moved a position.
            psycopg2.Error: the database's trouble.
        """

    def clean_up(connection: Any, now_ns: int) -> Coroutine[Any, Any, None]:
        """Once an hour by the time of frames: drop rejects that were kept long enough."""


class Track(NamedTuple):
    """What frames go through on their way to the sink: a decoder, and stages in order."""

    decoder: IDecoder
    stages: Sequence[IStage]
