# SPDX-License-Identifier: MIT
"""Photometers for human eyes, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from tessmon.cli.table import duration, moment, paragraph, table

_INDENT = 14
Row = dict[str, Any]


def in_order(photometers: Sequence[Row]) -> list[Row]:
    """stars2 before stars10; those without a name last, by MAC."""
    return sorted(
        photometers, key=lambda one: (one["name"] is None, _natural(one["name"] or one["mac_address"]))
    )


def overview(photometers: Sequence[Row]) -> str:
    """One line each."""
    now = datetime.now(UTC)
    titles = ["name", "MAC", "auth.", "last", "place", "zero points"]
    return table(
        titles,
        [
            (
                one["name"],
                one["mac_address"],
                _yes(one["authorised"]),
                _ago(one["last_reading"], now),
                one["place"],
                _zero_points(one),
            )
            for one in photometers
        ],
    )


def card(photometer: Row) -> str:
    """All that is known of one photometer now, a line for each."""
    return "\n".join(paragraph(name, shown, _INDENT) for name, shown in _facts(photometer))


def history(known_names: Sequence[Row], versions: Sequence[Row]) -> str:
    """Names and versions through time, the oldest first; a version holds until the next begins."""
    who = table(
        ["name", "MAC", "since (UTC)", "until"],
        [(one["name"], one["mac_address"], moment(one["valid_since"]), _until(one)) for one in known_names],
    )
    what = table(
        ["version", "since (UTC)", "auth.", "place", "zero points"],
        [
            (
                one["tess_id"],
                moment(one["valid_since"]),
                _yes(one["authorised"]),
                one["place"],
                _zero_points(one),
            )
            for one in versions
        ],
    )
    ended = _until(versions[-1])
    parts = [who] * bool(known_names) + [what] + [f"the last version ended at {ended}"] * bool(ended)
    return "\n\n".join(parts)


def plain(row: Row) -> Row:
    """As JSON can carry it: times in ISO 8601."""
    return {name: each.isoformat() if isinstance(each, datetime) else each for name, each in row.items()}


def _facts(one: Row) -> Iterator[tuple[str, str]]:
    yield "name", one["name"] or "none: its name was taken by another photometer"
    yield "MAC", one["mac_address"]
    yield "model", f"{one['model']}, firmware {one['firmware']}"
    for number, channel in enumerate(one["channels"], 1):
        title = "channel" if len(one["channels"]) == 1 else f"channel {number}"
        zero_point = f"zero point {channel['zero_point']:g} mag/arcsec²"
        yield title, f"{zero_point}, filter {channel['filter']}, offset {channel['offset_hz']:g} Hz"
    yield "authorised", _yes(one["authorised"])
    yield "registered", one["registered"]
    yield "place", f"{one['place']} (number {one['location_id']})"
    if one["longitude"] is not None:
        height = "" if one["elevation"] is None else f", {one['elevation']:g} m"
        yield "", f"latitude {one['latitude']:.6g}°, longitude {one['longitude']:.6g}°{height}"
        yield "region", ", ".join(one[each] for each in ("town", "sub_region", "region", "country"))
        yield "time zone", one["timezone"]
    yield "observer", f"{one['observer_name']} (number {one['observer_id']})"
    yield "version", f"{one['tess_id']}, since {moment(one['valid_since'])} UTC"
    last = one["last_reading"]
    yield "last reading", "none" if last is None else f"{moment(last)} UTC"


def _natural(name: str) -> list[tuple[int, str]]:
    """Digits compare as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _zero_points(one: Row) -> str:
    return " ".join(f"{channel['zero_point']:g}" for channel in one["channels"])


def _ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    return duration(seconds) if seconds >= 1 else "now"


def _until(one: Row) -> str:
    return "" if one["valid_state"] == "Current" else moment(one["valid_until"])


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
