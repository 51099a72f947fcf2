# SPDX-License-Identifier: MIT
"""What the vlbimon source knows from its journal: where each server's snapshots go on, and what is swept."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tessmon.records.frame import Frame, FrameKind
from tessmon.records.vlbimon import Exchange, exchange_of


class Memory(msgspec.Struct):
    """As the newest frames on disk say.

    Attributes:
        newest_ns: when the newest frame came [ns], 0 for none.
        cursors: server → cursor of its snapshots.
        swept_s: history is whole up to here [s since 1970 UTC], None when they don't say.
    """

    newest_ns: int = 0
    cursors: dict[str, str] = {}
    swept_s: int | None = None


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
    return memory


def _exchange(frame: Frame) -> Exchange | None:
    if frame.kind != FrameKind.MESSAGE:
        return None
    try:
        return exchange_of(frame.topic)
    except ValueError:
        return None
