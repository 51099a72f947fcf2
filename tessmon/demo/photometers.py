# SPDX-License-Identifier: MIT
"""Simulated photometers: each is an endless stream of the messages it publishes, in order of time.

A stream depends on a seed and the time of its beginning alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from tessmon.demo.sky import brightness_mag, frequency_hz

REGISTER_TOPIC = "STARS4ALL/register"

_REGISTER_AFTER_S = (0.3, 0.7, 1.1)
"""Devices register three times after a boot (some 3, 8 and 13 s), here in a hurry.
Source: the public ESP8266 firmware of TESS-W."""

_FIRST_READING_AFTER_S = 1.5
_BANDS = (("UVIR750", 20.03), ("UVIR650", 20.04), ("RGB-R", 19.9), ("RGB-B", 19.8))


class Kind(StrEnum):
    """What a simulated message is meant to show."""

    REGISTRATION = "registrations"
    READING = "readings"
    REPEATED = "readings sent twice"
    CONTRADICTED = "readings sent again with another value"
    EARLY = "readings before the registration"
    NONSENSE = "nonsense"
    DENIED = "messages of a denied photometer"
    RETAINED = "old messages that the broker retained"


class Message(NamedTuple):
    """What a photometer publishes: when [s since the demo's beginning], where, and how."""

    at_s: float
    kind: Kind
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


def reading_topic(name: str) -> str:
    """Where a photometer publishes its readings."""
    return f"STARS4ALL/{name}/reading"


@dataclass
class Device:
    """A TESS-W as its firmware behaves: no time stamps, numbers with two decimals, its own count of messages.

    Attributes:
        name: of the photometer.
        number: makes its MAC.
        seed: of its noise.
        boot_s: when it is switched on [s].
        period_s: between two readings [s]; more than a second, because a reading without time stamp gets that
            of its arrival, cut to the second.
        qos, retain: of its readings.
        kind: what its messages are meant to show.
    """

    name: str
    number: int
    seed: int
    boot_s: float = 0.0
    period_s: float = 3.0
    qos: int = 1
    retain: bool = False
    kind: Kind | None = None
    sequence_number: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed} {self.name}")
        self.zero_point = round(self.chance.uniform(20.0, 20.6), 2)
        self.place = self.chance.uniform(0.0, 0.15)

    @property
    def mac(self) -> str:
        """Six octets without padding, as the firmware prints them."""
        octets = (0x18, 0xFE, 0x34, 0xC0, self.number >> 8, self.number & 0xFF)
        return ":".join(f"{octet:X}" for octet in octets)

    def messages(self) -> Iterator[Message]:
        """All it ever publishes."""
        yield from self.registrations(self.boot_s)
        yield from self.readings(self.boot_s + _FIRST_READING_AFTER_S)

    def registrations(self, boot_s: float) -> Iterator[Message]:
        """What it says after it was switched on."""
        self.sequence_number = 0
        for after_s in _REGISTER_AFTER_S:
            self.sequence_number += 1
            yield self.message(boot_s + after_s, Kind.REGISTRATION, self.registration(), REGISTER_TOPIC)

    def readings(self, from_s: float, until_s: float = float("inf")) -> Iterator[Message]:
        """One per period."""
        at_s = from_s
        while at_s < until_s:
            yield self.message(at_s, Kind.READING, self.reading(at_s))
            at_s += self.period_s

    def message(self, at_s: float, kind: Kind, content: dict[str, Any], topic: str = "") -> Message:
        """A message of this device, in its own quality of service; registrations are never retained."""
        payload = json.dumps(content, separators=(",", ":")).encode()
        retain = self.retain and not topic
        return Message(at_s, self.kind or kind, topic or reading_topic(self.name), payload, self.qos, retain)

    def registration(self) -> dict[str, Any]:
        """The content of a registration."""
        return {
            "name": self.name,
            "rev": 2,
            "mac": self.mac,
            "chan": self.name,
            "calib": self.zero_point,
            "wdBm": self.signal_strength(),
        }

    def reading(self, at_s: float) -> dict[str, Any]:
        """The content of a reading."""
        self.sequence_number += 1
        mag = round(brightness_mag(at_s, self.place, self.chance), 2)
        return {
            "seq": self.sequence_number,
            "rev": 2,
            "name": self.name,
            "freq": round(frequency_hz(mag, self.zero_point), 2),
            "mag": mag,
            "tamb": round(12 + self.chance.gauss(0, 1), 2),
            "tsky": round(-18 + self.chance.gauss(0, 2), 2),
            "wdBm": self.signal_strength(),
        }

    def signal_strength(self) -> int:
        """Of its radio [dBm]."""
        return -55 - self.chance.randrange(25)


