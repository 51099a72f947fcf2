# SPDX-License-Identifier: MIT
"""The behaviour cases of photometers, as far as they can be decided without a database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.errors import Reason
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, Reject
from tessmon.records.photometer import Reading, Registration

RECEIVED_NS = 1_772_668_800_000_000_000  # 2026-03-05T00:00:00Z
CASES: dict[str, dict[str, Any]] = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[1] / "data" / "tess-cases.json").read_text())["cases"]
}
MALFORMED = "malformed_messages_do_not_stop_ingest"
MALFORMED_OUTCOMES = [
    Reason.NOT_JSON,
    Reason.INVALID,
    Reason.INVALID,
    Reason.INVALID,
    Reason.INVALID,
    Reason.INVALID,
    Reason.NO_NAME,
    Reason.BAD_TIME,
    Reason.BAD_TIME,
    Reason.NOT_JSON,
    Reason.INVALID,
    Reason.INVALID,
    Reason.NOT_JSON,
    "reading",
]
ONE_READING = [
    "reading_tessw_subscriber_time",
    "reading_tstamp_with_offset",
    "reading_without_wdbm",
    "reading_gps_and_pointing",
    "reading_extra_fields_ignored",
]
ONE_REGISTRATION = [
    "register_brand_new_tessw_minimal",
    "register_tessw_firmware_and_date",
    "register_normalises_name_and_mac_nofw",
    "register_name_not_starsN",
]


def decode(message: dict[str, Any]) -> Record:
    if "raw_hex" in message:
        payload = bytes.fromhex(message["raw_hex"])
    else:
        payload = message["raw"].encode() if "raw" in message else json.dumps(message["payload"]).encode()
    retain = message.get("before_start", False)
    frame = Frame(FrameKind.MESSAGE, RECEIVED_NS, message["topic"], payload, len(payload), 1, retain=retain)
    return TessDecoder(Mqtt(), Photometer()).decode(frame)


def outcome(record: Record) -> str:
    return record.reason if isinstance(record, Reject) else type(record).__name__.lower()


def columns_of_reading(record: Record) -> dict[str, Any]:
    assert isinstance(record, Reading)
    at = datetime.fromtimestamp(record.at_s, UTC)
    return {
        "date_id": int(at.strftime("%Y%m%d")),
        "time_id": int(at.strftime("%H%M%S")),
        "units_id": int(record.stamped),
        "sequence_number": record.sequence_number,
        "signal_strength": record.signal_strength_dbm,
        "azimuth": record.azimuth_deg,
        "altitude": record.altitude_deg,
        "longitude": record.longitude_deg,
        "latitude": record.latitude_deg,
        "elevation": record.elevation_m,
        "arrival_second": record.at_s == RECEIVED_NS // 1_000_000_000,
        "tess_id": 1,  # the only photometer given
    }


def columns_of_registration(record: Record) -> dict[str, Any]:
    assert isinstance(record, Registration)
    return {
        "name": record.name,
        "mac_address": record.mac,
        "valid_since": datetime.fromtimestamp(record.at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "model": record.model,
        "nchannels": len(record.channels),
        "zp1": record.channels[0].zero_point_mag,
        "filter1": record.channels[0].band,
        "offset1": record.channels[0].offset_hz,
        "firmware": record.firmware or "Unknown",
    }


SET_BY_THE_SINK = {"valid_until", "valid_state", "authorised", "registered", "location_id", "observer_id"}
SET_BY_THE_SINK |= {"zp2", "filter2"}


@pytest.mark.parametrize("name", ONE_READING)
def test_reading_has_the_values_of_the_expected_row(name: str) -> None:
    (message,) = CASES[name]["messages"]
    (row,) = CASES[name]["expect"]["readings"]
    columns = columns_of_reading(decode(message))
    assert {key: columns[key] for key in row} == row


@pytest.mark.parametrize("name", ONE_REGISTRATION)
def test_registration_has_the_values_of_the_expected_rows(name: str) -> None:
    (message,) = CASES[name]["messages"]
    (photometer,) = CASES[name]["expect"]["tess_t"]
    (association,) = CASES[name]["expect"]["name_to_mac_t"]
    columns = columns_of_registration(decode(message))
    for row in (photometer, association):
        decided = {key: value for key, value in row.items() if key not in SET_BY_THE_SINK}
        assert {key: columns[key] for key in decided} == decided


def test_malformed_messages_are_refused_one_by_one() -> None:
    assert [outcome(decode(message)) for message in CASES[MALFORMED]["messages"]] == MALFORMED_OUTCOMES


def test_bad_octets_are_refused() -> None:
    (message,) = CASES["register_bad_mac_digits"]["messages"]
    assert outcome(decode(message)) == Reason.BAD_MAC


@pytest.mark.parametrize("name", sorted(set(CASES) - {MALFORMED, "register_bad_mac_digits"}))
def test_all_other_messages_become_records(name: str) -> None:
    for message in CASES[name]["messages"]:
        if "command" in message:
            continue
        record = decode(message)
        if message.get("before_start"):
            assert isinstance(record, Filtered)
        elif message["topic"] == "STARS4ALL/register":
            assert isinstance(record, Registration)
        else:
            assert isinstance(record, Reading)
