# SPDX-License-Identifier: MIT
"""The vlbimon source: lifts snapshots and history from a server into a journal, and nothing is left out between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from zope.interface import implementer

from tessmon.breath import Breath
from tessmon.config.model import Vlbimon
from tessmon.interfaces import IJournal, IJournalListener, VlbimonStatus
from tessmon.records.outcome import JOURNAL_FULL
from tessmon.records.vlbimon import POLL, SNAPSHOT, Exchange
from tessmon.sources.live import LiveSource
from tessmon.sources.vlbimon_calls import Calls
from tessmon.sources.vlbimon_client import Reply, VlbimonError
from tessmon.sources.vlbimon_cutting import Cut, cut
from tessmon.sources.vlbimon_errands import Errands
from tessmon.sources.vlbimon_exit import PleaseExit
from tessmon.sources.vlbimon_frames import Frames
from tessmon.sources.vlbimon_memory import memory_of, recall_names
from tessmon.sources.vlbimon_polling import Polling
from tessmon.sources.vlbimon_servers import Servers
from tessmon.sources.vlbimon_session import Sessions

STOP_TIMEOUT_S = 5.0
_TAIL_FRAMES, _TAIL_BYTES = 2000, 4 << 20
_LOOK_S = 1.0
_AFTER_DEFECT_S = 3.0
_MAX_ERROR_LENGTH = 500
_SESSIONS = "sessions"


@implementer(IJournalListener)
class VlbimonSource(LiveSource):
    """One call at a time; a poll goes before all else.

    Args:
        settings: the table of the configuration.
        journal: where to.
        reactor: the loop.
        recall: see `Errands`.
        directory: keeps sessions over restarts.
        end: stops the service in good order.
        reached: called at named points, for tests that kill the process there.
        now_ns: wall clock.
    """

    log = Logger()
    name = "vlbimon"

    def __init__(
        self,
        settings: Vlbimon,
        journal: IJournal,
        reactor: Any,
        *,
        recall: Callable[[], int | None],
        directory: Path,
        end: Callable[[], object],
        reached: Callable[[str], None] = lambda point: None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__("vlbimon", journal, reactor, now_ns)
        self._end_service = end
        self._breath = Breath(reactor)
        self._frames = Frames(self._writer, reached)
        self._sessions = Sessions(directory / _SESSIONS)
        self._calls = Calls(settings, self._sessions, self._new_session, reactor, reached, now_ns)
        self._errands = Errands(self._calls, self._frames, self._exchange, recall, reactor, reached, now_ns)
        self._sweep = self._errands.sweep
        self._servers = Servers(settings.servers)
        self._polling = Polling(settings.period_s)
        self._exit = PleaseExit(settings.directory)
        self._exits = LoopingCall(self._look_for_exit)
        self._exits.clock = reactor
        self._new_settings: Vlbimon | None = None
        self._sessions_made = 0

    # The service.

    def startService(self) -> None:
        self._exit.forget()
        self._exits.start(_LOOK_S, now=False)
        super().startService()

    def status(self) -> VlbimonStatus:
        """At a glance, at no cost."""
        polling = self._polling
        return VlbimonStatus(
            self.name,
            *self._state.told,
            self._servers.current,
            polling.good,
            polling.failed,
            polling.failures,
            polling.last_ns,
            polling.took_s,
            self._writer.messages,
            self._frames.unsettled,
            self._sessions_made,
            self._sweep.swept_s,
            self._sweep.going,
            self._errands.questions,
            polling.cursors.get(self._servers.current),
            self._next_poll_ns(),
            polling.left_alone,
            self._errands.known.listed,
            None if self._errands.known.listed else self._sweep.asked_s,
        )

    def _next_poll_ns(self) -> int:
        if self._stopping or not self.running or self._journal.full is not None:
            return 0
        left_s = max(0.0, self._polling.due_s - self._reactor.seconds())
        return self._now_ns() + int(left_s * 1e9)

    def reconfigure(self, settings: Vlbimon) -> None:
        """Take up new settings when the call under way is over; what failed is tried again at once."""
        self._new_settings = settings
        self._wake()

    # The journal's listener.

    def settled(self, receipts: Sequence[object]) -> None:
        """What was appended is on disk."""
        self._frames.settled(receipts)

    def journal_full(self, why: str) -> None:
        """Ask nothing: what the server has, it keeps, and the history brings it."""
        self._writer.event(JOURNAL_FULL, why=why)
        self.log.error("Nothing is asked of the vlbimon server: {why}", why=why)
        self._state.enter("journal_full", f"nothing is asked for: {why}")
        self._wake()

    def journal_has_room(self) -> None:
        """Go on."""
        self._writer.event("journal_room")
        self._wake()

    # The loop.

    async def _run(self) -> None:
        await self._remember()
        step = self._begin
        while not self._stopping:
            try:
                await step()
            except CancelledError:
                raise
            except (
                Exception
            ):  # the last net: a defect costs a while, and history brings what was missed in it
                self.log.failure(
                    "A defect of the program has ended a call; asking goes on in {after_s} s",
                    after_s=_AFTER_DEFECT_S,
                )
                await self._sleep(deferLater(self._reactor, _AFTER_DEFECT_S))
            step = self._step

    async def _begin(self) -> None:
        await self._turn(self._errands.ask_masterlist)

    async def _step(self) -> None:
        """Do what is due, or wait for it."""
        await self._renew()
        now_s, due_s = self._reactor.seconds(), self._polling.due_s
        other_s, errand = self._errands.next() if self._may_do_errands() else (due_s, self._poll)
        if now_s >= due_s:
            await self._turn(self._poll)
        elif now_s >= other_s:
            await self._turn(errand)
            self._polling.excuse(self._reactor.seconds() - now_s)
        else:
            await self._sleep(deferLater(self._reactor, min(due_s, other_s) - now_s))

    async def _turn(self, call: Callable[[], Any]) -> None:
        """One call, when there is room for what it brings; none when new settings came while there was not."""
        while self._journal.full is not None and not self._stopping:
            self._state.enter("journal_full", f"nothing is asked for: {self._journal.full}")
            await self._sleep(Deferred())
        if not self._stopping and self._new_settings is None:
            if not self._polling.good and not self._polling.failed:
                self._state.enter("connecting", f"asking {self._servers.current}")
            await call()

    def _may_do_errands(self) -> bool:
        return self._polling.good > 0 and self._polling.failures == 0

    async def _remember(self) -> None:
        self._sessions.recall()
        try:
            frames = await self._journal.tail(_TAIL_FRAMES, _TAIL_BYTES)
            memory = memory_of(frames)
            await recall_names(frames, self._breath, self._errands.known.see)
        except Exception:
            self.log.failure("The end of the journal can't be read; all is asked for anew")
            memory = memory_of([])
        self._polling.cursors.update(memory.cursors)
        self._sweep.swept_s, self._sweep.asked_s = memory.swept_s, memory.asked_s
        self._writer.begin(memory.newest_ns)

    async def _renew(self) -> None:
        """Take up new settings, and begin anew where they say so."""
        settings, self._new_settings = self._new_settings, None
        if settings is None:
            return
        old, self._calls.settings = self._calls.settings, settings
        self._polling.take_up(settings.period_s)
        self._errands.at_once()
        if settings.directory != old.directory:
            self._exit = PleaseExit(settings.directory)
        if settings.servers != old.servers:
            self._servers = Servers(settings.servers)
        if (settings.servers, settings.stations) != (old.servers, old.stations):
            self._sweep.give_up()
        if settings != old:
            await self._calls.close()

    def _exchange(self, what: str) -> Exchange:
        """What is said to the present server."""
        server = self._servers.current
        return Exchange(what, server, self._polling.cursors.get(server), self._sweep.swept_s)

    # Snapshots.

    async def _poll(self) -> None:
        polling = self._polling
        began_s = polling.begin(self._reactor.seconds())
        server = self._servers.choose(began_s)
        cursor = polling.cursor(server)
        exchange = Exchange(SNAPSHOT, server, cursor, self._sweep.swept_s)
        try:
            reply = await self._calls.snapshot(server, cursor)
            pieces = await cut(SNAPSHOT, reply, self._breath, self._errands.known.see)
        except CancelledError:
            return
        except VlbimonError as error:
            await self._poll_failed(exchange, error)
        else:
            await self._poll_succeeded(exchange, reply, pieces)

    async def _poll_succeeded(self, exchange: Exchange, reply: Reply, pieces: Cut) -> None:
        server, polling = exchange.server, self._polling
        cursor = reply.cursor or polling.cursors.get(server)
        self._frames.append_reply(exchange, reply, pieces.payloads)
        poll = replace(exchange, what=POLL, cursor=cursor, took_s=reply.took_s, status=reply.status)
        self._frames.append(replace(poll, counts=dict(pieces.counts)))
        await self._frames.on_disk()
        if server != self._servers.current:
            self._server_changed(self._servers.current, server)
        self._servers.answered(server)
        self._errands.ahead_s = reply.ahead_s
        success = polling.succeeded(server, cursor, reply.took_s, self._reactor.seconds(), self._now_ns())
        if success.gap:
            self._sweep.wanted = True
        if success.news:
            self._writer.event("connected", server=server)
        self._state.enter("connected", f"{server} is asked every {polling.period_s:g} s")
        if reply.cursor is None and success.news:
            self.log.warn("{server} sends no cursor, so it says all again each time", server=server)

    async def _poll_failed(self, exchange: Exchange, error: VlbimonError) -> None:
        server, polling = exchange.server, self._polling
        now_s = self._reactor.seconds()
        on_trial = server != self._servers.current
        other = not on_trial and self._servers.failed(now_s, for_good=error.for_good)
        verdict = polling.fail(server, error, now_s, other_server=other, on_trial=on_trial)
        cursor, took_s = polling.cursors.get(server), now_s - polling.began_s
        poll = replace(exchange, what=POLL, cursor=cursor, took_s=took_s, status=error.status)
        self._frames.append(replace(poll, error=str(error)[:_MAX_ERROR_LENGTH]))
        await self._frames.on_disk()
        if on_trial:
            return
        if verdict.news:
            self._writer.event(verdict.kind, why=verdict.why)
            self.log.warn("{kind}: {why}", kind=verdict.kind, why=verdict.why)
        if server != self._servers.current:
            self._server_changed(server, self._servers.current)
        self._state.enter(verdict.state, f"{verdict.why}; next attempt in {verdict.delay_s:.0f} s")

    def _server_changed(self, old: str, new: str) -> None:
        self._writer.event("server_changed", old=old, new=new)
        self.log.info("{new} is asked from now on, and no longer {old}", new=new, old=old)
        self._sweep.give_up()

    def _new_session(self, server: str) -> None:
        self._sessions_made += 1
        self._writer.event("session_made", server=server)

    # Inside.

    async def _stop(self) -> None:
        self._stopping = True
        if self._exits.running:
            self._exits.stop()
        self._calls.break_off()
        self._wake()
        if self._running is not None:
            limit = self._reactor.callLater(STOP_TIMEOUT_S, self._running.cancel)
            await self._running
            if limit.active():
                limit.cancel()
        if self._frames.unsettled:
            self.log.warn("{count} frames were not on disk in time", count=self._frames.unsettled)
        await self._calls.close()
        self._end()

    def _look_for_exit(self) -> None:
        if self._exit.asked():
            self.log.info("{path} was found: the service ends", path=self._exit.path)
            self._end_service()
