# SPDX-License-Identifier: MIT
"""What the photometers of the soak say: endless, drawn from a seed, no two messages with the same beginning but those
that are meant to be repeated."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from tests.observatory import FIRST_STAMP_S, REGISTER_TOPIC, reading, stamp

KEPT_BYTES = 1024
"""The service's ``max_payload_bytes``: by so much of its beginning every message is known."""
REGISTERED_AT_S = FIRST_STAMP_S - 86_400

STEADY = tuple(f"steady{n}" for n in range(20))
"""Stamped, one channel, never saturated, left alone by the filter."""
FOUR = tuple(f"four{n}" for n in range(4))
BARE = tuple(f"bare{n}" for n in range(60))
"""Without a stamp of their own."""
SUNNY = tuple(f"sunny{n}" for n in range(8))
"""Saturated for long, and through the daylight filter."""
DENSE = tuple(f"dense{n}" for n in range(4))
"""Decimated, and through the filter."""
TUNED = tuple(f"tuned{n}" for n in range(4))
"""Their zero point changes again and again."""
KNOWN = (*STEADY, *FOUR, *BARE, *SUNNY, *DENSE, *TUNED)
DENIED = "denied"
EVERY = {name: 2 + n for n, name in enumerate(DENSE)}
LEFT_ALONE = (*STEADY, *BARE)
FIRST_ZERO_POINT_MAG = 20.25


class Message(NamedTuple):
    """One message and what it is; the service knows only its topic and bytes.

    Attributes:
        topic, payload: as they are sent.
        kind: reading, registration, or reject.
        name: the photometer's.
        sequence_number: of a reading.
        at_s: its stamp, None when it has none [s since 1970 UTC].
        magnitude: of all channels [mag/arcsec²].
        zero_point_mag: of a registration.
        reason: why it can't be stored; hash_mismatch only when its photometer is registered.
        retain: the broker is asked to keep it.
    """

    topic: str
    payload: bytes
    kind: str
    name: str
    sequence_number: int = 0
    at_s: int | None = None
    magnitude: float = 0.0
    zero_point_mag: float = 0.0
    reason: str = ""
    retain: bool = False


def mac_of(name: str) -> str:
    """Every photometer's MAC tells its name."""
    return f"mac-of-{name}"


def registration(
    name: str, at_s: int = REGISTERED_AT_S, mag: float = FIRST_ZERO_POINT_MAG, **more: Any
) -> Message:
    """A photometer presents itself."""
    fields: dict[str, Any] = {
        "name": name,
        "mac": mac_of(name),
        "tstamp": stamp(at_s - FIRST_STAMP_S),
        **more,
    }
    if name in FOUR:
        fields |= {channel: {"band": "V", "calib": mag} for channel in ("F1", "F2", "F3", "F4")}
    else:
        fields |= {"calib": mag}
    payload = json.dumps(fields).encode()
    return Message(REGISTER_TOPIC, payload, "registration", name, at_s=at_s, zero_point_mag=mag)


