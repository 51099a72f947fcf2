# SPDX-License-Identifier: MIT
"""Frames as the source of a vlbimon server journals them, made by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tessmon.records.frame import Frame, FrameKind
from tessmon.records.vlbimon import MASTERLIST, POLL, SNAPSHOT, SWEPT, Exchange
from tessmon.records.vlbimon_walk import POINT, payload_of, pieces, walk_snapshot

SERVER = "https://vlbimon.example.org"
RECEIVED_NS = 1_712_345_690_500_000_000  # 2024-04-05T19:34:50.5Z
CASES_FILE = Path(__file__).parent / "vlbimon" / "cases.json"
MASTERLIST_TEXT = (Path(__file__).parent / "vlbimon" / "masterlist.json").read_text()


def frame_of(
    what: str,
    text: str = "",
    received_ns: int = RECEIVED_NS,
    position: tuple[int, ...] = (1, 1, 1),
    **exchange: Any,
) -> Frame:
    """One frame with a payload as it is."""
    topic = Exchange(what, SERVER, **exchange).topic()
    payload = payload_of(text)
    return Frame(FrameKind.MESSAGE, received_ns, topic, payload, len(payload), position=position)


def frames_of(what: str, text: str, received_ns: int = RECEIVED_NS, **exchange: Any) -> list[Frame]:
    """A reply, cut as the source cuts it, without positions."""
    return [frame_of(what, piece, received_ns, (), **exchange) for piece in pieces(what, text) if piece]


def poll_frames(
    text: str | None, received_ns: int = RECEIVED_NS, took_s: float = 0.25, **exchange: Any
) -> list[Frame]:
    """A poll with its snapshot, or one that failed."""
    if text is None:
        exchange = {"error": "no answer", **exchange}
        return [frame_of(POLL, "", received_ns, (), took_s=took_s, **exchange)]
    stations = [part.station for part in walk_snapshot(text) if part.kind == POINT]
    counts = Counter(station.encode(errors="replace").decode() for station in stations)
    poll = frame_of(POLL, "", received_ns, (), took_s=took_s, status=200, counts=dict(counts), **exchange)
    return [*frames_of(SNAPSHOT, text, received_ns), poll]


def masterlist_frame(text: str = MASTERLIST_TEXT, received_ns: int = RECEIVED_NS) -> Frame:
    return frame_of(MASTERLIST, text, received_ns, ())


def swept_frame(swept_s: int, received_ns: int = RECEIVED_NS) -> Frame:
    return frame_of(SWEPT, "", received_ns, (), swept_s=swept_s)


def tick_frame(received_ns: int) -> Frame:
    return Frame(FrameKind.TICK, received_ns, "", b"", 0)


def placed(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames with positions, and receive times that are strictly increasing."""
    last_ns = 0
    for index, frame in enumerate(frames):
        last_ns = max(frame.received_ns, last_ns + 1)
        values = {name: getattr(frame, name) for name in frame.__struct_fields__}
        yield Frame(**{**values, "received_ns": last_ns, "position": (1, 1, index)})


def snapshot_text(values: dict[tuple[str, str], Any]) -> str:
    """(station, parameter) → pair, as a snapshot."""
    stations: dict[str, dict[str, Any]] = {}
    for (station, parameter), pair in values.items():
        stations.setdefault(station, {})[parameter] = pair
    return json.dumps({station: {"data": pairs} for station, pairs in stations.items()})
