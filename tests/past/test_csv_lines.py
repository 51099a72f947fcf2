# SPDX-License-Identifier: MIT
"""Lines of CSV files: what is written is read back, and what others wrote before is read as they meant it."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.past.csv_lines import MAX_RECORD_BYTES, lines, time_text, value_text, written

STAMPS = st.integers(946_684_801, 2_000_000_000) | st.floats(946_684_801, 2e9)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.text('",\r\n a1')
VALUES = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXTS


def read(content: bytes) -> list[tuple[str, str | None]]:
    return [(line.time, line.value) for line in lines(io.BytesIO(content))]


def datatype_of(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


@given(st.lists(st.tuples(STAMPS, VALUES)))
def test_what_is_written_is_read_back_with_its_type(points: list[tuple[float, Any]]) -> None:
    content = b"".join(written(*point) for point in points)
    found = read(content)
    assert len(found) == len(points)
    for (stamp, value), (at, text) in zip(points, found, strict=True):
        assert text is not None
        assert json.loads(time_text(at)) == stamp
        again = json.loads(value_text(text, datatype_of(value)))
        assert type(again) is type(value)
        if isinstance(value, float) and math.isnan(value):  # which has no sign in text
            assert math.isnan(again)
        else:
            assert again == value
            assert math.copysign(1, again) == math.copysign(1, value) if isinstance(value, float) else True


@given(st.lists(st.tuples(STAMPS, VALUES)))
def test_every_csv_reader_reads_it(points: list[tuple[float, Any]]) -> None:
    content = b"".join(written(*point) for point in points).decode()
    expected = [[repr(stamp), value if isinstance(value, str) else repr(value)] for stamp, value in points]
    assert list(csv.reader(io.StringIO(content, newline=""))) == expected


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (True, b"5,True\n"),
        (0.1, b"5,0.1\n"),
        (-0.0, b"5,-0.0\n"),
        (math.nan, b"5,nan\n"),
        ("3C279", b"5,3C279\n"),
        (" ", b"5, \n"),
        ("", b"5,\n"),
        ("a, b", b'5,"a, b"\n'),
        ('say "x"', b'5,"say ""x"""\n'),
        ("a\nb", b'5,"a\nb"\n'),
        ("é", "5,é\n".encode()),
    ],
)
def test_quotes_stand_where_they_are_needed_and_nowhere_else(value: Any, line: bytes) -> None:
    assert written(5, value) == line


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"5,1, 2, 3\n", "1, 2, 3"),
        (b'5,"M87"\n', '"M87"'),
        (b'5,say "x", he said\n', 'say "x", he said'),
        (b'5,"a" and "b"\n', '"a" and "b"'),
        (b'5,"open\n', '"open'),
        (b'5,"open, too\n', '"open, too'),
        (b'5,6" wide\n', '6" wide'),
        (b"5,\xff\n", "\udcff"),
        (b"5,text\r\n", "text"),
    ],
)
def test_old_lines_are_split_at_the_first_comma_and_taken_as_they_are(line: bytes, value: str) -> None:
    behind = b"6,0.25\n7,M87\n"
    assert read(line + behind) == [("5", value), ("6", "0.25"), ("7", "M87")]


def test_old_and_new_lines_stand_in_one_file() -> None:
    content = b"5,a, b\n" + written(6, "c, d") + b'7,"e"\n' + written(8, "f\ng")
    assert read(content) == [("5", "a, b"), ("6", "c, d"), ("7", '"e"'), ("8", "f\ng")]


def test_places_and_numbers_of_lines_are_told_and_one_goes_on_there() -> None:
    content = written(5, "a") + written(6, "b\nc\nd") + written(7, "e")
    found = list(lines(io.BytesIO(content)))
    assert [(line.offset, line.number, line.last) for line in found] == [(0, 1, 1), (4, 2, 4), (14, 5, 5)]
    assert [line.end for line in found] == [4, 14, 18]
    for place, line in enumerate(found[:-1]):
        assert list(lines(io.BytesIO(content), line.end, line.last + 1)) == found[place + 1 :]


def test_a_line_without_its_end_is_told() -> None:
    assert [line.whole for line in lines(io.BytesIO(b"5,1\n6,2"))] == [True, False]


def test_lines_that_are_none_have_no_value() -> None:
    assert read(b"\nnonsense\n5,1\n") == [("", None), ("nonsense", None), ("5", "1")]


def test_an_endless_line_is_no_good_line_and_the_next_one_is() -> None:
    content = b"5," + b"x" * (5 * MAX_RECORD_BYTES // 2) + b"\n6,1\n"
    assert read(content) == [("5", None), ("6", "1")]


def test_a_quote_that_nobody_closes_costs_its_line_and_little_time() -> None:
    content = b'7,"y\n' + b"8,1\n" * (MAX_RECORD_BYTES // 2)
    began_s = time.thread_time()
    found = lines(io.BytesIO(content))
    assert [next(found).value, next(found).value] == ['"y', "1"]
    assert time.thread_time() - began_s < 5


@pytest.mark.parametrize(
    ("text", "datatype", "expected"),
    [
        ("True", "boolean", True),
        ("false", "boolean", False),
        ("1", "boolean", 1),
        ("maybe", "boolean", "maybe"),
        ("True", "text", "True"),
        ("5", "text", "5"),
        ("5", "number", 5),
        ("007", "number", 7.0),
        ("1e-05", "number", 1e-05),
        ("-inf", "number", -math.inf),
        ("18446744073709551616", "number", 18446744073709551616),
        ("dry", "number", "dry"),
        ("True", "number", "True"),
        ("None", "number", None),
        ("None", "text", "None"),
        ("0.5", None, 0.5),
        ("True", None, True),
        ("M87", None, "M87"),
        ("1_000", None, "1_000"),
        (" 5", "number", " 5"),
    ],
)
def test_the_masterlist_says_what_a_value_is(text: str, datatype: str | None, expected: Any) -> None:
    found = json.loads(value_text(text, datatype))
    assert (found, type(found)) == (expected, type(expected))


def test_what_is_no_time_is_left_to_the_decoder() -> None:
    assert [json.loads(time_text(text)) for text in ("5", "5.5", "1e9", "time", "")] == [
        5,
        5.5,
        1e9,
        "time",
        "",
    ]
