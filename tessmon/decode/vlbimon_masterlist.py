# SPDX-License-Identifier: MIT
"""The masterlist: which parameters a vlbimon server knows, of which kind, and which stations.

Source: ``/static/masterlist.json``: ``default`` holds parameters of all stations, each other key is a station with
those that are its own or deviate.
"""

from __future__ import annotations

import json
import math
from typing import Any

from msgspec.structs import replace

from tessmon.decode.refusal import Refusal, quoted
from tessmon.decode.vlbimon_values import storable
from tessmon.errors import Reason
from tessmon.records.frame import Frame
from tessmon.records.vlbimon import Masterlist, Parameter
from tessmon.records.vlbimon_walk import is_name, text_of

DEFAULT = "default"
MAX_PARAMETERS, MAX_STATIONS = 5000, 500
"""What one list may bring; it has a tenth of that."""
MAX_TEXT_CHARACTERS = 1000


def masterlist_of(frame: Frame) -> tuple[Masterlist, dict[str, str]]:
    """The list, and name → why it was left out for each entry that can't be understood. A parameter is as ``default``
    has it, else as the first station that does.

    Raises:
        Refusal: it is no JSON object.
    """
    document = _object(frame.payload)
    found: dict[str, Parameter] = {}
    complaints: dict[str, str] = {}
    stations: list[str] = []
    for place in sorted(document, key=lambda name: (name != DEFAULT, name)):
        if place != DEFAULT:
            if not is_name(place) or len(stations) == MAX_STATIONS:
                complaints[place] = "it can't be a station's name, or is one too many"
                continue
            stations.append(place)
        entries = document[place]
        if isinstance(entries, dict):
            _take(entries, () if place == DEFAULT else (place,), found, complaints)
        else:
            complaints[place] = f"{quoted(entries)} is no object"
    return Masterlist(frame, tuple(found.values()), tuple(stations)), complaints


def _take(
    entries: dict[str, Any], own: tuple[str, ...], found: dict[str, Parameter], complaints: dict[str, str]
) -> None:
    for name, entry in entries.items():
        known = found.get(name)
        if known is None:
            why = _complaint(name, entry, len(found))
            if why:
                complaints[name] = why
            else:
                found[name] = _parameter(name, entry, own)
        elif known.stations:
            found[name] = replace(known, stations=known.stations + own)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text_of(payload).removeprefix("\ufeff"), strict=False, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.NOT_JSON, f"{ascii(str(error))[1:-1]} in {quoted(payload)}") from None
    if not isinstance(document, dict):
        raise Refusal(Reason.INVALID, f"{quoted(payload)} is JSON, but not a masterlist")
    return document


def _number(digits: str) -> float:
    """Cadences are the only numbers in it."""
    return float(digits)


def _complaint(name: str, entry: Any, known: int) -> str:
    """Why an entry is none, empty when it is one."""
    if not is_name(name):
        return "it can't be a parameter's name"
    if not isinstance(entry, dict):
        return f"{quoted(entry)} is no object"
    datatype = entry.get("datatype")
    if not isinstance(datatype, str) or not is_name(datatype):
        return f"{quoted(datatype)} is no datatype"
    return "" if known < MAX_PARAMETERS else f"there are more than {MAX_PARAMETERS} parameters"


def _parameter(name: str, entry: dict[str, Any], stations: tuple[str, ...]) -> Parameter:
    cadence = entry.get("cadence")
    if not isinstance(cadence, dict):
        cadence = {}
    return Parameter(
        name,
        entry["datatype"],
        _text(entry, "partype"),
        _text(entry, "units"),
        _text(entry, "description"),
        _seconds(cadence, "public"),
        _seconds(cadence, "private"),
        stations,
    )


def _text(entry: dict[str, Any], key: str) -> str:
    text = entry.get(key)
    return storable(text[:MAX_TEXT_CHARACTERS]) if isinstance(text, str) else ""


def _seconds(cadence: dict[str, Any], key: str) -> float | None:
    number = cadence.get(key)
    if isinstance(number, float) and math.isfinite(number) and number >= 0:
        return number
    return None
