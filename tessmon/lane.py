# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""A lane: carries one origin's frames to the database.

It pulls: read a batch behind the position, decode, stages, write, commit; one transaction is in flight while the
next batch is read. What it remembers between two commits is forgotten at any failure and rebuilt from the
journal, so nothing in memory outlives a failed write.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, ensureDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from tessmon.account import Account
from tessmon.bell import Bell
from tessmon.breath import Breath
from tessmon.control.door import Door
from tessmon.database.connection import Connection, Connector, Trouble, sentence_of, trouble_of
from tessmon.database.driver import psycopg2
from tessmon.database.schema import check_schema
from tessmon.errors import JournalError, SchemaError
from tessmon.interfaces import IFeed, ISink, LaneStatus
from tessmon.records.batch import Batch, Item
from tessmon.sink.plan import Due, Stored
from tessmon.sink.writer import FencedError

DUE_PER_BATCH = 500
FIRST_RETRY_S, LAST_RETRY_S, REFUSED_RETRY_S = 0.25, 30.0, 30.0
PAUSE_GRACE_S = 2.0
"""How long a transaction in flight may take when writes are to be paused."""


class Lane(Service):
    """Reads what a feed gives and writes it to the database.

    Args:
        name: of the lane; part of the key of its position.
        feed: reads, decodes and stages.
        sink: stores batches.
        connector: makes connections; the lane has one at most.
        door: locked while writes are paused.
        reactor: clock and loop.
        now_ns: wall clock, for what is shown.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        feed: IFeed,
        sink: ISink,
        connector: Connector,
        door: Door,
        reactor: Any,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.lane = name
        self.feed = feed
        self.sink = sink
        self.account = Account(name, now_ns)
        self._connector = connector
        self._turn = DeferredLock()
        self._breath = Breath(reactor)
        self._door = door
        self._reactor = reactor
        self._connecting: Deferred[Connection] | None = None
        self._connection: Connection | None = None
        self._cutting: IDelayedCall | None = None
        self._news = Bell(reactor)
        self._orders = Bell(reactor)
        self._due = True
        self._stopping = False
        self._ended: Deferred[None] | None = None
        self._retry_s = FIRST_RETRY_S
        self._shut_watchers: list[Deferred[None]] = []
        door.watch(self._ordered)

    # life

    def startService(self) -> None:
        super().startService()
        self._stopping = False
        self.feed.watch(self._news.ring)
        self._ended = ensureDeferred(self._run())

    def stopService(self) -> Deferred[None]:
        """Fires when the transaction in flight has ended and the connection is closed."""
        super().stopService()
        self._stopping = True
        self._ordered()
        ended, self._ended = self._ended, None
        return ended if ended is not None else succeed(None)

    def shut(self) -> Deferred[None]:
        """A Deferred that fires when the lane has no connection and will make none: it is paused or stopped."""
        done: Deferred[None] = Deferred()
        if self.account.state in ("paused", "stopped") or self._ended is None:
            done.callback(None)
        else:
            self._shut_watchers.append(done)
        return done

    def status(self) -> LaneStatus:
        """The lane at a glance."""
        return self.account.status(self.feed.standing, self.feed.held)

    def look(self) -> None:
        """The feed has other settings: ask it now, and not with the next frame."""
        self._news.ring()

    def retry(self) -> None:
        """Rejects were made due: take them before what comes next."""
        self._due = True
        self._news.ring()

    # sessions

    async def _run(self) -> None:
        while not self._stopping:
            self._orders.hush()
            if self._door.locked:
                self.account.enter("paused", "writes are paused; the journal goes on filling")
                self._tell_shut()
                await self._orders.wait()
                self.account.enter("starting", "the database has not been asked again yet")
                continue
            wait_s = await self._try_session()
            if not self._interrupted():
                await self._orders.wait(wait_s)
        self.account.enter("stopped", "the service has stopped")
        self._tell_shut()

    async def _try_session(self) -> float:
        """One connection's life; gives how long to wait before the next [s]."""
        try:
            await self._session()
        except FencedError:
            self.log.warn("{lane}: another service moved the position; reading it back", lane=self.lane)
        except SchemaError as error:
            return self._refuse(str(error))
        except JournalError as error:  # a segment that can't be read now is tried again
            return self._shelter(str(error))
        except (psycopg2.Error, OSError, ValueError) as error:
            if trouble_of(error) is not Trouble.WEATHER:
                return self._refuse(sentence_of(error))
            return self._shelter(f"the database: {sentence_of(error)}")
        except CancelledError:  # an order came while it connected
            return 0.0
        except Exception as error:  # a defect: the position has not moved, so all is tried again
            self.log.failure("{lane}: a defect of the program stopped the lane", lane=self.lane)
            return self._refuse(f"a defect of the program stopped the lane: {error!r}")
        finally:
            self._disconnect()
        return FIRST_RETRY_S

    def _disconnect(self) -> None:
        cutting, self._cutting = self._cutting, None
        if cutting is not None and cutting.active():
            cutting.cancel()
        connection, self._connection, self._connecting = self._connection, None, None
        if connection is not None:
            connection.close()

    def _refuse(self, sentence: str) -> float:
        if (self.account.state, self.account.detail) != ("refused", sentence):
            self.log.error("{lane}: {sentence}", lane=self.lane, sentence=sentence)
        self.account.enter("refused", sentence)
        return REFUSED_RETRY_S

    def _shelter(self, sentence: str) -> float:
        if self._interrupted():
            return 0.0
        wait_s = self._retry_s * random.uniform(0.75, 1.25)
        self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)
        self.log.warn(
            "{lane}: waiting for the database, next try in {wait_s:.1f} s: {sentence}",
            lane=self.lane,
            wait_s=wait_s,
            sentence=sentence,
        )
        self.account.enter("waiting", sentence)
        return wait_s

    async def _session(self) -> None:
        self._connecting = self._connector.connect()
        connection = self._connection = await self._connecting
        self._connecting = None
        if self._interrupted():
            return
        connection.on_lost(lambda error: self._news.ring())
        await check_schema(connection)
        self.sink.forget()
        for channel, heard in self.sink.channels.items():
            await connection.listen(channel, heard)
        await connection.listen("tessmon_rejects", lambda payload: self.retry())
        self._due = True
        where = await self.feed.begin(partial(self._ask, connection))
        self.log.info("{lane}: goes on at {where}", lane=self.lane, where=where)
        await self._drain(connection)

    async def _ask(self, connection: Connection, questions: Sequence[Any]) -> Sequence[Any]:
        """A question of the feed waits for the end of what is being written."""
        answers: Sequence[Any] = await self._turn.run(self.sink.ask, connection, questions)
        return answers

    async def _drain(self, connection: Connection) -> None:
        """Write what comes, until interrupted or the connection is lost."""
        ahead: Deferred[Batch] | None = None
        try:
            while not self._interrupted():
                if connection.closed:
                    raise connection.lost or ConnectionResetError("the connection was closed")
                if self._due:
                    await self._retry_due(connection)
                batch = await (ahead or ensureDeferred(self._next()))
                ahead = None
                if not batch.moves and not batch.items:
                    await self._rest()
                else:

                    def read_ahead() -> None:
                        nonlocal ahead
                        if ahead is None:
                            ahead = ensureDeferred(self._read_ahead())

                    await self._write(connection, batch, read_ahead)
        finally:
            if ahead is not None:
                ahead.addErrback(lambda failure: None)  # the next session meets it again when it reads
                await ahead

    def _interrupted(self) -> bool:
        return self._stopping or self._door.locked

    async def _rest(self) -> None:
        self.account.enter("idle", "all that came is stored")
        self.account.log_batches(force=True)
        self._retry_s = FIRST_RETRY_S
        if not (self._due or self._interrupted()):  # an order may have come before the bell was hushed
            await self._news.wait()
            if self.feed.writer.batch_delay_s:
                await deferLater(self._reactor, self.feed.writer.batch_delay_s)

    async def _next(self) -> Batch:
        self._news.hush()  # what comes from here on rings again
        return await self.feed.next()

    async def _read_ahead(self) -> Batch:
        self.sink.let_go()
        batch = await self._next()
        await self.sink.prepare(batch)
        return batch

    # writing

    async def _write(self, connection: Connection, batch: Batch, waits: Callable[[], None]) -> None:
        """Store a batch; it is split behind each registration that changes something. While the database works on the
        first part, ``waits()`` is called: before, the rest would only keep this one from being sent."""
        self.account.enter("running", "writes what came")
        used = await self._store(connection, batch, (), waits)
        while used < len(batch.items):
            if self._due:
                await self._retry_due(connection)
            [move], [here] = batch.moves, self.feed.here()
            batch = Batch(batch.items[used:], [move._replace(old=here.new)])
            used = await self._store(connection, batch)
        await self._turn.run(self.sink.clean_up, connection, self.account.last_frame_ns)

    async def _store(
        self,
        connection: Connection,
        batch: Batch,
        due: Sequence[Due] = (),
        waits: Callable[[], None] = lambda: None,
    ) -> int:
        began = time.monotonic()
        stored: Stored = await self._turn.run(self.sink.write, connection, batch, due, waits)
        self.feed.committed(stored.moves)
        self._retry_s = FIRST_RETRY_S
        newest = batch.items[stored.used - 1].record.frame.received_ns if stored.used and not due else 0
        self.account.add(stored.written, time.monotonic() - began, newest)
        self._due = self._due or stored.written.made_due > 0
        return stored.used

    async def _retry_due(self, connection: Connection) -> None:
        """Take rejects whose cause is gone, oldest first, before anything new."""
        while not self._interrupted():
            self._due = False
            due = await self._turn.run(self.sink.load_due, connection, DUE_PER_BATCH)
            if not due:
                return
            items: list[Item] = []
            for one in due:
                items += [Item(one.frame.position, record) for record in self.feed.again(one.frame)]
                if self._breath.due:
                    await self._breath.take()
            await self._store(connection, Batch(items, self.feed.here()), due)
            self._due = True

    # being called

    def _ordered(self) -> None:
        """The door moved or the service stops: a transaction that takes too long now is repeated later."""
        self._orders.ring()
        self._news.ring()
        if not self._interrupted():
            return
        if self._connecting is not None:
            self._connecting.cancel()
        elif self._connection is not None and self._cutting is None:
            self._cutting = self._reactor.callLater(PAUSE_GRACE_S, self._connection.close)

    def _tell_shut(self) -> None:
        watchers, self._shut_watchers = self._shut_watchers, []
        for watcher in watchers:
            watcher.callback(None)
