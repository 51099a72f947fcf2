# SPDX-License-Identifier: MIT
"""How a table is laid out: its vtable, compiled.

Records that one program writes of one type have the same vtable byte for byte. So a vtable is looked at once, field by
field, and becomes one `struct.Struct` that reads all scalars and offsets of such a table with one call.

Source: FlatBuffers' binary format. This is stricter than its verifier in that fields may not overlap or stand outside
their table, which no builder makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from msgspec import UNSET

from tessmon.decode.float32 import nearest_float32, shortest_float32
from tessmon.decode.schemas import Field

OFFSET_BYTES = 4
VTABLE_HEAD = Struct("<HH")
"""The size of the vtable, and that of the table [bytes]. Behind it is a slot for each field."""
_SLOT_BYTES = 2


class Damaged(Exception):  # noqa: N818 - it never leaves the decoder, which makes a Reject of it
    """A message contradicts itself or its fields; the text says where."""


class Kind(NamedTuple):
    """How a scalar is read: a letter of `struct`, and how wide it is [bytes]."""

    letter: str
    width: int


KINDS = {
    "int8": Kind("b", 1),
    "uint8": Kind("B", 1),
    "int16": Kind("h", 2),
    "uint16": Kind("H", 2),
    "int32": Kind("i", 4),
    "uint32": Kind("I", 4),
    "int64": Kind("q", 8),
    "uint64": Kind("Q", 8),
    "bool": Kind("?", 1),
    "float32": Kind("f", 4),
    "float64": Kind("d", 8),
}
_OFFSET = Kind("I", OFFSET_BYTES)


class Reference(NamedTuple):
    """A field whose content stands elsewhere: its place among the values, where in the table its offset stands
    [bytes], which field of the schema it is."""

    place: int
    at: int
    slot: int


class Layout(NamedTuple):
    """A compiled vtable.

    Attributes:
        unpack: reads the values that are present, in the order in which they stand.
        size: of the table [bytes].
        float32s: the places of float32 values.
        references: the values that are offsets.
        absent: what the table means by not having the other fields: a default, or `UNSET`.
        order: takes values and `absent`, one behind the other, in the order of the schema; None where they stand so.
        complete: the table has no field that the schema doesn't know.
    """

    unpack: Callable[[bytes, int], tuple[Any, ...]]
    size: int
    float32s: Sequence[int]
    references: Sequence[Reference]
    absent: Sequence[Any]
    order: Callable[[Sequence[Any]], Sequence[Any]] | None
    complete: bool


class _Slot(NamedTuple):
    """A field made ready. `default` is `UNSET` where a table that lacks the field has no such key."""

    name: str
    kind: Kind
    default: Any


class Compiler:
    """Makes layouts of vtables for tables with these fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._slots = [_slot(field) for field in fields]

    def layout(self, vtable: bytes, phase: int) -> Layout:
        """What a table is like that has this vtable.

        Args:
            vtable: with its head; an even number of bytes, 4 at least.
            phase: how far the table's beginning is from the last multiple of 8 in the message [bytes].

        Raises:
            Damaged: a field stands where it can't.
        """
        _, size, *places = Struct(f"<{len(vtable) // _SLOT_BYTES}H").unpack(vtable)
        slots = self._slots
        present = sorted((at, number) for number, at in enumerate(places[: len(slots)]) if at)
        standing = [number for _, number in present]
        absent = [number for number in range(len(slots)) if number not in standing]
        kinds = [slots[number].kind for number in standing]
        return Layout(
            self._reader(present, size, phase),
            size,
            [place for place, kind in enumerate(kinds) if kind.letter == "f"],
            [Reference(place, *present[place]) for place, kind in enumerate(kinds) if kind is _OFFSET],
            [slots[number].default for number in absent],
            _order(standing + absent),
            not any(places[len(slots) :]),
        )

    def _reader(
        self, present: list[tuple[int, int]], size: int, phase: int
    ) -> Callable[[bytes, int], tuple[Any, ...]]:
        """Reads the fields that stand at these places; nothing else may stand there."""
        letters = ["<", f"{OFFSET_BYTES}x"]
        end = OFFSET_BYTES
        for at, number in present:
            name, kind, _ = self._slots[number]
            if at < end:
                raise Damaged(f"field {name} stands where something else stands")
            if (phase + at) % kind.width:
                raise Damaged(f"field {name} stands at no multiple of its size")
            letters.append(f"{at - end}x{kind.letter}")
            end = at + kind.width
        if end > size:
            raise Damaged(f"a table of {size} bytes ends before its fields do")
        return Struct("".join(letters)).unpack_from


def _slot(field: Field) -> _Slot:
    if field.vector or field.table is not None or field.type == "string":
        return _Slot(field.name, _OFFSET, UNSET)
    default = field.default
    if field.type == "float32":
        default = shortest_float32(nearest_float32(default))
    elif field.type == "float64":
        default = float(default)
    return _Slot(field.name, KINDS[field.type], default)


def _order(numbers: list[int]) -> Callable[[Sequence[Any]], Sequence[Any]] | None:
    """What puts values in order that stand as these numbers say."""
    if numbers == sorted(numbers):
        return None
    return itemgetter(*sorted(range(len(numbers)), key=numbers.__getitem__))
