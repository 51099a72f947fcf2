# SPDX-License-Identifier: MIT
"""Every known payload of firmware and gateways gives exactly the record or the reason written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.errors import Cause, Reason
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, Reject
from tessmon.records.photometer import Channel, Reading, Registration

RECEIVED_S = 1_772_409_600  # 2026-03-02T00:00:00Z
MARCH_1_20_00_S = 1_772_395_200
MARCH_1_22_15_S = 1_772_403_300

SAMPLES: dict[str, dict[str, Any]] = {
    sample["id"]: sample
    for sample in json.loads((Path(__file__).parents[1] / "data" / "tess-payloads.json").read_text())[
        "samples"
    ]
}


def registration(
    name: str, mac: str, zp: float, at_s: int = RECEIVED_S, offset: float = 0.0, fw: str | None = None
) -> dict[str, Any]:
    channels = (Channel(zp, "UV/IR-740", offset),)
    return {"name": name, "mac": mac, "at_s": at_s, "model": "TESS-W", "channels": channels, "firmware": fw}


def registration_4c(name: str, mac: str, *channels: Channel, fw: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "mac": mac,
        "at_s": RECEIVED_S,
        "model": "TESS4C",
        "channels": channels,
        "firmware": fw,
    }


def reading(
    name: str,
    seq: int,
    frequencies_hz: tuple[float, ...],
    magnitudes: tuple[float, ...],
    temperatures_degc: tuple[float, float],
    dbm: int,
    stamp_s: int | None = None,
    **optional: Any,
) -> dict[str, Any]:
    return {
        "name": name,
        "at_s": RECEIVED_S if stamp_s is None else stamp_s,
        "stamped": stamp_s is not None,
        "sequence_number": seq,
        "frequencies_hz": frequencies_hz,
        "magnitudes": magnitudes,
        "box_temperature_degc": temperatures_degc[0],
        "sky_temperature_degc": temperatures_degc[1],
        "signal_strength_dbm": dbm,
        **optional,
    }


def gateway_reading(seq: int, stamp_s: int) -> dict[str, Any]:
    return reading("stars111", seq, (8.215,), (18.21,), (9.5, -14.3), 0, stamp_s)


FOUR_BANDS = (
    Channel(20.03, "UVIR750", 0.0),
    Channel(20.04, "UVIR650", 0.0),
    Channel(19.9, "RGB-R", 0.0),
    Channel(19.8, "RGB-B", 0.0),
)
FOUR_MAGNITUDES = (19.59, 19.05, 18.54, 18.17)

REGISTRATIONS = {
    "tessw_rev1_register_firmware2017": registration("stars210", "18:FE:34:0D:A1:07", 20.4),
    "tessw_rev1_register_int_calib": registration("stars211", "5C:CF:7F:01:02:03", 20.0),
    "tessw_rev2_register": registration("stars488", "4C:75:25:28:9D:C1", 20.25),
    "tessw_rev2_register_full": registration("stars489", "4C:75:25:28:9D:C2", 20.25, fw="2.1 (Mar  4 2024)"),
    "tessw_register_absurd_zp": registration("stars974", "4C:75:25:28:9D:C3", 2.0),
    "tessw_register_uppercase": registration("stars77", "01:02:0A:0B:0C:0D", 20.1),
    "tesstractor_register": registration("stars605", "01:23:45:67:89:AB", 20.34, MARCH_1_20_00_S),
    "sqm_register": registration("sqm-ucm-1", "SQM-LU-3424", 20.0, MARCH_1_20_00_S),
    "tess4c_rev3_register": registration_4c("stars701", "CA:FE:28:BE:CA:11", *FOUR_BANDS, fw="Nov 28 2022"),
    "tess4c_rev3_register_offsets": registration_4c(
        "stars702",
        "CA:FE:28:BE:CA:12",
        Channel(20.03, "UVIR750", 0.01),
        Channel(20.04, "UVIR650", 0.02),
        Channel(19.9, "RGB-R", 0.03),
        Channel(19.8, "RGB-B", 0.04),
        fw="1.1 (Feb 24 2023)",
    ),
    "tess4c_register_int_calib": registration_4c(
        "stars703", "CA:FE:28:BE:CA:13", Channel(20.0, "UVIR750", 0.0), *FOUR_BANDS[1:]
    ),
}

READINGS = {
    "tessw_rev2_reading": reading("stars488", 1646, (4852.0,), (11.19,), (27.33, 20.07), -56),
    "tessw_rev2_reading_hash": reading(
        "stars488", 1647, (4852.0,), (11.19,), (27.33, 20.07), -56, hash="DC1"
    ),
    "tessw_reading_daylight": reading("stars488", 1648, (50000.0,), (0.0,), (31.5, 18.2), -56),
    "tessw_reading_no_data": reading("stars488", 1649, (0.0,), (0.0,), (0.0, 0.0), -56),
    "gateway_reading_tstamp_z": gateway_reading(7, MARCH_1_22_15_S),
    "tesstractor_reading_no_wdbm": reading(
        "stars605", 7, (8.215,), (18.21,), (9.5, -14.3), 99, MARCH_1_22_15_S
    ),
    "tessw_reading_gps": reading(
        "stars500",
        7,
        (8.215,),
        (18.21,),
        (9.5, -14.3),
        -70,
        azimuth_deg=120.0,
        altitude_deg=85.5,
        longitude_deg=-3.72,
        latitude_deg=40.45,
        elevation_m=650.0,
    ),
    "tessw_reading_gps_ints": reading(
        "stars500",
        8,
        (8.215,),
        (18.21,),
        (9.5, -14.3),
        -70,
        azimuth_deg=120.0,
        altitude_deg=85.0,
        longitude_deg=-3.0,
        latitude_deg=40.0,
        elevation_m=650.0,
    ),
    "tessw_reading_ints": reading("stars500", 9, (8.0,), (18.0,), (9.0, -14.0), -70),
    "tess4c_rev3_reading": reading("stars701", 9, (1.5, 2.5, 3.5, 4.5), FOUR_MAGNITUDES, (12.5, -3.5), -71),
    "tess4c_reading_no_temperatures": reading(
        "stars701", 10, (1.5, 2.5, 3.5, 4.5), FOUR_MAGNITUDES, (-273.15, -273.15), -71
    ),
    "tess4c_reading_no_zp": reading(
        "stars701", 11, (1.5, 1.5, 1.5, 1.5), (19.5, 19.5, 19.5, 19.5), (1.0, 1.0), -71
    ),
    "tstamp_1": gateway_reading(20, MARCH_1_22_15_S),
    "tstamp_2": gateway_reading(21, MARCH_1_22_15_S),
    "tstamp_3": gateway_reading(22, MARCH_1_22_15_S),
    "tstamp_4": gateway_reading(23, MARCH_1_22_15_S),
    "tstamp_5": gateway_reading(24, MARCH_1_22_15_S),
    "tstamp_6": gateway_reading(25, MARCH_1_22_15_S),
    "tstamp_7": gateway_reading(26, MARCH_1_22_15_S),
    "bad_string_freq": reading("stars111", 1, (8.2,), (1.0,), (1.0, 1.0), -1),
}

REFUSED = {
    "tstamp_8": (Reason.BAD_TIME, "stars111", "tstamp: 'yesterday' is not like"),
    "tstamp_9": (Reason.BAD_TIME, "stars111", "tstamp: '' is not like"),
    "bad_truncated_json": (Reason.NOT_JSON, "", '"stars1'),
    "bad_not_utf8": (Reason.NOT_JSON, "", "xfe{"),
    "bad_array": (Reason.INVALID, "", "not an object"),
    "bad_number": (Reason.INVALID, "", "not an object"),
    "bad_null": (Reason.INVALID, "", "not an object"),
    "bad_no_name": (Reason.NO_NAME, "", "name: is missing"),
    "bad_missing_freq": (Reason.INVALID, "stars111", "`freq`"),
    "bad_nan": (Reason.INVALID, "stars111", "freq: "),
    "bad_register_mac_type": (Reason.INVALID, "stars111", "mac: "),
    "bad_register_mac_hex": (Reason.BAD_MAC, "stars111", "'ZZ:BB:CC:DD:EE:01'"),
    "bad_register_cal_key": (Reason.INVALID, "stars111", "`calib`"),
    "other_topic": (Reason.UNKNOWN_TOPIC, "", "'STARS4ALL/stars111/status'"),
}

RETAINED = {"tessw_rev1_register_retained", "tessw_rev1_reading_retained_qos0", "bad_no_name_retained"}


def payload_of(sample: dict[str, Any]) -> bytes:
    if "raw_hex" in sample:
        return bytes.fromhex(sample["raw_hex"])
    return (sample["raw"] if "raw" in sample else json.dumps(sample["payload"])).encode()


def decoded(sample: dict[str, Any], retain: bool) -> tuple[Frame, Record]:
    payload = payload_of(sample)
    received_ns = RECEIVED_S * 1_000_000_000 + 987_654_321
    frame = Frame(
        FrameKind.MESSAGE, received_ns, sample["topic"], payload, len(payload), sample["qos"], retain=retain
    )
    return frame, TessDecoder(Mqtt(), Photometer()).decode(frame)


def test_all_samples_are_expected_somewhere() -> None:
    assert {*REGISTRATIONS, *READINGS, *REFUSED, *RETAINED} == set(SAMPLES)


@pytest.mark.parametrize("sample", REGISTRATIONS)
def test_sample_becomes_the_registration(sample: str) -> None:
    frame, record = decoded(SAMPLES[sample], retain=False)
    assert record == Registration(frame, **REGISTRATIONS[sample])


@pytest.mark.parametrize("sample", READINGS)
def test_sample_becomes_the_reading(sample: str) -> None:
    frame, record = decoded(SAMPLES[sample], retain=False)
    assert record == Reading(frame, **READINGS[sample])


@pytest.mark.parametrize("sample", REFUSED)
def test_sample_is_refused_with_its_reason(sample: str) -> None:
    frame, record = decoded(SAMPLES[sample], retain=False)
    reason, subject, words = REFUSED[sample]
    assert isinstance(record, Reject)
    assert (record.frame, record.reason, record.subject) == (frame, reason, subject)
    assert words in record.detail


@pytest.mark.parametrize("sample", sorted(RETAINED))
def test_retained_copy_is_filtered_whatever_it_holds(sample: str) -> None:
    frame, record = decoded(SAMPLES[sample], retain=True)
    assert record == Filtered(frame, Cause.RETAINED)


def test_live_copy_of_a_retained_reading_is_taken() -> None:
    frame, record = decoded(SAMPLES["tessw_rev1_reading_retained_qos0"], retain=False)
    assert record == Reading(frame, **reading("stars210", 41, (12.35,), (17.67,), (14.31, -9.02), -63))