class Traffic:
    """Messages one after the other.

    Args:
        seed: the same seed gives the same messages.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"traffic {seed}")
        self._number = 0
        self._sequence: dict[str, int] = {}
        self._clock_s: dict[str, int] = {}
        self._steady: deque[Message] = deque(maxlen=500)
        self._saturated_left: dict[str, int] = {}
        self._tuned_mag = dict.fromkeys(TUNED, FIRST_ZERO_POINT_MAG)
        self._strangers: deque[str] = deque()
        self._made = [make for make, weight in self._weights() for _ in range(weight)]

    def __iter__(self) -> Iterator[Message]:
        yield from (registration(name, n=n) for n, name in enumerate(KNOWN))
        while True:
            self._number += 1
            yield self._random.choice(self._made)()

    def farewell(self) -> Message:
        """A last reading, which the filter leaves alone."""
        return self._steadily()

    def _weights(self) -> tuple[tuple[Callable[[], Message], int], ...]:
        return (
            (self._steadily, 80),
            (self._again, 10),
            (self._otherwise, 4),
            (self._retained, 1),
            (self._kept_apart(FOUR, 18.0), 16),
            (self._unstamped, 20),
            (self._sunny, 30),
            (self._kept_apart(DENSE, 17.5), 12),
            (self._kept_apart(TUNED, 19.5), 12),
            (self._tuned, 1),
            (self._booted, 2),
            (self._stranger, 8),
            (self._introduced, 1),
            (self._denied, 2),
            (self._broken, 6),
            (self._of_another, 2),
            (self._long, 2),
        )

    def _next(self, name: str, magnitude: float, *, stamped: bool = True, **more: Any) -> Message:
        """The next reading of a photometer; they speak every second by their own clocks."""
        number = self._sequence[name] = self._sequence.get(name, -1) + 1
        at_s = None
        if stamped:
            at_s = self._clock_s[name] = self._clock_s.get(name, FIRST_STAMP_S) + 1
            more["tstamp"] = stamp(at_s - FIRST_STAMP_S)
        topic, fields = reading(name, number, mag=magnitude, **more)
        if name in FOUR:
            fields |= {channel: {"freq": 8.215, "mag": magnitude} for channel in ("F1", "F2", "F3", "F4")}
        return Message(topic, json.dumps(fields).encode(), "reading", name, number, at_s, magnitude)

    def _steadily(self) -> Message:
        message = self._next(self._random.choice(STEADY), 18.21)
        self._steady.append(message)
        return message

    def _retained(self) -> Message:
        return self._next(self._random.choice(STEADY[:3]), 18.21)._replace(retain=True)

    def _again(self) -> Message:
        """The same once more."""
        return self._random.choice(self._steady) if self._steady else self._steadily()

    def _otherwise(self) -> Message:
        """Another value at the time of an earlier one."""
        if not self._steady:
            return self._steadily()
        first = self._random.choice(self._steady)
        fields = json.loads(first.payload) | {
            "mag": round(self._random.uniform(10, 17), 6),
            "n": self._number,
        }
        return first._replace(payload=json.dumps(fields).encode(), magnitude=fields["mag"])

    def _kept_apart(self, names: tuple[str, ...], magnitude: float) -> Callable[[], Message]:
        return lambda: self._next(self._random.choice(names), magnitude)

    def _unstamped(self) -> Message:
        return self._next(self._random.choice(BARE), 18.5, stamped=False)

    def _sunny(self) -> Message:
        """Runs of saturated readings, some of them with a number left out."""
        name = self._random.choice(SUNNY)
        left = self._saturated_left.get(name, 0)
        self._saturated_left[name] = (
            left - 1 if left > -self._random.randrange(5, 30) else self._random.randrange(40)
        )
        if self._random.random() < 0.02:
            self._sequence[name] = self._sequence.get(name, 0) + 1
        return self._next(name, 0.0 if left > 0 else 16.5)

    def _tuned(self) -> Message:
        """A new zero point, between the last reading and the next one."""
        name = self._random.choice(TUNED)
        at_s = self._clock_s[name] = self._clock_s.get(name, FIRST_STAMP_S) + 1
        self._tuned_mag[name] = round(self._random.uniform(19, 21), 2)
        return registration(name, at_s, self._tuned_mag[name], n=self._number)

    def _booted(self) -> Message:
        """As it registered first, a bit later: one whose zero point has changed since then says something old."""
        return registration(self._random.choice(KNOWN), n=self._number)

    def _stranger(self) -> Message:
        """A name that nobody has registered; some will be."""
        if not self._strangers or self._random.random() < 0.2:
            self._strangers.append(f"stranger{self._number}")
        return self._next(self._random.choice(self._strangers), 18.9)

    def _introduced(self) -> Message:
        """A stranger registers, the oldest of them."""
        if len(self._strangers) < 3:
            return self._stranger()
        return registration(self._strangers.popleft(), n=self._number)

    def _denied(self) -> Message:
        return self._next(DENIED, 18.0)

    def _broken(self) -> Message:
        name = self._random.choice(STEADY)
        fields = reading(name, self._number)[1]
        reason, payload = self._random.choice(
            (
                ("not_json", f"{self._number} {{".encode()),
                ("not_json", f"{self._number} \xff\x00".encode("latin-1")),
                ("no_name", json.dumps({"seq": self._number}).encode()),
                ("invalid", json.dumps(fields | {"freq": "NaN"}).encode()),
                ("invalid", json.dumps(fields | {"tamb": None}).encode()),
                ("invalid", json.dumps([self._number]).encode()),
                ("bad_time", json.dumps(fields | {"tstamp": "soon"}).encode()),
                ("implausible_time", json.dumps(fields | {"tstamp": "1999-12-31T23:59:59"}).encode()),
            )
        )
        return Message(f"STARS4ALL/{name}/reading", payload, "reject", name, reason=reason)

    def _of_another(self) -> Message:
        return self._next(self._random.choice(STEADY), 18.1, hash="FFF")._replace(reason="hash_mismatch")

    def _long(self) -> Message:
        name = self._random.choice(STEADY)
        size = self._random.choice((KEPT_BYTES, 10_000, 100_000))
        payload = f'{{"name": "{name}", "seq": {self._number}, "pad": "{"x" * size}"}}'.encode()
        return Message(f"STARS4ALL/{name}/reading", payload, "reject", name, reason="too_long")
