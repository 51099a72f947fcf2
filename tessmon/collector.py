# SPDX-License-Identifier: MIT
"""Python's collector of cyclic garbage, set for a process that makes many records and few cycles."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 10_000
"""Made, and not yet gone, when the collector looks at the young ones, which takes it 1 ms. Most are tuples of records,
which go by themselves when their batch is written: with Python's own 700 it looked at each of them again and again."""


def settle() -> None:
    """Call it when all is imported: modules and classes stay, and a full collection that walks them takes the reactor
    25 ms each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
