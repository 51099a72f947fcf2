# SPDX-License-Identifier: MIT
"""``tessmon status``: the running service on one screen."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import leaf, print_json
from tessmon.cli.service import admin_socket
from tessmon.cli.table import duration, how_many, moment_ns, paragraph, size

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

_OUTCOMES = ("stored", "duplicate", "filtered", "rejected")
_MOMENT_S = 10.0


def add_parser(commands: Subparsers) -> None:
    leaf(
        commands,
        "status",
        "show how the service does; exit code 0 when what it accepts reaches the database, else 1",
        listing=True,
    )


def run(arguments: Namespace) -> int:
    from tessmon.control.client import ask

    status = ask(admin_socket(arguments), "/status")
    if arguments.json:
        print_json(status)
    else:
        print(rendered(status))
    return 0 if status["ready"] else 1


def rendered(status: dict[str, Any]) -> str:
    """The status in lines of at most 80 columns."""
    now_ns = status["now_ns"]
    lines = [*_service(status, now_ns)]
    for source in status["sources"]:
        lines += _source(source, now_ns)
    for files in status["files"]:
        lines += _files(files, now_ns)
    for vlbimon in status["vlbimon"]:
        lines += _vlbimon(vlbimon, now_ns)
    for journal in status["journals"]:
        lines += journal_lines(journal, {}, now_ns)
        lines += _growth(journal["name"], status["lanes"], now_ns)
    for lane in status["lanes"]:
        lines += _lane(lane, status["waiting"].get(lane["name"]), now_ns)
    return "\n".join(lines)


def journal_lines(journal: dict[str, Any], waiting: dict[str, Any], now_ns: int) -> Iterator[str]:
    """A journal, for this screen and for ``tessmon journal status``; ``waiting`` is by lane."""
    yield paragraph("journal", f"{journal['name']} in {journal['directory']}")
    yield paragraph(
        "",
        f"{how_many(journal['segments'], 'segment')}, {size(journal['size_bytes'])};"
        f" {size(journal['unpassed_bytes'])} count against the limit of {size(journal['max_bytes'])};"
        f" {size(journal['free_bytes'])} free on the disk",
    )
    for lane, left in waiting.items():
        yield paragraph("", f"waiting for lane {lane}: {waiting_text(left, now_ns)}")
    if journal["full"]:
        yield paragraph("", f"FULL: {journal['full']}")
    if journal["damaged"]:
        yield paragraph("", f"DAMAGED: {how_many(journal['damaged'], 'file')} set aside in its directory")


def waiting_text(waiting: dict[str, Any], now_ns: int) -> str:
    """What stands in a journal and not in the database."""
    if not waiting["frames"]:
        return "nothing"
    text = f"{how_many(waiting['frames'], 'frame')}, {size(waiting['size_bytes'])}"
    if waiting["oldest_ns"] is not None:
        text += f", the oldest came {duration((now_ns - waiting['oldest_ns']) / 1e9)} ago"
    return text


def _service(status: dict[str, Any], now_ns: int) -> Iterator[str]:
    yield paragraph(
        "tessmon", f"{status['version']}, process {status['pid']}, {_since(status['started_ns'], now_ns)}"
    )
    yield paragraph("state", f"{status['state']}: {status['ready_detail']}")
    if status["paused"]:
        paused = status["paused"]
        yield paragraph("paused", f"by {paused['by']}, {_since(paused['since_ns'], now_ns)}")
        yield paragraph("", _until(paused["until_ns"], now_ns))
    yield paragraph("config", status["config"]["path"] or "no file, all values are defaults")


def _state(what: str, one: dict[str, Any], now_ns: int) -> Iterator[str]:
    """Of a source or a lane."""
    yield paragraph(what, f"{one['name']} {one['state']}, {_since(one['since_ns'], now_ns)}")
    if one["detail"]:
        yield paragraph("", one["detail"])


def _source(source: dict[str, Any], now_ns: int) -> Iterator[str]:
    yield from _state("source", source, now_ns)
    yield paragraph(
        "",
        f"{source['received']:,} received, {source['journalled']:,} journalled,"
        f" {source['acknowledged']:,} acknowledged, {source['unacknowledged']:,} not yet,"
        f" {source['redelivered']:,} redelivered; {how_many(source['connects'], 'connection')}",
    )


def _files(files: dict[str, Any], now_ns: int) -> Iterator[str]:
    yield from _state("source", files, now_ns)
    yield paragraph(
        "",
        f"{how_many(files['files'], 'file')} in {how_many(files['directories'], 'directory', 'directories')},"
        f" {files['waiting']:,} wait to be read;"
        f" {files['mode']}",
    )


def _vlbimon(source: dict[str, Any], now_ns: int) -> Iterator[str]:
    yield from _state("source", source, now_ns)
    failures = f", the last {source['failures']:,} in a row" if source["failures"] else ""
    yield paragraph(
        "", f"{how_many(source['polls'], 'snapshot')}, {how_many(source['failed'], 'poll')} failed{failures}"
    )
    if source["swept_s"] is not None:
        owed = duration(max(0.0, now_ns / 1e9 - source["swept_s"]))
        going = ", it is being asked for" if source["sweeping"] else ""
        yield paragraph("", f"history is whole but for the last {owed}{going}")


def _growth(journal: str, lanes: list[dict[str, Any]], now_ns: int) -> Iterator[str]:
    """When a journal that grows will be full, by the lane that reads it."""
    for lane in lanes:
        outlook = lane["outlook"]
        if lane["journal"] == journal and outlook and outlook["full_in_s"] is not None:
            full_in_s = outlook["full_in_s"]
            at = moment_ns(now_ns + int(full_in_s * 1e9))
            yield paragraph("", f"it grows: full in about {duration(full_in_s)}, at {at} UTC")


def _lane(lane: dict[str, Any], waiting: dict[str, Any] | None, now_ns: int) -> Iterator[str]:
    yield from _state("lane", lane, now_ns)
    if waiting is not None:
        most = (
            "at most " if lane["position"] is None and waiting["frames"] else ""
        )  # the database knows the position
        yield paragraph("", f"waiting: {most}{waiting_text(waiting, now_ns)}")
        yield from _draining(lane, waiting["frames"])
    if lane["held"]:
        yield paragraph(
            "", f"{how_many(lane['held'], 'reading')} held back until those behind them have come"
        )
    yield paragraph("", _pace(lane, now_ns))
    for outcome in _OUTCOMES:
        yield paragraph(f"  {outcome}", _causes(lane["outcomes"], outcome))


def _draining(lane: dict[str, Any], frames: int) -> Iterator[str]:
    """How long it will take; where it takes a moment it needs no words."""
    writes = lane["state"] in ("running", "idle")
    needed_s = lane["outlook"] and lane["outlook"]["drained_in_s"]
    if needed_s is not None and (needed_s > _MOMENT_S or (frames and not writes)):
        yield paragraph("", f"to store it takes about {duration(needed_s)}{'' if writes else ' then'}")
    elif needed_s is None and frames and not writes:
        yield paragraph("", "how long it takes to store it is not known yet")


def _pace(lane: dict[str, Any], now_ns: int) -> str:
    if not lane["last_commit_ns"]:
        return "nothing committed since the start"
    lag = "" if lane["lag_s"] is None else f"lag {duration(lane['lag_s'])}; "
    ago = duration((now_ns - lane["last_commit_ns"]) / 1e9)
    count = how_many(lane["batches"], "transaction")
    return f"{lag}{count}, the last one {ago} ago, it took {duration(lane['commit_s'])}"


def _causes(outcomes: list[list[Any]], outcome: str) -> str:
    """The sum, and by cause where there is one."""
    counts = sorted((cause, count) for each, cause, count in outcomes if each == outcome)
    causes = ", ".join(f"{cause} {count:,}" for cause, count in counts if cause and count > 0)
    total = f"{max(0, sum(count for _, count in counts)):,}"
    return f"{total} ({causes})" if causes else total


def _until(until_ns: int | None, now_ns: int) -> str:
    if until_ns is None:
        return "until `tessmon resume`"
    return f"until {moment_ns(until_ns)} UTC (in {duration((until_ns - now_ns) / 1e9)})"


def _since(since_ns: int, now_ns: int) -> str:
    return f"since {moment_ns(since_ns)} UTC ({duration((now_ns - since_ns) / 1e9)})"
