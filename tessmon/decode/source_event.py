# SPDX-License-Identifier: MIT
"""Frames that are events of a source, whichever source it is."""

from __future__ import annotations

import json

import msgspec

from tessmon.decode.refusal import quoted
from tessmon.records.frame import Frame
from tessmon.records.outcome import SourceEvent


def source_event(frame: Frame) -> SourceEvent:
    """Sources write events well; a damaged journal may hold others, and the database must take them too."""
    what = frame.topic if frame.topic.isascii() and frame.topic.isidentifier() else "damaged"
    try:
        if isinstance(msgspec.json.decode(frame.payload), dict) and b"\\u0000" not in frame.payload:
            return SourceEvent(frame, what, frame.payload.decode())
    except (ValueError, RecursionError):
        pass
    return SourceEvent(frame, what, json.dumps({"damaged": quoted(frame.payload)}))
