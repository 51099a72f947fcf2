# SPDX-License-Identifier: MIT
"""Flush: a frame in the journal tells the stages to let go of what they hold; who asked learns when they did."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.task import deferLater

from tessmon.errors import TessmonError
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import FLUSH
from tessmon.records.position import START

if TYPE_CHECKING:
    from tessmon.journalled import JournalledInput

PATIENCE_S = 60.0
"""Who asked is told by then how far it has come [s]."""
_LOOK_S = 0.05
_CHUNK_FRAMES, _CHUNK_BYTES = 5000, 4 << 20

_requests = count(1)


async def flush(through: JournalledInput, who: str, reactor: Any) -> str:
    """Flush one input; it happens in the order of the frames, so whatever came before is included.

    Returns:
        One sentence for the operator: that it is done, or what it waits for.

    Raises:
        TessmonError: the input is not running, or its journal can't be read.
    """
    if not through.source.running:
        raise TessmonError("the service is starting or stopping: ask again in a moment")
    lane = through.lane.lane
    until_s = reactor.seconds() + PATIENCE_S
    frame = await _journalled(through, who, until_s, reactor)
    if frame is None:
        return f"{lane}: noted in memory only, for the journal can't be written: {through.journal.full}"
    while reactor.seconds() < until_s:
        status = through.lane.status()
        if (status.position or START) >= frame.position:
            return f"{lane}: stored, all that was held back"
        if status.state in ("paused", "stopped"):
            return f"{lane}: noted; takes effect when writes resume"
        if status.state in ("waiting", "refused"):
            return f"{lane}: noted; takes effect when the database is back ({status.detail})"
        await deferLater(reactor, _LOOK_S)
    return f"{lane}: noted; takes effect when what came before is stored"


async def _journalled(through: JournalledInput, who: str, until_s: float, reactor: Any) -> Frame | None:
    """The frame, when it is on disk; None when that takes too long."""
    request = next(_requests)
    after = through.journal.status().newest
    through.announce(FLUSH, by=who, request=request)
    while reactor.seconds() < until_s:
        chunk = await through.journal.read(after, _CHUNK_FRAMES, _CHUNK_BYTES)
        found = next((frame for frame in chunk.frames if _is(frame, request)), None)
        if found is not None:
            return found
        after = chunk.frames[-1].position if chunk.frames else after
        await deferLater(reactor, _LOOK_S)
    return None


def _is(frame: Frame, request: int) -> bool:
    if frame.kind != FrameKind.EVENT or frame.topic != FLUSH:
        return False
    return bool(json.loads(frame.payload).get("request") == request)
