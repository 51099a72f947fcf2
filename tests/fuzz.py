# SPDX-License-Identifier: MIT
"""Hostile messages: valid ones of photometers, changed by a mutator; a seed always gives the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

REGISTER_TOPIC = "STARS4ALL/register"
HUGE_BYTES = 10_000_000
_HUGE_EVERY = 5_000
_UNTOUCHED_ONE_IN = 10
_RAW = re.compile(r'"@raw (.*?)@"')
"""A text of this form becomes a bare token, so that documents can hold what JSON writers refuse to write."""

Document = dict[str, Any]

_REGISTRATION: Document = {
    "name": "stars1",
    "rev": 2,
    "mac": "5C:CF:7F:1:2:A3",
    "chan": "pruebas",
    "calib": 20.25,
    "offsethz": 0.02,
    "firmware": "2.1",
    "date": "Mar  4 2024",
    "wdBm": -61,
}
_READING: Document = {
    "seq": 1646,
    "rev": 2,
    "name": "stars1",
    "freq": 8.21,
    "mag": 18.21,
    "tamb": 9.5,
    "tsky": -14.31,
    "wdBm": -56,
    "hash": "2A3",
    "az": 120.0,
    "alt": 85.5,
    "lat": 40.45,
    "long": -3.72,
    "height": 650,
    "tstamp": "2026-03-01T22:15:00Z",
}
_CHANNELS = ("F1", "F2", "F3", "F4")
_REGISTRATION_4C: Document = {
    "name": "stars701",
    "rev": 3,
    "mac": "CA:FE:28:BE:CA:11",
    "firmware": "1.1",
    **{channel: {"band": "UVIR750", "calib": 20.03, "offsethz": 0.01} for channel in _CHANNELS},
}
_READING_4C: Document = {
    "seq": 9,
    "rev": 3,
    "name": "stars701",
    "wdBm": -71,
    "tamb": 12.5,
    "tsky": -3.5,
    **{channel: {"freq": 1.5, "mag": 19.59, "zp": 20.03} for channel in _CHANNELS},
}
_SEEDS = (
    (REGISTER_TOPIC, _REGISTRATION),
    ("STARS4ALL/stars1/reading", _READING),
    (REGISTER_TOPIC, _REGISTRATION_4C),
    ("STARS4ALL/stars701/reading", _READING_4C),
)

_HOSTILE_TOKENS = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "-", "-0", "-0.0", "01", "1.", "tru",
    "nul", "9" * 19, "9" * 400, "-" + "9" * 5000, "18446744073709551616", "0x10", "1_000", "+1", ".5",
    "1e5", "7.0", "\\",
)  # fmt: skip
_HOSTILE_TEXTS = (
    "", " ", "\0", "a\0b", "\ud800", "\udfffx", "nan", "inf", "1e999", "20.1", " 20.1", "7", "true",
    "null", "İSTANBUL", "ﬀ", "ß", "\u202estars", "🌌" * 100, "e\u0301", "٣", "x" * 256, "x" * 70_000,
    "';DROP TABLE tess_t;--", "{}", "\\N", "\r\n\t\x1b[2J\x7f", "::::: ", "ZZ:BB:CC:DD:EE:01",
    "1:2:3:4:5:6", "SQM-LU-3424",
)  # fmt: skip
_HOSTILE_STAMPS = (
    "", "yesterday", "0000-00-00T00:00:00", "0001-01-01T00:00:00+15:59", "9999-12-31T23:59:59-15:59",
    "1969-12-31 23:59:59", "1999-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "2026-02-29T00:00:00",
    "2024-02-29T00:00:00", "2026-03-01T24:00:00", "2026-03-01T23:59:60Z",
    "2026-03-01T22:15:00." + "9" * 30, "2026-03-01T22:15:00." + "9" * 5000, "2026-03-01T22:15",
    "2026-03-01T22:15:00+24:00", "2026-03-01T22:15:00+0", "٢٠٢٦-03-01T22:15:00", "2026-W09-7T22:15:00",
    "20260301T221500Z", "2026-03-01T22:15:00Z\n", "2026-03-01t22:15:00z", "2026-03-01T22:15:00 +01:00",
    1772403300, 1772403300.5, True, [], {},
)  # fmt: skip
_HOSTILE_VALUES = (
    True,
    False,
    None,
    0,
    -1,
    2**31,
    -(2**63) - 1,
    2**63,
    1.5,
    1e308,
    -1e308,
    [],
    {},
    [1],
    {"freq": 1},
)
_TOPICS = (
    "",
    "STARS4ALL",
    "STARS4ALL//reading",
    "STARS4ALL/stars1/status",
    "$SYS/broker",
    "a/b\x01",
    "/" * 1000,
)


def mutated_payloads(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads, most of them changed in one to three ways; about one in ten is valid as it is,
    and one in some thousands is of 10 MB."""
    random = Random(seed)
    for number in range(count):
        if number % _HUGE_EVERY == _HUGE_EVERY // 2:
            yield _SEEDS[1][0], _written(_READING | {"chan": "x" * HUGE_BYTES})
        else:
            yield _message(random)