@dataclass
class FourChannelDevice(Device):
    """A TESS4C."""

    def registration(self) -> dict[str, Any]:
        channels = {f"F{n}": {"band": band, "calib": zp} for n, (band, zp) in enumerate(_BANDS, 1)}
        return {"name": self.name, "rev": 3, "mac": self.mac, "firmware": "Nov 28 2022", **channels}

    def reading(self, at_s: float) -> dict[str, Any]:
        content = super().reading(at_s)
        mag = content.pop("mag")
        del content["freq"]
        for number, (_, zp) in enumerate(_BANDS, 1):
            own_mag = round(mag - 0.1 * number, 2) if mag else 0.0
            content[f"F{number}"] = {"freq": round(frequency_hz(own_mag, zp), 2), "mag": own_mag, "zp": zp}
        return content


@dataclass
class RebootingDevice(Device):
    """Falls over every few seconds; before its second life somebody calibrated it anew."""

    life_s: float = 9.0

    def messages(self) -> Iterator[Message]:
        boot_s, lives = self.boot_s, 0
        while True:
            if lives == 1:
                self.zero_point = round(self.zero_point + 0.05, 2)
            yield from self.registrations(boot_s)
            yield from self.readings(boot_s + _FIRST_READING_AFTER_S, boot_s + self.life_s)
            boot_s, lives = boot_s + self.life_s, lives + 1


@dataclass
class LateDevice(Device):
    """Publishes readings before anybody knows it."""

    registers_s: float = 6.0

    def messages(self) -> Iterator[Message]:
        for message in self.readings(self.boot_s + _FIRST_READING_AFTER_S, self.registers_s):
            yield message._replace(kind=Kind.EARLY)
        yield from self.registrations(self.registers_s)
        yield from self.readings(self.registers_s + _FIRST_READING_AFTER_S)


@dataclass
class Gateway(Device):
    """A photometer on a cable: its computer stamps the readings, and delivers in haste what gathered while
    the network was away. Sometimes it says a thing twice, sometimes with another value.

    Attributes:
        begin_s: the time of day at the demo's beginning [s since 1970 UTC].
        backlog_s: how far back it reaches [s].
        step_s: between the stamps of two readings [s].
    """

    begin_s: int = 0
    backlog_s: int = 3 * 86_400
    step_s: int = 20
    repeats_every: int = 12
    contradicts_every: int = 30

    def registration(self) -> dict[str, Any]:
        return {**super().registration(), "tstamp": _stamp(self.begin_s - self.backlog_s)}

    def readings(self, from_s: float, until_s: float = float("inf")) -> Iterator[Message]:
        at_s, stamp_s, count = from_s, self.begin_s - self.backlog_s, 0
        while at_s < until_s:
            count += 1
            content = {**self.reading(at_s), "tstamp": _stamp(stamp_s)}
            yield self.message(at_s, Kind.READING, content)
            if count % self.repeats_every == 0:
                yield self.message(at_s, Kind.REPEATED, content)
            if count % self.contradicts_every == 0:
                yield self.message(at_s, Kind.CONTRADICTED, {**content, "tamb": content["tamb"] + 1})
            stamp_s += self.step_s
            at_s = max(at_s + self.period_s, stamp_s - self.begin_s)  # never stamps the future


@dataclass
class BrokenDevice(Device):
    """Says nothing that makes sense."""

    def messages(self) -> Iterator[Message]:
        at_s = self.boot_s + _FIRST_READING_AFTER_S
        while True:
            for payload in self.nonsense(at_s):
                yield Message(at_s, Kind.NONSENSE, reading_topic(self.name), payload, self.qos)
                at_s += self.period_s

    def nonsense(self, at_s: float) -> Iterator[bytes]:
        """Payloads that no photometer should send."""
        good = self.reading(at_s)
        text = json.dumps(good)
        yield text[: len(text) // 2].encode()
        yield json.dumps({**good, "mag": float("nan")}).encode()
        yield json.dumps({**good, "freq": True}).encode()
        yield json.dumps({**good, "tamb": [12.5]}).encode()
        yield json.dumps([good]).encode()
        yield b"\xff\xfe\x00 not text"
        yield json.dumps({key: value for key, value in good.items() if key != "name"}).encode()
        yield json.dumps({**good, "tstamp": "yesterday"}).encode()
        yield json.dumps({**good, "tstamp": "1970-01-01T00:00:00"}).encode()


def _stamp(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
