# SPDX-License-Identifier: MIT
"""What records of an event code are like, by code and time, and what their messages give."""

from __future__ import annotations

from typing import NamedTuple

from tessmon.decode.flatbuffer import Message, Table
from tessmon.decode.flatlogs import Header
from tessmon.decode.schemas import Schemas
from tessmon.decode.vtable import Damaged

NO_MESSAGE = "{}"


class Form(NamedTuple):
    """What records of an event code hold from a time on [s since 1970 UTC].

    Attributes:
        table: of their messages; None where they have none.
    """

    from_s: int
    name: str
    table: Table | None


class Forms:
    """The forms of all event codes, with the layouts of tables that were met."""

    def __init__(self, schemas: Schemas) -> None:
        self._forms: dict[int, list[Form]] = {}
        for event in schemas:
            table = None if event.fields is None else Table(event.fields)
            self._forms.setdefault(event.code, []).append(Form(event.from_s, event.name, table))

    def of(self, code: int, time_s: int) -> Form | None:
        """The form of a record of that code and time; before the first, that one; None where nobody knows the code."""
        forms = self._forms.get(code)
        if forms is None:
            return None
        if len(forms) == 1:
            return forms[0]
        return next((form for form in reversed(forms) if form.from_s <= time_s), forms[0])


class Body(NamedTuple):
    """What a message gave.

    Attributes:
        msg: as JSON; None where it is damaged or nobody knows its fields.
        problem: what is wrong with it.
        end: where in the record it ends by what stands in it; None where that can't be said.
        marked: a string had to be changed.
    """

    msg: str | None
    problem: str = ""
    end: int | None = None
    marked: bool = False


def read_body(raw: bytes, header: Header, form: Form | None) -> Body:
    """The message of a record that is all there."""
    if form is None:
        return Body(None)
    if form.table is None:
        return Body(NO_MESSAGE, end=header.size)
    message = Message(raw, header.size)
    try:
        msg = message.text(form.table)
    except Damaged as damage:
        return Body(None, str(damage))
    return Body(msg, end=message.natural_end if message.complete else None, marked=message.marked)
