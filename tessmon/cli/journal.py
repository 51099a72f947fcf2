# SPDX-License-Identifier: MIT
"""``tessmon journal status``: the journals of the running service, or, without one, what is on disk."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import configuration, group, leaf, print_json
from tessmon.cli.status import journal_lines
from tessmon.cli.table import how_many, moment_ns, paragraph, size, table
from tessmon.errors import JournalError

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers
    from tessmon.journal.survey import SegmentSurvey, Survey


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "journal", "look at the journals")
    leaf(verbs, "status", "show what is in the journals and not in the database yet", listing=True)


def run(arguments: Namespace) -> int:
    from tessmon.control.client import NotRunningError, ask

    config = configuration(arguments).config
    try:
        answer = ask(config.admin.socket, "/journal")
    except NotRunningError:
        return _survey(config.journal.directory, arguments.json)
    if arguments.json:
        print_json({"running": True, "journals": answer["journals"]})
        return 0
    for journal in answer["journals"]:
        print("\n".join(journal_lines(journal, journal["waiting"], time.time_ns())))
    if not answer["journals"]:
        print("the service has no journal: no source is configured")
    return 0


def _survey(directory: Path, as_json: bool) -> int:
    """Nobody runs to be asked, so look; what of it is in the database already, the disk does not tell."""
    from tessmon.journal.survey import survey

    surveys = {place: survey(place) for place in _journals(directory)}
    if as_json:
        journals = [_summary(place, found) for place, found in surveys.items()]
        print_json({"running": False, "journals": journals})
        return 0
    print("no service runs; this is on disk, in the database already or not")
    for place, found in surveys.items():
        print()
        print("\n".join(_survey_lines(_summary(place, found))))
        print(table(["segment", "size", "frames", "from (UTC)", "problem"], map(_row, found.segments)))
    if not surveys:
        print(f"there is no journal in {directory}")
    return 0


def _journals(directory: Path) -> list[Path]:
    """Directories of journals: each has had a lock since its first use."""
    try:
        return [place for place in sorted(directory.iterdir()) if (place / "lock").exists()]
    except OSError as error:
        raise JournalError(f"{directory} can't be read: {error.strerror}") from error


def _summary(place: Path, found: Survey) -> dict[str, Any]:
    times_ns = [each for one in found.segments for each in (one.oldest_ns, one.newest_ns) if each is not None]
    return {
        "name": place.name,
        "directory": str(place),
        "identity": found.identity,
        "segments": len(found.segments),
        "size_bytes": sum(one.size_bytes for one in found.segments),
        "frames": sum(one.frames for one in found.segments),
        "oldest_ns": min(times_ns, default=None),
        "newest_ns": max(times_ns, default=None),
        "damaged": len(found.damaged),
        "damaged_files": found.damaged,
        "each_segment": [one._asdict() for one in found.segments],
    }


def _survey_lines(journal: dict[str, Any]) -> Iterator[str]:
    yield paragraph("journal", f"{journal['name']} in {journal['directory']}")
    yield paragraph("", f"identity {journal['identity'] or 'unknown: its file is missing'}")
    segments, frames = how_many(journal["segments"], "segment"), how_many(journal["frames"], "frame")
    text = f"{segments}, {size(journal['size_bytes'])}, {frames}"
    if journal["oldest_ns"] is not None:
        text += f" from {moment_ns(journal['oldest_ns'])} to {moment_ns(journal['newest_ns'])} UTC"
    yield paragraph("", text)
    if journal["damaged_files"]:
        yield paragraph("", f"DAMAGED and set aside: {', '.join(journal['damaged_files'])}")


def _row(segment: SegmentSurvey) -> tuple[object, ...]:
    began = None if segment.oldest_ns is None else moment_ns(segment.oldest_ns)
    return (f"{segment.name:020}", size(segment.size_bytes), segment.frames, began, segment.problem)
