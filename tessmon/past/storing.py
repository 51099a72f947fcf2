# SPDX-License-Identifier: MIT
"""Carries frames that no journal holds to the database, as the service's lane does: decoder, stages, sink, one
transaction a batch, in which the position of where they came from moves too."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from tessmon.breath import LongBreath
from tessmon.config.model import Config
from tessmon.database.partitions import Partitions
from tessmon.database.session import Session
from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.files.link import Link
from tessmon.records.batch import Batch, Item, Move, Standing
from tessmon.records.frame import Frame
from tessmon.records.outcome import Filtered, Record, Reject, Several
from tessmon.records.vlbimon import BRIDGE, Masterlist
from tessmon.sink.arrays import position_text, text_array
from tessmon.sink.keeping import load_position
from tessmon.sink.plan import REPLACED, Stored
from tessmon.sink.vlbimon import VlbimonSink
from tessmon.sink.writer import FencedError, Writer
from tessmon.stages.coordinates import Coordinates

LANE, SOURCE = "vlbimon", "vlbimon"
BATCH_RECORDS = 5000
"""Records in one transaction."""
_DIGEST_BYTES = 8
_KEPT_SQL = """
SELECT r.origin, r.position FROM rejects AS r JOIN unnest(%s::text[], %s::text[]) AS k (origin, position)
ON r.origin = k.origin AND r.position = k.position::bigint[] WHERE r.lane = %s"""


class OvertakenError(Exception):
    """Somebody else moves the same position: the same command runs twice."""


class Taken(NamedTuple):
    """What became of points: stored, replaced (values of a second that has another one too), duplicate, filtered,
    rejected; and what was refused and is kept now."""

    outcomes: Counter[str]
    refused: list[Reject]


class _Origin(NamedTuple):
    """In the place of a journal: whose identity it is."""

    identity: str


class Storing:
    """Stores what comes from one place, an origin or several.

    Args:
        config: of the service.
        link: to the database.
        identity: the origin of what has none of its own.

    Attributes:
        why: gives the sentence to keep of a record that is refused.
    """

    def __init__(self, config: Config, link: Link, identity: str) -> None:
        self.why: Callable[[Reject], str] = lambda reject: reject.detail
        breath = LongBreath()
        self._writer = Writer(SOURCE, Partitions(), config.writer.batch_rows, breath)
        self._sink = VlbimonSink(LANE, cast(Any, _Origin(identity)), config.rejects, self._writer, breath)
        self._decoder = VlbimonDecoder()
        self._coordinates = Coordinates()
        self._link = link
        link.on_connect = self._sink.forget

    def know(self, masterlist: Masterlist) -> None:
        """What is to be split, when no frame says it."""
        for _ in self._coordinates.take(masterlist):
            pass

    def stands(self, origins: Sequence[str]) -> list[Standing]:
        """How far each origin was stored."""

        async def asked(session: Session) -> list[Standing]:
            return [await load_position(session, LANE, origin) for origin in origins]

        return self._link.run(asked)

    def items(self, frame: Frame) -> Iterator[Item]:
        """What a frame becomes behind decoder and stages."""
        decoded = self._decoder.decode(frame)
        for record in decoded.records if isinstance(decoded, Several) else (decoded,):
            if isinstance(record, Reject):
                yield Item(frame.position, self._placed(record))
            elif isinstance(record, Filtered):
                yield Item(frame.position, record)
            else:
                for each in self._coordinates.take(record):
                    yield Item(frame.position, each)

    def store(self, items: Sequence[Item], moves: Sequence[Move]) -> Taken:
        """One transaction.

        Args:
            items: of `items`.
            moves: at least one; what does not move has two equal ends.

        Raises:
            OvertakenError: see there.
            DatabaseError: the database refuses it, and time will not mend that.
        """
        known: list[Item] = []

        async def stored(session: Session) -> Stored:
            known[:] = await self._new_only(session, items)
            stored: Stored = await self._sink.write(cast(Any, session), Batch(known, moves))
            return stored

        try:
            tallies = self._link.run(stored).written.tallies
        except FencedError as error:
            if [each.position for each in self.stands([move.origin for move in moves])] != [
                move.new.position for move in moves
            ]:
                raise OvertakenError from error
            tallies = Counter()  # the connection broke behind the commit: it is stored, and nobody counted
        outcomes: Counter[str] = Counter()
        for key, count in tallies.items():
            if key.subject != BRIDGE:
                outcomes[key.cause if key.cause == REPLACED else key.outcome] += count
        outcomes["duplicate"] += len(items) - len(known)
        return Taken(outcomes, [one.record for one in known if isinstance(one.record, Reject)])

    def _placed(self, reject: Reject) -> Reject:
        """Known by what it is, and not by where in an answer or a file it stood: the next time it may stand elsewhere,
        and is to be known again."""
        frame = reject.frame
        digest = hashlib.blake2b(frame.topic.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES)
        digest.update(b"\0" + frame.payload)
        number = int.from_bytes(digest.digest(), "big") >> 1
        placed = msgspec.structs.replace(frame, position=(0, 0, 0, number))
        return msgspec.structs.replace(reject, frame=placed, detail=self.why(reject))

    async def _new_only(self, session: Session, items: Sequence[Item]) -> list[Item]:
        """Without rejects that are kept already, or that come twice."""
        frames = [item.record.frame for item in items if isinstance(item.record, Reject)]
        if not frames:
            return list(items)
        rows = await session.query(
            _KEPT_SQL,
            [
                text_array(frame.origin for frame in frames),
                text_array(position_text(frame.position) for frame in frames),
                LANE,
            ],
        )
        kept = {(origin, tuple(position)) for origin, position in rows}
        new: list[Item] = []
        for item in items:
            if isinstance(item.record, Reject):
                place = _place(item.record)
                if place in kept:
                    continue
                kept.add(place)
            new.append(item)
        return new


def _place(record: Record) -> tuple[str, tuple[int, ...]]:
    return record.frame.origin, record.frame.position
