# SPDX-License-Identifier: MIT
"""Frames from a vlbimon server become points, contacts, polls and masterlists."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from twisted.logger import Logger
from zope.interface import implementer

from tessmon.decode.refusal import Refusal, quoted
from tessmon.decode.source_event import source_event
from tessmon.decode.vlbimon_masterlist import masterlist_of
from tessmon.decode.vlbimon_values import (
    Omission,
    check_stamp,
    check_value,
    parse,
    parse_pair,
    storable,
)
from tessmon.errors import Cause, Reason
from tessmon.interfaces import IDecoder
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, Reject, Several, Tick
from tessmon.records.vlbimon import (
    HISTORY,
    MASTERLIST,
    POLL,
    SNAPSHOT,
    SWEPT,
    Contact,
    Exchange,
    Masterlist,
    Point,
    Poll,
    Swept,
    exchange_of,
)
from tessmon.records.vlbimon_walk import (
    CLIENT,
    MAX_NAME_CHARACTERS,
    PAUSE,
    POINT,
    Part,
    is_name,
    part_text,
    payload_of,
    text_of,
    walker_of,
)
from tessmon.told import Told

MAX_FRAME_BYTES = 1024 * 1024
"""A frame that is longer holds one value that nobody can have meant; it isn't even walked."""
MAX_KEPT_BYTES = 65536
"""What a reject keeps at most."""

_MAX_PAUSES = 8
"""In a frame of more than `MAX_KEPT_BYTES`, which is one long value; to walk on would hold the reactor up."""
_MAX_COMPLAINTS = 20
"""Lines in the log about one masterlist."""
_JOURNAL_DEPTH = 3
"""Positions in a journal have so many numbers; one that has more is of a part, and comes from ``rejects``."""
_NS = 1_000_000_000


class _Reply(NamedTuple):
    """A snapshot or history or a piece of one: its frame, its exchange, when it came [s since 1970 UTC]."""

    frame: Frame
    exchange: Exchange
    received_s: float

    def part_frame(self, part: Part, number: int) -> Frame:
        """The frame that is one part and nothing else."""
        frame = self.frame
        if len(frame.position) > _JOURNAL_DEPTH:
            return frame
        payload = payload_of(part_text(self.exchange.what, part))
        return _part_frame(frame, payload, number)


def _part_frame(frame: Frame, payload: bytes, number: int = 1) -> Frame:
    """A frame that stands just behind another one; what is too long for a reject is cut off."""
    return Frame(
        FrameKind.MESSAGE,
        frame.received_ns,
        frame.topic,
        payload[:MAX_KEPT_BYTES],
        len(payload),
        position=(*frame.position, number),
        origin=frame.origin,
    )


