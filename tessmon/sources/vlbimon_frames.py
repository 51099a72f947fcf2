# SPDX-License-Identifier: MIT
"""How the vlbimon source writes what was said into its journal, and waits until that is on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from tessmon.records.frame import Frame, FrameKind
from tessmon.records.vlbimon import Exchange
from tessmon.sources.frame_writer import FrameWriter
from tessmon.sources.vlbimon_client import Reply

_RECEIPT = object()


class Frames:
    """Appends frames, and knows how many of them wait for the disk.

    Args:
        writer: stamps them.
        reached: called at named points.

    Attributes:
        unsettled: appended and not on disk yet [count].
    """

    def __init__(self, writer: FrameWriter, reached: Callable[[str], None]) -> None:
        self._writer = writer
        self._reached = reached
        self.unsettled = 0
        self._waiting: Deferred[None] | None = None

    def append(self, exchange: Exchange, payloads: Sequence[bytes] = (b"",)) -> None:
        """What an exchange brought: a frame for each payload, one behind the other."""
        topic = exchange.topic()
        for payload in payloads:
            self.unsettled += 1
            frame = Frame(FrameKind.MESSAGE, self._writer.stamp(), topic, payload, len(payload))
            self._writer.message(frame, _RECEIPT)

    def append_reply(self, exchange: Exchange, reply: Reply, payloads: Sequence[bytes]) -> None:
        """A reply, in one or more pieces."""
        self.append(replace(exchange, took_s=reply.took_s, status=reply.status), payloads)

    def settled(self, receipts: Sequence[object]) -> None:
        """So many more are on disk."""
        self.unsettled -= len(receipts)
        if self.unsettled == 0 and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    async def on_disk(self) -> None:
        """Wait until all that was appended is."""
        self._reached("vlbimon.appended")
        if self.unsettled:
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        self._reached("vlbimon.settled")
