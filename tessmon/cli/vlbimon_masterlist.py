# SPDX-License-Identifier: MIT
"""``tessmon vlbimon masterlist``."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tessmon.cli.arguments import configuration, print_json
from tessmon.cli.linking import link_parameters, linked
from tessmon.cli.progress import ProgressLine
from tessmon.cli.table import how_many, paragraph
from tessmon.cli.vlbimon import configured
from tessmon.errors import TessmonError

if TYPE_CHECKING:
    from tessmon.cli.reacting import Ending
    from tessmon.database.points import Known, KnownParameter
    from tessmon.records.frame import Frame
    from tessmon.records.vlbimon import Masterlist, Parameter

IDENTITY = "masterlist"
"""The origin of lists that this command brings."""
_INDENT = 36
"""Room for the longest name [columns]."""
_FIELDS = ("datatype", "partype", "units", "description", "cadence_public_s", "cadence_private_s")


class Change(NamedTuple):
    """A parameter that is new in the list (was is None), or that was something else; field → what."""

    parameter: str
    was: dict[str, Any] | None
    now: dict[str, Any]


def run(arguments: Namespace) -> int:
    """What differs from what the database knows, which knows it afterwards."""
    line = ProgressLine()
    frame, masterlist = _from_file(arguments) if arguments.file else _asked(arguments, line)
    before = _take_up(arguments, frame, line)
    changed = list(changes({each.parameter.name: each for each in before.parameters}, masterlist))
    stations = sorted(set(masterlist.stations) - set(before.stations))
    if arguments.json:
        print_json(
            {
                "parameters": len(masterlist.parameters),
                "stations": list(masterlist.stations),
                "new_stations": stations,
                "changes": [each._asdict() for each in changed],
            }
        )
        return 0
    print(
        f"{how_many(len(masterlist.parameters), 'parameter')}, {how_many(len(masterlist.stations), 'station')}"
    )
    if stations:
        print(paragraph("new", f"stations {', '.join(stations)}"))
    for change in changed:
        print(paragraph(change.parameter, _words(change), _INDENT))
    if not changed:
        print("no parameter is new or has changed")
    return 0


def changes(known: Mapping[str, KnownParameter], masterlist: Masterlist) -> Iterator[Change]:
    """By name."""
    for parameter in sorted(masterlist.parameters, key=lambda one: one.name):
        now = _fields(parameter)
        before = known.get(parameter.name)
        if before is None or not before.parameter.datatype:
            yield Change(parameter.name, None, now)
            continue
        was = _fields(before.parameter)
        if was != now:
            other = [name for name in _FIELDS if was[name] != now[name]]
            yield Change(
                parameter.name, {name: was[name] for name in other}, {name: now[name] for name in other}
            )


def _fields(parameter: Parameter) -> dict[str, Any]:
    return {name: getattr(parameter, name) for name in _FIELDS}


def _words(change: Change) -> str:
    """What is new: datatype, unit and kind; or what has changed, from what to what."""
    now, was = change.now, change.was
    if was is None:
        return f"new: {', '.join(now[name] for name in ('datatype', 'units', 'partype') if now[name])}"
    return ", ".join(f"{name} was {_shown(was[name])}, is {_shown(now[name])}" for name in now)


def _shown(value: object) -> str:
    return "nothing" if value in ("", None) else str(value)


def _from_file(arguments: Namespace) -> tuple[Frame, Masterlist]:
    from tessmon.past.fetching import masterlist_of_file

    try:
        return masterlist_of_file(arguments.file.read_bytes(), time.time_ns())
    except ValueError:
        raise TessmonError(
            f"{arguments.file} is no masterlist: a JSON object is wanted, with `default` and a key for each station"
        ) from None


def _asked(arguments: Namespace, line: ProgressLine) -> tuple[Frame, Masterlist]:
    from tessmon.cli.reacting import InterruptedWork, react
    from tessmon.past.asking import Asking
    from tessmon.past.fetching import masterlist_frame

    _, settings = configured(arguments)

    async def ask(reactor: Any, ending: Ending) -> tuple[Frame, Masterlist]:
        asking = Asking(settings, reactor, line.say)
        try:
            return await masterlist_frame(asking, time.time_ns)
        finally:
            await asking.close()

    try:
        return react(ask)
    except InterruptedWork:
        raise KeyboardInterrupt from None


def _take_up(arguments: Namespace, frame: Frame, line: ProgressLine) -> Known:
    """What was known before."""
    from tessmon.database.points import known
    from tessmon.past.storing import Storing
    from tessmon.past.to_database import ToDatabase

    config = configuration(arguments).config
    with linked(config, link_parameters(arguments, config, "tessmon masterlist"), line) as link:
        before = link.run(known)
        place = ToDatabase(Storing(config, link, IDENTITY), IDENTITY)
        place.done_s()
        place.know(frame)
    return before
