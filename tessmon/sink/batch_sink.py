# SPDX-License-Identifier: MIT
"""What the sinks of all lanes do alike: make ready ahead, let go in time, drop what was kept long enough."""

from __future__ import annotations

from contextlib import suppress

from tessmon.breath import Breath
from tessmon.config.model import Rejects as RejectsSettings
from tessmon.database.session import Session
from tessmon.records.batch import Batch
from tessmon.records.position import Position
from tessmon.sink import keeping
from tessmon.sink.draft import Draft
from tessmon.sink.plan import Due, hour_s_of
from tessmon.sink.writer import Writer


class BatchSink:
    """Half of a sink (`interfaces.ISink`); the other half knows what records become.

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
        self._sent: list[tuple[Batch, Draft]] = []  # the last two
        self._hour_s = 0
        self._due_origins = ""

    def forget(self) -> None:
        """All that was learned of the database: at each connect."""
        self._sent.clear()
        self._writer.forget()

    def let_go(self) -> None:
        del self._sent[:-1]

    async def load_due(self, connection: Session, limit: int) -> list[Due]:
        """See `interfaces.ISink`. Of every origin, unless a sink narrows that: a journal that is no more has no other
        to take care of it."""
        return await keeping.load_due(connection, self._lane, self._due_origins, limit)

    def _hold(self, batch: Batch, draft: Draft) -> None:
        """Until `let_go`: it is sent now."""
        self._sent = [*self._sent[-1:], (batch, draft)]

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
