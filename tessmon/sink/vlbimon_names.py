# SPDX-License-Identifier: MIT
"""Names of vlbimon: numbers and views of parameters, which stations there are, what events say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.logger import Logger

from tessmon.breath import Breath
from tessmon.database.session import Session
from tessmon.records.batch import Batch
from tessmon.records.vlbimon import BRIDGE, HALVES, Masterlist, Parameter, Point
from tessmon.records.vlbimon_walk import is_name
from tessmon.sink.arrays import number_array, text_array
from tessmon.sink.keeping import printable

MAX_NAMES = 20_000
"""Parameters and stations remembered; the array has 560 and 11."""
NAMES_PER_CALL = 200
"""Parameters in a call: each may get a view, for which the server takes locks until the call's end, and others wait."""
SLICE_ITEMS = 1000
"""Records looked at before one looks how long it took."""
_LOGGED_PER_BATCH = 20

_EVENT_GROUPS = ("telescope_", "observerMessages_")
_EVENT_WORDS = {
    "telescope_sourceName": "source name",
    "telescope_observingMode": "mode",
    "telescope_pointingCorrection": "pointing",
    "telescope_focusCorrection": "focus",
    "observerMessages_observatoryStatus": "status",
}
_ON_SOURCE = "telescope_onSource"
_NO_EVENT = "telescope_epochType"

_PARAMETERS_SQL = """
SELECT * FROM tessmon_vlbimon_parameters(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::float8[],
                                         %s::float8[], %s::text[])"""
_STATIONS_SQL = """
INSERT INTO vlbimon_stations AS s (station, listed) SELECT station, %s FROM unnest(%s::text[]) AS r(station)
ON CONFLICT (station) DO UPDATE SET listed = true WHERE excluded.listed AND NOT s.listed RETURNING station"""


def event_phrase(parameter: Parameter) -> str | None:
    """What an event of the parameter says between station and value, None when it makes no events."""
    name = parameter.name
    if name == _ON_SOURCE:
        return "is"
    group = next((group for group in _EVENT_GROUPS if name.startswith(group)), None)
    if group is None or parameter.datatype != "string" or name == _NO_EVENT:
        return None
    return f"{_EVENT_WORDS.get(name, name.removeprefix(group))} is"


class Names:
    """Remembers numbers of parameters and which stations there are; has those made that are new.

    A new name that is in no masterlist is told in the log when the database learns it, so once.

    Args:
        breath: lets the reactor do other things.
        max_names: remembered; with more, all are learned again.
    """

    log = Logger()

    def __init__(self, breath: Breath, max_names: int = MAX_NAMES) -> None:
        self._breath = breath
        self._max_names = max_names
        self.parameters: dict[str, int] = {}
        self._stations: set[str] = set()
        self._list: tuple[object, ...] = ()

    def forget(self) -> None:
        """Another database, or a restored one."""
        self.parameters.clear()
        self._stations.clear()
        self._list = ()

    async def learn(self, connection: Session, batch: Batch) -> None:
        """Make the names of a batch known, in transactions of their own: none may be open.

        Raises:
            psycopg2.Error: the database's trouble.
        """
        if len(self.parameters) + len(self._stations) > self._max_names:
            self.parameters.clear()
            self._stations.clear()
        stations: set[str] = set()
        first: dict[str, Point] = {}
        for number, item in enumerate(batch.items):
            record = item.record
            if isinstance(record, Point):
                stations.add(record.station)
                if record.parameter not in self.parameters:
                    first.setdefault(record.parameter, record)
            elif isinstance(record, Masterlist):
                await self._take_up(connection, record)
            if not number % SLICE_ITEMS and self._breath.due:
                await self._breath.take()
        await self._learn_stations(connection, stations - {BRIDGE})
        unknown = {name: point for name, point in first.items() if name not in self.parameters}
        entries = [_entry(point) for point in unknown.values()]
        for number, name in enumerate(await self._see_to(connection, entries)):
            if unknown[name].derived:
                continue
            if number == _LOGGED_PER_BATCH:
                self.log.warn("more new parameters that are in no masterlist: see vlbimon_parameters")
                break
            self.log.warn(
                "parameter {parameter} of {station} is in no masterlist: it is stored as it comes",
                parameter=name,
                station=unknown[name].station,
            )

    async def _take_up(self, connection: Session, masterlist: Masterlist) -> None:
        found = masterlist.parameters, masterlist.stations
        if found == self._list:
            return
        entries: dict[str, Parameter] = {}
        for one in masterlist.parameters:
            if is_name(one.name) and (one.name not in entries or not one.stations):
                entries[one.name] = one
        for one in list(entries.values()):
            for ending in HALVES.get(one.datatype, ()):
                entries.setdefault(one.name + ending, Parameter(one.name + ending, "float", "derived"))
        new = await self._see_to(connection, list(entries.values()))
        stations = [station for station in masterlist.stations if is_name(station)]
        await connection.query(_STATIONS_SQL, [True, text_array(stations)])
        self._stations.update(stations)
        self._list = found
        self.log.info(
            "a masterlist with {count} parameters of {stations} stations is taken up, {new} are new",
            count=len(entries),
            stations=len(stations),
            new=len(new),
        )

    async def _see_to(self, connection: Session, entries: Sequence[Parameter]) -> list[str]:
        """Have these in the database, with views; gives the names that were not there."""
        new: list[str] = []
        for at in range(0, len(entries), NAMES_PER_CALL):
            rows = await connection.query(_PARAMETERS_SQL, _columns(entries[at : at + NAMES_PER_CALL]))
            for name, number, is_new, complaint in rows:
                self.parameters[name] = number
                if is_new:
                    new.append(name)
                if complaint is not None:
                    self.log.warn("parameter {parameter}: {complaint}", parameter=name, complaint=complaint)
        return new

    async def _learn_stations(self, connection: Session, stations: set[str]) -> None:
        unknown = stations - self._stations
        if not unknown:
            return
        rows = await connection.query(_STATIONS_SQL, [False, text_array(sorted(unknown))])
        self._stations |= unknown
        for (station,) in rows[:_LOGGED_PER_BATCH]:
            self.log.warn("station {station} is in no masterlist: what it sends is stored", station=station)


def _entry(point: Point) -> Parameter:
    """What is known of a parameter by its point: nothing, or that its values are computed here."""
    datatype = {int: "int", float: "float"}.get(type(point.value), "") if point.derived else ""
    return Parameter(point.parameter, datatype, "derived" if point.derived else "")


def _columns(entries: Iterable[Parameter]) -> list[str]:
    entries = list(entries)
    return [
        text_array(one.name for one in entries),
        text_array(printable(one.datatype) or None for one in entries),
        text_array(printable(one.partype) for one in entries),
        text_array(printable(one.units) for one in entries),
        text_array(printable(one.description) for one in entries),
        number_array(one.cadence_public_s for one in entries),
        number_array(one.cadence_private_s for one in entries),
        text_array(event_phrase(one) for one in entries),
    ]
