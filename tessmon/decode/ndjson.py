# SPDX-License-Identifier: MIT
"""Lines of Python devices, and of the instrument's own printer, become telemetry events.

A line is ``{"ts": …, "prio": …, "ec": …, "msg": …}``: `ts` local time (see `LocalStamps`), `msg` an object or a string.
It ends with a line feed; one without any is a record too once nothing more will come and it is whole. Lines of white
space are none. `msg` is stored as its text says: a number never goes through a float. These things are otherwise:

* ``NaN``, ``Infinity``, ``-Infinity``, the printer's ``nan``, ``-nan``, ``inf``, ``-inf``, and negative zeros become
  strings, which `float8` reads back; nothing else that is not JSON is taken.
* NULs, halves of surrogate pairs and bytes that are no UTF-8 become U+FFFD and their hexadecimal digits, as in binary
  files; the record is marked.
* Of keys that come twice the last one holds, as in `jsonb`; keys on the outside that nobody knows are left out.
* A line may name its `device`, as collections of such lines do: that one is taken, not the file's.
* `prio` may be missing: then it is empty.

Source: ``json.dump`` in the telemetry of purepyindi devices, ``logdump -J``, and lines published by xtelemdb.
"""

from __future__ import annotations

from datetime import tzinfo

import msgspec

from tessmon.decode.local_stamps import LocalStamps
from tessmon.decode.ndjson_text import (
    check_depth,
    check_numbers,
    has_many_parts,
    is_odd_value,
    may_have_negative_zeros,
    restate,
    restate_values,
    too_deep,
)
from tessmon.decode.refusal import MAX_DETAIL_CHARACTERS, Refusal, quoted
from tessmon.decode.stamps import EARLIEST_S, LATEST_AHEAD_S
from tessmon.errors import Reason
from tessmon.files.tree import shown
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import Decoded, Piece, TelemetryEvent, TelemetryFile, digest_of, record_frame

MAX_NAME_CHARACTERS = 255
"""Of a device or an event code: they are parts of keys."""

_SECOND_NS = 1_000_000_000
_EARLIEST_NS = EARLIEST_S * _SECOND_NS
_LATEST_AHEAD_NS = LATEST_AHEAD_S * _SECOND_NS
_MAX_PATH_CHARACTERS = 250
_PRIORITIES = (
    "EMER",
    "ALRT",
    "CRIT",
    "ERR ",
    "WARN",
    "NOTE",
    "INFO",
    "DBG ",
    "DBG2",
    "TELM",
    "DEF?",
    "UNK?",
    "",
)
_STORED_PRIORITIES = {printed: printed.rstrip() for printed in _PRIORITIES} | {"ERR": "ERR", "DBG": "DBG"}


class _Line(msgspec.Struct, gc=False):
    """What a line holds."""

    ts: str
    ec: str
    msg: msgspec.Raw
    prio: str = ""
    device: str = ""


_parse = msgspec.json.Decoder(_Line).decode
_parse_any = msgspec.json.Decoder().decode


