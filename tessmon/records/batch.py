# SPDX-License-Identifier: MIT
"""A batch: records that came out of a lane's stages, and the positions they move."""

from __future__ import annotations

from typing import NamedTuple

from tessmon.records.outcome import Record
from tessmon.records.position import Position


class Item(NamedTuple):
    """A record and the position of the frame that let it go on, which is later than the record's own frame
    when a stage held it back."""

    position: Position
    record: Record


class Batch(NamedTuple):
    """What a lane made of the frames between two positions.

    Attributes:
        items: in the order in which the stages let them go.
        old: the position before the first of the frames.
        new: the position of the last of the frames.
        old_low, new_low: from where the stages can be rebuilt as they stood at these two.
    """

    items: list[Item]
    old: Position
    new: Position
    old_low: Position
    new_low: Position
