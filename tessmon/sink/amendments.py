# SPDX-License-Identifier: MIT
"""Amendments: what an operator changes about photometers, on a plain connection.

Each runs in one transaction, under the lock that registrations take, so that both see and leave whole histories.
What they promise:

* No stored reading is changed. A reading carries the place and observer that it was stored with; one that is stored
  later, because it waited in the journal or among the rejects, takes what holds at its own time.
* The time that the versions of a photometer cover stays the same, without new gaps or overlaps, and each keeps one
  Current row at most: a version in which the change falls is cut in two there, later ones are changed where they stand.
  Those keep their ``tess_id``, so a reading that comes twice is a duplicate also across the change; only one that was
  stored after a time that lies in the past, and is sent once more after the cut, gets a second row.
* The running service hears of it by the NOTIFY of the tables' triggers, from the next batch on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tessmon.database.plain import rows, transaction, value
from tessmon.database.session import PlainSession, at_once
from tessmon.errors import Cause, TessmonError
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.photometer import Registration
from tessmon.sink.photometers import Version, find_versions
from tessmon.sink.registration import LOCK_SQL, Known, carry_out, decide, known_about, mark_due

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

CLOCKS_DIFFER_S = 60
"""A time no further ahead of the database's clock than this means now [s]."""

COPIED = (
    "mac_address, valid_until, model, firmware, authorised, registered, cover_offset, fov, azimuth, altitude, "
    "nchannels, zp1, filter1, offset1, zp2, filter2, offset2, zp3, filter3, offset3, zp4, filter4, offset4, "
    "location_id, observer_id"
)
"""Columns of tess_t that the later part of a cut version has from the whole."""

_COPY_SQL = f"""
INSERT INTO tess_t (valid_since, valid_state, {COPIED})
SELECT to_timestamp(%s), 'Expired', {COPIED} FROM tess_t WHERE tess_id = %s RETURNING tess_id"""
_END_SQL = "UPDATE tess_t SET valid_until = to_timestamp(%s), valid_state = 'Expired' WHERE tess_id = %s"
_CURRENT_SQL = "UPDATE tess_t SET valid_state = 'Current' WHERE tess_id = %s"
_AMEND_SQL = """
UPDATE tess_t SET location_id = coalesce(%s, location_id), observer_id = coalesce(%s, observer_id),
                  authorised = coalesce(%s, authorised)
WHERE tess_id = ANY(%s)"""


class AmendmentError(TessmonError):
    """What an operator wants can't be done; the text says why, and what can."""


class Change(NamedTuple):
    """What shall hold; None stays as it is."""

    location_id: int | None = None
    observer_id: int | None = None
    authorised: bool | None = None


class Amended(NamedTuple):
    """What an amendment did.

    Attributes:
        since: from when on it holds.
        versions: ids of the versions that were changed or cut; empty when all was so already.
    """

    since: datetime
    versions: tuple[int, ...]


class Renamed(NamedTuple):
    """What a new name did.

    Attributes:
        since: from when on it holds.
        former: the name that the photometer had; None when it had none.
        nameless: the MAC that lost the name; None when nobody did.
        made_due: rejected readings under the new name that are tried again.
    """

    since: datetime
    former: str | None
    nameless: str | None
    made_due: int


def amend(database: PlainConnection, mac: str, change: Change, since: datetime | None) -> Amended:
    """Let something hold for a photometer from a time on.

    Args:
        database: in autocommit.
        mac: of the photometer.
        change: what shall hold.
        since: from when on, also in all versions that began later; None: from the next whole second, so that it
            concerns no reading that is there.

    Raises:
        AmendmentError: the time lies in the future, or behind all versions.
    """
    with _amending(database):
        since_s = _second(database, since)
        return _amend(database, since_s, change, _versions(database, mac))


def authorise(database: PlainConnection, mac: str, since: datetime | None) -> Amended:
    """Let readings of a photometer be stored where authorisation is required.

    Args:
        since: from when on; None: for as long as it has not been authorised, so that no reading that waits is filtered
            any more. Readings that were filtered already are gone.

    Raises:
        AmendmentError: as `amend`.
    """
    with _amending(database):
        versions = _versions(database, mac)
        since_s: float = _second(database, since)
        if since is None:
            since_s = min(since_s, _unauthorised_since(versions))
        return _amend(database, since_s, Change(authorised=True), versions)


