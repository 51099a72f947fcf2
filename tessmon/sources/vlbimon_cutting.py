# SPDX-License-Identifier: MIT
"""A reply is looked through, counted and cut into pieces that frames hold, and the reactor never waits for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import ujson

from tessmon.breath import Breath
from tessmon.records.vlbimon_walk import POINT, Part, is_name, payload_of, pieces, text_of
from tessmon.sources.vlbimon_client import Malformed, Reply

MAX_MASTERLIST_BYTES = 1 << 20
"""A masterlist is read in one go; real ones have a twentieth of this [bytes]."""
_DEFAULT = "default"
_MAX_COUNTS_BYTES = 40_000
"""Names of stations stand in a frame's topic, which has not room for any number of them [bytes]."""


class Cut(NamedTuple):
    """What a reply is made of.

    Attributes:
        payloads: of its frames, in order; none when it holds nothing.
        counts: station → points.
    """

    payloads: list[bytes]
    counts: Mapping[str, int]


async def cut(
    what: str, reply: Reply, breath: Breath, see: Callable[[str, str], object] = lambda station, field: None
) -> Cut:
    """Look through a whole reply.

    Args:
        what: `SNAPSHOT` or `HISTORY`.
        see: called with station and parameter of each point.

    Raises:
        Malformed: it is not one whole JSON object.
    """
    counts: Counter[str] = Counter()
    found = 0

    def seen(part: Part) -> None:
        nonlocal found
        found += 1
        if part.kind == POINT:
            counts[part.station] += 1
            see(part.station, part.name)

    payloads = []
    try:
        for piece in pieces(what, text_of(reply.body), seen=seen):
            if piece:
                payloads.append(payload_of(piece))
            if breath.due:
                await breath.take()
    except ValueError as error:
        raise Malformed(f"the {what} is no whole JSON: {_short(error)}", reply.status) from None
    return Cut(payloads if found else [], _bounded(counts))


def listed(reply: Reply) -> tuple[object, Collection[str], Collection[str]]:
    """A masterlist, the names of its stations, and those of its parameters.

    Raises:
        Malformed: it is none.
    """
    if len(reply.body) > MAX_MASTERLIST_BYTES:
        raise Malformed(f"the masterlist has more than {MAX_MASTERLIST_BYTES} bytes", reply.status)
    try:
        document = ujson.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the masterlist is no JSON: {_short(error)}", reply.status) from None
    places = document.items() if isinstance(document, dict) else ()
    stations = [place for place, _ in places if place != _DEFAULT]
    fields = {name: None for _, entries in places if isinstance(entries, dict) for name in entries}
    if not stations or not fields:
        raise Malformed("the masterlist names no station or no parameter", reply.status)
    return document, stations, fields


def _bounded(counts: Mapping[str, int]) -> Mapping[str, int]:
    """As much of it as a topic has room for."""
    kept: dict[str, int] = {}
    left_bytes = _MAX_COUNTS_BYTES
    for station, count in counts.items():
        name = station.encode("utf-8", "replace").decode()
        left_bytes -= 2 * len(name.encode()) + 12
        if left_bytes < 0:
            break
        if is_name(name):
            kept[name] = count
    return kept


def _short(error: Exception) -> str:
    return str(error)[:200].encode("utf-8", "replace").decode()
