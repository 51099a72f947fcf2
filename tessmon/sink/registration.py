# SPDX-License-Identifier: MIT
"""What a registration changes: the decision as a pure function, and its statements.

A decision rests on the Current rows alone, read under a lock that all registrations of a database share.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tessmon.database.session import Session
from tessmon.errors import Cause, Reason
from tessmon.records.photometer import Channel, Registration
from tessmon.sink.keeping import printable
from tessmon.sink.photometers import Association, Version, find_associations, find_versions

ZERO_POINT_STEP_MAG = 0.005
OFFSET_STEP_HZ = 0.001
"""Smaller differences are noise of the device's arithmetic (Source: tessdb 4.0.9 and 5.1.0)."""

_ROUNDING = 1e-9
_UNKNOWN_ID = -1
LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('tessmon registration', 0))"
"""Whoever decides about photometers, a registration or an operator, holds this lock until the transaction ends."""
_MARK_DUE_SQL = (
    "UPDATE rejects SET due = true WHERE lane = %s AND reason = %s AND subject = %s AND NOT due "
    "AND received_at >= to_timestamp(%s)"
)


class Outcome(StrEnum):
    """What became of a registration; the value is the counter's cause."""

    NEW = "new"
    RENAMED = "renamed"
    REPLACED = "replaced"
    OVERRIDDEN = "overridden"
    CHANGED = "changed"
    REBOOTED = "rebooted"


class Known(NamedTuple):
    """What the database has Current about a registration's MAC and name.

    Attributes:
        by_mac: the association of the MAC.
        by_name: the association of the name.
        version: the version of the MAC.
        predecessor: the version of the MAC that has the name now, when that is another.
    """

    by_mac: Association | None
    by_name: Association | None
    version: Version | None
    predecessor: Version | None


class Decision(NamedTuple):
    """What is to be done.

    Attributes:
        outcome: how it is counted; None when nothing is stored.
        refusal: the reject's reason or the filter's cause when nothing is stored.
        detail: a sentence about the refusal, or a warning.
        expire: associations that end.
        associate: whether the pair gets a new association.
        new_version: whether a row of tess_t is inserted.
        expire_version: the version that ends with it.
        inherit: the version whose place, observer and, for the same photometer, authorisation go on.
    """

    outcome: Outcome | None
    refusal: Reason | Cause | None = None
    detail: str = ""
    expire: tuple[Association, ...] = ()
    associate: bool = False
    new_version: bool = False
    expire_version: Version | None = None
    inherit: Version | None = None

    @property
    def changes(self) -> bool:
        """Whether a row is written."""
        return self.associate or self.new_version


def decide(registration: Registration, known: Known, zero_point_min_mag: float) -> Decision:
    """The five cases, with what is Current.

    Args:
        registration: as decoded.
        known: the Current rows.
        zero_point_min_mag: below it a zero point is absurd [mag/arcsec²].
    """
    same_pair = known.by_mac is not None and known.by_mac == known.by_name
    lowest = min(channel.zero_point_mag for channel in registration.channels)
    if lowest < zero_point_min_mag:
        detail = f"the zero point {lowest:g} is below {zero_point_min_mag:g} mag/arcsec²"
        if same_pair:
            return Decision(Outcome.REBOOTED, detail=detail)
        return Decision(None, Reason.ZERO_POINT, detail)
    outcome = _outcome(known, same_pair)
    differs = known.version is None or attributes_differ(registration, known.version)
    if same_pair and not differs:
        return Decision(Outcome.REBOOTED)
    touched = (known.by_mac, known.by_name, known.version if differs else None)
    involved = [row for row in touched if row is not None]
    newest_s = max((row.since_s for row in involved), default=registration.at_s)
    if registration.at_s < newest_s:
        return Decision(None, Cause.STALE, "it is older than what is known already")
    return Decision(
        outcome,
        expire=() if same_pair else tuple(row for row in (known.by_mac, known.by_name) if row is not None),
        associate=not same_pair,
        new_version=differs,
        expire_version=known.version if differs else None,
        inherit=known.version or known.predecessor,
    )


def _outcome(known: Known, same_pair: bool) -> Outcome:
    if same_pair:
        return Outcome.CHANGED
    if known.by_mac is not None:
        return Outcome.OVERRIDDEN if known.by_name is not None else Outcome.RENAMED
    return Outcome.REPLACED if known.by_name is not None else Outcome.NEW


