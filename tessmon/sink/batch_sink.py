# SPDX-License-Identifier: MIT
"""What the sinks of all lanes do alike: make ready ahead, let go in time, drop what was kept long enough."""

from __future__ import annotations

from contextlib import suppress
from typing import Generic, TypeVar

from tessmon.breath import Breath
from tessmon.config.model import Rejects as RejectsSettings
from tessmon.database.session import Session
from tessmon.records.batch import Batch
from tessmon.records.position import Position
from tessmon.sink import keeping
from tessmon.sink.draft import Draft
from tessmon.sink.plan import Due, hour_s_of
from tessmon.sink.writer import Writer

D = TypeVar("D", bound=Draft)


class BatchSink(Generic[D]):
    """Half of a sink (`interfaces.ISink`); the other half knows what records become, and fills drafts of its own kind.

    Args:
        lane: the lane's name.
        rejects: replaced as a whole at a reload.
        writer: carries out plans.
        breath: lets the reactor do other things.
    """

    def __init__(self, lane: str, rejects: RejectsSettings, writer: Writer, breath: Breath) -> None:
        self.rejects = rejects
        self._lane = lane
        self._writer = writer
        self._breath = breath
        self._ahead: tuple[Batch, D, object] | None = None  # with what it was made from
        self._sent: list[tuple[Batch, Draft]] = []  # the last two
        self._hour_s = 0
        self._due_origins = ""

    def forget(self) -> None:
        """All that was learned of the database: at each connect."""
        self._ahead = None
        self._sent.clear()
        self._writer.forget()

    def let_go(self) -> None:
        del self._sent[:-1]

    async def load_due(self, connection: Session, limit: int) -> list[Due]:
        """See `interfaces.ISink`. Of every origin, unless a sink narrows that: a journal that is no more has no other
        to take care of it."""
        return await keeping.load_due(connection, self._lane, self._due_origins, limit)

    async def prepare(self, batch: Batch) -> None:
        """See `interfaces.ISink`."""
        basis = self._basis()
        try:
            draft = await self._look_at(batch)
        except KeyError:
            return
        await self._make_ready(draft)
        self._ahead = batch, draft, basis

    def _basis(self) -> object:
        """What else a draft is made from: one that was made ahead holds while this is the same."""
        return None

    async def _look_at(self, batch: Batch) -> D:
        """Fill a draft.

        Raises:
            KeyError: the database was not asked yet about something in it.
        """
        raise NotImplementedError

    async def _drafted(self, batch: Batch) -> D:
        """The draft of a batch whose turn it is, held until `let_go`: it is sent now.

        Raises:
            KeyError: as `_look_at`.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is batch and ahead[2] == self._basis():
            draft = ahead[1]
        else:
            draft = await self._look_at(batch)
        self._sent = [*self._sent[-1:], (batch, draft)]
        return draft

    async def _make_ready(self, draft: Draft) -> None:
        """All that a statement needs."""
        for sheet in draft.sheets:
            with suppress(ValueError):  # the writer meets it again
                sheet.prepare()
            if self._breath.due:
                await self._breath.take()

    async def _expire(self, connection: Session, origin: str, now_ns: int, position: Position) -> None:
        """Once an hour by the time of frames: drop rejects that were kept long enough. The event of it stands just
        behind the position."""
        hour_s = hour_s_of(now_ns)
        if hour_s == self._hour_s:
            return
        self._hour_s = hour_s
        source, keep_days = self._writer.source, self.rejects.keep_days
        await connection.execute(
            *keeping.expire_rejects(self._lane, origin, source, keep_days, now_ns, position)
        )
