# SPDX-License-Identifier: MIT
"""The statements that go with every batch: position, rejects, tallies, source events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from tessmon.database.session import Session
from tessmon.errors import Reason
from tessmon.records.batch import Move, Standing
from tessmon.records.frame import Frame, pack_frame, unpack_frames
from tessmon.records.outcome import Reject, SourceEvent
from tessmon.records.position import START, Position
from tessmon.sink.arrays import bytes_array, filled_number_array, position_text, text_array
from tessmon.sink.plan import DAY_S, NS_PER_S, Due, Statement, TallyKey

_ADVANCE_SQL = (
    "SELECT tessmon_advance(%s, %s, %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s, %s::jsonb)"
)
_REJECTS_SQL = """
INSERT INTO rejects (lane, origin, position, received_at, reason, subject, detail, topic, envelope, payload)
SELECT %s, r.origin, r.position::bigint[], to_timestamp(r.received_us / 1e6), r.reason, r.subject, r.detail, r.topic,
       r.envelope, r.payload
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[],
            %s::bytea[])
     AS r(origin, position, received_us, reason, subject, detail, topic, envelope, payload)
ON CONFLICT DO NOTHING"""
_REFUSED_AGAIN_SQL = """
UPDATE rejects SET reason = r.reason, subject = r.subject, detail = r.detail, due = false
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS r(reject_id, reason, subject, detail)
WHERE rejects.reject_id = r.reject_id"""
_TALLIES_SQL = """
INSERT INTO tallies AS t (lane, subject, hour, cause, stored, duplicate, filtered, rejected)
SELECT %s, r.subject, to_timestamp(r.hour_s), r.cause, r.stored, r.duplicate, r.filtered, r.rejected
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
     AS r(subject, hour_s, cause, stored, duplicate, filtered, rejected)
ON CONFLICT (lane, subject, hour, cause) DO UPDATE
SET stored = t.stored + excluded.stored, duplicate = t.duplicate + excluded.duplicate,
    filtered = t.filtered + excluded.filtered, rejected = t.rejected + excluded.rejected"""
_EVENTS_SQL = """
INSERT INTO source_events (at, lane, origin, position, source, what, detail)
SELECT to_timestamp(r.at_us / 1e6), %s, r.origin, r.position::bigint[], %s, r.what, r.detail::jsonb
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
     AS r(at_us, origin, position, what, detail)
