# SPDX-License-Identifier: MIT
"""``tessmon files verify``."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import print_json
from tessmon.cli.connecting import connected
from tessmon.cli.files import configured
from tessmon.cli.table import how_many, paragraph

if TYPE_CHECKING:
    from tessmon.files.verify import Difference, Verdict

_SHOWN = 20
_WORDS = {
    "equal": "stand in the database as they should",
    "missing": "are not there, though the file was read further",
    "other": "stand there with other values: have schemas changed since?",
    "waiting": "were not read yet",
    "extra": "rows there say that they are of this file, which has no such record",
    "undecodable": "places can't be decoded; what was refused is in `tessmon rejects list`",
}


def run(arguments: Namespace) -> int:
    """The verdict, and the first differences; 1 when there are any."""
    from tessmon.files.verify import Verifier

    _, settings = configured(arguments)
    first: list[Difference] = []

    def told(difference: Difference) -> None:
        if len(first) < _SHOWN:
            first.append(difference)

    with connected(arguments) as database:
        database.autocommit = False  # a cursor of the server's lives within a transaction
        verdict = Verifier(database, settings, told, time.time_ns()).verify(os.path.abspath(arguments.file))
    if arguments.json:
        print_json(_plain(verdict, first))
    else:
        print("\n".join(_lines(verdict, first)))
    return int(verdict.differs)


def _lines(verdict: Verdict, first: list[Difference]) -> Iterator[str]:
    yield how_many(verdict.records, "record")
    counts = verdict._asdict()
    for what, words in _WORDS.items():
        if counts[what]:
            yield f"{counts[what]:>9,} {words}"
    for difference in first:
        yield paragraph(f"  {difference.what}", f"at byte {difference.offset}: {difference.detail}")
    if sum(counts[what] for what in ("missing", "other", "waiting", "extra")) > len(first):
        yield paragraph("", "and more")


def _plain(verdict: Verdict, first: list[Difference]) -> dict[str, Any]:
    return {
        **verdict._asdict(),
        "differs": verdict.differs,
        "first_differences": [each._asdict() for each in first],
    }
