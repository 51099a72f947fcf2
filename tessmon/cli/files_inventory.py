# SPDX-License-Identifier: MIT
"""``tessmon files inventory``."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tessmon.cli.connecting import connected
from tessmon.cli.files import configured
from tessmon.cli.progress import ProgressLine
from tessmon.cli.table import how_many

if TYPE_CHECKING:
    from tessmon.database.session import Session
    from tessmon.files.inventory import Found, Inventory

T = TypeVar("T")

_WORDS = {
    "new": "new",
    "replacing": "in the place of another",
    "renamed": "renamed",
    "grown": "grown",
    "cut_off": "cut off, now another file",
    "vanished": "vanished",
    "unreadable": "unreadable",
    "left_out": "left out",
    "known": "as before",
}


def run(arguments: Namespace) -> int:
    """Take stock, and print what is new; memory does not grow with it."""
    from tessmon.database.session import PlainSession, at_once
    from tessmon.files.inventory import Inventory

    _, settings = configured(arguments)
    line = ProgressLine()
    listed = _JsonList() if arguments.json else None

    def told(found: Found) -> None:
        if listed is not None:
            listed.add(found._asdict())
        elif found.why:
            line.say(f"{found.path}: {found.why}")

    with connected(arguments) as database:
        session = PlainSession(database)

        def carry_out(work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
            result = at_once(work(session))
            if line.due:
                line.show(how_many(taken.counts.total(), "file"))
            return result

        taken = Inventory(settings, carry_out, told, time.time_ns())
        taken.take()
    line.end()
    if listed is not None:
        listed.end(counts=counted(taken), odd_names=taken.odd_names)
    else:
        print("\n".join(summary(counted(taken), taken.odd_names)))
    return 0


def counted(taken: Inventory) -> dict[str, int]:
    """Files by fate, all fates."""
    return {fate: taken.counts[fate] for fate in _WORDS}


def summary(counts: Mapping[str, int], odd_names: int) -> list[str]:
    """What there is, a line for each fate that occurred."""
    there = sum(counts.values()) - counts["vanished"] - counts["left_out"]
    lines = [how_many(there, "file")]
    lines += [f"{count:>9,} {_WORDS[fate]}" for fate, count in counts.items() if count]
    if odd_names:
        lines.append(f"{odd_names:>9,} of these paths are not UTF-8: the odd bytes are shown as \\xNN")
    return lines


class _JsonList:
    """One JSON object, printed while it is made."""

    def __init__(self) -> None:
        self._begin = '{"files": [\n'

    def add(self, one: dict[str, Any]) -> None:
        print(f"{self._begin} {json.dumps(one)}", end="")
        self._begin = ",\n"

    def end(self, **more: Any) -> None:
        print(self._begin if self._begin.startswith("{") else "\n", end="")
        print(f"], {json.dumps(more)[1:]}")
