# SPDX-License-Identifier: MIT
"""Which topics a list of MQTT topic filters matches."""

from __future__ import annotations

import re
from collections.abc import Iterable

_REMEMBERED_TOPICS = 4096
_REMEMBERED_CHARACTERS = 256
"""Topics come from outside: only so many, and only short ones, are kept in memory."""


class TopicFilters:
    """Topic filters with the wildcards + and #.

    Source: MQTT 3.1.1, 4.7: + stands for one level, # for all the last ones with the level before them, and
    neither for a first level that begins with $.
    """

    def __init__(self, filters: Iterable[str]) -> None:
        self._matches = re.compile("|".join(map(_pattern, filters)) or "(?!)", re.DOTALL).fullmatch
        self._known: dict[str, bool] = {}

    def match(self, topic: str) -> bool:
        """Whether any of the filters matches."""
        known = self._known.get(topic)
        if known is not None:
            return known
        found = self._matches(topic) is not None
        if len(topic) <= _REMEMBERED_CHARACTERS:
            if len(self._known) >= _REMEMBERED_TOPICS:
                self._known.clear()
            self._known[topic] = found
        return found


def _pattern(topic_filter: str) -> str:
    levels = topic_filter.split("/")
    guard = r"(?!\$)" if levels[0] in ("+", "#") else ""
    if levels == ["#"]:
        return guard + ".*"
    tail = ""
    if levels[-1] == "#":
        levels.pop()
        tail = "(?:/.*)?"
    return guard + "/".join("[^/]*" if level == "+" else re.escape(level) for level in levels) + tail
