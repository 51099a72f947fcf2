# SPDX-License-Identifier: MIT
"""Walks over the JSON text of a vlbimon reply, point by point, without parsing more of it than one value at a time.

A reply may be large, and may be anything: whoever walks can stop after each part and give way, nothing recurses, and
what a value means is left to the decoder. A text is walked to its end or is no reply at all.

Source: replies of ``/data/snapshot`` and ``/data/history`` as clients of that server read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from tessmon.records.json_cursor import JsonCursor
from tessmon.records.vlbimon import HISTORY

POINT, CLIENT, ODD, PAUSE = "point", "client", "odd", "pause"
PIECE_POINTS, PIECE_BYTES = 500, 65536
"""What one frame holds at most; a single part may be longer [bytes]."""
MAX_NAME_CHARACTERS = 200

_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SKIPPED = "vexfiles"
_SECTIONS = {"data": POINT, "clients": CLIENT}
_SECTION_OF = {kind: section for section, kind in _SECTIONS.items()}


class Part(NamedTuple):
    """A piece of a reply that means something by itself.

    Attributes:
        kind: `POINT`, `CLIENT`; `ODD`: a value of no use where it stands; `PAUSE`: nothing yet, but a long value is
            being read, and whoever walks may give way now.
        station: its name.
        name: of the parameter or client; of an odd value, the key in the station that it has, empty when it stands
            in the station's own place.
        text: the value as it came: a pair, an object, anything.
    """

    kind: str
    station: str
    name: str
    text: str


_PAUSE = Part(PAUSE, "", "", "")


def is_name(text: str) -> bool:
    """Whether it can be the name of a station, parameter or client: text without control characters, not long."""
    if not 0 < len(text) <= MAX_NAME_CHARACTERS:
        return False
    return text.isprintable() or not _NOT_IN_NAMES.search(text)


def text_of(payload: bytes) -> str:
    """The text of a body or payload; bytes that are not UTF-8 become surrogates, and `payload_of` gives them back."""
    return payload.decode("utf-8", "surrogateescape")


def payload_of(text: str) -> bytes:
    """The bytes of a text."""
    return text.encode("utf-8", "surrogateescape")


def walk_snapshot(text: str) -> Iterator[Part]:
    """The parts of a snapshot: points and clients of its stations. What is null counts as absent.

    Raises:
        ValueError: it is not one whole JSON object; parts may have come before.
    """
    return _stations(text, _sections, skipped=_SKIPPED)


def _sections(cursor: JsonCursor, station: str) -> Iterator[Part]:
    for section in cursor.members():
        if section is None:
            yield _PAUSE
        elif section not in _SECTIONS or cursor.peek() != "{":
            yield from _odd(cursor, station, section)
        else:
            kind = _SECTIONS[section]
            for name in cursor.members():
                if name is None:
                    yield _PAUSE
                elif pair := cursor.pair():
                    yield Part(kind, station, name, pair)
                else:
                    yield from _any(cursor, kind, station, name)


def walk_history(text: str) -> Iterator[Part]:
    """The points of a history, pair by pair. What is null counts as absent.

    Raises:
        ValueError: it is not one whole JSON object; parts may have come before.
    """
    return _stations(text, _lists)


def _stations(
    text: str, inside: Callable[[JsonCursor, str], Iterator[Part]], skipped: str | None = None
) -> Iterator[Part]:
    cursor = JsonCursor(text)
    for station in cursor.only_object():
        if station is None:
            yield _PAUSE
        elif station == skipped:
            for _ in cursor.value():
                yield _PAUSE
        elif cursor.peek() != "{":
            yield from _odd(cursor, station, "")
        else:
            yield from inside(cursor, station)


def _lists(cursor: JsonCursor, station: str) -> Iterator[Part]:
    for name in cursor.members():
        if name is None:
            yield _PAUSE
        elif cursor.peek() != "[":
            yield from _odd(cursor, station, name)
        else:
            yield from _pairs(cursor, station, name)


def _pairs(cursor: JsonCursor, station: str, name: str) -> Iterator[Part]:
    cursor.expect("[")
    if cursor.took("]"):
        return
    while True:
        if pair := cursor.pair():
            yield Part(POINT, station, name, pair)
        else:
            yield from _any(cursor, POINT, station, name)
        if cursor.took("]"):
            return
        cursor.expect(",")


def _odd(cursor: JsonCursor, station: str, name: str) -> Iterator[Part]:
    for part in _any(cursor, ODD, station, name):
        if part.text != "null":
            yield part


def _any(cursor: JsonCursor, kind: str, station: str, name: str) -> Iterator[Part]:
    """The next value, whatever it is."""
    begin = cursor.begin()
    for _ in cursor.value():
        yield _PAUSE
    yield Part(kind, station, name, cursor.text[begin : cursor.at])


def walker_of(what: str) -> Callable[[str], Iterator[Part]]:
    """The walk for replies of an `Exchange.what`."""
    return walk_history if what == HISTORY else walk_snapshot


def frame_text(what: str, parts: Iterable[Part]) -> str:
    """Parts of one reply, put together again as a reply: it is walked as these parts. Values keep their text."""
    inside = _history_inside if what == HISTORY else _snapshot_inside
    stations = []
    for station, own in groupby(parts, lambda part: part.station):
        stations += [f"{encode_basestring_ascii(station)}:{each}" for each in inside(list(own))]
    return f"{{{','.join(stations)}}}"


def part_text(what: str, part: Part) -> str:
    """The `frame_text` of one part."""
    if part.kind != POINT:
        return frame_text(what, [part])
    station, name = encode_basestring_ascii(part.station), encode_basestring_ascii(part.name)
    if what == HISTORY:
        return f"{{{station}:{{{name}:[{part.text}]}}}}"
    return f'{{{station}:{{"data":{{{name}:{part.text}}}}}}}'


def _snapshot_inside(parts: list[Part]) -> Iterator[str]:
    sections = []
    for kind, own in groupby(parts, lambda part: part.kind):
        if kind == ODD:
            for part in own:
                if part.name:
                    sections.append(_member(part))
                else:
                    yield part.text
        else:
            sections.append(f'"{_SECTION_OF[kind]}":{{{",".join(map(_member, own))}}}')
    if sections:
        yield f"{{{','.join(sections)}}}"


def _history_inside(parts: list[Part]) -> Iterator[str]:
    fields = []
    for (kind, name), own in groupby(parts, lambda part: (part.kind, part.name)):
        if kind == POINT:
            fields.append(f"{encode_basestring_ascii(name)}:[{','.join(part.text for part in own)}]")
        elif name:
            fields += [_member(part) for part in own]
        else:
            yield from (part.text for part in own)
    if fields:
        yield f"{{{','.join(fields)}}}"


def _member(part: Part) -> str:
    return f"{encode_basestring_ascii(part.name)}:{part.text}"


def pieces(
    what: str,
    text: str,
    max_points: int = PIECE_POINTS,
    max_bytes: int = PIECE_BYTES,
    seen: Callable[[Part], object] = lambda part: None,
) -> Iterator[str]:
    """A reply cut between points into replies that a frame can hold; a small one comes as it is. Of a large one
    that holds no point and no client nothing comes.

    Args:
        seen: called with each part.

    Yields:
        Texts; an empty one is none: a long value is being read, and whoever cuts may give way.

    Raises:
        ValueError: it is not one whole JSON object; when it is large, pieces may have come before, and are void.
    """
    wide = not text.isascii()
    size_bytes = len(payload_of(text)) if wide else len(text)
    walk = walker_of(what)
    if size_bytes <= max_bytes:
        parts = [part for part in walk(text) if part.kind != PAUSE]
        if len(parts) <= max_points:
            for part in parts:
                seen(part)
            yield text
            return
    gathered: list[Part] = []
    size_bytes = 0
    for part in walk(text):
        if part.kind == PAUSE:
            yield ""
            continue
        seen(part)
        value_bytes = len(payload_of(part.text)) if wide else len(part.text)
        part_bytes = value_bytes + len(part.station) + len(part.name)
        if gathered and (len(gathered) >= max_points or size_bytes + part_bytes > max_bytes):
            yield frame_text(what, gathered)
            gathered, size_bytes = [], 0
        gathered.append(part)
        size_bytes += part_bytes
    if gathered:
        yield frame_text(what, gathered)