def rename(
    database: PlainConnection,
    lane: str,
    mac: str,
    name: str,
    since: datetime | None,
    *,
    override: bool,
    unregistered_max_age_s: float,
) -> Renamed:
    """Give a photometer another name, by the rules of a registration that brings one.

    Args:
        lane: whose rejects are tried again.
        name: lower case.
        since: from when on; None: from the next whole second.
        override: take it from another photometer, which is left without a name.
        unregistered_max_age_s: readings under the name that were received longer before stay rejected [s].

    Raises:
        AmendmentError: another has the name, the time lies in the future or before the names that are known already.
    """
    session = PlainSession(database)
    with _amending(database):
        since_s = _second(database, since)
        current = next((one for one in _versions(database, mac) if one.current), None)
        if current is None:
            raise AmendmentError(f"{mac} has no version that is valid now: it must register first")
        wanted = _registration(name, current, since_s)
        known = at_once(known_about(session, wanted))
        if known.by_mac is not None and known.by_mac == known.by_name:
            raise AmendmentError(f"{name} is the name of {mac} already")
        if known.by_name is not None and not override:
            raise AmendmentError(f"{name} is the name of {known.by_name.mac}: --override takes it away")
        decision = decide(wanted, known, -math.inf)
        if decision.refusal is Cause.STALE:
            raise AmendmentError(f"{_newest(known)}: a change of names can't begin before that")
        at_once(carry_out(session, wanted, decision))
        made_due = at_once(mark_due(session, lane, wanted, unregistered_max_age_s))
    former, holder = known.by_mac, known.by_name
    return Renamed(_moment(since_s), former and former.name, holder and holder.mac, made_due)


@contextmanager
def _amending(database: PlainConnection) -> Iterator[None]:
    with transaction(database):
        rows(database, LOCK_SQL)
        yield


def _second(database: PlainConnection, since: datetime | None) -> int:
    """The first whole second that a change concerns [s since 1970 UTC]: times of readings are whole seconds."""
    now_s: float = value(database, "SELECT extract(epoch FROM clock_timestamp())::float8")
    next_s = math.floor(now_s) + 1
    if since is None:
        return next_s
    if since.timestamp() > next_s + CLOCKS_DIFFER_S:
        raise AmendmentError("a change can't begin in the future: order it when its time has come")
    return min(math.ceil(since.timestamp()), next_s)


def _versions(database: PlainConnection, mac: str) -> list[Version]:
    return at_once(find_versions(PlainSession(database), "mac_address = %s", [mac]))


def _amend(database: PlainConnection, since_s: float, change: Change, versions: Sequence[Version]) -> Amended:
    whole, cut = concerned(versions, since_s)
    if not whole and not cut:
        raise AmendmentError(f"no version is valid at {_moment(since_s):%Y-%m-%d %H:%M:%S} UTC or later")
    whole = [one for one in whole if _differs(one, change)]
    cut = [one for one in cut if _differs(one, change)]
    ids = [one.tess_id for one in whole] + [_later_part(database, one, since_s) for one in cut]
    if ids:
        authorised = None if change.authorised is None else int(change.authorised)
        rows(database, _AMEND_SQL, [change.location_id, change.observer_id, authorised, ids])
    return Amended(_moment(since_s), tuple(one.tess_id for one in (*cut, *whole)))


def concerned(versions: Sequence[Version], since_s: float) -> tuple[list[Version], list[Version]]:
    """Which versions a change from a time on concerns: those as a whole, and those that it cuts in two.

    A photometer's first version stands for the time before it too, so nothing is made for that.
    """
    whole = [one for one in versions if since_s <= one.since_s]
    cut = [one for one in versions if one.since_s < since_s < one.until_s]
    return whole, cut


def _later_part(database: PlainConnection, version: Version, since_s: float) -> int:
    """Cut a version in two; gives the id of the part that begins then. Readings stored with the version keep its id."""
    later: int = value(database, _COPY_SQL, [since_s, version.tess_id])
    rows(database, _END_SQL, [since_s, version.tess_id])
    if version.current:
        rows(database, _CURRENT_SQL, [later])
    return later


def _differs(version: Version, change: Change) -> bool:
    held = Change(version.location_id, version.observer_id, version.authorised)
    return any(wanted not in (None, had) for wanted, had in zip(change, held, strict=True))


def _unauthorised_since(versions: Sequence[Version]) -> float:
    """When the last version began before which it was authorised, or the first of all."""
    since_s = math.inf
    for version in reversed(versions):
        if version.authorised:
            break
        since_s = version.since_s
    return since_s


def _registration(name: str, version: Version, at_s: int) -> Registration:
    """As if the photometer had presented itself under the name, with all else as it is."""
    frame = Frame(FrameKind.MESSAGE, at_s * 10**9, "", b"", 0)
    model: Any = version.model
    return Registration(frame, name, version.mac, at_s, model, version.channels)


def _newest(known: Known) -> str:
    newest = max((one for one in (known.by_mac, known.by_name) if one), key=lambda one: one.since_s)
    since = f"{_moment(newest.since_s):%Y-%m-%d %H:%M:%S}"
    return f"{newest.name} has been the name of {newest.mac} since {since} UTC"


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