def attributes_differ(registration: Registration, version: Version) -> bool:
    """Whether an attribute that makes a new version differs; a firmware text alone does not."""
    return (
        registration.model != version.model
        or len(registration.channels) != len(version.channels)
        or any(map(_channel_differs, registration.channels, version.channels))
    )


def _channel_differs(new: Channel, old: Channel) -> bool:
    return (
        abs(new.zero_point_mag - old.zero_point_mag) >= ZERO_POINT_STEP_MAG - _ROUNDING
        or abs(new.offset_hz - old.offset_hz) >= OFFSET_STEP_HZ - _ROUNDING
        or new.band != old.band
    )


async def known_about(connection: Session, registration: Registration) -> Known:
    """The Current rows, locked against every other registration until the transaction ends."""
    await connection.execute(LOCK_SQL)
    associations = await find_associations(
        connection,
        "valid_state = 'Current' AND (name = %s OR mac_address = %s)",
        [registration.name, registration.mac],
    )
    by_name = next((one for one in associations if one.name == registration.name), None)
    by_mac = next((one for one in associations if one.mac == registration.mac), None)
    macs = {registration.mac} | ({by_name.mac} if by_name else set())
    current = await find_versions(
        connection, "valid_state = 'Current' AND mac_address = ANY(%s)", [sorted(macs)]
    )
    versions = {one.mac: one for one in current}
    predecessor = versions.get(by_name.mac) if by_name and by_name.mac != registration.mac else None
    return Known(by_mac, by_name, versions.get(registration.mac), predecessor)


async def carry_out(connection: Session, registration: Registration, decision: Decision) -> None:
    """Write what was decided, in the transaction that holds `known_about`'s lock."""
    for association in decision.expire:
        await connection.execute(
            "UPDATE name_to_mac_t SET valid_until = to_timestamp(%s), valid_state = 'Expired' "
            "WHERE name = %s AND mac_address = %s AND valid_state = 'Current'",
            [registration.at_s, association.name, association.mac],
        )
    if decision.associate:
        await connection.execute(
            "INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_until, valid_state) "
            "VALUES (%s, %s, to_timestamp(%s), '2999-12-31 23:59:59+00', 'Current')",
            [registration.name, registration.mac, registration.at_s],
        )
    if decision.expire_version is not None:
        await connection.execute(
            "UPDATE tess_t SET valid_until = to_timestamp(%s), valid_state = 'Expired' WHERE tess_id = %s",
            [registration.at_s, decision.expire_version.tess_id],
        )
    if decision.new_version:
        await _insert_version(connection, registration, decision)


async def mark_due(
    connection: Session, lane: str, registration: Registration, unregistered_max_age_s: float
) -> int:
    """Readings that came before the name had a photometer can be tried again.

    Args:
        lane: that refused them.
        registration: gave the name its photometer.
        unregistered_max_age_s: those received longer before it stay [s].

    Returns:
        A coroutine of how many there are.
    """
    oldest_s = registration.at_s - unregistered_max_age_s
    return await connection.execute(
        _MARK_DUE_SQL, [lane, Reason.UNREGISTERED, printable(registration.name), oldest_s]
    )


async def _insert_version(connection: Session, registration: Registration, decision: Decision) -> None:
    old, inherit = decision.expire_version, decision.inherit
    values: dict[str, object] = {
        "mac_address": registration.mac,
        "valid_state": "Current",
        "model": registration.model,
        "firmware": registration.firmware or (old.firmware if old else "Unknown"),
        "authorised": int(old.authorised) if old else 0,
        "nchannels": len(registration.channels),
        "location_id": inherit.location_id if inherit else _UNKNOWN_ID,
        "observer_id": inherit.observer_id if inherit else _UNKNOWN_ID,
    }
    for number, channel in enumerate(registration.channels, 1):
        values[f"zp{number}"] = channel.zero_point_mag
        values[f"filter{number}"] = channel.band
        values[f"offset{number}"] = channel.offset_hz
    columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
    await connection.execute(
        f"INSERT INTO tess_t (valid_since, valid_until, registered, cover_offset, fov, azimuth, altitude, {columns}) "
        f"SELECT to_timestamp(%s), '2999-12-31 23:59:59+00', coalesce(old.registered, 'Automatic'), "
        f"coalesce(old.cover_offset, 0), coalesce(old.fov, 17), coalesce(old.azimuth, 0), coalesce(old.altitude, 90), "
        f"{places} FROM (SELECT) AS one LEFT JOIN tess_t AS old ON old.tess_id = %s",
        [registration.at_s, *values.values(), old.tess_id if old else _UNKNOWN_ID],
    )
