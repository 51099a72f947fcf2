# SPDX-License-Identifier: MIT
"""The reading half of a lane: from the journal through decoder and stages to a batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from twisted.logger import Logger
from zope.interface import implementer

from tessmon.breath import Breath
from tessmon.config.model import Writer as WriterSettings
from tessmon.interfaces import Ask, Chunk, IFeed, IJournal, IStage, Track
from tessmon.records.batch import Batch, Item, Move, Standing
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Record, Several, SourceEvent
from tessmon.records.position import Position

SLICE_BYTES, FRAME_BYTES, RECORD_BYTES = 128 * 1024, 2048, 256
"""What is decoded before one looks how long it took: so many bytes, each frame counting as so many more, and each
record of a frame with several. Hostile ones take 10 ms."""
STATEMENTS_PER_BATCH = 5


@implementer(IFeed)
class Feed:
    """Makes batches of what stands behind a position.

    Decoder and stages are made from settings, and the settings are part of a lane's standing: a replay goes through the
    same as the frames did the first time. New settings begin with a batch of their own, in which the stages let go of
    everything they held; what lasting ones have noted goes on.

    Args:
        journal: an open `IJournal`.
        lay: makes a track from settings; raises ValueError when it can't.
        settings: of the track, as text; see `take_up`.
        writer: sizes of batches; replaced at a reload.
        breath: lets the reactor do other things.
    """

    log = Logger()

    def __init__(
        self,
        journal: IJournal,
        lay: Callable[[str], Track],
        settings: str,
        writer: WriterSettings,
        breath: Breath,
    ) -> None:
        self.journal = journal
        self.writer = writer
        self._lay = lay
        self._breath = breath
        self.standing: Standing | None = None
        self._read_up_to = Standing()
        self._lost: str | None = None
        self.take_up(settings)
        self._settings, self._track = settings, self._newest

    def take_up(self, settings: str) -> None:
        """From the next batch on frames go through a track of these settings."""
        self._wanted, self._newest = settings, self._lay(settings)

    @property
    def held(self) -> int:
        """Records that stages hold back."""
        return sum(stage.held() for stage in self._track.stages)

    def watch(self, callback: Callable[[], None]) -> None:
        self.journal.watch(callback)

    async def begin(self, ask: Ask) -> str:
        [standing] = await ask([self.journal.identity])
        self.standing = standing
        await self.journal.adopt(standing.position)
        await self._rebuild(standing)
        self.journal.passed(standing.low)
        self._read_up_to = standing
        return f"position {'.'.join(map(str, standing.position))} of {self.journal.identity}"

    def here(self) -> Sequence[Move]:
        assert self.standing is not None
        return [Move(self.journal.identity, self.standing, self.standing)]

    def committed(self, moves: Sequence[Move]) -> None:
        [move] = moves
        self.standing = move.new
        self.journal.passed(move.new.low)

    async def next(self) -> Batch:
        after = self._read_up_to
        if self._settings != self._wanted:
            items, new = self._change_tracks(after)
        else:
            items, new = await self._take(after)
        if new == after and not items:
            return Batch()
        self._read_up_to = new
        return Batch(items, [Move(self.journal.identity, after, new)])

    async def _take(self, after: Standing) -> tuple[list[Item], Standing]:
        """The frames behind a standing, decoded and staged; the stages stand there."""
        chunk = await self._read(after.position)
        gaps = [gap for gap in (chunk.frames and self._lost, chunk.gap) if gap]
        if chunk.frames:
            self._lost = None
        items = [Item(after.position, _gap_event(after.position, chunk.frames, gaps))] if gaps else []
        items += await self._through_stages(chunk.frames)
        new = chunk.frames[-1].position if chunk.frames else after.position
        return items, self._standing(new)

    async def _rebuild(self, committed: Standing) -> None:
        """Bring the stages to where they stood at a position: by the frames they depended on, with the output off."""
        self._settings, self._track = self._track_of(committed.settings)
        for stage in self._track.stages:
            stage.reset(committed.notes.get(stage.name))
        self._lost = None
        after = committed.low
        while after < committed.position:
            chunk = await self._read(after)
            if chunk.gap is not None:
                self._lost = f"what stages held back is not whole: {chunk.gap}"
            frames = [frame for frame in chunk.frames if frame.position <= committed.position]
            if not frames:
                return
            await self._through_stages(frames)
            after = frames[-1].position

    def again(self, frame: Frame) -> Sequence[Record]:
        record = self._newest.decoder.decode(frame)
        records = list(record.records) if isinstance(record, Several) else [record]
        lasting = {stage.name: stage for stage in self._track.stages if stage.lasting}
        for newest in self._newest.stages:
            stage = lasting.get(newest.name, newest)  # what it remembers
            records = [out for record in records for out in stage.again(record)]
        return records

    def _track_of(self, settings: str) -> tuple[str, Track]:
        if settings and settings != self._wanted:
            try:
                return settings, self._lay(settings)
            except ValueError as error:
                self.log.error(
                    "the settings that the position was noted with can't be read ({error}): the present ones are taken",
                    error=error,
                )
        return self._wanted, self._lay(self._wanted)

    def _change_tracks(self, after: Standing) -> tuple[list[Item], Standing]:
        stages = self._track.stages
        items = [
            Item(after.position, record)
            for place, stage in enumerate(stages)
            for record in _through(stages[place + 1 :], list(stage.release()))
        ]
        self._settings, self._track = self._wanted, self._newest
        lasting = {stage.name: stage.notes() for stage in stages if stage.lasting}
        for stage in self._track.stages:
            if stage.lasting:
                stage.reset(lasting.get(stage.name))
        return items, self._standing(after.position)

    def _standing(self, position: Position) -> Standing:
        stages = self._track.stages
        lows = [low for low in (stage.low() for stage in stages) if low is not None]
        notes = {stage.name: notes for stage in stages if (notes := stage.notes()) is not None}
        return Standing(position, min([position, *lows]), self._settings, notes)

    async def _read(self, after: Position) -> Chunk:
        most = self.writer.batch_rows * STATEMENTS_PER_BATCH
        return await self.journal.read(after, most, self.writer.batch_bytes)

    async def _through_stages(self, frames: Sequence[Frame]) -> list[Item]:
        items: list[Item] = []
        decoder, stages = self._track
        decode = decoder.decode
        left_bytes = SLICE_BYTES
        for frame in frames:
            record = decode(frame)
            if isinstance(record, Several):
                items += [Item(frame.position, out) for out in _through(stages, list(record.records))]
                left_bytes -= len(record.records) * RECORD_BYTES
            elif stages:
                items += [Item(frame.position, out) for out in _through(stages, [record])]
            else:
                items.append(Item(frame.position, record))
            left_bytes -= len(frame.payload) + FRAME_BYTES
            if left_bytes <= 0:
                left_bytes = SLICE_BYTES
                if self._breath.due:
                    await self._breath.take()
        return items


def _through(stages: Sequence[IStage], records: list[Record]) -> list[Record]:
    for stage in stages:
        records = [out for record in records for out in stage.take(record)]
    return records


def _gap_event(after: Position, frames: Sequence[Frame], gaps: Sequence[str]) -> SourceEvent:
    """Its position stands just behind ``after``, where no frame can."""
    at_ns = frames[0].received_ns if frames else 0
    frame = Frame(FrameKind.EVENT, at_ns, "gap", b"", 0, position=(*after, 1))
    return SourceEvent(frame, "gap", json.dumps({"why": "; ".join(gaps)}))
