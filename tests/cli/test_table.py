# SPDX-License-Identifier: MIT
"""Plain text that fits a terminal, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.cli.table import clipped, duration, how_many, moment_ns, paragraph, printable, size, table, width

CELLS = st.one_of(st.text(max_size=100), st.integers(0, 2**63), st.none())


@given(st.text())
def test_nothing_that_steers_a_terminal_gets_through(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


def test_escapes_are_shown_for_what_they_are() -> None:
    assert printable("a\x1b[2Jb\u202ec\ud800") == "a\\x1b[2Jb\\u202ec\\ud800"


@given(st.text(), st.integers(1, 40))
def test_what_is_clipped_fits(text: str, columns: int) -> None:
    assert width(clipped(text, columns)) <= columns


@given(st.text(max_size=400))
def test_a_paragraph_fits_and_loses_no_letter(text: str) -> None:
    lines = paragraph("label", text, 24).split("\n")
    assert all(width(line) <= 80 for line in lines)
    assert "".join(" ".join(lines).split()) == "label" + "".join(printable(text).split())


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8))
def test_a_table_of_anything_fits(rows: list[tuple[object, object, object]]) -> None:
    lines = table(["one", "two", "three"], rows).split("\n")
    assert len(lines) == len(rows) + 1
    assert all(width(line) <= 80 for line in lines)


def test_numbers_stand_right_and_the_last_column_is_clipped() -> None:
    text = table(["id", "reason", "detail"], [(7, "not_json", "x" * 100), (1234, "invalid", None)])
    assert text.split("\n") == [
        "  id  reason    detail",
        "   7  not_json  " + "x" * 63 + "…",
        "1234  invalid",
    ]


def test_wide_letters_count_twice() -> None:
    assert width("星a") == 3
    assert width("e\u0301") == 1
    assert clipped("星星星", 4) == "星…"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (8 << 30, "8.0 GiB"),
        (2**63, "8.0 EiB"),
        (2**80, "1048576.0 EiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 ms"),
        (0.0042, "4 ms"),
        (1.55, "1.6 s"),
        (125, "2 min 5 s"),
        (3600, "1 h 0 min"),
        (273_600, "3 d 4 h"),
        (1e10, "115740 d 17 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (1, ("file",), "1 file"),
        (0, ("file",), "0 files"),
        (2_000, ("file",), "2,000 files"),
        (1, ("directory", "directories"), "1 directory"),
        (2, ("directory", "directories"), "2 directories"),
    ],
)
def test_nouns_agree_with_their_numbers(number: int, nouns: tuple[str, ...], text: str) -> None:
    assert how_many(number, *nouns) == text


def test_moments_beyond_the_calendar_are_numbers() -> None:
    assert moment_ns(1_772_402_400 * 10**9) == "2026-03-01 22:00:00"
    assert moment_ns(2**62 * 10**9) == f"{2**62 * 10**9} ns"
