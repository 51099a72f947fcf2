# SPDX-License-Identifier: MIT
"""A part of the past that is asked for hour by hour: which points, and how far it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tessmon.errors import TessmonError
from tessmon.records.vlbimon import Masterlist, Parameter

WINDOW_S = 3600
ALL, PUBLIC, PRIVATE = "all", "public", "private"
_DIGEST_BYTES = 6
_NO_VALUES = "none"


class UnknownStationError(TessmonError):
    """A station that the server does not know; the text says which it knows."""


class Wanted(NamedTuple):
    """What somebody asks for.

    Attributes:
        start_s, end_s: both ends belong to it [s since 1970 UTC].
        stations, parameters: names; empty for all.
        kind: `ALL`; `PUBLIC`: parameters that come all year; `PRIVATE`: those that come while the array observes.
    """

    start_s: int
    end_s: int
    stations: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    kind: str = ALL

    @property
    def origin(self) -> str:
        """A name by which it is known the next time."""
        asked = json.dumps([sorted(set(self.stations)), sorted(set(self.parameters)), self.kind])
        digest = hashlib.blake2b(asked.encode(), digest_size=_DIGEST_BYTES).hexdigest()
        return f"history/{self.start_s}-{self.end_s}/{digest}"

    def windows(self, done_s: int, end_s: int) -> Iterator[tuple[int, int]]:
        """Begin and end of each hour that is not done, up to a time; neighbours share the second between them."""
        begin_s = max(self.start_s, done_s)
        while begin_s < end_s:
            following_s = min(begin_s - (begin_s - self.start_s) % WINDOW_S + WINDOW_S, end_s)
            yield begin_s, following_s
            begin_s = following_s


def stations_of(wanted: Wanted, configured: Sequence[str], masterlist: Masterlist) -> list[str]:
    """Whom to ask for.

    Raises:
        UnknownStationError: one is not in the list.
    """
    known = sorted(masterlist.stations)
    for station in wanted.stations:
        if station not in known:
            raise UnknownStationError(
                f"the server's masterlist has no station {station!a}, but {', '.join(known)}"
            )
    return sorted(set(wanted.stations)) or sorted(set(configured)) or known


def fields_of(wanted: Wanted, masterlist: Masterlist) -> list[str]:
    """Which parameters to ask for; those that are named, in the list or not, unless only a kind is wanted."""
    listed = {one.name: one for one in masterlist.parameters}
    if wanted.kind == ALL:
        return sorted(set(wanted.parameters)) or [
            name for name, one in listed.items() if one.datatype != _NO_VALUES
        ]
    names = sorted(set(wanted.parameters)) or list(listed)
    return [name for name in names if name in listed and _is_of(listed[name], wanted.kind)]


def _is_of(parameter: Parameter, kind: str) -> bool:
    cadence_s = parameter.cadence_public_s if kind == PUBLIC else parameter.cadence_private_s
    return cadence_s is not None and parameter.datatype != _NO_VALUES