ON CONFLICT DO NOTHING"""
_EXPIRE_SQL = """
WITH gone AS (
    DELETE FROM rejects WHERE lane = %s AND received_at < to_timestamp(%s) AND NOT due
    AND rejected_at < now() - %s * interval '1 day' RETURNING reason
), counted AS (SELECT reason, count(*) AS count FROM gone GROUP BY reason)
INSERT INTO source_events (at, lane, origin, position, source, what, detail)
SELECT to_timestamp(%s / 1e6), %s, %s, %s::bigint[], %s, 'rejects_expired', jsonb_object_agg(reason, count)
FROM counted HAVING count(*) > 0 ON CONFLICT DO NOTHING"""
_OUTCOMES = ("stored", "duplicate", "filtered", "rejected")


async def load_position(connection: Session, lane: str, origin: str) -> Standing:
    """Where this lane stands with this origin; a new origin begins at its start."""
    await connection.execute(
        "INSERT INTO positions (lane, origin, position, low) VALUES (%s, %s, %s::bigint[], %s::bigint[]) "
        "ON CONFLICT DO NOTHING",
        [lane, origin, position_text(START), position_text(START)],
    )
    rows = await connection.query(
        "SELECT position, low, settings, notes FROM positions WHERE lane = %s AND origin = %s", [lane, origin]
    )
    position, low, settings, notes = rows[0]
    return Standing(tuple(position), tuple(low), settings, notes)


def advance(lane: str, move: Move) -> Statement:
    """Move a position, fenced by the old one. Settings, which can be long, are sent when they have changed."""
    origin, old, new = move
    return _ADVANCE_SQL, [
        lane,
        origin,
        position_text(old.position),
        position_text(old.low),
        position_text(new.position),
        position_text(new.low),
        None if new.settings == old.settings else new.settings,
        json.dumps(dict(new.notes)),
    ]


def insert_rejects(lane: str, origin: str, rejects: Sequence[Reject]) -> Statement:
    """Keep rejects that are new."""
    packed = [pack_frame(reject.frame) for reject in rejects]
    payloads = [reject.frame.payload for reject in rejects]
    envelopes = [whole[: len(whole) - len(payload)] for whole, payload in zip(packed, payloads, strict=True)]
    return _REJECTS_SQL, [
        lane,
        text_array(reject.frame.origin or origin for reject in rejects),
        text_array(position_text(reject.frame.position) for reject in rejects),
        filled_number_array([reject.frame.received_ns // 1000 for reject in rejects]),
        text_array(reject.reason for reject in rejects),
        text_array(printable(reject.subject) for reject in rejects),
        text_array(printable(reject.detail) for reject in rejects),
        text_array(printable(reject.frame.topic) for reject in rejects),
        bytes_array(envelopes),
        bytes_array(payloads),
    ]


def refuse_again(rejects: Sequence[tuple[Due, Reject]]) -> Statement:
    """Keep rejects that were tried again in vain."""
    return _REFUSED_AGAIN_SQL, [
        filled_number_array([due.reject_id for due, _ in rejects]),
        text_array(reject.reason for _, reject in rejects),
        text_array(printable(reject.subject) for _, reject in rejects),
        text_array(printable(reject.detail) for _, reject in rejects),
    ]


def delete_rejects(due: Iterable[Due]) -> Statement:
    """Drop rejects that were stored, filtered or found to be duplicates; the row count tells whether all were
    still there."""
    return "DELETE FROM rejects WHERE reject_id = ANY(%s::bigint[])", [
        filled_number_array([one.reject_id for one in due])
    ]


async def withdraw(
    connection: Session, lane: str, frames: Sequence[Frame]
) -> list[tuple[Frame, Reason, str]]:
    """Drop the rejects at these places; gives frame, reason and subject of each that was there."""
    rows = await connection.query(
        "DELETE FROM rejects AS r USING unnest(%s::text[], %s::text[]) AS w (origin, position) "
        "WHERE r.lane = %s AND r.origin = w.origin AND r.position = w.position::bigint[] AND r.piece = 0 "
        "RETURNING r.reason, r.subject, r.envelope, r.payload, r.position, r.origin",
        [
            text_array(frame.origin for frame in frames),
            text_array(position_text(frame.position) for frame in frames),
            lane,
        ],
    )
    return [
        (_placed(bytes(envelope) + bytes(payload), tuple(position), origin), Reason(reason), subject)
        for reason, subject, envelope, payload, position, origin in rows
    ]


async def load_due(connection: Session, lane: str, origins: str, limit: int) -> list[Due]:
    """The oldest rejects of the lane that can be tried again, in the order in which they came, of origins that begin
    so."""
    rows = await connection.query(
        "SELECT reject_id, reason, subject, envelope, payload, position, origin FROM rejects "
        "WHERE lane = %s AND due AND starts_with(origin, %s) ORDER BY received_at, origin, position, piece LIMIT %s",
        [lane, origins, limit],
    )
    return [
        Due(
            reject_id,
            Reason(reason),
            subject,
            _placed(bytes(envelope) + bytes(payload), tuple(position), origin),
        )
        for reject_id, reason, subject, envelope, payload, position, origin in rows
    ]


def _placed(packed: bytes, position: Position, origin: str) -> Frame:
    (frame,) = unpack_frames(packed)
    return msgspec.structs.replace(frame, position=position, origin=origin)


def insert_tallies(lane: str, tallies: Counter[TallyKey]) -> Statement:
    """Add to the counts; sorted, so that two services never wait for each other's rows crosswise."""
    counted: dict[tuple[str, int, str], list[int]] = {}
    for key, count in tallies.items():
        place = counted.setdefault((key.subject, key.hour_s, key.cause), [0, 0, 0, 0])
        place[_OUTCOMES.index(key.outcome)] += count
    keys = sorted(counted)
    return _TALLIES_SQL, [
        lane,
        text_array(subject for subject, _, _ in keys),
        filled_number_array([hour_s for _, hour_s, _ in keys]),
        text_array(cause for _, _, cause in keys),
        *(filled_number_array([counted[key][place] for key in keys]) for place in range(len(_OUTCOMES))),
    ]


def insert_events(lane: str, origin: str, source: str, events: Sequence[SourceEvent]) -> Statement:
    """Note what happened to the source."""
    return _EVENTS_SQL, [
        lane,
        source,
        filled_number_array([event.frame.received_ns // 1000 for event in events]),
        text_array(event.frame.origin or origin for event in events),
        text_array(position_text(event.frame.position) for event in events),
        text_array(printable(event.what) for event in events),
        text_array(event.detail for event in events),
    ]


def expire_rejects(
    lane: str, origin: str, source: str, keep_days: int, now_ns: int, position: Position
) -> Statement:
    """Drop rejects that were kept for so many days, by the frames' time and by the database's clock (a clock that
    was wrong for a moment must not empty the table), and that nobody wants to try again; note how many. The event
    stands just behind the position, where no frame can."""
    before_s = now_ns // NS_PER_S - keep_days * DAY_S
    event = [now_ns // 1000, lane, origin, position_text((*position, 0)), source]
    return _EXPIRE_SQL, [lane, before_s, keep_days, *event]


def printable(text: str) -> str:
    """Text that PostgreSQL takes: NUL and lone surrogates as their escapes."""
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
