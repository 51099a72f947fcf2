# SPDX-License-Identifier: MIT
"""Topic filters match as a broker matches them."""

from __future__ import annotations

import pytest

from tessmon.decode.topics import TopicFilters


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b", "A/b", False),
        ("a.b", "axb", False),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a//c", True),
        ("a/+/c", "a/b/b/c", False),
        ("a/+/c", "a/b\n/c", True),
        ("+/+", "/a", True),
        ("+", "a/", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "any/thing", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
    ],
)
def test_filter_matches_as_the_standard_says(topic_filter: str, topic: str, matches: bool) -> None:
    filters = TopicFilters([topic_filter])
    assert filters.match(topic) == matches


def test_any_of_several_filters_is_enough_and_none_matches_nothing() -> None:
    assert TopicFilters(["a", "b/+"]).match("b/c")
    assert not TopicFilters([]).match("")
