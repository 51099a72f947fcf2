# SPDX-License-Identifier: MIT
"""The database as the place for history: how far it is stands in ``positions`` and moves with the rows."""

from __future__ import annotations

from collections import Counter

from tessmon.past.storing import BATCH_RECORDS, Storing
from tessmon.records.batch import Item, Move, Standing
from tessmon.records.frame import Frame
from tessmon.records.outcome import Reject

MAX_REFUSED = 20
"""Rejects that are told one by one."""


class ToDatabase:
    """A `tessmon.past.fetching.Place`.

    Args:
        storing: the way there.
        origin: of what comes.
    """

    def __init__(self, storing: Storing, origin: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self.refused: list[Reject] = []
        self._storing = storing
        self._origin = origin
        self._standing = Standing()
        self._items: list[Item] = []

    def done_s(self) -> int:
        [self._standing] = self._storing.stands([self._origin])
        return self._standing.position[0]

    def know(self, frame: Frame) -> None:
        self._items += self._storing.items(frame)
        self._store(self._standing)

    def take(self, frame: Frame) -> None:
        self._items += self._storing.items(frame)
        if len(self._items) >= BATCH_RECORDS:
            self._store(self._standing)

    def settle(self, done_s: int) -> None:
        place = (done_s, 0, 0)
        self._store(self._standing._replace(position=place, low=place))

    def _store(self, new: Standing) -> None:
        taken = self._storing.store(self._items, [Move(self._origin, self._standing, new)])
        self._items = []
        self._standing = new
        self.outcomes += taken.outcomes
        self.refused += taken.refused[: MAX_REFUSED - len(self.refused)]
