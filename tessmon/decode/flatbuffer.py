# SPDX-License-Identifier: MIT
"""A FlatBuffers message as JSON text.

Every offset is checked against the record's own bytes before it is followed, so hostile bytes give a `Damaged` and
nothing of what stands around them. What a message can cost is bounded by its length: parts that share bytes may do so
a few times only.

Source: FlatBuffers' binary format and what its verifier asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, unpack_from
from typing import Any, Final

import msgspec

from tessmon.decode.float32 import shortest_float32
from tessmon.decode.marking import marked_text
from tessmon.decode.schemas import Field
from tessmon.decode.special import without_special
from tessmon.decode.vtable import KINDS, OFFSET_BYTES, VTABLE_HEAD, Compiler, Damaged, Layout

SHORTEST_MESSAGE_BYTES = 12
"""An offset to the table, a vtable without slots, a table without fields."""
ALIGNMENT_BYTES = 4
"""The length of a message is a multiple of this, and so is where anything but a vtable begins in it."""

_MAX_LAYOUTS = 64
"""Kept of one kind of table; there are as many as programs that write it, times sets of fields that have defaults."""
_SHARED_TIMES = 4
_SHARED_BYTES = 4096
"""What strings, vectors and tables may add up to: so many times the message, and so many bytes."""

_NEGATIVE_ZEROS = ("-0.0,", "-0.0}", "-0.0]")
_EMPTY_VTABLE = VTABLE_HEAD.pack(VTABLE_HEAD.size, OFFSET_BYTES)
_OFFSET: Final = Struct("<I").unpack_from
_TABLE: Final = Struct("<i").unpack_from
_encode: Final = msgspec.json.Encoder().encode


class Table:
    """Tables with the same fields, and the layouts in which they have come.

    Attributes:
        elsewhere: for the field of each slot, what its offset leads to: a table, the elements of a vector, or None for
            a string.
        made: what values in the order of the fields are put into; it knows their names.
        vtable, phase, layout: of the table that was met last: likely the next one has the same.
        beginning, at: how the last message began, up to where in it the table began: likely the next one does so too.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.elsewhere = [
            field.type if field.vector else None if field.table is None else Table(field.table)
            for field in fields
        ]
        names = {f"field_{slot}": field.name for slot, field in enumerate(fields)}
        self.made = msgspec.defstruct("Values", list(names), rename=names, gc=False)
        self._compiler = Compiler(fields)
        self.vtable, self.phase, self.layout = _EMPTY_VTABLE, 0, self._compiler.layout(_EMPTY_VTABLE, 0)
        self.beginning, self.at = b"", 0
        self._layouts: tuple[dict[bytes, Layout], dict[bytes, Layout]] = ({}, {})

    def use(self, vtable: bytes, phase: int) -> None:
        """Find the layout of a table with this vtable that begins so far behind a multiple of 8: 0 or 4 bytes.

        Raises:
            Damaged: a field stands where it can't.
        """
        layouts = self._layouts[phase // ALIGNMENT_BYTES]
        layout = layouts.get(vtable)
        if layout is None:
            layout = self._compiler.layout(vtable, phase)
            if len(layouts) >= _MAX_LAYOUTS:
                layouts.clear()
            layouts[vtable] = layout
        self.vtable, self.phase, self.layout = vtable, phase, layout
        self.beginning = b""


class Message:
    """The message of one record.

    Attributes:
        marked: a string had to be changed.
        complete: the schema knows every field.
    """

    __slots__ = ("_left", "_raw", "_reach", "_size", "_start", "complete", "marked")

    def __init__(self, raw: bytes, start: int) -> None:
        """Args: a record's bytes, and where in them its message begins."""
        self._raw = raw
        self._start = self._reach = start
        self._size = size = len(raw)
        self._left = size * _SHARED_TIMES + _SHARED_BYTES
        self.marked = False
        self.complete = True

    @property
    def natural_end(self) -> int:
        """Where in the record's bytes the message ends by what stands in it, when it is `complete`."""
        reach = self._reach
        return reach + (self._start - reach) % ALIGNMENT_BYTES

    def text(self, root: Table) -> str:
        """The message as JSON.

        Raises:
            Damaged: it contradicts itself or the fields of its root.
        """
        values = self._root(root)
        text: str = _encode(values).decode()
        if "null" in text or ("-0.0" in text and any(zero in text for zero in _NEGATIVE_ZEROS)):
            text = _encode(without_special(values)).decode()
        return text

    def _root(self, root: Table) -> Any:
        raw, start = self._raw, self._start
        if root.beginning and raw.startswith(root.beginning, start):
            return self._table(root, start + root.at, root.layout)
        if self._size - start < SHORTEST_MESSAGE_BYTES:
            raise Damaged(f"a message of {self._size - start} bytes is too short")
        at = self._target(start, _OFFSET(raw, start)[0])
        layout = self._layout(root, at)
        if _TABLE(raw, at)[0] > 0:  # the vtable stands before the table, as builders put it
            root.beginning, root.at = raw[start : at + OFFSET_BYTES], at - start
        return self._table(root, at, layout)

    def _target(self, at: int, offset: int) -> int:
        """Where an offset leads to that stands at a place."""
        target = at + offset
        if not offset or (target - self._start) % ALIGNMENT_BYTES or target + OFFSET_BYTES > self._size:
            raise Damaged(f"the offset at byte {at - self._start} of the message leads nowhere: {offset}")
        return target

    def _layout(self, table: Table, at: int) -> Layout:
        """What the vtable of the table at a place says."""
        raw, start = self._raw, self._start
        phase = (at - start) & ALIGNMENT_BYTES
        vtable_at = at - _TABLE(raw, at)[0]
        if vtable_at < start or (vtable_at - start) % 2:
            raise Damaged(f"the table at byte {at - start} of the message has no vtable")
        if phase == table.phase and raw.startswith(table.vtable, vtable_at):
            end = vtable_at + len(table.vtable)
        else:
            if vtable_at + VTABLE_HEAD.size > self._size:
                raise Damaged(f"the table at byte {at - start} of the message has no vtable")
            size, _ = VTABLE_HEAD.unpack_from(raw, vtable_at)
            end = vtable_at + size
            if size < VTABLE_HEAD.size or size % 2 or end > self._size:
                raise Damaged(
                    f"the vtable at byte {vtable_at - start} of the message can't have {size} bytes"
                )
            table.use(raw[vtable_at:end], phase)
        if end > self._reach:
            self._reach = end
        return table.layout

    def _table(self, table: Table, at: int, layout: Layout) -> Any:
        unpack, size, float32s, references, absent, order, complete = layout
        raw, start, whole = self._raw, self._start, self._size
        end = at + size
        if end > whole:
            raise Damaged(f"the table at byte {at - start} of the message has no end")
        if end > self._reach:
            self._reach = end
        if not complete:
            self.complete = False
        values = [*unpack(raw, at), *absent]
        for place in float32s:
            values[place] = shortest_float32(values[place])
        for place, where, slot in references:
            values[place] = self._elsewhere(table.elsewhere[slot], self._target(at + where, values[place]))
        return table.made(*(values if order is None else order(values)))

    def _elsewhere(self, what: Table | str | None, at: int) -> Any:
        if what is None:
            return self._string(at)
        if isinstance(what, str):
            return self._vector(what, at)
        self._spend(OFFSET_BYTES)
        return self._table(what, at, self._layout(what, at))

    def _string(self, at: int) -> str:
        begin = at + OFFSET_BYTES
        end: int = begin + _OFFSET(self._raw, at)[0]
        if end >= self._size or self._raw[end]:
            raise Damaged(f"the string at byte {at - self._start} of the message has no end")
        if end >= self._reach:
            self._reach = end + 1
        self._spend(end - begin)
        try:
            text = self._raw[begin:end].decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" not in text:
            return text
        self.marked = True
        return marked_text(self._raw[begin:end])

    def _vector(self, type_: str, at: int) -> list[Any]:
        letter, width = KINDS.get(type_) or ("I", OFFSET_BYTES)
        begin = at + OFFSET_BYTES
        count: int = _OFFSET(self._raw, at)[0]
        end = begin + count * width
        if end > self._size:
            raise Damaged(f"the vector at byte {at - self._start} of the message has no end")
        if end > self._reach:
            self._reach = end
        self._spend(end - begin)
        values = unpack_from(f"<{count}{letter}", self._raw, begin)
        if type_ == "float32":
            return list(map(shortest_float32, values))
        if type_ == "string":
            places = range(begin, end, width)
            return [self._string(self._target(*place)) for place in zip(places, values, strict=True)]
        return list(values)

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise Damaged("the parts of the message share more bytes than any writer's do")
