# SPDX-License-Identifier: MIT
"""What comes from a vlbimon server: exchanges with it, and the points, contacts and parameters in its replies.

A frame of this source has an `Exchange` as its topic and JSON text as its payload, in the server's own shape. A reply
that is small is one frame with the bytes as they came; a larger one is cut between points into several frames, each
of which is a reply by itself.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tessmon.records.frame import Frame

SNAPSHOT, HISTORY, MASTERLIST, POLL, SWEPT = "snapshot", "history", "masterlist", "poll", "swept"
BRIDGE = "bridge"
"""The station that the bridge's own points have, and the subject that derived points are accounted to."""
MAX_AHEAD_S = 600
"""A stamp later than its receive time by more than this is kept in the points, and is ignored in status and lag [s]."""

HALVES = {"AzElCoordinates": ("_az", "_el"), "CelestialCoordinates": ("_ra", "_dec")}
"""Datatype → what the names of the two parameters end with that its points are split into. ``Coordinates`` stay whole.

Source: the parameters that dashboards of vlbimon-bridge ask for.
"""

Value: TypeAlias = bool | int | float | str


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked and what came: the topic of a frame.

    Attributes:
        what: `SNAPSHOT` or `HISTORY`: the payload is such a reply or a piece of one. `MASTERLIST`: it is that list.
            `POLL`: a poll for a snapshot has ended, well or not; no payload. `SWEPT`: all of a window of history is
            in the frames before; no payload.
        server: URL of the server.
        cursor: of the snapshots, as the server sent it, None for none. Pieces have the one that was sent with the
            request, the `POLL` behind them the one that came.
        swept_s: history is whole up to here [s since 1970 UTC], None before the first sweep. In a `SWEPT`, the new one.
        start_s, end_s: window that history was asked for [s since 1970 UTC].
        took_s: how long the answer took [s].
        status: of HTTP; 0 when there was no answer.
        error: one sentence when it failed, else empty.
        counts: of a `POLL`, station → points in the snapshot.
    """

    what: str
    server: str = ""
    cursor: str | None = None
    swept_s: int | None = None
    start_s: int | None = None
    end_s: int | None = None
    took_s: float = 0.0
    status: int = 0
    error: str = ""
    counts: dict[str, int] = {}

    def topic(self) -> str:
        """As the topic of a frame."""
        return msgspec.json.encode(self).decode()


def exchange_of(topic: str) -> Exchange:
    """The exchange that a topic says.

    Raises:
        ValueError: it says none.
    """
    return msgspec.json.decode(topic.encode("utf-8", "surrogateescape"), type=Exchange)


class Point(msgspec.Struct, frozen=True, gc=False):
    """A value of a parameter at a station.

    Attributes:
        frame: what brought it.
        parameter, station: as sent.
        stamp: by the station's clock [s since 1970 UTC], as sent: whole or not.
        value: as sent; NUL and lone surrogates in text are U+FFFD.
        derived: it was computed here.
        marked: the value is text that was changed so.
    """

    frame: Frame
    parameter: str
    station: str
    stamp: int | float
    value: Value
    derived: bool = False
    marked: bool = False

    @property
    def time_s(self) -> int:
        """The stamp in whole seconds, cut: part of the key."""
        return int(self.stamp)

    @property
    def received_ns(self) -> int:
        """When it came [ns since 1970 UTC]."""
        return self.frame.received_ns

    @property
    def subject(self) -> str:
        """Whom it is accounted to."""
        return BRIDGE if self.derived else self.station

    @property
    def ahead(self) -> bool:
        """Whether its clock was too fast to be believed."""
        return self.stamp > self.frame.received_ns / 1e9 + MAX_AHEAD_S


class Contact(msgspec.Struct, frozen=True, gc=False):
    """A client of a station was heard by the server.

    Attributes:
        frame: what brought it.
        station, client: names as sent.
        at: by the server's clock [s since 1970 UTC].
        version: of the client's program, None when it says none.
    """

    frame: Frame
    station: str
    client: str
    at: int | float
    version: str | None


class Poll(msgspec.Struct, frozen=True):
    """A poll for a snapshot has ended."""

    frame: Frame
    exchange: Exchange


class Swept(msgspec.Struct, frozen=True):
    """History is whole up to here [s since 1970 UTC]."""

    frame: Frame
    swept_s: int


class Parameter(msgspec.Struct, frozen=True):
    """An entry of the masterlist.

    Attributes:
        name: as in the list.
        datatype: as in the list: AzElCoordinates, CelestialCoordinates, Coordinates, boolean, document, float, int,
            none, number, string.
        partype, units, description: as in the list, else empty.
        cadence_public_s, cadence_private_s: how often it comes [s], None where the list has none.
        stations: those that have an entry of their own for it; empty when it is in ``default``.
    """

    name: str
    datatype: str
    partype: str = ""
    units: str = ""
    description: str = ""
    cadence_public_s: float | None = None
    cadence_private_s: float | None = None
    stations: tuple[str, ...] = ()


class Masterlist(msgspec.Struct, frozen=True):
    """Parameters and stations that a server knows."""

    frame: Frame
    parameters: tuple[Parameter, ...]
    stations: tuple[str, ...]
