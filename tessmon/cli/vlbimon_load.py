# SPDX-License-Identifier: MIT
"""``tessmon vlbimon load``."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tessmon.cli.arguments import configuration, print_json
from tessmon.cli.linking import link_parameters, linked
from tessmon.cli.progress import ProgressLine
from tessmon.cli.table import duration, how_many, paragraph, printable, size
from tessmon.errors import TessmonError

if TYPE_CHECKING:
    from tessmon.database.points import Known
    from tessmon.past.csv_load import Loaded
    from tessmon.past.storing import Storing

_OUTCOMES = ("stored", "replaced", "duplicate", "filtered", "rejected")


def run(arguments: Namespace) -> int:
    """All of it; 1 when something of it could not be read."""
    from tessmon.database.points import known
    from tessmon.past.csv_load import Load
    from tessmon.past.csv_tree import CsvFile, survey
    from tessmon.past.storing import Storing

    line = ProgressLine()
    config = configuration(arguments).config
    line.show("looking for files")
    sizes_bytes = [each.stat.st_size for each in survey(arguments.directory) if isinstance(each, CsvFile)]
    with linked(config, link_parameters(arguments, config, "tessmon load"), line) as link:
        storing = Storing(config, link, "csv")
        shown = _Shown(line, len(sizes_bytes), sum(sizes_bytes))
        load = Load(
            arguments.directory, storing, _datatypes(link.run(known), storing), time.time_ns, shown.show
        )
        try:
            load.run()
        except KeyboardInterrupt:
            shown.interrupted = True
    line.end()
    return _told(arguments, load.loaded, shown)


def _datatypes(known: Known, storing: Storing) -> dict[str, str]:
    """Parameter → what its values are.

    Raises:
        TessmonError: there is no masterlist.
    """
    from tessmon.records.frame import Frame, FrameKind
    from tessmon.records.vlbimon import Masterlist

    if not known.stations:
        raise TessmonError(
            "the database knows no masterlist, which says what is a number and what is a text:"
            " run `tessmon vlbimon masterlist` first"
        )
    nowhere = Frame(FrameKind.MESSAGE, 0, "", b"", 0)
    listed = tuple(each.parameter for each in known.parameters)
    storing.know(Masterlist(nowhere, listed, tuple(known.stations)))
    return {each.parameter.name: each.datatype for each in known.parameters if each.datatype}


class _Shown:
    """How much there is to do, and the line that says how far that is."""

    def __init__(self, line: ProgressLine, files: int, whole_bytes: int) -> None:
        self.files = files
        self.interrupted = False
        self._line = line
        self._whole_bytes = whole_bytes
        self._began_s = time.monotonic()

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._began_s

    def show(self, loaded: Loaded) -> None:
        """Files, bytes, rate, time left."""
        if not self._line.due:
            return
        rate = loaded.read_bytes / max(self.spent_s, 1e-3)
        left_bytes = max(self._whole_bytes - loaded.passed_bytes - loaded.read_bytes, 0)
        part = 1 - left_bytes / max(self._whole_bytes, 1)
        left = duration(left_bytes / rate) if rate else "?"
        self._line.show(
            f"{part:4.0%}  {loaded.files:,} of {how_many(self.files, 'file')},"
            f" {loaded.outcomes['stored'] / max(self.spent_s, 1e-3):,.0f} points/s, {size(int(rate))}/s, {left} left"
        )


def _told(arguments: Namespace, loaded: Loaded, shown: _Shown) -> int:
    outcomes = {outcome: loaded.outcomes[outcome] for outcome in _OUTCOMES}
    if arguments.json:
        print_json(
            {
                "files": loaded.files,
                "read_bytes": loaded.read_bytes,
                "outcomes": outcomes,
                "bad_lines": loaded.bad,
                "left_out": [each._asdict() for each in loaded.left_out],
                "unfinished": loaded.unfinished,
                "interrupted": shown.interrupted,
                "seconds": round(shown.spent_s, 3),
            }
        )
    else:
        print("\n".join(_report(loaded, outcomes, shown)))
    return int(bool(loaded.left_out or shown.interrupted))


def _report(loaded: Loaded, outcomes: dict[str, int], shown: _Shown) -> Iterator[str]:
    files, spent = how_many(shown.files, "file"), duration(shown.spent_s)
    yield f"{loaded.files:,} of {files}, {size(loaded.read_bytes)} read in {spent}"
    yield f"{how_many(outcomes['stored'], 'point')} stored, " + ", ".join(
        f"{outcomes[outcome]:,} {outcome}" for outcome in _OUTCOMES[1:]
    )
    for sentence in loaded.bad:
        yield paragraph("rejected", sentence)
    if outcomes["rejected"] > len(loaded.bad):
        yield paragraph(
            "", f"and {outcomes['rejected'] - len(loaded.bad):,} more: see `tessmon rejects list`"
        )
    for path in loaded.unfinished:
        yield paragraph("unfinished", f"the last line of {printable(path)} has no end yet: it waits for that")
    for each in loaded.left_out:
        yield paragraph("left out", f"{printable(each.path)}: {each.why}")
    if shown.interrupted:
        yield "interrupted: run it again to go on there"