class NdjsonDecoder:
    """Events and rejects for the lines of a piece; it never raises. A refused line costs itself.

    Args:
        timezone: of the devices' clocks.
        max_record_bytes: a longer line is refused. The reader needs the same number: it finds the end of such a line.
    """

    def __init__(self, timezone: tzinfo, max_record_bytes: int) -> None:
        self._stamps = LocalStamps(timezone)
        self._max_record_bytes = max_record_bytes

    def decode(self, piece: Piece) -> Decoded:
        """All whole lines of a piece. A cut one at its end waits; of the last piece, and when it is too long already,
        it is decoded too, and done with unless it may be mended by what is written behind it."""
        content = piece.content
        used = content.rfind(b"\n") + 1
        lines = content[: used - 1].split(b"\n") if used else []
        records: list[TelemetryEvent | Reject] = []
        files: dict[str, TelemetryFile] = {"": piece.file, piece.file.device: piece.file}
        offset = piece.offset
        for line in lines:
            if line and not line.isspace():
                records.append(self._record(piece, files, offset, line))
            offset += len(line) + 1
        rest = content[used:]
        is_too_long = len(rest) > self._max_record_bytes
        if is_too_long or (piece.last and not rest.isspace() and rest):
            record = self._record(piece, files, piece.offset + used, rest)
            records.append(record)
            if is_too_long or isinstance(record, TelemetryEvent):
                used = len(content)
        return Decoded(records, used)

    def _record(
        self, piece: Piece, files: dict[str, TelemetryFile], offset: int, line: bytes
    ) -> TelemetryEvent | Reject:
        try:
            if len(line) > self._max_record_bytes:
                raise Refusal(Reason.TOO_LONG, f"the line is longer than {self._max_record_bytes} bytes")
            return self._event(piece, files, offset, line)
        except Refusal as refusal:
            return _reject(piece, offset, line, refusal)
        # The last net: a line that nobody thought of costs itself and nothing else.
        except Exception as error:
            stumbled = f"the decoder stumbled: {quoted(repr(error))}"
            return _reject(piece, offset, line, Refusal(Reason.INVALID, stumbled))

    def _event(
        self, piece: Piece, files: dict[str, TelemetryFile], offset: int, line: bytes
    ) -> TelemetryEvent:
        fields, msg, marked = _fields(line)
        if msg[0] not in '{"':
            raise Refusal(Reason.INVALID, f"msg: {quoted(msg)} is neither an object nor a string")
        prio = _STORED_PRIORITIES.get(fields.prio)
        if prio is None:
            raise Refusal(Reason.INVALID, f"prio: {quoted(fields.prio)} is no priority")
        _check_name("ec", fields.ec)
        ts_ns = self._stamps.parse(fields.ts)
        if not _EARLIEST_NS <= ts_ns <= piece.received_ns + _LATEST_AHEAD_NS:
            raise Refusal(
                Reason.IMPLAUSIBLE_TIME, f"ts: {quoted(fields.ts)} is before 2000 or after it was read"
            )
        file = files.get(fields.device)
        if file is None:
            _check_name("device", fields.device)
            file = files[fields.device] = msgspec.structs.replace(piece.file, device=fields.device)
        return TelemetryEvent(
            file, piece.received_ns, offset, ts_ns, fields.ec, prio, msg, digest_of(line), line, marked
        )


def _fields(line: bytes) -> tuple[_Line, str, bool]:
    """A line's fields, the text of its ``msg``, and whether a string had to be changed."""
    try:
        fields = _parse(line)
        msg = str(fields.msg, "utf-8")
        if "\\u0000" not in msg:
            _check(msg, fields.msg)
            return fields, restate_values(msg) if may_have_negative_zeros(msg) else msg, False
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # to be looked at more closely
    except RecursionError:
        raise too_deep() from None
    return _odd_fields(line)


def _odd_fields(line: bytes) -> tuple[_Line, str, bool]:
    """The same for a line that is no JSON, or that ``jsonb`` refuses."""
    text, marked = restate(line)
    try:
        fields = _parse(text)
        msg = str(fields.msg, "utf-8")
        _check(msg, fields.msg)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except msgspec.DecodeError as error:
        raise _not_json(line, error) from None
    except RecursionError:
        raise too_deep() from None
    for field, value in (("ec", fields.ec), ("device", fields.device), ("msg", msg[1:-1])):
        if is_odd_value(value):  # it was no string
            raise Refusal(Reason.INVALID, f"{field}: {value} is no text")
    return fields, msg, marked


def _check(msg: str, raw: msgspec.Raw) -> None:
    """Refuse what is JSON and still can't be kept."""
    is_large = has_many_parts(msg)
    values = _parse_any(raw)  # finds what is wrong in escapes, and numbers that are too large
    if is_large:
        check_depth(values)
    check_numbers(msg)


def _check_name(field: str, name: str) -> None:
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise Refusal(
            Reason.INVALID, f"{field}: {quoted(name)} is not a name of 1 to {MAX_NAME_CHARACTERS} characters"
        )


def _invalid(error: msgspec.ValidationError) -> Refusal:
    return Refusal(Reason.INVALID, f"the line is no record: {_lower(error)}")


def _not_json(line: bytes, error: msgspec.DecodeError) -> Refusal:
    """A line that begins as a record and has no end is cut, wherever it was cut."""
    if line.lstrip()[:1] == b"{" and ("truncated" in str(error) or line.rstrip()[-1:] != b"}"):
        return Refusal(Reason.CUT, "the line has no end")
    return Refusal(Reason.NOT_JSON, f"the line is no JSON: {_lower(error)}")


def _lower(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


def _reject(piece: Piece, offset: int, line: bytes, refusal: Refusal) -> Reject:
    where = f"{shown(piece.file.path)[-_MAX_PATH_CHARACTERS:]} at byte {offset}: "
    frame = record_frame(piece.file, piece.received_ns, offset, line)
    return Reject(frame, refusal.reason, (where + refusal.detail)[:MAX_DETAIL_CHARACTERS], piece.file.device)
