# SPDX-License-Identifier: MIT
"""Hostile replies of a vlbimon server: true ones, changed by a mutator; a seed always gives the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random

from tessmon.records.vlbimon import HISTORY, SNAPSHOT

_STATIONS = ("KP", "APEX", "ALMA", "SMA", "LMT", "NEWT")
_PARAMETERS = (
    "weather_tau225",
    "telescope_azimuthElevation",
    "telescope_apparentRaDec",
    "telescope_onSource",
    "telescope_sourceName",
    "recorder_1_shouldRecord",
    "observerMessages_weather",
    "mystery_1_knob",
)
_STAMPS = ("1712345600", "1712345601.25", "1712345600", "1712345688", "1712345000")
_VALUES = (
    "0.05",
    "271",
    '"M87"',
    "true",
    "false",
    '"123.4+45.6"',
    '"névé ❄"',
    '"a\\nb"',
    '"12.5-1.5"',
    "1e-7",
)
_HOSTILE_NAMES = (
    '""', '"x\\u0000"', '"\\ud800"', '"' + "n" * 200 + '"', '"' + "n" * 201 + '"', '"ü b"', '"\\u000a"', '"data"',
    '"clients"', '"vexfiles"', '"bridge"', '"\';DROP TABLE vlbimon_points;--"', '"a\\u0062"', '"\x85"',
)  # fmt: skip
_HOSTILE_STAMPS = (
    "null", "true", '"1712345600"', "NaN", "Infinity", "-Infinity", "946684800", "946684800.0", "946684799",
    "0", "-1", "2000000000", "1712346400", "9" * 20, "9" * 400, "9" * 5000, "1e400", "[]", "{}", "1712345600e0",
)  # fmt: skip
_HOSTILE_VALUES = (
    "null", "[]", "[1,2]", "{}", '{"a":1}', "NaN", "-Infinity", "1e999", "-0.0", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "9" * 400, "-" + "9" * 5000,
    '"a\\u0000b"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"' + "x" * 3000 + '"', '""',
    "[" * 3000 + "]" * 3000, '{"a":' * 2000 + "1" + "}" * 2000, '"' + "\\n" * 2000 + '"', '"45.0"',
    '"12:34:56.7+45"', '"180.0,45.0"', '"123.4+-1.2"', '"\t"',
)  # fmt: skip
_HOSTILE_PAIRS = ("[1712345600]", "[]", "[1712345600,1,2]", "null", "7", '"pair"', "{}", "[[1712345600,1]]")
_HOSTILE_CLIENTS = (
    "null", "[]", "7", "{}", '{"recvTime":null}', '{"recvTime":1712345600,"version":7}', '{"recvTime":"now"}',
    '{"recvTime":946684800}', '{"recvTime":1712345600,"version":"a\\u0000"}', '{"recvTime":2e9,"version":[]}',
)  # fmt: skip
_HOSTILE_STATIONS = (
    "null",
    "[]",
    "7",
    '"text"',
    '{"data":[]}',
    '{"data":null,"clients":7}',
    '{"other":{"a":1}}',
)


def mutated_replies(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """What was asked, and a body: valid as JSON in four of five."""
    random = Random(seed)
    for number in range(count):
        what = (SNAPSHOT, HISTORY)[number % 2]
        body = reply_text(random, what).encode("utf-8", "surrogatepass")
        if random.random() < 0.2:
            body = random.choice(_BYTES_MUTATORS)(random, body)
        yield what, body


def reply_text(random: Random, what: str) -> str:
    """A reply with some odd things in it."""
    blank = random.choice(("", "", " ", "\n "))
    stations = []
    for station in random.sample(_STATIONS, random.randint(0, 4)):
        name = _odd(random, json.dumps(station), _HOSTILE_NAMES)
        stations.append(f"{name}:{blank}{_odd(random, _station(random, what, blank), _HOSTILE_STATIONS)}")
    if what == SNAPSHOT and random.random() < 0.3:
        stations.insert(0, '"vexfiles": {"a": ["x", {"b": null}]}')
    return f"{blank}{{{blank}{f'{blank},'.join(stations)}}}{blank}"


def _odd(random: Random, plain: str, hostile: tuple[str, ...]) -> str:
    return random.choice(hostile) if random.random() < 0.07 else plain


def _station(random: Random, what: str, blank: str) -> str:
    members = []
    for parameter in random.choices(_PARAMETERS, k=random.randint(0, 6)):
        name = _odd(random, json.dumps(parameter), _HOSTILE_NAMES)
        pairs = [_pair(random, blank) for _ in range(1 if what == SNAPSHOT else random.randint(0, 4))]
        value = pairs[0] if what == SNAPSHOT else f"[{blank}{f'{blank},{blank}'.join(pairs)}{blank}]"
        members.append(f"{name}:{blank}{value}")
    points = f"{{{blank}{f',{blank}'.join(members)}}}"
    if what == HISTORY:
        return points
    client = _odd(random, '{"recvTime":1712345680,"version":"1.2"}', _HOSTILE_CLIENTS)
    return f'{{"clients":{{"APEX central":{client}}},{blank}"data":{blank}{points}}}'


def _pair(random: Random, blank: str) -> str:
    stamp = _odd(random, random.choice(_STAMPS), _HOSTILE_STAMPS)
    value = _odd(random, random.choice(_VALUES), _HOSTILE_VALUES)
    return _odd(random, f"[{stamp},{blank}{value}]", _HOSTILE_PAIRS)


def _flip_bits(random: Random, body: bytes) -> bytes:
    flipped = bytearray(body)
    for _ in range(random.randint(1, 4)):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


def _cut(random: Random, body: bytes) -> bytes:
    return body[: random.randrange(len(body))]


def _insert(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body))
    return body[:at] + random.choice((b",", b"{", b"]", b"\xff", b"\0", b'"', b"\\", b"1")) + body[at:]


def _append(random: Random, body: bytes) -> bytes:
    return body + random.choice((b"\0", b"}", b" ", b"\n{}", b"\xff", b"<html>"))


def _other(random: Random, body: bytes) -> bytes:
    return random.choice(
        (b"[]", b"5", b"null", b"", b"<html></html>", b"[" + body + b"]", b"\xef\xbb\xbf" + body)
    )


_BYTES_MUTATORS: tuple[Callable[[Random, bytes], bytes], ...] = (_flip_bits, _cut, _insert, _append, _other)
