# SPDX-License-Identifier: MIT
"""``tessmon vlbimon status``."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tessmon.cli.arguments import print_json
from tessmon.cli.service import admin_socket
from tessmon.cli.status import journal_lines, waiting_text
from tessmon.cli.table import clipped, duration, how_many, moment_ns, paragraph, printable

NAME = "vlbimon"
_NS = 1_000_000_000
_CURSOR = 60
"""A cursor is whatever the server likes, and no more of it is shown [columns]."""


def run(arguments: Namespace) -> int:
    """What the running service says of its source, journal and lane of this name."""
    from tessmon.control.client import ask

    status = chosen(ask(admin_socket(arguments), "/status"))
    if arguments.json:
        print_json(status)
    elif not status["vlbimon"]:
        print("the service asks no vlbimon server: its configuration has no [vlbimon] table")
    else:
        print(rendered(status))
    return 0


def chosen(status: dict[str, Any]) -> dict[str, Any]:
    """Of the service's status what belongs here, and what is owed [s]: until now, history is not whole."""
    now_s = status["now_ns"] / _NS
    sources = [
        {**each, "owed_s": None if each["swept_s"] is None else max(0.0, now_s - each["swept_s"])}
        for each in status.get(NAME, [])
    ]
    return {
        "now_ns": status["now_ns"],
        "paused": status["paused"],
        NAME: sources,
        "journals": [each for each in status["journals"] if each["name"] == NAME],
        "lanes": [each for each in status["lanes"] if each["name"] == NAME],
        "waiting": status["waiting"].get(NAME),
    }


def rendered(status: dict[str, Any]) -> str:
    """In lines of at most 80 columns."""
    now_ns = status["now_ns"]
    lines: list[str] = []
    for source in status[NAME]:
        lines += _source(source, now_ns)
    for journal in status["journals"]:
        lines += journal_lines(journal, {}, now_ns)
    for lane in status["lanes"]:
        lines += _lane(lane, status["waiting"], now_ns)
    return "\n".join(lines)


def _source(source: dict[str, Any], now_ns: int) -> Iterator[str]:
    since = duration((now_ns - source["since_ns"]) / _NS)
    yield paragraph("state", f"{source['state']}, since {moment_ns(source['since_ns'])} UTC ({since})")
    yield paragraph("", source["detail"])
    yield paragraph("server", source["server"])
    yield paragraph("polls", _polls(source, now_ns))
    if source["failures"]:
        yield paragraph("", f"the last {source['failures']:,} in a row failed")
    if source["next_poll_ns"]:
        yield paragraph("", _next(source, now_ns))
    cursor = source["cursor"]
    yield paragraph("cursor", clipped(printable(cursor), _CURSOR) if cursor else "the server sent none yet")
    yield paragraph("sessions", f"{source['sessions']:,} made since the start")
    yield paragraph("history", _history(source, now_ns))
    yield paragraph("", f"{how_many(source['questions'], 'call')} for it since the start")
    if not source["listed"]:
        yield paragraph("", _unlisted(source))


def _polls(source: dict[str, Any], now_ns: int) -> str:
    counts = f"{source['polls']:,} brought a snapshot, {source['failed']:,} failed"
    if not source["last_poll_ns"]:
        return f"{counts}; none came yet"
    ago = duration((now_ns - source["last_poll_ns"]) / _NS)
    return f"{counts}; the last one came {ago} ago and took {duration(source['took_s'])}"


def _next(source: dict[str, Any], now_ns: int) -> str:
    what = "try" if source["failures"] else "poll"
    left_ns = source["next_poll_ns"] - now_ns
    if left_ns <= 0:
        return f"the next {what} is due"
    why = ", as the server asked (Retry-After)" if source["left_alone"] else ""
    return f"next {what} in {duration(left_ns / _NS)}{why}"


def _unlisted(source: dict[str, Any]) -> str:
    """What is done without a masterlist."""
    asked_s = source["asked_s"]
    up_to = "" if asked_s is None else f", up to {moment_ns(asked_s * _NS)} UTC so far"
    return (
        f"there is no masterlist yet: until it comes, only what snapshots had is asked for{up_to};"
        " then all of that time is asked for again"
    )


def _history(source: dict[str, Any], now_ns: int) -> str:
    going = ", and is being asked for" if source["sweeping"] else ""
    if source["swept_s"] is None:
        return f"nobody knows up to when it is whole{going}"
    owed = duration(source["owed_s"])
    return f"whole up to {moment_ns(source['swept_s'] * _NS)} UTC; {owed} are owed{going}"


def _lane(lane: dict[str, Any], waiting: dict[str, Any] | None, now_ns: int) -> Iterator[str]:
    yield paragraph("lane", f"{lane['state']}: {lane['detail']}")
    if waiting is not None:
        yield paragraph("", f"waiting: {waiting_text(waiting, now_ns)}")
    if lane["lag_s"] is not None:
        yield paragraph("", f"lag {duration(lane['lag_s'])}")
    counts: Counter[str] = Counter()
    causes: dict[str, Counter[str]] = {}
    for outcome, cause, count in lane["outcomes"]:
        counts[outcome] += count
        causes.setdefault(outcome, Counter())[cause] += count
    for outcome in ("stored", "duplicate", "filtered", "rejected"):
        named = ", ".join(
            f"{cause} {count:,}"
            for cause, count in causes.get(outcome, Counter()).items()
            if cause and count > 0
        )
        yield paragraph(f"  {outcome}", f"{counts[outcome]:,}" + (f" ({named})" if named else ""))
