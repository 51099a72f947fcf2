# SPDX-License-Identifier: MIT
"""A batch: records that came out of a lane's stages, and how far they bring the lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from tessmon.records.outcome import Record
from tessmon.records.position import START, Position

NO_NOTES: Mapping[str, Any] = MappingProxyType({})


class Standing(NamedTuple):
    """How far a lane is: what one transaction commits, and the next one and every replay begin from.

    Attributes:
        position: the last frame taken up.
        low: the oldest frame that the stages depend on stands behind this one; they are rebuilt from here.
        settings: what decoder and stages were made from, as text; empty when that was not noted yet.
        notes: what the stages must be told before the replay, as JSON knows it.
    """

    position: Position = START
    low: Position = START
    settings: str = ""
    notes: Mapping[str, Any] = NO_NOTES


class Item(msgspec.Struct, frozen=True, gc=False):
    """A record and the position of the frame that let it go on, which is later than the record's own frame
    when a stage held it back."""

    position: Position
    record: Record


class Move(NamedTuple):
    """How far a batch brings one origin, a journal or a file: from ``old``, which is the fence, to ``new``."""

    origin: str
    old: Standing
    new: Standing


class Batch(NamedTuple):
    """What a lane made of frames.

    Attributes:
        items: in the order in which the stages let them go.
        moves: of the origins that the frames stand in, each once.
    """

    items: Sequence[Item] = ()
    moves: Sequence[Move] = ()
