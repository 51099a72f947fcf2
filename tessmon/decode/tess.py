# SPDX-License-Identifier: MIT
"""Frames of TESS photometers become readings and registrations."""

from __future__ import annotations

import re

from zope.interface import implementer

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.refusal import Refusal, quoted
from tessmon.decode.source_event import source_event
from tessmon.decode.stamps import check_plausible, parse_stamp
from tessmon.decode.tess_payload import (
    Calibration,
    Tess4cReading,
    Tess4cRegistration,
    TesswReading,
    TesswRegistration,
    check_text,
    fill,
    parse_json,
    parse_name,
    plain_reading,
)
from tessmon.decode.topics import TopicFilters
from tessmon.errors import Cause, Reason
from tessmon.interfaces import IDecoder
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, Reject, Tick
from tessmon.records.photometer import UNKNOWN_BAND, Channel, Model, Reading, Registration

NO_TEMPERATURE_DEGC = -273.15
NO_SIGNAL_STRENGTH_DBM = 99
UNKNOWN_FIRMWARE = "Unknown"

_MESSAGE = FrameKind.MESSAGE
_REMEMBERED_TOPICS, _REMEMBERED_CHARACTERS = 4096, 256
"""Topics come from outside: only so many, and only short ones, are kept in memory."""
_NS = 1_000_000_000
_OCTETS = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}")


@implementer(IDecoder)
class TessDecoder:
    """One record for each frame of the photometers' broker.

    Args:
        mqtt: topics of registrations and readings; a topic that is both is one of registrations.
        photometer: resolution of times.
    """

    def __init__(self, mqtt: Mqtt, photometer: Photometer) -> None:
        self._register_topic = mqtt.register_topic
        self._reading_topics = TopicFilters(mqtt.reading_topics)
        self._registers: dict[str, bool] = {}
        self._resolution_s = photometer.seconds_resolution

    def decode(self, frame: Frame) -> Record:
        if frame.kind == _MESSAGE:
            return self._message(frame)
        if frame.kind == FrameKind.TICK:
            return Tick(frame)
        return source_event(frame)

    def _message(self, frame: Frame) -> Record:
        if frame.retain:
            return Filtered(frame, Cause.RETAINED)
        name = ""
        try:
            payload = frame.payload
            if frame.length > len(payload):
                raise Refusal(
                    Reason.TOO_LONG,
                    f"a message of {frame.length} bytes, the first {len(payload)} are kept",
                )
            registers = self._registers.get(frame.topic)
            if registers is None:
                registers = self._is_registration(frame.topic)
            if not registers and (plain := plain_reading(payload)) is not None:
                name = plain.name.lower()
                return self._record(frame, name, plain, (plain.freq,), (plain.mag,))
            document = parse_json(payload)
            name = parse_name(document)
            if registers:
                return _registration(frame, name, document)
            return self._reading(frame, name, document)
        except Refusal as refusal:
            return Reject(frame, refusal.reason, refusal.detail, name)
        # The last net: a payload that nobody thought of costs itself and nothing else.
        except Exception as error:
            return Reject(frame, Reason.INVALID, f"the decoder stumbled: {quoted(repr(error))}", name)

    def _is_registration(self, topic: str) -> bool:
        registers = topic == self._register_topic
        if not registers and not self._reading_topics.match(topic):
            raise Refusal(
                Reason.UNKNOWN_TOPIC,
                f"topic {quoted(topic)} is neither of registrations nor of readings",
            )
        if len(topic) <= _REMEMBERED_CHARACTERS:
            if len(self._registers) >= _REMEMBERED_TOPICS:
                self._registers.clear()
            self._registers[topic] = registers
        return registers

    def _reading(self, frame: Frame, name: str, document: dict[str, object]) -> Reading:
        fields: TesswReading | Tess4cReading
        if "F4" in document:
            fields = fill(Tess4cReading, document)
            samples = (fields.F1, fields.F2, fields.F3, fields.F4)
            frequencies_hz = tuple(sample.freq for sample in samples)
            magnitudes = tuple(sample.mag for sample in samples)
        else:
            fields = fill(TesswReading, document)
            frequencies_hz = (fields.freq,)
            magnitudes = (fields.mag,)
        return self._record(frame, name, fields, frequencies_hz, magnitudes)

    def _record(
        self,
        frame: Frame,
        name: str,
        fields: TesswReading | Tess4cReading,
        frequencies_hz: tuple[float, ...],
        magnitudes: tuple[float, ...],
    ) -> Reading:
        if fields.hash:
            check_text("hash", fields.hash)
        at_s = _at_s(frame, fields.tstamp)
        return Reading(
            frame,
            name,
            at_s - at_s % self._resolution_s,
            fields.tstamp is not None,
            fields.seq,
            frequencies_hz,
            magnitudes,
            NO_TEMPERATURE_DEGC if fields.tamb is None else fields.tamb,
            NO_TEMPERATURE_DEGC if fields.tsky is None else fields.tsky,
            NO_SIGNAL_STRENGTH_DBM if fields.wdBm is None else fields.wdBm,
            fields.hash or None,
            fields.az,
            fields.alt,
            fields.long,
            fields.lat,
            fields.height,
        )


def _registration(frame: Frame, name: str, document: dict[str, object]) -> Registration:
    fields: TesswRegistration | Tess4cRegistration
    model: Model
    if "F4" in document:
        model, fields = "TESS4C", fill(Tess4cRegistration, document)
        channels = tuple(map(_channel, (fields.F1, fields.F2, fields.F3, fields.F4)))
    else:
        model, fields = "TESS-W", fill(TesswRegistration, document)
        band = fields.filter1 or UNKNOWN_BAND
        channels = (_channel(Calibration(band, fields.calib, fields.offsethz)),)
    mac = parse_mac(fields.mac)
    firmware = _firmware(fields.firmware, fields.date)
    return Registration(frame, name, mac, _at_s(frame, fields.tstamp), model, channels, firmware)


def _channel(calibration: Calibration) -> Channel:
    check_text("band", calibration.band)
    return Channel(calibration.calib, calibration.band, calibration.offsethz or 0.0)


def _at_s(frame: Frame, stamp: object) -> int:
    """When it happened by the publisher's clock, else by the second of its arrival."""
    received_s = frame.received_ns // _NS
    at_s = received_s if stamp is None else parse_stamp(stamp)
    check_plausible(at_s, received_s)
    return at_s


def parse_mac(mac: str) -> str:
    """Six octets of two upper-case digits; firmware sends no leading zeros. What is not of six parts
    stays as it is: SQM photometers send a serial number.

    Raises:
        Refusal: it is blank, or of six parts that are no octets.
    """
    if _OCTETS.fullmatch(mac):
        return ":".join(octet.zfill(2) for octet in mac.upper().split(":"))
    if mac.count(":") == 5:
        raise Refusal(Reason.BAD_MAC, f"mac: {quoted(mac)} has six parts that are not all hexadecimal octets")
    if not mac or mac.isspace():
        raise Refusal(Reason.BAD_MAC, "mac: is blank")
    check_text("mac", mac)
    return mac


def _firmware(version: str | None, built: str | None) -> str | None:
    """ "VERSION (DATE)", as far as they were sent."""
    for field, text in (("firmware", version), ("date", built)):
        check_text(field, text or "")
    if built:
        return f"{version or UNKNOWN_FIRMWARE} ({built})"
    return version or None
