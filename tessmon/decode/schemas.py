# SPDX-License-Identifier: MIT
"""What messages hold: event codes and their fields, read from TOML.

The format is told in the manual's page on telemetry. ``schemas.toml`` beside this module has what the instrument is
known to write; an operator's files add codes to it or replace codes as a whole.

Source: the instrument's FlatBuffers schemas, in all their versions.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from tessmon.errors import ConfigurationError

MAX_CODE = 0xFFFF
_PACKAGED = "schemas.toml"
_MAX_FIELDS = 1000
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_FIELD = re.compile(r"\s*(\w+)\s*:\s*(\[\s*\w+\s*\]|\w+)\s*(?:=\s*(\S+))?\s*", re.ASCII)
_EVENT_KEYS = {"code", "name", "from", "message", "fields", "tables"}
_ALIASES = {
    "byte": "int8",
    "ubyte": "uint8",
    "short": "int16",
    "ushort": "uint16",
    "int": "int32",
    "uint": "uint32",
    "long": "int64",
    "ulong": "uint64",
    "float": "float32",
    "double": "float64",
}
"""What schemas of FlatBuffers may say instead."""

INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
SCALARS = {*INTEGERS, "float32", "float64", "bool"}


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        name: as in the JSON.
        type: a scalar's or ``string``; of a vector that of its elements; of a table its name.
        vector: there is any number of them.
        default: of a scalar, where a record lacks it.
        table: the fields of the table that stands there.
    """

    name: str
    type: str
    vector: bool = False
    default: float | int | bool = 0
    table: tuple[Field, ...] | None = None

    @property
    def declared(self) -> str:
        """The type as it is written: ``[float32]``."""
        return f"[{self.type}]" if self.vector else self.type


class Event(NamedTuple):
    """What the message of an event code holds from a time on.

    Attributes:
        code: 0 to 65535.
        name: as in ``telem.ec``.
        from_s: when this form came into use [s since 1970 UTC]; 0: from the first.
        fields: in the order of their slots; None: the event has no message.
    """

    code: int
    name: str
    from_s: int
    fields: tuple[Field, ...] | None


class Schemas:
    """All event codes: those known here, and those that an operator's files add or replace."""

    def __init__(self, events: Mapping[int, tuple[Event, ...]]) -> None:
        """Args: by code, in the order of ``from_s``; at least one of each."""
        self._events = dict(sorted(events.items()))

    @classmethod
    def load(cls, paths: Iterable[Path] = ()) -> Schemas:
        """What is known here, with what these files add; where two have a code, the later one's is taken.

        Raises:
            ConfigurationError: a file can't be read or is no schema; all that is wrong, with file, event and field.
        """
        events = _events((files("tessmon.decode") / _PACKAGED).read_text("utf-8"))
        problems: list[str] = []
        for path in paths:
            try:
                events |= _events(path.read_text("utf-8"))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                problems.append(f"{path}: {error}")
            except _ProblemsError as error:
                problems += [f"{path}: {problem}" for problem in error.problems]
        if problems:
            raise ConfigurationError("\n".join(problems))
        return cls(events)

    def __iter__(self) -> Iterator[Event]:
        """Every form of every event, by code and time."""
        for events in self._events.values():
            yield from events


class _ProblemsError(Exception):
    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems


