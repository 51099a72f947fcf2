# SPDX-License-Identifier: MIT
"""The memory of what was said is short, and what is said often stays in it."""

from __future__ import annotations

from tessmon.told import Told


def test_a_key_is_new_once() -> None:
    told = Told()
    assert told.is_new("a", "b")
    assert not told.is_new("a", "b")
    assert told.is_new("b", "a")
    assert told.is_new("ab")


def test_what_was_asked_for_longest_ago_is_forgotten() -> None:
    told = Told(most=3)
    for key in "abc":
        assert told.is_new(key)
    assert not told.is_new("a")
    assert told.is_new("d")
    assert not told.is_new("a")
    assert told.is_new("b")
