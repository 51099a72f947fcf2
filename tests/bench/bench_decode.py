# SPDX-License-Identifier: MIT
"""How long one reading takes from frame to record, beside the bare JSON reader; prints one JSON line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import ujson

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.photometer import Reading

PAYLOADS = {
    "tessw": (
        b'{"seq":1646,"rev":2,"name":"stars488","freq":4852.00,"mag":11.19,"tamb":27.33,"tsky":20.07,"wdBm":-56}'
    ),
    "tessw_stamped": (
        b'{"seq":7,"rev":2,"name":"stars111","freq":8.22,"mag":18.21,"tamb":9.5,"tsky":-14.3,"wdBm":0,'
        b'"tstamp":"2026-03-01T22:15:00Z"}'
    ),
    "tess4c": (
        b'{"seq":9,"rev":3,"name":"stars701","wdBm":-71,"tamb":12.5,"tsky":-3.5,'
        b'"F1":{"freq":1.5,"mag":19.59,"zp":20.03},"F2":{"freq":2.5,"mag":19.05,"zp":20.04},'
        b'"F3":{"freq":3.5,"mag":18.54,"zp":19.9},"F4":{"freq":4.5,"mag":18.17,"zp":19.8}}'
    ),
}
RECEIVED_NS = 1_772_403_300_000_000_000
ROUNDS = 20_000
REPEATS = 5


def best_us(work: Callable[[], object]) -> float:
    """The shortest mean duration of several rounds [µs]: what other processes took is left out."""
    means = []
    for _ in range(REPEATS):
        began = time.thread_time_ns()
        for _ in range(ROUNDS):
            work()
        means.append((time.thread_time_ns() - began) / ROUNDS / 1000)
    return min(means)


def measure() -> dict[str, float]:
    """Durations [µs] and ratios to bare ``ujson.loads``, by kind of payload."""
    decoder = TessDecoder(Mqtt(), Photometer())
    figures = {}
    for kind, payload in PAYLOADS.items():
        frame = Frame(FrameKind.MESSAGE, RECEIVED_NS, "STARS4ALL/stars1/reading", payload, len(payload))
        assert isinstance(decoder.decode(frame), Reading), kind
        bare_us = best_us(lambda payload=payload: ujson.loads(payload))
        decode_us = best_us(lambda frame=frame: decoder.decode(frame))
        figures |= {f"{kind}_us": round(decode_us, 2), f"{kind}_to_ujson": round(decode_us / bare_us, 2)}
    return figures


if __name__ == "__main__":
    print(json.dumps({"bench": "decode", **measure()}))
