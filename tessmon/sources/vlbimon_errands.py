# SPDX-License-Identifier: MIT
"""What the vlbimon source does between polls: it asks for the masterlist, and for the history that is owed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from tessmon.breath import Breath
from tessmon.records.vlbimon import HISTORY, MASTERLIST, SWEPT, Exchange
from tessmon.sources.backoff import Backoff
from tessmon.sources.vlbimon_calls import Calls
from tessmon.sources.vlbimon_client import VlbimonError
from tessmon.sources.vlbimon_cutting import cut, listed
from tessmon.sources.vlbimon_frames import Frames
from tessmon.sources.vlbimon_questions import Question
from tessmon.sources.vlbimon_sweep import Known, Sweep

LIST_S = 86_400.0
"""How often the masterlist is asked for [s]."""
_LIST_AGAIN_S = 10.0, 600.0
_ASK_AGAIN_S = 1.0, 180.0
_PAUSE_S = 0.02, 10.0
_APART_S = 60.0
"""Clocks that are further apart than this don't only tick differently [s]."""
"""Between two calls for history: twice as long as the last one took, within these [s]."""

Errand = Callable[[], Coroutine[Any, Any, None]]


class Errands:
    """One call each.

    Args:
        calls: to servers.
        frames: where answers go.
        exchange: what is said to the present server, for a frame of some kind.
        recall: up to where the database has history whole [s since 1970 UTC], -1 when it has none, None when it was not
            asked yet.
        reactor: the loop.
        reached: called at named points.
        now_ns: wall clock.

    Attributes:
        known: what there is to ask for.
        sweep: how far it is.
        questions: calls for history that were answered.
        ahead_s: how far this machine's clock is ahead of the server's [s].
    """

    log = Logger()

    def __init__(
        self,
        calls: Calls,
        frames: Frames,
        exchange: Callable[[str], Exchange],
        recall: Callable[[], int | None],
        reactor: Any,
        reached: Callable[[str], None],
        now_ns: Callable[[], int],
    ) -> None:
        self.known = Known()
        self.sweep = Sweep(lambda: self.known.names(calls.settings.stations))
        self.questions = 0
        self.ahead_s = 0.0
        self._calls = calls
        self._frames = frames
        self._exchange = exchange
        self._recall = recall
        self._reactor = reactor
        self._reached = reached
        self._now_ns = now_ns
        self._breath = Breath(reactor)
        self._listed: object = None
        self._list_s = self._ask_s = 0.0
        self._list_again, self._ask_again = Backoff(*_LIST_AGAIN_S), Backoff(*_ASK_AGAIN_S)

    def next(self) -> tuple[float, Errand]:
        """When there is something to do [s of the reactor's clock], and what."""
        todo: list[tuple[float, Errand]] = [(self._list_s, self.ask_masterlist)]
        if self.sweep.going:
            todo.append((self._ask_s, self._ask_history))
        elif self._may_sweep() and self._knows_swept():
            due_s = self.sweep.due_s(self._calls.settings.sweep_s)
            todo.append((max(self._ask_s, due_s), self._begin_sweep))
        return min(todo, key=lambda each: each[0])

    def at_once(self) -> None:
        """Something changed: what failed is tried again."""
        self._list_again.reset()
        self._ask_again.reset()
        self._ask_s = 0.0
        if not self.known.listed:
            self._list_s = 0.0

    async def ask_masterlist(self) -> None:
        """Take the list; into the journal with it when it is another one."""
        exchange = self._exchange(MASTERLIST)
        try:
            reply = await self._calls.masterlist(exchange.server)
            document, stations, fields = listed(reply)
        except CancelledError:
            return
        except VlbimonError as error:
            if not self._list_again.delay_s:
                self.log.warn("{server} gives no masterlist: {why}", server=exchange.server, why=str(error))
            self._list_s = self._reactor.seconds() + _delay_s(self._list_again, error)
            return
        self._list_again.reset()
        self._list_s = self._reactor.seconds() + LIST_S
        if document != self._listed:
            self._frames.append_reply(exchange, reply, [reply.body])
            await self._frames.on_disk()
            self._listed = document
        if not self.known.listed:
            self.sweep.give_up()  # what was under way is for names that were seen
        self.known.list(stations, fields)

    def _may_sweep(self) -> bool:
        """Whether it is known what to ask for; before the list was asked for, nobody knows."""
        return self.known.listed or bool(self._list_again.delay_s and self.known)

    def _knows_swept(self) -> bool:
        """Where the journal does not say up to where history is whole, the database does, when it can be asked."""
        if self.sweep.swept_s is None:
            told = self._recall()
            if told is None:
                return False
            if told >= 0:
                self.sweep.swept_s = told
        return True

    async def _begin_sweep(self) -> None:
        ours_s = theirs_s = self._now_ns() // 10**9
        if abs(self.ahead_s) > _APART_S:
            theirs_s -= int(self.ahead_s)
            self.log.warn(
                "the clock of this machine is {apart} {side} the server's: history is asked for up to the earlier time",
                apart=timedelta(seconds=abs(int(self.ahead_s))),
                side="ahead of" if self.ahead_s > 0 else "behind",
            )
        self.sweep.begin(ours_s, theirs_s, self._reactor.seconds(), listed=self.known.listed)

    async def _ask_history(self) -> None:
        question = self.sweep.question()
        exchange = replace(self._exchange(HISTORY), start_s=question.start_s, end_s=question.end_s)
        try:
            reply = await self._calls.history(exchange.server, question)
            pieces = await cut(HISTORY, reply, self._breath)
        except CancelledError:
            return
        except VlbimonError as error:
            self._history_failed(exchange.server, error)
            return
        self._ask_again.reset()
        self.questions += 1
        self._frames.append_reply(exchange, reply, pieces.payloads)
        await self._frames.on_disk()
        await self._move(question, exchange)
        least_s, most_s = _PAUSE_S
        self._ask_s = self._reactor.seconds() + min(max(2 * reply.took_s, least_s), most_s)

    async def _move(self, question: Question, exchange: Exchange) -> None:
        """An answer is on disk."""
        swept_s = self.sweep.answered(question, self._reactor.seconds())
        if swept_s is not None:
            self._frames.append(replace(exchange, what=SWEPT, swept_s=swept_s))
            self._reached("vlbimon.swept")
            await self._frames.on_disk()
            self.sweep.swept_s = swept_s

    def _history_failed(self, server: str, error: VlbimonError) -> None:
        if not self._ask_again.delay_s:
            self.log.warn("{server} gives no history: {why}", server=server, why=str(error))
        self.sweep.failed()
        self._ask_s = self._reactor.seconds() + _delay_s(self._ask_again, error)


def _delay_s(again: Backoff, error: VlbimonError) -> float:
    """Before what failed is tried again [s]."""
    return max(again.next_s(), error.retry_after_s or 0.0)