def _events(text: str) -> dict[int, tuple[Event, ...]]:
    document = tomllib.loads(text)
    problems = [f"nobody knows [{key}]" for key in document if key != "event"]
    entries = document.get("event", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _ProblemsError(["events are written as [[event]]"])
    if not entries:
        problems.append("there is no [[event]] in it")
    found: dict[int, dict[int, Event]] = {}
    for number, entry in enumerate(entries, 1):
        reading = _Entry(entry, number)
        event = reading.event()
        problems += reading.problems
        if (
            event is not None
            and found.setdefault(event.code, {}).setdefault(event.from_s, event) is not event
        ):
            problems.append(f"{reading.called}: the code stands there twice from the same time on")
    if problems:
        raise _ProblemsError(problems)
    return {code: tuple(forms[from_s] for from_s in sorted(forms)) for code, forms in found.items()}


class _Entry:
    """One ``[[event]]`` and what is wrong with it."""

    def __init__(self, entry: dict[str, Any], number: int) -> None:
        self._entry = entry
        self.problems: list[str] = []
        name = entry.get("name")
        self.called = f"event {name}" if isinstance(name, str) else f"event {number} of the file"

    def event(self) -> Event | None:
        """It, or None where something is wrong with it."""
        entry = self._entry
        for key in entry.keys() - _EVENT_KEYS:
            self._wrong(f"nobody knows {key!r}")
        code, name = entry.get("code"), entry.get("name")
        if type(code) is not int or not 0 <= code <= MAX_CODE:
            self._wrong(f"code is a whole number from 0 to {MAX_CODE}")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._wrong("name is a word of letters, digits and underscores")
        from_s = self._from_s(entry.get("from"))
        fields = self._all_fields()
        if self.problems:
            return None
        assert isinstance(code, int)
        assert isinstance(name, str)
        return Event(code, name, from_s, fields)

    def _wrong(self, problem: str) -> None:
        self.problems.append(f"{self.called}: {problem}")

    def _from_s(self, value: object) -> int:
        if value is None:
            return 0
        if not isinstance(value, date):
            self._wrong(
                "from is a day like 2023-07-03 or an instant like 2023-07-03T12:00:00Z, without quotes"
            )
            return 0
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())

    def _all_fields(self) -> tuple[Field, ...] | None:
        fields, message = self._entry.get("fields"), self._entry.get("message", True)
        if not isinstance(message, bool) or message is (fields is None):
            self._wrong('it needs either fields = ["name: type", ...] or message = false')
            return None
        tables = self._entry.get("tables", {})
        if not isinstance(tables, dict):
            self._wrong('a table is written as tables.NAME = ["name: type", ...]')
            return None
        for name in tables.keys() & {*SCALARS, *_ALIASES, "string"}:
            self._wrong(f"table {name}: it has the name of a type")
        return None if fields is None else self._fields(fields, tables, "")

    def _fields(self, written: object, tables: dict[str, Any], where: str) -> tuple[Field, ...]:
        if not isinstance(written, list) or not all(isinstance(field, str) for field in written):
            self._wrong(f'{where}fields are a list of texts like "name: type"')
            return ()
        if len(written) > _MAX_FIELDS:
            self._wrong(f"{where}there are more than {_MAX_FIELDS} fields")
            return ()
        fields = [self._field(field, tables, where) for field in written]
        names = [field.name for field in fields]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._wrong(f"{where}field {name}: there are several of that name")
        return tuple(fields)

    def _field(self, written: str, tables: dict[str, Any], where: str) -> Field:
        matched = _FIELD.fullmatch(written)
        if matched is None:
            self._wrong(f'{where}field {written!r}: it is written as "name: type" or "name: type = default"')
            return Field("", "")
        name, declared, default = matched.groups()
        vector = declared.startswith("[")
        kind = declared.strip("[] \t")
        kind = _ALIASES.get(kind, kind)
        called = f"{where}field {name}"
        if kind in tables and not vector:
            if default is not None:
                self._wrong(f"{called}: a table has no default")
            inner = {
                other: fields for other, fields in tables.items() if other != kind
            }  # so none holds itself
            return Field(name, kind, table=self._fields(tables[kind], inner, f"{called}: "))
        if kind not in SCALARS and kind != "string":
            self._wrong(f"{called}: nobody knows the type {declared}")
        if default is None:
            return Field(name, kind, vector, False if kind == "bool" else 0)
        if vector or kind not in SCALARS:
            self._wrong(f"{called}: only numbers and bool have a default")
            return Field(name, kind, vector)
        return Field(name, kind, vector, self._default(kind, default, called))

    def _default(self, kind: str, text: str, called: str) -> float | int | bool:
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text]
            if kind not in INTEGERS:
                return float(text)
            lowest, highest = INTEGERS[kind]
            if lowest <= int(text) <= highest:
                return int(text)
        except (KeyError, ValueError):
            pass
        self._wrong(f"{called}: {text!r} is no default of {kind}")
        return 0
