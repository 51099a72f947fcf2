# SPDX-License-Identifier: MIT
"""``tessmon telemetry show|tail|codes``: what devices have said, what they say now, and what they can say."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import configuration, group, leaf, point_in_time, positive, print_json
from tessmon.cli.connecting import add_dsn, connected
from tessmon.cli.fields import any_name
from tessmon.cli.table import COLUMNS, clipped, paragraph, printable, table

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from psycopg2.extensions import connection

    from tessmon.cli.arguments import Subparsers
    from tessmon.database.events import Choice, StoredEvent
    from tessmon.decode.schemas import Event, Field

LIMIT = 20
_BEFORE = 10
"""Events that tail shows before it waits for more."""
_LOOK_S = 1.0
_LATE = timedelta(seconds=30)
"""Events of one time may be stored so long one after the other: files are read device by device."""
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_INDENT = 20


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "telemetry", "look at what devices say")
    show = leaf(verbs, "show", "show the newest telemetry events of a device", listing=True)
    show.add_argument(
        "device", type=any_name, metavar="DEVICE", help="its name, as in the names of its files"
    )
    show.add_argument(
        "--since", type=point_in_time, default=_FIRST, metavar="TIME", help="at or after, or 2h ago"
    )
    show.add_argument(
        "--until", type=point_in_time, default=_LAST, metavar="TIME", help="at or before, or 2h ago"
    )
    show.add_argument(
        "--limit", type=positive, default=LIMIT, metavar="N", help="the newest N (default: %(default)s)"
    )
    tail = leaf(verbs, "tail", "show telemetry events as they are stored, until Ctrl-C", listing=True)
    tail.add_argument(
        "devices", nargs="*", type=any_name, metavar="DEVICE", help="names (default: all devices)"
    )
    tail.add_argument("--limit", type=positive, metavar="N", help="end after N events")
    codes = leaf(verbs, "codes", "list the event codes that can be decoded", listing=True)
    codes.add_argument(
        "word", nargs="?", default="", metavar="WORD", help="those with this in their name, in full"
    )
    for parser in (show, tail):
        _add_event_code(parser)
        add_dsn(parser)


def _add_event_code(parser: ArgumentParser) -> None:
    parser.add_argument("--ec", type=any_name, metavar="NAME", help="of this event code, as telem_stdcam")


def run(arguments: Namespace) -> int:
    return {"show": _show, "tail": _tail, "codes": _codes}[arguments.verb](arguments)


def _show(arguments: Namespace) -> int:
    from tessmon.database.events import Choice, newest

    with connected(arguments) as database:
        chosen = Choice([arguments.device], arguments.ec)
        events = newest(database, chosen, arguments.since, arguments.until, arguments.limit)
    if arguments.json:
        print_json([event.plain() for event in events])
    elif not events:
        print(f"no telemetry of {printable(arguments.device)} at that time")
    else:
        titles = ["time (UTC)", "prio", "ec", "message"]
        rows = [(_moment(event), event.prio, event.ec, _message(event)) for event in events]
        whole = table(titles, rows, columns=None)  # with room for nanoseconds
        print("\n".join(clipped(line, COLUMNS) for line in whole.splitlines()))
    return 0


def _tail(arguments: Namespace) -> int:
    from tessmon.database.events import Choice

    left = arguments.limit
    try:
        with connected(arguments) as database:
            for event in _followed(database, Choice(arguments.devices, arguments.ec), left or _BEFORE):
                print(json.dumps(event.plain()) if arguments.json else _line(event), flush=True)
                if left is not None:
                    left -= 1
                    if not left:
                        break
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def _followed(database: connection, chosen: Choice, before: int) -> Iterator[StoredEvent]:
    """The last ones, and then each that is stored, for ever."""
    from tessmon.database.events import after, newest

    events = newest(database, chosen, _FIRST, _LAST, before)
    latest = events[-1].ts if events else _FIRST
    seen = {_key(event) for event in after(database, chosen, latest - _LATE)} if events else set()
    yield from events
    while True:
        time.sleep(_LOOK_S)
        found = after(database, chosen, latest - _LATE)
        fresh = [event for event in found if _key(event) not in seen]
        latest = max([latest, *(event.ts for event in fresh)])
        seen = {_key(event) for event in found if event.ts >= latest - _LATE}
        yield from fresh


def _key(event: StoredEvent) -> tuple[Any, ...]:
    return event.device, event.ts, event.ns, event.ec, event.digest


def _codes(arguments: Namespace) -> int:
    from tessmon.decode.schemas import Schemas

    files = configuration(arguments).config.files
    known = [event for event in Schemas.load(files.schemas if files else ()) if arguments.word in event.name]
    if arguments.json:
        print_json([_plain(event) for event in known])
    elif not known:
        print(f"no event code has {printable(arguments.word)} in its name: [files] schemas can add it")
    elif arguments.word:
        print("\n\n".join("\n".join(_in_full(event)) for event in known))
    else:
        rows = [(event.code, event.name, _since(event), ", ".join(_names(event))) for event in known]
        print(table(["code", "name", "from", "fields"], rows))
    return 0


def _in_full(event: Event) -> Iterator[str]:
    """An event code and its fields, a line each."""
    since = _since(event)
    yield f"{event.code} {event.name}{f', from {since} on' if since else ''}"
    if event.fields is None:
        yield "  no message"
    for field in event.fields or ():
        yield from _field_lines(field, "  ")


def _field_lines(field: Field, indent: str) -> Iterator[str]:
    default = f" = {field.default}" if field.default else ""
    yield paragraph(
        f"{indent}{field.name}", f"{field.declared}{default}", max(_INDENT, len(indent + field.name) + 2)
    )
    for inner in field.table or ():
        yield from _field_lines(inner, indent + "  ")


def _names(event: Event) -> list[str]:
    return [field.name for field in event.fields or ()]


def _since(event: Event) -> str:
    return f"{datetime.fromtimestamp(event.from_s, UTC):%Y-%m-%d}" if event.from_s else ""


def _plain(event: Event) -> dict[str, Any]:
    fields = None if event.fields is None else [_plain_field(field) for field in event.fields]
    return {"code": event.code, "name": event.name, "from": _since(event) or None, "fields": fields}


def _plain_field(field: Field) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": field.name, "type": field.declared}
    if field.table is not None:
        plain["fields"] = [_plain_field(inner) for inner in field.table]
    elif field.type != "string" and not field.vector:
        plain["default"] = field.default
    return plain


def _line(event: StoredEvent) -> str:
    """One event on one line; as wide as it is, for what reads it may not be a terminal."""
    return printable(f"{_moment(event)} {event.device} {event.prio} {event.ec} {_message(event)}")


def _moment(event: StoredEvent) -> str:
    return event.stamp[:-1].replace("T", " ")


def _message(event: StoredEvent) -> str:
    return json.dumps(event.msg, ensure_ascii=False)
