# SPDX-License-Identifier: MIT
"""Who a name is: associations of names with photometers and the versions of photometers, as the database has them.

The rules stand in `Photometers.holder`, `nearest_version` and `hash_fits`; they take times as arguments and look
at no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tessmon.database.session import Session
from tessmon.records.photometer import Channel

MAX_NAMES = 20_000
"""When more names than this are remembered all are forgotten: names are made up by whoever publishes."""

LEARNED_AT_ONCE = 250
"""Names asked for in one query: the answer for thousands takes the reactor 50 ms to read."""

_ASSOCIATIONS_SQL = """
SELECT name, mac_address, extract(epoch FROM valid_since)::float8, extract(epoch FROM valid_until)::float8,
       valid_state = 'Current'
FROM name_to_mac_t WHERE {condition} ORDER BY valid_since, valid_until"""

_VERSIONS_SQL = """
SELECT mac_address, tess_id, extract(epoch FROM valid_since)::float8, extract(epoch FROM valid_until)::float8,
       valid_state = 'Current', location_id, observer_id, authorised = 1, model, firmware, nchannels,
       zp1, filter1, offset1, zp2, filter2, offset2, zp3, filter3, offset3, zp4, filter4, offset4
FROM tess_t WHERE {condition} ORDER BY valid_since, tess_id"""

_CHANNELS_AT = 11
"""Where the columns of the first channel stand; the number of channels stands before them."""


class Association(NamedTuple):
    """A name belonged to a MAC from since_s until until_s [s since 1970 UTC, until excluded]."""

    name: str
    mac: str
    since_s: float
    until_s: float
    current: bool


class Version(NamedTuple):
    """One row of tess_t: a photometer's attributes and the time in which they held."""

    mac: str
    tess_id: int
    since_s: float
    until_s: float
    current: bool
    location_id: int
    observer_id: int
    authorised: bool
    model: str
    firmware: str
    channels: tuple[Channel, ...]


class Span(NamedTuple):
    """From since_s until until_s [s since 1970 UTC, until excluded] a name is this version's."""

    since_s: float
    until_s: float
    version: Version


class UnknownError(KeyError):
    """A name or a photometer that the database was not asked about yet."""


class Photometers:
    """What the database says about names, remembered until `forget`."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        """The last that `surely` found for each name."""
        self._associations: dict[str, tuple[Association, ...]] = {}
        self._versions: dict[str, tuple[Version, ...]] = {}
        self.edition = 0
        """Another one when something that was remembered is not any more."""

    def forget(self) -> None:
        """Everything: at each connect, and when somebody changed a photometer."""
        self.edition += 1
        self.spans.clear()
        self._associations.clear()
        self._versions.clear()

    def drop(self, names: Iterable[str], macs: Iterable[str]) -> None:
        """What a registration changed."""
        self.edition += 1
        self.spans.clear()
        for name in names:
            self._associations.pop(name, None)
        for mac in macs:
            self._versions.pop(mac, None)

    async def learn(self, connection: Session, names: Collection[str]) -> None:
        """Ask for the names not known yet; one that nobody has registered is remembered as such."""
        missing = {name for name in names if name not in self._associations}
        if len(self._associations) + len(missing) > MAX_NAMES:
            self.forget()
            missing = set(names)
        for some in _slices(missing):
            found = await find_associations(connection, "name = ANY(%s)", [some])
            self._associations.update(dict.fromkeys(some, ()))
            for association in found:
                self._associations[association.name] += (association,)
        macs = {one.mac for name in names for one in self._associations[name]} - self._versions.keys()
        for some in _slices(macs):
            versions = await find_versions(connection, "mac_address = ANY(%s)", [some])
            self._versions.update(dict.fromkeys(some, ()))
            for version in versions:
                self._versions[version.mac] += (version,)

    def associations(self, name: str) -> tuple[Association, ...]:
        """All associations of a name, oldest first.

        Raises:
            UnknownError: it was not learned.
        """
        try:
            return self._associations[name]
        except KeyError:
            raise UnknownError(name) from None

    def versions(self, mac: str) -> tuple[Version, ...]:
        """All versions of the photometer with this MAC, oldest first; empty when there is none.

        Raises:
            UnknownError: it was not learned.
        """
        try:
            return self._versions[mac]
        except KeyError:
            raise UnknownError(mac) from None

    def surely(self, name: str, at_s: float) -> Span | None:
        """Who had a name at a time, when both its association and its version say so; where this is None, `holder`
        and `nearest_version` decide.

        Raises:
            UnknownError: it was not learned.
        """
        span = self.spans.get(name)
        if span is not None and span.since_s <= at_s < span.until_s:
            return span
        return self._find(name, at_s)

    def _find(self, name: str, at_s: float) -> Span | None:
        for association in self.associations(name):
            if association.since_s <= at_s < association.until_s:
                for version in reversed(self.versions(association.mac)):
                    if version.since_s <= at_s < version.until_s:
                        since_s = max(association.since_s, version.since_s)
                        until_s = min(association.until_s, version.until_s)
                        span = self.spans[name] = Span(since_s, until_s, version)
                        return span
                return None
        return None

    def holder(self, name: str, at_s: float, received_s: float, max_age_s: float) -> str | None:
        """The MAC that a reading under a learned name belongs to, None when it is unregistered.

        A reading taken before anybody had the name goes to the first that got it, unless it had come more than
        ``max_age_s`` before that. One taken after a MAC lost the name never goes to the next owner; to the same
        MAC it does, when that got the name back.
        """
        lost_by: str | None = None
        for association in self.associations(name):
            if at_s < association.since_s:
                if lost_by is None:
                    return association.mac if received_s >= association.since_s - max_age_s else None
                return lost_by if association.mac == lost_by else None
            if at_s < association.until_s:
                return association.mac
            lost_by = association.mac
        return None


def _slices(wanted: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(wanted)
    for start in range(0, len(ordered), LEARNED_AT_ONCE):
        yield ordered[start : start + LEARNED_AT_ONCE]


def nearest_version(versions: Sequence[Version], at_s: float) -> Version:
    """The version valid at that time, else the nearest one. ``versions`` is not empty and sorted by time."""
    best, best_distance_s = versions[-1], float("inf")
    for version in reversed(versions):
        if version.since_s <= at_s < version.until_s:
            return version
        distance_s = version.since_s - at_s if at_s < version.since_s else at_s - version.until_s
        if distance_s < best_distance_s:
            best, best_distance_s = version, distance_s
    return best


def hash_fits(mac: str, tail: str | None) -> bool:
    """Whether a reading's hash, if any, is the end of the MAC, without regard to case."""
    return tail is None or mac.replace(":", "").upper().endswith(tail.replace(":", "").upper())


async def find_associations(connection: Session, condition: str, values: list[object]) -> list[Association]:
    """Associations for which a condition of SQL holds, oldest first; ``values`` are its parameters."""
    rows = await connection.query(_ASSOCIATIONS_SQL.format(condition=condition), values)
    return [Association(*row) for row in rows]


async def find_versions(connection: Session, condition: str, values: list[object]) -> list[Version]:
    """Versions for which a condition of SQL holds, oldest first; ``values`` are its parameters."""
    return [
        _version(row) for row in await connection.query(_VERSIONS_SQL.format(condition=condition), values)
    ]


def _version(row: tuple[Any, ...]) -> Version:
    flat = row[_CHANNELS_AT:]
    channels = tuple(Channel(*flat[3 * n : 3 * n + 3]) for n in range(row[_CHANNELS_AT - 1]))
    return Version._make((*row[: _CHANNELS_AT - 1], channels))
