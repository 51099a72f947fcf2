# SPDX-License-Identifier: MIT
"""What the vlbimon source knows from its journal: where each server's snapshots go on, and what is swept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from tessmon.breath import Breath
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.vlbimon import HISTORY, SNAPSHOT, Exchange, exchange_of
from tessmon.records.vlbimon_walk import POINT, text_of, walker_of


class Memory(msgspec.Struct):
    """As the newest frames on disk say.

    Attributes:
        newest_ns: when the newest frame came [ns], 0 for none.
        cursors: server → cursor of its snapshots.
        swept_s: history is whole up to here [s since 1970 UTC], None when they don't say.
        asked_s: the newest history begins here, so what comes before was asked for [s since 1970 UTC].
    """

    newest_ns: int = 0
    cursors: dict[str, str] = {}
    swept_s: int | None = None
    asked_s: int | None = None


def memory_of(frames: Sequence[Frame]) -> Memory:
    """What frames say, oldest first."""
    memory = Memory(frames[-1].received_ns if frames else 0)
    known: set[str] = set()
    for frame in reversed(frames):
        exchange = _exchange(frame)
        if exchange is None:
            continue
        if not known:
            memory.swept_s = exchange.swept_s
        if exchange.server not in known and exchange.cursor is not None:
            memory.cursors[exchange.server] = exchange.cursor
        known.add(exchange.server)
        if exchange.what == HISTORY and memory.asked_s is None:
            memory.asked_s = exchange.start_s
    return memory


async def recall_names(frames: Sequence[Frame], breath: Breath, see: Callable[[str, str], object]) -> None:
    """What frames have points of: no masterlist may know it, and no snapshot may have it again soon.

    Args:
        see: called with station and parameter of each point.
    """
    for frame in frames:
        exchange = _exchange(frame)
        if exchange is None or exchange.what not in (SNAPSHOT, HISTORY):
            continue
        with suppress(ValueError):  # what is no reply names nothing
            for part in walker_of(exchange.what)(text_of(frame.payload)):
                if part.kind == POINT:
                    see(part.station, part.name)
                if breath.due:
                    await breath.take()


def _exchange(frame: Frame) -> Exchange | None:
    if frame.kind != FrameKind.MESSAGE:
        return None
    try:
        return exchange_of(frame.topic)
    except ValueError:
        return None
