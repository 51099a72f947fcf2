# SPDX-License-Identifier: MIT
"""What the log was told already: what goes wrong with each poll is worth one line, not one a poll."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 4096
"""Names in keys come from outside, so only so many keys are remembered."""


class Told:
    """Remembers keys; where there are too many, what was asked for longest ago is forgotten, and told again.

    Args:
        most: how many.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def is_new(self, *key: str) -> bool:
        """Whether this was never asked before."""
        if key in self._keys:
            self._keys.move_to_end(key)
            return False
        self._keys[key] = None
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)
        return True
