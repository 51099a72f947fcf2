# SPDX-License-Identifier: MIT
"""Makes records as the instrument's programs do: messages with the FlatBuffers builder, headers by hand.

`record` makes one, `mixed` a file of any size: its messages are made once per type and then get other numbers.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import flatbuffers

from tessmon.decode.schemas import Event, Field, Schemas

HEADER = struct.Struct("<bHIIB")
TELEM, INFO = 64, 6
BEGAN_NS = 1_729_567_000_000_000_000  # 2024-10-22T03:16:40Z
SECOND_NS = 1_000_000_000
FORMATS = {
    "int8": "<b",
    "uint8": "<B",
    "int16": "<h",
    "uint16": "<H",
    "int32": "<i",
    "uint32": "<I",
    "int64": "<q",
    "uint64": "<Q",
    "float32": "<f",
    "float64": "<d",
    "bool": "<?",
}
SCHEMAS = Schemas.load()


def event(code: int, ts_ns: int = BEGAN_NS) -> Event:
    """What records of a code hold at a time."""
    forms = [event for event in SCHEMAS if event.code == code]
    return [form for form in forms if form.from_s <= ts_ns // SECOND_NS][-1]


def framed(code: int, message: bytes, ts_ns: int = BEGAN_NS, prio: int = TELEM, form: int = 0) -> bytes:
    """A record with this message.

    Args:
        form: how its length is written, 1 to 3; 0: as the instrument does.
    """
    length = len(message)
    form = form or (1 if length < 254 else 2 if length < 65535 else 3)
    first, rest = {
        1: (length, b""),
        2: (254, struct.pack("<H", length & 0xFFFF)),
        3: (255, struct.pack("<Q", length)),
    }[form]
    return HEADER.pack(prio, code, ts_ns // SECOND_NS, ts_ns % SECOND_NS, first) + rest + message


def record(
    code: int, values: Mapping[str, Any], ts_ns: int = BEGAN_NS, prio: int = TELEM, *, form: int = 0
) -> bytes:
    """A record with these values; what they lack is left out, and so is what equals its default."""
    fields = event(code, ts_ns).fields
    return framed(code, b"" if fields is None else message(fields, values), ts_ns, prio, form)


def message(fields: tuple[Field, ...], values: Mapping[str, Any], *, forced: bool = False) -> bytes:
    """A message with these values.

    Args:
        forced: what equals its default is written, too.
    """
    assert values.keys() <= {field.name for field in fields}, values.keys()
    builder = flatbuffers.Builder(256)
    builder.ForceDefaults(forced)
    builder.Finish(_table(builder, fields, values))
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, fields: tuple[Field, ...], values: Mapping[str, Any]) -> int:
    placed = {
        slot: _elsewhere(builder, field, values[field.name])
        for slot, field in enumerate(fields)
        if field.name in values and (field.vector or field.table is not None or field.type == "string")
    }
    builder.StartObject(len(fields))
    for _, slot in sorted(((_width(field), slot) for slot, field in enumerate(fields)), reverse=True):
        field = fields[slot]
        if slot in placed:
            builder.PrependUOffsetTRelativeSlot(slot, placed[slot], 0)
        elif field.name in values:
            _scalar(builder, f"Prepend{_called(field.type)}Slot")(slot, values[field.name], field.default)
    return builder.EndObject()


def _elsewhere(builder: flatbuffers.Builder, field: Field, value: Any) -> int:
    if field.table is not None:
        return _table(builder, field.table, value)
    if not field.vector:
        return _string(builder, value)
    if field.type == "string":
        strings = [_string(builder, text) for text in reversed(value)]
        builder.StartVector(4, len(strings), 4)
        for string in strings:
            builder.PrependUOffsetTRelative(string)
        return builder.EndVector()
    width = _width(field._replace(vector=False))
    builder.StartVector(width, len(value), width)
    for one in reversed(value):
        _scalar(builder, f"Prepend{_called(field.type)}")(one)
    return builder.EndVector()


def _string(builder: flatbuffers.Builder, text: str | bytes) -> int:
    return builder.CreateString(text if isinstance(text, bytes) else text.encode())


def _width(field: Field) -> int:
    return 4 if field.vector or field.type not in FORMATS else struct.calcsize(FORMATS[field.type])


def _called(type_: str) -> str:
    return type_.capitalize()


def _scalar(builder: flatbuffers.Builder, name: str) -> Any:
    return getattr(builder, name)


class _Kind(NamedTuple):
    """Records of one type: values, and those of them that differ from record to record, with their spread."""

    code: int
    values: dict[str, Any]
    spread: dict[str, float]
    prio: int = TELEM


KINDS = (
    _Kind(
        20000,
        {"epoch": 2024.8, "ra": 83.82208, "dec": -5.39111, "el": 61.72, "ha": 0.513, "am": 1.1349, "rotoff": 3.25},
        {"ra": 1e-3, "dec": 1e-3, "el": 0.1, "ha": 0.01, "am": 1e-3},
    ),
    _Kind(
        20001,
        {"roi": 1, "tracking": 1, "guiding": 1, "slewing": 0, "az": 131.22, "zd": 28.281, "pa": 77.13, "domeAz": 130.9},
        {"az": 0.1, "zd": 0.1, "pa": 0.1},
    ),
    _Kind(
        20260,
        {
            "mode": "bin2_standard",
            "roi": {"xcen": 59.5, "ycen": 59.5, "w": 120, "h": 120, "xbin": 2, "ybin": 2},
            "exptime": 0.000498740002512932,
            "fps": 1999.99853515625,
            "emGain": 600.0,
            "tempCtrl": {"temp": -39.958602905, "setpt": -40.0, "status": True, "ontarget": True, "statusStr": "ON"},
            "shutter": {"statusStr": "OPEN", "state": 1},
        },
        {"fps": 0.01, "temp": 0.05},
    ),
    _Kind(20050, {"moving": 1, "preset": 2.5, "presetName": "bs-65-35"}, {"preset": 0.5}),
    _Kind(20065, {"pos": 12.345678}, {"pos": 0.5}),
    _Kind(
        20905,
        {"atime": 5e-4, "atime_jitter": 8.36e-7, "wtime": 5.0001e-4, "wtime_jitter": 3.3e-7, "wmatime": 1.2e-4,
         "wmatime_jitter": 4.4e-8},
        {"atime": 1e-7, "atime_jitter": 1e-8, "wtime": 1e-7, "wtime_jitter": 1e-8},
    ),
    _Kind(20826, {"loads": [0.11, 0.2213, 0.3379, 0.0471, 0.51, 0.6113, 0.7719, 0.8237]}, {}),
    _Kind(20070, {"email": "a@example.org", "obsName": "HD 100546 \u2013 H\u03b1", "observing": True}, {}),
    _Kind(20, {"from": 30, "to": 35}, {}, INFO),
)  # fmt: skip
"""What `mixed` is made of, in equal parts: large and small, doubles and floats, strings, tables and vectors."""


def mixed(count: int, seed: int = 1, began_ns: int = BEGAN_NS, step_ns: int = 10_000_000) -> bytes:
    """So many records of many types; those of a seed are always the same."""
    return b"".join(mixed_records(count, seed, began_ns, step_ns))


def mixed_records(
    count: int, seed: int = 1, began_ns: int = BEGAN_NS, step_ns: int = 10_000_000
) -> Iterator[bytes]:
    """The records of `mixed`, one by one."""
    chance = random.Random(seed)
    templates = [_template(kind, began_ns) for kind in KINDS]
    for number in range(count):
        made, holes = templates[number % len(templates)]
        ts_ns = began_ns + number * step_ns + chance.randrange(step_ns)
        _STAMP.pack_into(made, 3, ts_ns // SECOND_NS, ts_ns % SECOND_NS)
        for packer, at, value, spread in holes:
            packer.pack_into(made, at, value + spread * chance.random())
        yield bytes(made)


_STAMP = struct.Struct("<II")


def _template(kind: _Kind, ts_ns: int) -> tuple[bytearray, list[tuple[struct.Struct, int, float, float]]]:
    made = record(kind.code, kind.values, ts_ns, kind.prio)
    fields = event(kind.code, ts_ns).fields or ()
    holes = []
    for field, value in _flat(fields, kind.values):
        if field.name in kind.spread:
            packer = struct.Struct(FORMATS[field.type])
            packed = packer.pack(value)
            assert made.count(packed) == 1, field.name
            holes.append((packer, made.index(packed), value, kind.spread[field.name]))
    assert len(holes) == len(kind.spread), kind.code
    return bytearray(made), holes


def _flat(fields: tuple[Field, ...], values: Mapping[str, Any]) -> Iterator[tuple[Field, Any]]:
    for field in fields:
        if field.name in values:
            if field.table is not None:
                yield from _flat(field.table, values[field.name])
            else:
                yield field, values[field.name]
