# SPDX-License-Identifier: MIT
"""Which topics a list of MQTT topic filters matches."""

from __future__ import annotations

import re
from collections.abc import Iterable


class TopicFilters:
    """Topic filters with the wildcards + and #.

    Source: MQTT 3.1.1, 4.7: + stands for one level, # for all the last ones with the level before them, and
    neither for a first level that begins with $.
    """

    def __init__(self, filters: Iterable[str]) -> None:
        self._matches = re.compile("|".join(map(_pattern, filters)) or "(?!)", re.DOTALL).fullmatch

    def match(self, topic: str) -> bool:
        """Whether any of the filters matches."""
        return self._matches(topic) is not None


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
