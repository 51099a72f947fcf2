# SPDX-License-Identifier: MIT
"""How each vlbimon station stands now, and which clients of it were heard when."""

from __future__ import annotations

from collections.abc import Callable

from tessmon.records.vlbimon import Contact, Point, Value
from tessmon.sink.arrays import filled_number_array, text_array
from tessmon.sink.keeping import printable
from tessmon.sink.plan import DAY_S, NS_PER_S, Statement

_STATUS_SQL = "SELECT tessmon_vlbimon_status(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[])"
_CLIENTS_SQL = """
INSERT INTO vlbimon_clients AS c (station, client, version, last_contact)
SELECT r.station, r.client, r.version, to_timestamp(r.at)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[]) AS r(station, client, version, at)
ON CONFLICT (station, client) DO UPDATE
SET version = coalesce(excluded.version, c.version), last_contact = excluded.last_contact
WHERE excluded.last_contact > c.last_contact"""
_FIRST_S = 946_684_800
_TRUTHS = {"true": True, "True": True, "false": False, "False": False}
_NS_PER_US = 1000


def truth_of(value: Value) -> bool | None:
    """What a boolean parameter says, in the spellings that stations have; None when it can't be understood."""
    if isinstance(value, str):
        return _TRUTHS.get(value)
    return bool(value) if isinstance(value, int) and value in (0, 1) else None


def _word(value: Value) -> str | None:
    """Text as it is, but blank text as empty."""
    if isinstance(value, str):
        return value if value.strip() else ""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _on_source(value: Value) -> str | None:
    return {True: "on", False: "off", None: None}[truth_of(value)]


def _number(value: Value) -> str | None:
    return None if isinstance(value, (bool, str)) else repr(float(value))


def _recording(digit: str) -> Callable[[Value], str | None]:
    return lambda value: {True: digit, False: ".", None: None}[truth_of(value)]


_ITEMS: dict[str, tuple[str, Callable[[Value], str | None]]] = {
    "telescope_sourceName": ("source", _word),
    "telescope_onSource": ("onsource", _on_source),
    "telescope_observingMode": ("mode", _word),
    "if_1_systemTemp": ("tsys", _number),
    "weather_tau225": ("tau225", _number),
    **{f"recorder_{digit}_shouldRecord": (digit, _recording(digit)) for digit in "1234"},
}
"""Parameter → the item of ``vlbimon_status`` that it is, and how that says a value."""


class Newest:
    """The newest point of each station and item, and the newest contact with each client, of one batch."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str], Point] = {}
        self._contacts: dict[tuple[str, str], Contact] = {}

    def see(self, point: Point) -> None:
        """Take it up when it says how a station stands. By a clock that is far ahead, it says nothing."""
        if point.parameter not in _ITEMS or point.derived or point.ahead:
            return
        key = point.station, _ITEMS[point.parameter][0]
        known = self._points.get(key)
        if known is None or _order(point) >= _order(known):
            self._points[key] = point

    def hear(self, contact: Contact) -> None:
        """Take it up, unless its time can't be."""
        if not _FIRST_S <= contact.at <= contact.frame.received_ns / NS_PER_S + DAY_S:
            return
        key = contact.station, contact.client
        known = self._contacts.get(key)
        if known is None or contact.at >= known.at:
            self._contacts[key] = contact

    def statements(self) -> list[Statement]:
        """What brings the database up to them; in order, so that two services never wait for each other crosswise."""
        made: list[Statement] = []
        if self._contacts:
            contacts = [self._contacts[key] for key in sorted(self._contacts)]
            made.append((_CLIENTS_SQL, _client_columns(contacts)))
        if self._points:
            made.append((_STATUS_SQL, self._status_columns()))
        return made

    def _status_columns(self) -> list[str]:
        keys = sorted(self._points)
        points = [self._points[key] for key in keys]
        return [
            text_array(station for station, _ in keys),
            text_array(item for _, item in keys),
            filled_number_array([point.time_s for point in points]),
            filled_number_array([point.received_ns // _NS_PER_US for point in points]),
            text_array(_ITEMS[point.parameter][1](point.value) for point in points),
        ]


def _client_columns(contacts: list[Contact]) -> list[str]:
    return [
        text_array(printable(contact.station) for contact in contacts),
        text_array(printable(contact.client) for contact in contacts),
        text_array(None if contact.version is None else printable(contact.version) for contact in contacts),
        filled_number_array([contact.at for contact in contacts]),
    ]


def _order(point: Point) -> tuple[int, int]:
    return point.time_s, point.received_ns // _NS_PER_US
