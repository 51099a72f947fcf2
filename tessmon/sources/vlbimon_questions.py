# SPDX-License-Identifier: MIT
"""Which questions a history of many parameters at many stations is cut into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

MAX_QUERY_BYTES = 7000
"""Of a query string. Usual web servers refuse any line of a request that is longer than 8190, and digest authentication
repeats the query in a header with some hundred bytes of its own."""
_AROUND_BYTES = len("&startTime=&endTime=") + 2 * 20


class Question(NamedTuple):
    """Stations and parameters whose values in a window [s since 1970 UTC] are asked for in one call."""

    stations: Sequence[str]
    fields: Sequence[str]
    start_s: int
    end_s: int


def questions(
    stations: Sequence[str], fields: Sequence[str], max_bytes: int = MAX_QUERY_BYTES
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Every field at every station, in few calls, each with a query string shorter than ``max_bytes``.

    A single station and field are asked for whatever their length is.
    """
    room_bytes = max_bytes - _AROUND_BYTES
    for some_stations in _chunks("observatory", stations, room_bytes // 2):
        left_bytes = room_bytes - sum(_size_bytes("observatory", each) for each in some_stations)
        for some_fields in _chunks("field", fields, left_bytes):
            yield some_stations, some_fields


def query(question: Question) -> str:
    """The query string."""
    parts = [f"observatory={_quoted(each)}" for each in question.stations]
    parts += [f"field={_quoted(each)}" for each in question.fields]
    return "&".join([*parts, f"startTime={question.start_s}", f"endTime={question.end_s}"])


def _chunks(key: str, names: Sequence[str], room_bytes: int) -> Iterator[Sequence[str]]:
    chunk: list[str] = []
    left_bytes = room_bytes
    for name in names:
        size_bytes = _size_bytes(key, name)
        if chunk and size_bytes > left_bytes:
            yield chunk
            chunk, left_bytes = [], room_bytes
        chunk.append(name)
        left_bytes -= size_bytes
    if chunk:
        yield chunk


def _size_bytes(key: str, name: str) -> int:
    return len(key) + len(_quoted(name)) + 2


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")