@implementer(IDecoder)
class VlbimonDecoder:
    """Several records for each frame that holds a reply, and one for each other frame of this source.

    Args:
        told: what the log knows of each parameter; shared by those who are made one after the other.
    """

    log = Logger()

    def __init__(self, told: Told | None = None) -> None:
        self._told = Told() if told is None else told

    def decode(self, frame: Frame) -> Record:
        if frame.kind == FrameKind.TICK:
            return Tick(frame)
        if frame.kind == FrameKind.EVENT:
            return source_event(frame)
        try:
            return self._message(frame)
        except Refusal as refusal:
            reject = Reject(frame, refusal.reason, refusal.detail)
        # The last net: a payload that nobody thought of costs itself and nothing else.
        except Exception as error:
            reject = Reject(frame, Reason.INVALID, f"the decoder stumbled: {quoted(repr(error))}")
        self._tell_reject("", reject)
        if len(frame.payload) <= MAX_KEPT_BYTES:
            return reject
        return Several(frame, [Reject(_part_frame(frame, frame.payload), reject.reason, reject.detail)])

    def _message(self, frame: Frame) -> Record:
        try:
            exchange = exchange_of(frame.topic)
        except (ValueError, RecursionError):
            raise Refusal(
                Reason.UNKNOWN_TOPIC, f"topic {quoted(frame.topic)} is no exchange with a server"
            ) from None
        what = exchange.what
        if what == POLL:
            return Poll(frame, exchange)
        if frame.length > len(frame.payload) or frame.length > MAX_FRAME_BYTES:
            raise Refusal(Reason.TOO_LONG, f"a value or list of {frame.length} bytes")
        if what in (SNAPSHOT, HISTORY):
            reply = _Reply(frame, exchange, frame.received_ns / _NS)
            return Several(frame, list(self._records(reply)))
        if what == MASTERLIST:
            return self._masterlist(frame)
        if what == SWEPT:
            return _swept(frame, exchange)
        raise Refusal(Reason.UNKNOWN_TOPIC, f"{quoted(what)} is no exchange with a server")

    def _masterlist(self, frame: Frame) -> Masterlist:
        masterlist, complaints = masterlist_of(frame)
        for name, why in islice(complaints.items(), _MAX_COMPLAINTS):
            name = name[:MAX_NAME_CHARACTERS]
            if self._told.is_new(name, "masterlist"):
                self.log.warn(
                    "{parameter} of the masterlist is left out: {why}", parameter=quoted(name), why=why
                )
        return masterlist

    def _records(self, reply: _Reply) -> Iterator[Record]:
        pauses = number = 0
        try:
            for part in walker_of(reply.exchange.what)(text_of(reply.frame.payload)):
                if part.kind != PAUSE:
                    number += 1
                    yield self._record(reply, part, number)
                    continue
                pauses += 1
                if pauses > _MAX_PAUSES and reply.frame.length > MAX_KEPT_BYTES:
                    raise Refusal(
                        Reason.TOO_LONG, f"a value of {reply.frame.length} bytes, in very many parts"
                    )
        except ValueError as error:
            raise Refusal(Reason.NOT_JSON, f"{error}: {quoted(reply.frame.payload)}") from None

    def _record(self, reply: _Reply, part: Part, number: int) -> Record:
        frame = reply.part_frame(part, number)
        counted = part.kind == POINT
        subject = part.station if counted and is_name(part.station) else ""
        try:
            if counted:
                return self._point(reply, part, frame)
            if part.kind == CLIENT:
                return _contact(reply, part, frame)
            return _odd(reply, part, frame)
        except Omission as omission:
            return Filtered(frame, omission.cause, subject)
        except Refusal as refusal:
            reject = Reject(frame, refusal.reason, refusal.detail, subject)
            self._tell_reject(part.name, reject)
            return reject

    def _point(self, reply: _Reply, part: Part, frame: Frame) -> Point:
        _check_names(part)
        stamp, value = parse_pair(part.text)
        stamp = check_stamp(stamp, reply.received_s, reply.exchange.start_s)
        value = check_value(value)
        if type(value) is not str or (stored := storable(value)) == value:
            return Point(frame, part.name, part.station, stamp, value)
        if self._told.is_new(part.name, "marked"):
            self.log.warn(
                "{parameter} of {station}: NUL or half a character, stored as U+FFFD; said once",
                parameter=quoted(part.name),
                station=quoted(part.station),
            )
        return Point(frame, part.name, part.station, stamp, stored, marked=True)

    def _tell_reject(self, name: str, reject: Reject) -> None:
        if self._told.is_new(name[:MAX_NAME_CHARACTERS], reject.reason):
            self.log.warn(
                "{what}: rejected as {reason}: {detail}; said once",
                what=f"{quoted(name)} of {quoted(reject.subject)}" if name else "a reply",
                reason=reject.reason,
                detail=reject.detail,
            )


def _check_names(part: Part) -> None:
    for word, name in (("station", part.station), (part.kind, part.name)):
        if not is_name(name):
            raise Refusal(Reason.BAD_NAME, f"{quoted(name)} of {len(name)} characters can't name a {word}")


def _contact(reply: _Reply, part: Part, frame: Frame) -> Contact:
    _check_names(part)
    fields = parse(part.text)
    if not isinstance(fields, dict):
        raise Refusal(Reason.INVALID, f"client {quoted(part.name)}: {quoted(fields)} is no object")
    at = check_stamp(fields.get("recvTime"), reply.received_s)
    version = fields.get("version")
    if version is not None and not isinstance(version, str):
        version = quoted(version)
    return Contact(frame, part.station, part.name, at, None if version is None else storable(version))


def _odd(reply: _Reply, part: Part, frame: Frame) -> Record:
    if part.name and reply.exchange.what == SNAPSHOT and part.name not in ("data", "clients"):
        return Filtered(frame, Cause.UNKNOWN_PART)
    where = f"{quoted(part.name)} of station {quoted(part.station)}" if part.name else quoted(part.station)
    raise Refusal(Reason.INVALID, f"{where} is {quoted(part.text)}, and not what belongs there")


def _swept(frame: Frame, exchange: Exchange) -> Swept:
    if exchange.swept_s is None:
        raise Refusal(Reason.BAD_TIME, "history is whole, but nothing says up to when")
    try:
        check_stamp(exchange.swept_s, frame.received_ns / _NS)
    except Omission:
        raise Refusal(Reason.IMPLAUSIBLE_TIME, "history is whole up to a time before there was any") from None
    return Swept(frame, exchange.swept_s)
