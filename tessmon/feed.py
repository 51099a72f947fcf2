# SPDX-License-Identifier: MIT
"""The reading half of a lane: from the journal through decoder and stages to a batch."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from tessmon.config.model import Writer as WriterSettings
from tessmon.interfaces import Chunk, IDecoder, IJournal, IStage
from tessmon.records.batch import Batch, Item
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record, SourceEvent
from tessmon.records.position import Position

SLICE_FRAMES, SLICE_BYTES = 250, 512 * 1024
"""What is decoded between two breaths of the reactor, whichever is less: at most 20 ms, of hostile bytes too."""
STATEMENTS_PER_BATCH = 5


class Feed:
    """Makes batches of what stands behind a position.

    Args:
        journal: an open `IJournal`.
        decoder: an `IDecoder`; replaced at a reload.
        stages: `IStage` providers, in order; replaced at a reload.
        settings: sizes of batches; replaced at a reload.
        breathe: lets the reactor do other things.
    """

    def __init__(
        self,
        journal: IJournal,
        decoder: IDecoder,
        stages: Sequence[IStage],
        settings: WriterSettings,
        breathe: Callable[[], Awaitable[None]],
    ) -> None:
        self.journal = journal
        self.decoder = decoder
        self.stages = stages
        self.settings = settings
        self._breathe = breathe

    async def next(self, after: Position, low: Position) -> Batch:
        """The frames behind a position, decoded and staged; an empty batch when all has been read.

        Args:
            after: where to read on.
            low: from where the stages can be rebuilt as they stand now.
        """
        chunk = await self._read(after)
        items = [] if chunk.gap is None else [Item(after, _gap_event(after, chunk))]
        items += await self._through_stages(chunk.frames)
        new = chunk.frames[-1].position if chunk.frames else after
        lows = [stage.low() for stage in self.stages]
        return Batch(items, after, new, low, min([new, *(one for one in lows if one is not None)]))

    async def rebuild(self, low: Position, position: Position) -> None:
        """Give the stages the frames they depended on at a position, with the output off."""
        for stage in self.stages:
            stage.reset()
        after = low
        while after < position:
            chunk = await self._read(after)
            frames = [frame for frame in chunk.frames if frame.position <= position]
            if not frames:
                return
            await self._through_stages(frames)
            after = frames[-1].position

    def again(self, frame: Frame) -> Record:
        """The record of a frame that was rejected before: it passes the stages that hold nothing back."""
        record = self.decoder.decode(frame)
        for stage in self.stages:
            if not stage.holds:
                (record,) = stage.take(record)
        return record

    async def _read(self, after: Position) -> Chunk:
        most = self.settings.batch_rows * STATEMENTS_PER_BATCH
        return await self.journal.read(after, most, self.settings.batch_bytes)

    async def _through_stages(self, frames: Sequence[Frame]) -> list[Item]:
        items: list[Item] = []
        decode, stages = self.decoder.decode, self.stages
        left_frames, left_bytes = SLICE_FRAMES, SLICE_BYTES
        for frame in frames:
            records: list[Record] = [decode(frame)]
            for stage in stages:
                records = [out for record in records for out in stage.take(record)]
            items += [Item(frame.position, record) for record in records]
            left_frames -= 1
            left_bytes -= len(frame.payload)
            if left_frames <= 0 or left_bytes <= 0:
                await self._breathe()
                left_frames, left_bytes = SLICE_FRAMES, SLICE_BYTES
        return items


def _gap_event(after: Position, chunk: Chunk) -> SourceEvent:
    """Its position stands just behind ``after``, where no frame can."""
    at_ns = chunk.frames[0].received_ns if chunk.frames else 0
    frame = Frame(FrameKind.EVENT, at_ns, "gap", b"", 0, position=(*after, 1))
    return SourceEvent(frame, "gap", json.dumps({"why": chunk.gap}))