def _message(random: Random) -> tuple[str, bytes]:
    topic, seed = random.choice(_SEEDS)
    document = json.loads(json.dumps(seed))
    document["seq" if "seq" in document else "rev"] = random.randrange(1_000_000)
    if random.randrange(_UNTOUCHED_ONE_IN) == 0:
        return topic, _written(document)
    for _ in range(random.randint(1, 2)):
        random.choice(_DOCUMENT_MUTATORS)(random, document)
    payload = _written(document)
    if random.random() < 0.4:
        payload = random.choice(_BYTES_MUTATORS)(random, payload)
    if random.random() < 0.03:
        topic = random.choice(_TOPICS)
    return topic, payload


def _written(document: Document) -> bytes:
    written = json.dumps(document, ensure_ascii=False)
    return _RAW.sub(lambda match: match[1].replace("'", '"'), written).encode("utf-8", "surrogatepass")


def _key(random: Random, document: Document) -> tuple[Document, str]:
    """A key of the document or of one of its channels; one that is missing is made."""
    key = random.choice([*document, "tstamp", "name"])
    if isinstance(document.get(key), dict) and document[key] and random.random() < 0.8:
        return document[key], random.choice(list(document[key]))
    return document, key


def _remove(random: Random, document: Document) -> None:
    holder, key = _key(random, document)
    holder.pop(key, None)


def _add(random: Random, document: Document) -> None:
    document[random.choice(("F4", "F1", "ain", "\ud800", "\0", "é", "x" * 1000))] = random.choice(
        _HOSTILE_VALUES
    )


def _swap_type(random: Random, document: Document) -> None:
    holder, key = _key(random, document)
    holder[key] = random.choice(_HOSTILE_VALUES)


def _as_text(random: Random, document: Document) -> None:
    holder, key = _key(random, document)
    holder[key] = str(holder.get(key, ""))


def _token(random: Random, document: Document) -> None:
    holder, key = _key(random, document)
    holder[key] = f"@raw {random.choice(_HOSTILE_TOKENS)}@"


def _text(random: Random, document: Document) -> None:
    holder, key = _key(random, document)
    holder[key] = random.choice(_HOSTILE_TEXTS)


def _name(random: Random, document: Document) -> None:
    document["name"] = random.choice(_HOSTILE_TEXTS)


def _stamp(random: Random, document: Document) -> None:
    document["tstamp"] = random.choice(_HOSTILE_STAMPS)


def _nest(random: Random, document: Document) -> None:
    depth = random.choice((10, 900, 1100, 20_000))
    opening, closing = random.choice((("[", "]"), ('{"F1":', "}")))
    holder, key = _key(random, document)
    holder[key] = f"@raw {opening * depth}1{closing * depth}@".replace('"', "'")


_DOCUMENT_MUTATORS: tuple[Callable[[Random, Document], None], ...] = (
    _remove, _add, _swap_type, _as_text, _token, _text, _name, _stamp, _nest,
)  # fmt: skip


def _flip_bits(random: Random, payload: bytes) -> bytes:
    flipped = bytearray(payload)
    for _ in range(random.randint(1, 8)):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


def _cut(random: Random, payload: bytes) -> bytes:
    return payload[: random.randrange(len(payload))]


def _append(random: Random, payload: bytes) -> bytes:
    return payload + random.choice((b"\0", b"}", b" ", b"\n{}", b"\xff"))


def _duplicate_key(random: Random, payload: bytes) -> bytes:
    return (
        payload[:1]
        + random.choice((b'"name":"other",', b'"freq":1,', b'"F4":null,', b'"calib":true,'))
        + payload[1:]
    )


def _noise(random: Random, payload: bytes) -> bytes:
    return random.randbytes(random.randrange(200))


def _other_json(random: Random, payload: bytes) -> bytes:
    return random.choice(
        (b"[1,2]", b"5", b"null", b'"text"', b"true", b"", b"nope", b"{}", b"[" + payload + b"]")
    )


def _other_encoding(random: Random, payload: bytes) -> bytes:
    return payload.decode("utf-8", "replace").encode(
        random.choice(("utf-16", "utf-32", "utf-8-sig", "cp037")), "replace"
    )


_BYTES_MUTATORS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip_bits, _cut, _append, _duplicate_key, _noise, _other_json, _other_encoding,
)  # fmt: skip
