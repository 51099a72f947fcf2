# SPDX-License-Identifier: MIT
"""A position: how far a lane has read an origin.

A position names the last frame taken up, so reading goes on *after* it. Positions of one origin compare as
tuples do. For a journal it is (segment, group, frame); in the database it is a ``bigint[]``, which compares alike.
"""

from __future__ import annotations

from typing import TypeAlias

Position: TypeAlias = tuple[int, ...]

START: Position = (0, 0, 0)
"""The position before a journal's first frame: segments and groups count from 1."""


def just_before(position: Position) -> Position:
    """The position to read on from when the frame at this one is to be the first; no frame need stand there."""
    return (*position[:-1], position[-1] - 1)
