# SPDX-License-Identifier: MIT
"""``tessmon rejects list|show|retry``: what could not be stored, why, and another try for it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import group, leaf, point_in_time, positive, print_json
from tessmon.cli.connecting import add_dsn, connected
from tessmon.cli.reject_rows import Filter, count_by_reason, mark_due, newest, one, unknown_ids
from tessmon.cli.table import moment, paragraph, printable, table
from tessmon.errors import Reason, TessmonError

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

LIMIT = 50
_INDENT = 14
_PER_LINE = 32
"""Bytes in one line of a dump."""


class NoSuchRejectError(TessmonError):
    """What was asked for is not in the table, or not any more."""


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "rejects", "look at what could not be stored, and have it tried again")
    listing = leaf(verbs, "list", "list rejects, the newest first, with their number by reason", listing=True)
    _add_filter(listing)
    listing.add_argument(
        "--since", type=point_in_time, metavar="TIME", help="came at or after, or 2h for 2 h ago"
    )
    listing.add_argument(
        "--limit", type=positive, default=LIMIT, metavar="N", help="at most (default: %(default)s)"
    )
    show = leaf(verbs, "show", "show all that is known of one reject", listing=True)
    show.add_argument("id", type=positive, metavar="ID", help="of the reject, as listed")
    retry = leaf(verbs, "retry", "have the running service take rejects again")
    retry.add_argument("ids", nargs="*", type=positive, metavar="ID", help="of rejects, as listed")
    _add_filter(retry)
    retry.add_argument("--all", action="store_true", help="every reject")
    retry.set_defaults(usage_error=retry.error)
    for parser in (listing, show, retry):
        add_dsn(parser)


def run(arguments: Namespace) -> int:
    return {"list": _list, "show": _show, "retry": _retry}[arguments.verb](arguments)


def _add_filter(parser: Any) -> None:
    reasons = [str(each) for each in Reason]
    parser.add_argument("--reason", choices=reasons, metavar="REASON", help=f"one of: {', '.join(reasons)}")
    parser.add_argument("--subject", metavar="NAME", help="the photometer's name, lower case")


def _list(arguments: Namespace) -> int:
    chosen = Filter(None, arguments.reason, arguments.subject, arguments.since)
    with connected(arguments) as database:
        counts = count_by_reason(database, chosen)
        rejects = newest(database, chosen, arguments.limit)
    if arguments.json:
        print_json({"counts": counts, "rejects": [_plain(reject) for reject in rejects]})
        return 0
    if not rejects:
        print("no rejects")
        return 0
    print(table(["rejects", "reason"], [(count, reason) for reason, count in counts.items()]))
    print()
    titles = ["id", "received (UTC)", "reason", "subject", "due", "detail"]
    print(table(titles, map(_row, rejects)))
    missing = sum(counts.values()) - len(rejects)
    if missing > 0:
        print(f"\n{missing} older ones are not shown: --limit")
    return 0


def _row(reject: dict[str, Any]) -> tuple[object, ...]:
    due = "due" if reject["due"] else ""
    return (
        reject["reject_id"],
        moment(reject["received_at"]),
        reject["reason"],
        reject["subject"],
        due,
        reject["detail"],
    )


def _show(arguments: Namespace) -> int:
    with connected(arguments) as database:
        reject = one(database, arguments.id)
    if reject is None:
        raise NoSuchRejectError(
            f"there is no reject {arguments.id}: it was stored meanwhile, or its time was over"
        )
    if arguments.json:
        print_json({**_plain(reject), "frame": _frame(reject)})
        return 0
    payload = reject.pop("payload")
    envelope = reject.pop("envelope")
    for name, value in reject.items():
        shown = moment(value) if isinstance(value, datetime) else str(value)
        print(paragraph(name, shown, _INDENT))
    for name, value in (_frame({"envelope": envelope, "payload": payload}) or {}).items():
        print(paragraph(f"frame {name}", str(value), 2 * _INDENT))
    print(f"\npayload, {len(payload)} bytes, as text:")
    print(printable(payload.decode("utf-8", "backslashreplace")) or "(empty)")
    print("\npayload in hexadecimal:")
    print("\n".join(dump(payload)) or "(empty)")
    return 0


def _retry(arguments: Namespace) -> int:
    given = [bool(arguments.ids), arguments.reason is not None, arguments.all]
    if sum(given) != 1 or (arguments.subject is not None and arguments.reason is None):
        arguments.usage_error("name IDs, or --reason (and --subject with it), or --all: one of these")
    chosen = Filter(arguments.ids or None, arguments.reason, arguments.subject)
    with connected(arguments) as database:
        unknown = unknown_ids(database, arguments.ids)
        count = mark_due(database, chosen)
    print(f"{count} {'reject is' if count == 1 else 'rejects are'} due: a running service takes them at once")
    if unknown:
        raise NoSuchRejectError(f"there is no reject {', '.join(map(str, unknown))}")
    return 0


def dump(payload: bytes) -> Iterator[str]:
    """Offset and bytes in hexadecimal."""
    for offset in range(0, len(payload), _PER_LINE):
        yield f"{offset:06x}  {payload[offset : offset + _PER_LINE].hex()}"


def _frame(reject: dict[str, Any]) -> dict[str, Any] | None:
    """The packed frame's own words; None when it can't be unpacked."""
    from tessmon.records.frame import FrameFormatError, FrameKind, unpack_frames

    try:
        (frame,) = unpack_frames(reject["envelope"] + reject["payload"])
        kind = FrameKind(frame.kind).name.lower()
    except (FrameFormatError, ValueError):
        return None
    return {
        "kind": kind,
        "received_ns": frame.received_ns,
        "topic": frame.topic,
        "length": frame.length,
        "kept": len(frame.payload),
        "qos": frame.qos,
        "dup": frame.dup,
        "retain": frame.retain,
        "packet_id": frame.packet_id,
        "generation": frame.generation,
    }


def _plain(reject: dict[str, Any]) -> dict[str, Any]:
    """As JSON can carry it: times in ISO 8601, bytes as text (with escapes) and in hexadecimal."""
    plain: dict[str, Any] = {}
    for name, value in reject.items():
        if isinstance(value, datetime):
            plain[name] = value.isoformat()
        elif isinstance(value, bytes):
            plain[f"{name}_hex"] = value.hex()
        else:
            plain[name] = value
    if "payload" in reject:
        plain["payload"] = reject["payload"].decode("utf-8", "backslashreplace")
    return plain
