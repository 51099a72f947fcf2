# SPDX-License-Identifier: MIT
"""Records of ``.bintel`` and ``.binlog`` files become telemetry events.

What is wrong with a record costs that record, as long as its length is believed; else all from there to the end of the
file is one reject (see `tessmon.decode.framing`).
"""

from __future__ import annotations

from tessmon.decode.flatbuffer import Message
from tessmon.decode.flatlogs import HEADER, LONGEST_SHORT, PRIORITIES, SECOND_NS, UNKNOWN_PRIORITY
from tessmon.decode.forms import NO_MESSAGE, Forms
from tessmon.decode.framing import Found, Framing, Lost, Undecided, View, time_faults
from tessmon.decode.refusal import MAX_DETAIL_CHARACTERS, quoted
from tessmon.decode.schemas import Schemas
from tessmon.decode.stamps import EARLIEST_S, LATEST_AHEAD_S
from tessmon.decode.vtable import Damaged
from tessmon.errors import Reason
from tessmon.files.tree import shown
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import Decoded, Piece, TelemetryEvent, digest_of, record_frame

_MAX_PATH_CHARACTERS = 250


class BintelDecoder:
    """Events and rejects for the records of a piece; it never raises."""

    def __init__(self, schemas: Schemas, max_record_bytes: int) -> None:
        """Args: what is known of event codes; how long the message of a record may be [bytes]."""
        self._forms = Forms(schemas)
        self._framing = Framing(self._forms, max_record_bytes)

    @property
    def enough_bytes(self) -> int:
        """A piece of this length is never answered with nothing used [bytes]."""
        return self._framing.enough_bytes

    def decode(self, piece: Piece) -> Decoded:
        """All records of a piece that are whole, and what is wrong with it.

        A cut record at its end waits, and so does a damaged one while only what comes behind shows whether its length
        is right. With `Piece.last`, such a rest becomes a reject, too.
        """
        records: list[TelemetryEvent | Reject] = []
        latest_s = piece.received_ns // SECOND_NS + LATEST_AHEAD_S
        at = 0
        try:
            while (at := self._read_sound(piece, at, latest_s, records)) < len(piece.content):
                view = View(piece.content, piece.last, latest_s, _time_s(records))
                found = self._framing.record_at(view, at)
                records.append(_record(piece, at, found, latest_s))
                at += len(found.raw)
        except Undecided:
            if piece.last:
                records.append(_rest(piece, at, Reason.CUT, "the last record of the file is incomplete"))
        except Lost as lost:
            records.append(_rest(piece, at, lost.reason, f"no record can be told from here on: {lost}"))
            return Decoded(records, len(piece.content), lost=True)
        # The last net: what nobody thought of costs this file's rest and nothing else.
        except Exception as error:
            problem = f"no record can be told from here on: the decoder stumbled: {quoted(repr(error))}"
            records.append(_rest(piece, at, Reason.FRAMING, problem))
            return Decoded(records, len(piece.content), lost=True)
        return Decoded(records, at)

    def _read_sound(
        self, piece: Piece, at: int, latest_s: int, records: list[TelemetryEvent | Reject]
    ) -> int:
        """Records as they should be, short ones as nearly all are; where they end."""
        content, file, received_ns, offset = piece.content, piece.file, piece.received_ns, piece.offset
        size, unpack, form_of = len(content), HEADER.unpack_from, self._forms.of
        while at + HEADER.size <= size:
            priority, code, time_s, time_ns, length = unpack(content, at)
            end = at + HEADER.size + length
            form = form_of(code, time_s)
            if (
                form is None
                or length > LONGEST_SHORT
                or end > size
                or not EARLIEST_S <= time_s <= latest_s
                or time_ns >= SECOND_NS
                or priority not in PRIORITIES
            ):
                break
            raw = content[at:end]
            msg, marked = NO_MESSAGE, False
            if form.table is not None:
                message = Message(raw, HEADER.size)
                try:
                    msg = message.text(form.table)
                except Damaged:
                    break
                if message.complete and message.natural_end != end - at:
                    break
                marked = message.marked
            elif length:
                break
            ts_ns = time_s * SECOND_NS + time_ns
            records.append(
                TelemetryEvent(
                    file,
                    received_ns,
                    offset + at,
                    ts_ns,
                    form.name,
                    PRIORITIES[priority],
                    msg,
                    digest_of(raw),
                    raw,
                    marked,
                )
            )
            at = end
        return at


def _time_s(records: list[TelemetryEvent | Reject]) -> int | None:
    """When the last record was [s since 1970 UTC], where that is known."""
    last = records[-1] if records else None
    return last.ts_ns // SECOND_NS if isinstance(last, TelemetryEvent) else None


def _record(piece: Piece, at: int, found: Found, latest_s: int) -> TelemetryEvent | Reject:
    """A record whose length is believed."""
    header, form, raw, body = found
    if form is None:
        return _reject(piece, at, raw, Reason.UNKNOWN_CODE, f"nobody knows the event code {header.code}")
    if faults := time_faults(header, latest_s):
        return _reject(piece, at, raw, Reason.IMPLAUSIBLE_TIME, "; ".join(faults))
    if body.msg is None:
        return _reject(piece, at, raw, Reason.DAMAGED, f"{form.name}: {body.problem}")
    return TelemetryEvent(
        piece.file,
        piece.received_ns,
        piece.offset + at,
        header.time_s * SECOND_NS + header.time_ns,
        form.name,
        PRIORITIES.get(header.priority, UNKNOWN_PRIORITY),
        body.msg,
        digest_of(raw),
        raw,
        body.marked,
    )


def _rest(piece: Piece, at: int, reason: Reason, problem: str) -> Reject:
    """All that is left of a piece."""
    return _reject(piece, at, piece.content[at:], reason, problem)


def _reject(piece: Piece, at: int, raw: bytes, reason: Reason, problem: str) -> Reject:
    offset = piece.offset + at
    path = shown(piece.file.path)
    if len(path) > _MAX_PATH_CHARACTERS:
        path = "…" + path[-_MAX_PATH_CHARACTERS:]
    detail = f"{path} at byte {offset}: {problem}"[:MAX_DETAIL_CHARACTERS]
    return Reject(record_frame(piece.file, piece.received_ns, offset, raw), reason, detail, piece.file.device)
