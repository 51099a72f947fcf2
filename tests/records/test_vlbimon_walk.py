# SPDX-License-Identifier: MIT
"""The walk over replies: it finds what a parser finds, refuses what a parser refuses, and never takes long."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tessmon.records.vlbimon import HISTORY, SNAPSHOT
from tessmon.records.vlbimon_walk import (
    CLIENT,
    MAX_NAME_CHARACTERS,
    ODD,
    PAUSE,
    POINT,
    Part,
    frame_text,
    is_name,
    part_text,
    payload_of,
    pieces,
    text_of,
    walk_history,
    walk_snapshot,
    walker_of,
)
from tests import scale
from tests.vlbimon_mutator import mutated_replies

STEP_S = 0.050
Pairs = tuple[tuple[str, Any], ...]


class Pieced(tuple[tuple[str, Any], ...]):
    """An object with its names as often as they stand there."""


def read(text: str) -> Any:
    """What the standard library makes of it; numbers stay text, for they may be of any length."""
    return json.loads(
        text.removeprefix("\ufeff"), strict=False, object_pairs_hook=Pieced, parse_int=str, parse_float=str
    )


def expected(what: str, text: str) -> list[tuple[str, str, str, Any]]:
    document = read(text)
    if not isinstance(document, Pieced):
        raise ValueError("no object")
    return list((_history if what == HISTORY else _snapshot)(document))


def _snapshot(document: Pairs) -> Iterator[tuple[str, str, str, Any]]:
    for station, sections in document:
        if station == "vexfiles" or sections is None:
            continue
        if not isinstance(sections, Pieced):
            yield ODD, station, "", sections
            continue
        for section, members in sections:
            kind = {"data": POINT, "clients": CLIENT}.get(section)
            if kind is not None and isinstance(members, Pieced):
                for name, value in members:
                    yield kind, station, name, value
            elif members is not None:
                yield ODD, station, section, members


def _history(document: Pairs) -> Iterator[tuple[str, str, str, Any]]:
    for station, fields in document:
        if isinstance(fields, Pieced):
            for name, pairs in fields:
                if isinstance(pairs, list):
                    for pair in pairs:
                        yield POINT, station, name, pair
                elif pairs is not None:
                    yield ODD, station, name, pairs
        elif fields is not None:
            yield ODD, station, "", fields


def walked(what: str, text: str) -> list[Part]:
    return [part for part in walker_of(what)(text) if part.kind != PAUSE]


def test_mutated_replies_are_walked_as_a_parser_reads_them() -> None:
    refused = found = 0
    for what, body in mutated_replies(20_261_123, scale.FUZZED_PAYLOADS):
        text = text_of(body)
        assert payload_of(text) == body
        try:
            wanted = expected(what, text)
        except RecursionError:
            continue
        except ValueError:
            with pytest.raises(ValueError, match=r" at character \d+$"):
                walked(what, text)
            refused += 1
            continue
        parts = walked(what, text)
        assert [(*part[:3], read(part.text)) for part in parts] == wanted
        found += len(parts)
    print(f"{scale.FUZZED_PAYLOADS} replies: {found} parts, {refused} refused")
    assert refused > scale.FUZZED_PAYLOADS / 20
    assert found > scale.FUZZED_PAYLOADS


def test_parts_put_together_are_walked_as_the_same_parts() -> None:
    random = Random(5)
    for what, body in mutated_replies(6, 1000):
        try:
            parts = walked(what, text_of(body))
        except ValueError:
            continue
        if not any(part.kind == ODD for part in parts):
            assert walked(what, frame_text(what, parts)) == parts
        for part in parts:
            assert part_text(what, part) == frame_text(what, [part])
            [alone] = walked(what, part_text(what, part))
            assert alone == part
        most = random.choice((1, 2, 5))
        cut = [walked(what, piece) for piece in pieces(what, text_of(body), most, 400) if piece]
        assert sorted(part for piece in cut for part in piece) == sorted(parts)
        assert all(len(piece) <= most for piece in cut)


@pytest.mark.parametrize("walk", [walk_snapshot, walk_history])
@pytest.mark.parametrize(
    "text",
    ["", " ", "\ufeff", "<html></html>", "null", "[]", '"text"', "{", '{"KP"', '{"KP":', '{"KP":{', '{"KP":{}',
     "{} x", "{}{}", '{"KP":{},}', '{"KP" {}}', "{KP:{}}", '{"KP":{"data":{"a":[1,2}}}', '{"KP":{"data":{"a":[1,2]}',
     '{"KP":{"data":{"a":[01,2]}}}', '{"KP":{"data":{"a":[1,2],}}}', '{"KP":{"data":{"a":[1,tru]}}}',
     '{"KP":{"data":{"a":[1,"\\x"]}}}', '{"KP":{"data":{"a":[1,"\\u12g4"]}}}', '{"KP":{"data":{"a":[1,"x]}}}',
     '{"KP":{"data":{"a":[1 2]}}}', '{"KP":{"data":{"a":[1,2]]}}}', '{"KP":{"data":{"a":]}}}', "{,}",
     '{"vexfiles":{"a":}}', '{"vexfiles":[[1,2],[3}}'],
)  # fmt: skip
def test_what_is_not_one_whole_object_is_refused(walk: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r" at character \d+$"):
        list(walk(text))


def test_blanks_and_a_byte_order_mark_do_not_matter() -> None:
    for text in ("{}", " \r\n\t{ } \n", "\ufeff{}"):
        assert list(walk_snapshot(text)) == []
        assert list(walk_history(text)) == []
        assert list(pieces(SNAPSHOT, text)) == [text]


def test_values_keep_their_text() -> None:
    values = ("1.50000e+01", "-0.0", "9" * 6000, '"\\u00e9\\ud800"', "NaN", "-Infinity", "1E5", '"\\/"')
    pairs = [f"[1712345600.0,{value}]" for value in values]
    text = f'{{"KP":{{"data":{{{",".join(f""""p{n}":{pair}""" for n, pair in enumerate(pairs))}}}}}}}'
    assert [part.text for part in walk_snapshot(text)] == pairs
    cut = list(pieces(SNAPSHOT, text, max_points=2))
    assert len(cut) == 4
    assert [part.text for piece in cut for part in walk_snapshot(piece)] == pairs


def test_doubled_names_are_all_walked() -> None:
    text = '{"KP":{"data":{"a":[1,1],"a":[2,2]},"data":{"a":[3,3]}},"KP":{"data":{"a":[4,4]}}}'
    assert [part.text for part in walk_snapshot(text)] == ["[1,1]", "[2,2]", "[3,3]", "[4,4]"]


def test_small_reply_is_one_piece_as_it_came_and_a_large_one_is_cut() -> None:
    small = json.dumps({"KP": {"data": {f"p{n}": [1712345600, n] for n in range(500)}}}, indent=1)
    assert list(pieces(SNAPSHOT, small)) == [small]
    more = json.dumps({"KP": {"data": {f"p{n}": [1712345600, n] for n in range(501)}}})
    assert [len(walked(SNAPSHOT, piece)) for piece in pieces(SNAPSHOT, more)] == [500, 1]
    wide = json.dumps(
        {"KP": {"data": {f"p{n}": [1712345600, "é" * 200] for n in range(200)}}}, ensure_ascii=False
    )
    assert len(wide) < 65536
    sizes = [len(payload_of(piece)) for piece in pieces(SNAPSHOT, wide)]
    assert len(sizes) == 2
    assert max(sizes) < 66_000
    long = json.dumps({"KP": {"p": [[1, "a"], [2, "x" * 100_000], [3, "b"]]}})
    assert [len(walked(HISTORY, piece)) for piece in pieces(HISTORY, long)] == [1, 1, 1]
    assert list(pieces(SNAPSHOT, json.dumps({"vexfiles": ["x" * 100_000]}))) == []


def steps(what: str, text: str) -> tuple[list[Part], float]:
    """The parts, and the longest time without one [s of CPU]."""
    parts, longest_s = [], 0.0
    walk = walker_of(what)(text)
    while True:
        began = time.thread_time()
        part = next(walk, None)
        longest_s = max(longest_s, time.thread_time() - began)
        if part is None:
            return parts, longest_s
        if part.kind != PAUSE:
            parts.append(part)


@pytest.mark.parametrize(
    "value",
    ["[" * 100_000 + "]" * 100_000, '{"a":' * 60_000 + "1" + "}" * 60_000, "[" + "1," * 100_000 + "1]",
     "[" + "[]," * 100_000 + "[]]", '"' + "x" * 4_000_000 + '"', '"' + "\\n" * 1_000_000 + '"', "9" * 4_000_000,
     '{"' + "k" * 60_000 + '":1}', "[" + " \n" * 500_000 + "]"],
    ids=["lists", "objects", "wide", "empty", "text", "escapes", "digits", "name", "blanks"],
)  # fmt: skip
def test_hostile_values_are_passed_and_give_way(value: str) -> None:
    for what, text in (
        (SNAPSHOT, f'{{"KP":{{"data":{{"a":{value},"b":[1,2]}}}}}}'),
        (SNAPSHOT, f'{{"vexfiles":{value},"KP":{{"data":{{"b":[1,2]}}}}}}'),
        (HISTORY, f'{{"KP":{{"a":[{value},{value}],"b":[[1,2]]}}}}'),
    ):
        for _ in range(3):  # the collector of garbage looks at all that other tests left
            parts, longest_s = steps(what, text)
            if longest_s < STEP_S:
                break
        assert parts[-1] == Part(POINT, "KP", "b", "[1,2]")
        assert all(part.text == value for part in parts[:-1])
        assert longest_s < STEP_S


def test_hostile_texts_are_refused_soon() -> None:
    for value in ("[" * 1_000_000, '"' + "x" * 4_000_000, '"' + "\\n" * 500_000 + "\\x", '{"a":' * 100_000):
        with pytest.raises(ValueError, match="at character"):
            steps(SNAPSHOT, f'{{"KP":{{"data":{{"a":{value}')
    with pytest.raises(ValueError, match="a name that is too long ends"):
        steps(SNAPSHOT, json.dumps({"k" * 70_000: {}}))


def test_walking_costs_microseconds_a_point() -> None:
    history = {
        f"S{s}": {f"p{p}": [[1712345600 + n, n / 7] for n in range(100)] for p in range(50)} for s in range(4)
    }
    snapshot = {f"S{s}": {"data": {f"p{p}": [1712345600, p / 7] for p in range(2000)}} for s in range(4)}
    for what, document in ((HISTORY, history), (SNAPSHOT, snapshot)):
        text = json.dumps(document)
        costs = []
        for _ in range(3):
            began = time.thread_time()
            count = sum(1 for _ in walker_of(what)(text))
            costs.append((time.thread_time() - began) / count)
        print(f"{what}: {min(costs) * 1e6:.1f} µs a point")
        assert min(costs) < 20e-6


@pytest.mark.parametrize(
    "name", ["x", "weather_tau225", "APEX central", "é ü", "x" * MAX_NAME_CHARACTERS, "\xa0", "'"]
)
def test_a_name_is_short_text(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "x" * (MAX_NAME_CHARACTERS + 1), "a\0", "\n", "\x7f", "\x85", "\ud800", "a\udcff"]
)
def test_what_a_database_or_screen_can_not_take_is_no_name(name: str) -> None:
    assert not is_name(name)
