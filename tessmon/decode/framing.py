# SPDX-License-Identifier: MIT
"""Whether what stands in a file is a record, and whether the next one begins where this one says it ends.

A file has no checksum and no mark between records: only a record's own header says where it ends. A length is believed
when the message fills its record exactly, when nothing but the event code is strange, or when a sound record stands
behind. A record is sound when its header is, or when its message is: damage seldom hits both. Where a length is not
believed, framing is lost for good: what was read from behind such a place might be made up.

What is decided does not depend on where a piece ends: what is not there yet is waited for.
"""

from __future__ import annotations

from typing import NamedTuple

from tessmon.decode.flatbuffer import ALIGNMENT_BYTES, SHORTEST_MESSAGE_BYTES
from tessmon.decode.flatlogs import MAX_HEADER_BYTES, PRIORITIES, SECOND_NS, Header, header_at
from tessmon.decode.forms import Body, Form, Forms, read_body
from tessmon.decode.stamps import EARLIEST_S
from tessmon.errors import Reason

_NEAR_S = 31 * 86_400
"""Records side by side in a file are not further apart in time [s]."""
_HOPELESS_FAULTS = 3
"""A header with as many is garbage, unless what stands behind says otherwise: it is not waited for that."""
_ZEROS = (0, 0, 0, 0)


class Lost(Exception):  # noqa: N818 - it never leaves the decoder, which makes a Reject of it
    """Nobody can tell where the next record begins."""

    def __init__(self, why: str, reason: Reason = Reason.FRAMING) -> None:
        super().__init__(why)
        self.reason = reason


class Undecided(Exception):  # noqa: N818 - it never leaves the decoder
    """What stands behind decides, and is not there yet."""


class View(NamedTuple):
    """What a place in a file is judged by.

    Attributes:
        content: of the piece.
        last: nothing comes behind the piece.
        latest_s: the latest time that is plausible [s since 1970 UTC].
        near_s: the time of the record before [s since 1970 UTC]; None where that is not known.
    """

    content: bytes
    last: bool
    latest_s: int
    near_s: int | None


class Found(NamedTuple):
    """A record whose length is believed. `form` is None where nobody knows its code."""

    header: Header
    form: Form | None
    raw: bytes
    body: Body


class Framing:
    """Judges places. `max_record_bytes` is how long a message may be."""

    def __init__(self, forms: Forms, max_record_bytes: int) -> None:
        self._forms = forms
        self._max_record_bytes = max_record_bytes

    @property
    def enough_bytes(self) -> int:
        """Behind a place; with as many, all can be decided [bytes]."""
        return self._max_record_bytes + 2 * MAX_HEADER_BYTES

    def record_at(self, view: View, at: int) -> Found:
        """The record that begins there.

        Raises:
            Lost: it may be none, or its length may be wrong.
            Undecided: it is cut, or what stands behind it is.
        """
        header = header_at(view.content, at)
        if header is None:
            raise Undecided
        form = self._forms.of(header.code, header.time_s)
        faults = self._faults(header, form, view)
        end = at + header.size + header.length
        if header.length > self._max_record_bytes:
            why = f"a record of {header.length} bytes is longer than [files] max_record_bytes"
            raise Lost("; ".join([why, *faults]), Reason.FRAMING if faults else Reason.TOO_LONG)
        if end > len(view.content):
            if len(faults) >= _HOPELESS_FAULTS:
                raise Lost("; ".join(faults))
            raise Undecided
        found = Found(header, form, view.content[at:end], read_body(view.content[at:end], header, form))
        self._check_length(view, at, found, faults)
        return found

    def _check_length(self, view: View, at: int, found: Found, faults: list[str]) -> None:
        header, form, raw, body = found
        if (
            body.end is not None
            and body.end < len(raw)
            and self._is_sound(view, at + body.end, header.time_s)
        ):
            raise Lost("a record reaches over the beginning of the next one")
        if body.end == len(raw):
            return
        if not faults and body.msg is not None and body.end is None:
            return  # it has fields that the schema doesn't know
        if form is None and len(faults) == 1:
            return  # the code is what is wrong
        near_s = header.time_s if EARLIEST_S <= header.time_s <= view.latest_s else view.near_s
        follows = self._follows(view, at + len(raw), near_s)
        if follows is None and len(faults) < _HOPELESS_FAULTS and len(view.content) - at < self.enough_bytes:
            raise Undecided
        if not follows:
            problem = [body.problem] if body.problem else []
            raise Lost("; ".join([*faults, *problem, "no record stands where the next one should"]))

    def _follows(self, view: View, at: int, near_s: int | None) -> bool | None:
        """Whether a sound record begins there, or the file ends; None where it can't be told yet."""
        content, rest = view.content, len(view.content) - at
        if not rest:
            return view.last or None
        header = header_at(content, at)
        if header is None:
            return False if view.last else None
        if self._is_sound(view, at, near_s):
            return True
        form = self._forms.of(header.code, header.time_s)
        whole = header.size + header.length
        if form is None or form.table is None or header.length > self._max_record_bytes:
            return False
        if whole > rest:
            return False if view.last else None
        return read_body(content[at : at + whole], header, form).end == whole

    def _is_sound(self, view: View, at: int, near_s: int | None) -> bool:
        """Whether a header stands there in which at most the event code is strange."""
        header = header_at(view.content, at)
        if header is None or header.length > self._max_record_bytes:
            return False
        form = self._forms.of(header.code, header.time_s)
        near = near_s is None or abs(header.time_s - near_s) <= _NEAR_S
        return near and len(self._faults(header, form, view)) == (form is None)

    def _faults(self, header: Header, form: Form | None, view: View) -> list[str]:
        """What is wrong with a header, in sentences."""
        faults = ["all of it is zero"] if header[: len(_ZEROS)] == _ZEROS else []
        if form is None:
            faults.append(f"nobody knows the event code {header.code}")
        if header.priority not in PRIORITIES:
            faults.append(f"nobody knows the priority {header.priority}")
        faults += time_faults(header, view.latest_s)
        shortest = 0 if form is None or form.table is None else SHORTEST_MESSAGE_BYTES
        longest = 0 if form is not None and form.table is None else header.length
        if header.length % ALIGNMENT_BYTES or not shortest <= header.length <= longest:
            faults.append(f"a message of {header.length} bytes is none of that event code")
        return faults


def time_faults(header: Header, latest_s: int) -> list[str]:
    """What is wrong with the time of a record, in sentences."""
    faults = []
    if not EARLIEST_S <= header.time_s <= latest_s:
        faults.append(f"its time, {header.time_s} s since 1970, is before 2000 or more than a day ahead")
    if header.time_ns >= SECOND_NS:
        faults.append(f"its second has {header.time_ns} nanoseconds")
    return faults
