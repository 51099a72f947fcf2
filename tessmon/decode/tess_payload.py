# SPDX-License-Identifier: MIT
"""What stands in the payloads of photometers: fields, types, ranges.

Numbers may be written as int, float or numeric text, and are finite; true and false are no numbers. A field
that is null counts as absent. Unknown keys don't matter.

Source: the register and reading messages of TESS-W and TESS4C firmware and of the gateways in front of them.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated, Any, TypeVar

import msgspec
import ujson

from tessmon.decode.refusal import Refusal, quoted
from tessmon.errors import Reason

MAX_NAME_CHARACTERS = 255

_MAX_CONTAINERS = 100
"""No photometer sends more than six objects; lists in hundreds of thousands would hold the reader up for long."""

Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARACTERS)]

_Shape = TypeVar("_Shape")

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONE_MINUS = re.compile(rb"-\s*[,}\]]")
"""ujson reads a minus without digits as 0 (seen with 6.1)."""


class Sample(msgspec.Struct, gc=False):
    """One channel of a TESS4C reading."""

    freq: Finite
    mag: Finite


class Common(msgspec.Struct, gc=False):
    """What readings of all models may hold."""

    seq: Int64
    wdBm: Int32 | None = None  # noqa: N815 - the key's name
    hash: Text | None = None
    tstamp: Any = None
    az: Finite | None = None
    alt: Finite | None = None
    long: Finite | None = None
    lat: Finite | None = None
    height: Finite | None = None


class TesswReading(Common, kw_only=True, gc=False):
    """A reading with one channel."""

    freq: Finite
    mag: Finite
    tamb: Finite
    tsky: Finite


class PlainReading(TesswReading, kw_only=True, gc=False):
    """A reading with one channel and its name."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
    F4: Any = msgspec.UNSET


class Tess4cReading(Common, kw_only=True, gc=False):
    """A reading with four channels; the gateway may know no temperatures."""

    F1: Sample
    F2: Sample
    F3: Sample
    F4: Sample
    tamb: Finite | None = None
    tsky: Finite | None = None


class Calibration(msgspec.Struct, gc=False):
    """One channel of a TESS4C registration."""

    band: Text
    calib: Finite
    offsethz: Finite | None = None


class Presentation(msgspec.Struct, gc=False):
    """What registrations of all models hold."""

    mac: Text
    firmware: Text | None = None
    date: Text | None = None
    tstamp: Any = None


class TesswRegistration(Presentation, kw_only=True, gc=False):
    """A registration with one channel."""

    calib: Finite
    offsethz: Finite | None = None
    filter1: Text | None = None


class Tess4cRegistration(Presentation, kw_only=True, gc=False):
    """A registration with four channels."""

    F1: Calibration
    F2: Calibration
    F3: Calibration
    F4: Calibration


def parse_json(payload: bytes) -> dict[str, Any]:
    """The JSON object that a payload is.

    Raises:
        Refusal: it is no JSON, or no object.
    """
    if payload.count(b"[") + payload.count(b"{") > _MAX_CONTAINERS:
        raise Refusal(Reason.INVALID, f"more than {_MAX_CONTAINERS} lists and objects in {quoted(payload)}")
    try:
        document = ujson.loads(payload)
        if _LONE_MINUS.search(payload):
            document = json.loads(payload, strict=False)
    except ValueError as error:
        raise Refusal(Reason.NOT_JSON, f"{ascii(str(error))[1:-1]} in {quoted(payload)}") from None
    if not isinstance(document, dict):
        raise Refusal(Reason.INVALID, f"{quoted(payload)} is JSON, but not an object")
    return document


MAX_PLAIN_BYTES = 4096
"""What is longer is looked at in peace: the parsers differ about numbers of thousands of digits."""
_OPENING = b"{[\\"
"""A plain reading has one of these, its first brace."""
_decode_plain = msgspec.json.Decoder(PlainReading, strict=False).decode


def plain_reading(payload: bytes) -> PlainReading | None:
    """A reading as nearly all are: one object of ASCII, without escapes, lists and objects in it, that one strict
    parser takes in one step. None for all others; they are looked at in peace, and so are the mistakes."""
    size = len(payload)
    if size > MAX_PLAIN_BYTES or not payload.isascii() or size - len(payload.translate(None, _OPENING)) != 1:
        return None
    try:
        reading = _decode_plain(payload)
    except msgspec.DecodeError:
        return None
    return None if reading.F4 is not msgspec.UNSET or reading.name.isspace() else reading


def parse_name(document: dict[str, Any]) -> str:
    """The photometer's name in lower case; any text that a database takes.

    Raises:
        Refusal: it has none, or one that is no such text.
    """
    name = document.get("name")
    if name is None:
        raise Refusal(Reason.NO_NAME, "name: is missing")
    if not isinstance(name, str):
        raise Refusal(Reason.INVALID, f"name: {quoted(name)} is not text")
    if not name or name.isspace():
        raise Refusal(Reason.NO_NAME, "name: is blank")
    if len(name) > MAX_NAME_CHARACTERS:
        raise Refusal(Reason.INVALID, f"name: is longer than {MAX_NAME_CHARACTERS} characters")
    check_text("name", name)
    return name.lower()


def fill(shape: type[_Shape], document: dict[str, Any]) -> _Shape:
    """The document's fields in a struct.

    Raises:
        Refusal: one is missing or wrong; the detail names it.
    """
    try:
        return msgspec.convert(document, shape, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        field = where.strip(".`")
        raise Refusal(Reason.INVALID, f"{field}: {what}" if field else what) from None
    except UnicodeEncodeError:
        raise Refusal(Reason.INVALID, "a key or number holds half of a surrogate pair") from None


def check_text(field: str, text: str) -> None:
    """Refuse text that no database takes.

    Raises:
        Refusal: it holds NUL or half of a surrogate pair.
    """
    if "\0" in text:
        raise Refusal(Reason.INVALID, f"{field}: {quoted(text)} holds a NUL character")
    if not text.isascii() and _LONE_SURROGATE.search(text):
        raise Refusal(Reason.INVALID, f"{field}: {quoted(text)} holds half of a surrogate pair")
