# SPDX-License-Identifier: MIT
"""Stations of the array with their habits: what each would send in a span of time.

Times are of a clock that the caller moves, so an hour can pass in a minute. The same seed gives the same points.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MASTERLIST = Path(__file__).parent / "vlbimon" / "masterlist.json"
STATIONS = ("ALMA", "APEX", "GLT", "JCMT", "KP", "LMT", "NOEMA", "PICO", "SMA", "SMTO", "SPT")
BUNCHING, BUNCH_S = "GLT", 45.0
"""A station that sends what it measured in bunches, this far apart [s]."""
LATE, LATE_S = "SPT", 240.0
"""A station whose points come this late [s]."""
CORRECTING, CORRECTIONS = "LMT", 0.02
"""A station that sends some points again, with the same stamp and another value: this part of them."""
BOOLEAN = ("KP", "SMTO", "SMA")
FLOATING = ("SMA", "JCMT")
"""Stations whose stamps are not whole seconds."""
SMA_TSYS_UNKNOWN = 199_999.8
ON_CHANGE_S = 600.0
"""How long a value lasts that is sent when it changes: about this, where nothing else is said [s]."""
_OFTEN_S = {"telescope_sourceName": 60.0, "telescope_onSource": 20.0, "telescope_observingMode": 45.0}
_SOURCES = ("M87", "3C279", "SGRA", "OJ287", "NRAO530", "Ceres")
_NEVER = {("PICO", "if_1_systemTemp")}

Delivery = tuple[float, str, str, int | float, Any]
"""When it reaches the server [s], station, parameter, stamp, value."""


def masterlist() -> dict[str, dict[str, Any]]:
    """The list of the whole array."""
    return json.loads(MASTERLIST.read_text())


class Stations:
    """What stations measure and send, from a time on.

    Args:
        start_s: the first moment [s since 1970 UTC].
        seed: of all chance.
        parameters: names to send, None for all of the list.
        stations: who sends.
    """

    def __init__(
        self,
        start_s: float,
        *,
        seed: int = 5,
        parameters: Sequence[str] | None = None,
        stations: Sequence[str] = STATIONS,
    ) -> None:
        self._chance = random.Random(seed)
        self._order = 0
        self._due: list[tuple[float, int, str, str, Mapping[str, Any]]] = []
        self._coming: list[tuple[float, int, Delivery]] = []
        found = masterlist()
        for station in stations:
            for name, entry in {**found["default"], **found[station]}.items():
                sent = entry["datatype"] != "none" and (station, name) not in _NEVER
                if sent and (parameters is None or name in parameters):
                    self._push(
                        start_s + self._chance.random() * self._step_s(name, entry), station, name, entry
                    )

    def until(self, end_s: float) -> Iterator[Delivery]:
        """What reaches the server before this time, in that order; each call goes on where the last one ended."""
        while self._due and self._due[0][0] < end_s:
            at_s, _, station, name, entry = heapq.heappop(self._due)
            self._measure(at_s, station, name, entry)
            self._push(at_s + self._step_s(name, entry), station, name, entry)
        while self._coming and self._coming[0][0] < end_s:
            yield heapq.heappop(self._coming)[2]

    def rest(self) -> Iterator[Delivery]:
        """What was measured and has not come yet."""
        while self._coming:
            yield heapq.heappop(self._coming)[2]

    def _push(self, at_s: float, station: str, name: str, entry: Mapping[str, Any]) -> None:
        self._order += 1
        heapq.heappush(self._due, (at_s, self._order, station, name, entry))

    def _step_s(self, name: str, entry: Mapping[str, Any]) -> float:
        """Until the next value; always over a second, so that only corrections share one."""
        cadence_s = entry.get("cadence", {}).get("private", 0)
        if cadence_s:
            return float(cadence_s)
        return 2.0 + self._chance.expovariate(1 / _OFTEN_S.get(name, ON_CHANGE_S))

    def _measure(self, at_s: float, station: str, name: str, entry: Mapping[str, Any]) -> None:
        stamp: int | float = round(at_s, 6) if station in FLOATING else int(at_s)
        arrival_s = at_s
        if station == BUNCHING:
            arrival_s = (at_s // BUNCH_S + 1) * BUNCH_S
        elif station == LATE:
            arrival_s = at_s + LATE_S * self._chance.uniform(0.5, 1.0)
        self._send(arrival_s, station, name, stamp, self.value(station, name, entry))
        if station == CORRECTING and self._chance.random() < CORRECTIONS:
            self._send(arrival_s + 0.5, station, name, stamp, self.value(station, name, entry))

    def _send(self, arrival_s: float, station: str, name: str, stamp: int | float, value: Any) -> None:
        self._order += 1
        delivery = (arrival_s, station, name, stamp, value)
        heapq.heappush(self._coming, (arrival_s, self._order, delivery))

    def value(self, station: str, name: str, entry: Mapping[str, Any]) -> Any:
        """What a station may say."""
        chance, datatype = self._chance, entry["datatype"]
        if name == "telescope_sourceName":
            return " " if station == "SMA" and chance.random() < 0.3 else chance.choice(_SOURCES)
        if name == "telescope_observingMode":
            words = (
                ("Tracking", "slewing", "stationary", " ")
                if station == "SMA"
                else ("vlbi", "pointing", "focus")
            )
            return chance.choice(words)
        if name == "if_1_systemTemp" and station == "SMA" and chance.random() < 0.2:
            return SMA_TSYS_UNKNOWN
        if name == "weather_precipCondition":
            return chance.choice(("dry", "fog"))
        if datatype == "boolean":
            return self._switch(station, name, chance.random() < 0.5)
        if datatype in ("AzElCoordinates", "CelestialCoordinates", "Coordinates"):
            return self._coordinates(station)
        if datatype in ("float", "number") or name.endswith(("Datarate", "SpaceLeft", "TimeLeft")):
            return chance.choice((chance.uniform(-50, 350), round(chance.uniform(0, 20), 3), 1.5e-7, -0.0))
        if datatype == "int":
            return chance.choice((0, -1, chance.getrandbits(16), chance.getrandbits(62)))
        return chance.choice(("ok", "é ü 望", 'a, "b"\n c', "", f"{name} {chance.getrandbits(16)}"))

    def _switch(self, station: str, name: str, on: bool) -> Any:
        """A truth value; on-source is a word at most stations."""
        if name != "telescope_onSource" or station in BOOLEAN:
            return on
        return ("true" if on else "false") if station in ("ALMA", "APEX", "GLT") else str(on)

    def _coordinates(self, station: str) -> str:
        azimuth, elevation = self._chance.uniform(0, 360), self._chance.uniform(-5, 90)
        if station == "SMA":
            return f"{azimuth:.5f}+{elevation:.5f}"  # a plus even before a minus
        if station == "APEX":
            return f"{azimuth:.11f}{elevation:+.11f}"
        return f"{azimuth:.4f}{elevation:+.4f}"
