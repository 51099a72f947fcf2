# SPDX-License-Identifier: MIT
"""What photometers say: readings and registrations, decoded."""

from __future__ import annotations

from typing import Literal

import msgspec

from tessmon.records.frame import Frame

Model = Literal["TESS-W", "TESS4C"]

UNKNOWN_BAND = "UV/IR-740"
"""The filter of a TESS-W that names none (Source: data model 04, filter1)."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One photometer record.

    Attributes:
        frame: the frame it came in.
        name: the photometer's name, lower case.
        at_s: when it was taken [s since 1970 UTC], cut to the configured resolution.
        stamped: the publisher gave the time; else it is the time of arrival.
        sequence_number: counted by the device from its boot.
        frequencies_hz: per channel, 1 or 4 values.
        magnitudes: sky brightness per channel [mag/arcsec²], 1 or 4 values; 0 when saturated.
        box_temperature_degc, sky_temperature_degc: -273.15 when a TESS4C sent none.
        signal_strength_dbm: 99 when not sent.
        hash: the end of the sender's MAC, as sent; None when not sent.
        azimuth_deg, altitude_deg, longitude_deg, latitude_deg, elevation_m: None when not sent.
    """

    frame: Frame
    name: str
    at_s: int
    stamped: bool
    sequence_number: int
    frequencies_hz: tuple[float, ...]
    magnitudes: tuple[float, ...]
    box_temperature_degc: float
    sky_temperature_degc: float
    signal_strength_dbm: int
    hash: str | None = None
    azimuth_deg: float | None = None
    altitude_deg: float | None = None
    longitude_deg: float | None = None
    latitude_deg: float | None = None
    elevation_m: float | None = None


class Channel(msgspec.Struct, frozen=True):
    """One channel of a photometer: zero point [mag/arcsec²], band (filter name), frequency offset [Hz]."""

    zero_point_mag: float
    band: str = UNKNOWN_BAND
    offset_hz: float = 0.0


class Registration(msgspec.Struct, frozen=True):
    """A photometer presents itself, as it does some seconds after each boot.

    Attributes:
        frame: the frame it came in.
        name: lower case.
        mac: six upper-case hexadecimal octets with colons, or as sent where it is not of six parts.
        at_s: when [s since 1970 UTC].
        model: TESS-W or TESS4C.
        channels: 1 or 4.
        firmware: "VERSION (DATE)" or a part of it; None when not sent.
    """

    frame: Frame
    name: str
    mac: str
    at_s: int
    model: Model
    channels: tuple[Channel, ...]
    firmware: str | None = None
