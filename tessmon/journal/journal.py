# SPDX-License-Identifier: MIT
"""The journal as the rest of the service sees it: frames go in, receipts and frames come out, the disk is elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from tessmon.errors import JournalError
from tessmon.interfaces import Chunk, IJournal, JournalStatus, Waiting
from tessmon.journal.gathering import Gathering, Parcel
from tessmon.journal.store import Store
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.position import Position

SEGMENT_BYTES = 32 << 20
GATHER_S = 0.005
TEND_S = 60.0
RETRY_S = 1.0
"""How often passed segments are looked for, and how often a full journal looks for room [s]."""

T = TypeVar("T")


@implementer(IJournal)
class Journal:
    """A durable log of frames in a directory of SQLite files.

    Args:
        directory: made with mode 0700 when it is not there.
        listener: an `IJournalListener`; may be set later, before ``open``.
        reactor: with clock and threads.
        max_bytes: what frames that are not passed may take on disk.
        min_free_bytes: what must stay free on the disk.
        retention_s: how long passed segments are kept when there is room.
        segment_bytes: a segment takes no more groups when it is this large.
        gather_s: how long a frame waits for others at most.
        reached: called with the name of a point in the work; for tests that kill the process there.
        now_ns: UTC [ns since 1970].
    """

    log = Logger()

    def __init__(
        self,
        directory: Path,
        listener: Any,
        reactor: Any,
        *,
        max_bytes: int,
        min_free_bytes: int,
        retention_s: float,
        segment_bytes: int = SEGMENT_BYTES,
        gather_s: float = GATHER_S,
        reached: Callable[[str], None] = lambda point: None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.listener = listener
        self.full: str | None = None
        self._reactor = reactor
        self._gather_s = gather_s
        self._now_ns = now_ns
        self._store = Store(
            directory,
            max_bytes=max_bytes,
            min_free_bytes=min_free_bytes,
            retention_s=retention_s,
            segment_bytes=segment_bytes,
            reached=reached,
            now_ns=now_ns,
        )
        self._gathering = Gathering()
        self._pool = ThreadPool(1, 1, "journal")
        self._pool.threadFactory = _DaemonThread
        self._watchers: list[Callable[[], None]] = []
        self._opened = False
        self._failed: str | None = None
        self._gather_call: IDelayedCall | None = None
        self._tend_call: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._closing: Deferred[None] | None = None
        self._owed = 0
        self._owed_since_s = 0.0

    @property
    def identity(self) -> str:
        return self._store.identity

    @property
    def pending_bytes(self) -> int:
        return self._gathering.size_bytes

    def open(self) -> Deferred[None]:
        return ensureDeferred(self._open())

    def append(self, frame: Frame, receipt: object = None) -> None:
        if self._closing is not None:
            return
        if self._gathering.add(frame, receipt):
            self._write()
        if self._gather_call is None:
            self._gather_call = self._reactor.callLater(self._gather_s, self._gathered)

    def tail(self, max_frames: int, max_bytes: int) -> Deferred[list[Frame]]:
        return self._look(self._store.tail, max_frames, max_bytes)

    def read(self, after: Position, max_frames: int, max_bytes: int) -> Deferred[Chunk]:
        return self._look(self._store.read, after, max_frames, max_bytes)

    def waiting(self, after: Position) -> Deferred[Waiting]:
        return self._look(self._store.waiting, after)

    def adopt(self, position: Position) -> Deferred[None]:
        return self._look(self._store.adopt, position)

    def watch(self, callback: Callable[[], None]) -> None:
        self._watchers.append(callback)

    def passed(self, low: Position) -> None:
        self._store.pass_to(low[0])

    def status(self) -> JournalStatus:
        return self._store.status._replace(full=self.full)

    def pulse(self) -> float:
        """For how long the journal's thread has owed an answer [s]; it is asked for a sign of life when it owes none,
        so that a disk on which it hangs is seen at the next call even while nothing is written."""
        if self._owed:
            return float(self._reactor.seconds() - self._owed_since_s)
        if self._opened:
            self._in_thread(lambda: None)
        return 0.0

    def close(self) -> Deferred[None]:
        closed: Deferred[None] = Deferred()
        if self._closing is None:
            self._closing = ensureDeferred(self._close())
        self._closing.addCallback(lambda _: closed.callback(None))
        return closed

    async def _open(self) -> None:
        self._pool.start()
        try:
            await self._in_thread(self._store.open)
        except Exception:
            self._pool.stop()
            raise
        self._opened = True
        self._report_salvages()
        self._judge()
        self._write()
        self._tend_later()

    async def _close(self) -> None:
        for call in (self._gather_call, self._tend_call):
            if call is not None and call.active():
                call.cancel()
        if not self._pool.started:
            return
        await self._in_thread(lambda: None)  # what was asked for before, an open too, has been answered then
        if not self._opened:
            return
        self._opened = False
        self._gathering.cut()
        self._write(retry=True)
        if self._writing is not None:
            await self._writing
        await self._in_thread(self._store.close)
        self._pool.stop()

    def _gathered(self) -> None:
        self._gather_call = None
        if self._failed is None:
            self._gathering.cut()
            self._write()

    def _write(self, *, retry: bool = False) -> None:
        """Have what is cut written, unless that is being done or has failed and is not to be tried again yet."""
        if not self._pool.started or self._writing is not None or (self._failed is not None and not retry):
            return
        if self._gathering.ready():
            self._writing = ensureDeferred(self._write_all())

    async def _write_all(self) -> None:
        """Commit after commit until nothing is cut or one fails."""
        while parcels := self._gathering.ready():
            try:
                await self._in_thread(self._store.commit, [parcel.group for parcel in parcels])
            except Exception as error:
                if not isinstance(error, JournalError):
                    self.log.failure("a commit of the journal failed in a way that nobody foresaw")
                self._failed = str(error) or repr(error)
                break
            if self._failed is not None:
                self._failed = None
                self._gathering.cut()
            self._gathering.written(parcels)
            self._tell(parcels)
            self._judge()
        self._writing = None
        self._judge()

    def _tell(self, parcels: list[Parcel]) -> None:
        receipts = [receipt for parcel in parcels for receipt in parcel.receipts]
        try:
            if receipts:
                self.listener.settled(receipts)
        except Exception:
            self.log.failure("the source failed to settle {count} receipts", count=len(receipts))
        for watcher in self._watchers:
            try:
                watcher()
            except Exception:
                self.log.failure("a watcher of the journal failed")

    def _judge(self) -> None:
        """Tell the listener when the journal got full or has room again."""
        before, self.full = self.full, self._failed or self._store.full
        if (before is None) == (self.full is None):
            return
        self._tend_later()
        try:
            if self.full is not None:
                self.log.error("{why}", why=self.full)
                self.listener.journal_full(self.full)
            else:
                self.log.info("the journal has room again")
                self.listener.journal_has_room()
        except Exception:
            self.log.failure("the source failed to follow the state of its journal")

    def _tend_later(self) -> None:
        if self._tend_call is not None and self._tend_call.active():
            self._tend_call.cancel()
        if self._closing is None:
            self._tend_call = self._reactor.callLater(TEND_S if self.full is None else RETRY_S, self._tend)

    def _tend(self) -> None:
        if self._failed is not None:
            self._gathering.cut()
            self._write(retry=True)
            self._tend_later()
        else:
            ensureDeferred(self._tend_disk())

    async def _tend_disk(self) -> None:
        try:
            await self._in_thread(self._store.tend)
        except Exception:
            self.log.failure("the journal's disk could not be looked at")
        self._judge()
        self._tend_later()

    def _look(self, look: Callable[..., T], *args: Any) -> Deferred[T]:
        if not self._opened:
            return fail(JournalError("the journal is not open"))
        return ensureDeferred(self._looked(look, *args))

    async def _looked(self, look: Callable[..., T], *args: Any) -> T:
        try:
            return await self._in_thread(look, *args)
        finally:
            self._report_salvages()

    def _in_thread(self, call: Callable[..., T], *args: Any) -> Deferred[T]:
        if not self._owed:
            self._owed_since_s = self._reactor.seconds()
        self._owed += 1
        return deferToThreadPool(self._reactor, self._pool, call, *args).addBoth(self._answered)

    def _answered(self, answer: T) -> T:
        self._owed -= 1
        self._owed_since_s = self._reactor.seconds()
        return answer

    def _report_salvages(self) -> None:
        """What was damaged is logged, and an event in the journal itself."""
        while self._store.salvages:
            found = self._store.salvages.popleft()
            self.log.error(
                "segment {name} of the journal was damaged ({why}): {saved} groups saved, {lost} lost; "
                "the damaged file is kept as {set_aside}",
                **found._asdict(),
            )
            detail = msgspec.json.encode(found._asdict())
            at_ns = max(self._now_ns(), self._gathering.newest_ns + 1)
            self.append(Frame(FrameKind.EVENT, at_ns, "journal_damaged", detail, len(detail)))


class _DaemonThread(Thread):
    """A thread that does not keep a process alive whose reactor has ended without closing its journal."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "daemon": True})
