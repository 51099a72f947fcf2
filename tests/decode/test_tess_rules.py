# SPDX-License-Identifier: MIT
"""The rules of the TESS decoder, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.errors import Cause, Reason
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, Reject, SourceEvent, Tick
from tessmon.records.photometer import Reading, Registration

RECEIVED_S = 1_772_409_600  # 2026-03-02T00:00:00Z
READING = {
    "seq": 1,
    "name": "stars10",
    "freq": 10.25,
    "mag": 18.5,
    "tamb": 11.5,
    "tsky": -9.25,
    "wdBm": -61,
}
REGISTRATION = {"name": "stars10", "mac": "AA:BB:CC:DD:EE:01", "calib": 20.25}
READING_TOPIC = "STARS4ALL/stars10/reading"
REGISTER_TOPIC = "STARS4ALL/register"


def message(topic: str, payload: bytes, **more: Any) -> Frame:
    received_ns = RECEIVED_S * 1_000_000_000 + 999_999_999
    length = more.pop("length", len(payload))
    return Frame(FrameKind.MESSAGE, received_ns, topic, payload, length, **more)


def decode(topic: str, payload: bytes, photometer: Photometer | None = None, **more: Any) -> Record:
    return TessDecoder(Mqtt(), photometer or Photometer()).decode(message(topic, payload, **more))


def reading(**changed: Any) -> Record:
    return decode(READING_TOPIC, json.dumps(READING | changed).encode())


def registration(**changed: Any) -> Record:
    return decode(REGISTER_TOPIC, json.dumps(REGISTRATION | changed).encode())


def reason(record: Record) -> Reason:
    assert isinstance(record, Reject), record
    return record.reason


# Frames


def test_tick_becomes_a_tick() -> None:
    frame = Frame(FrameKind.TICK, 1, "", b"", 0)
    assert TessDecoder(Mqtt(), Photometer()).decode(frame) == Tick(frame)


def test_event_keeps_its_name_and_details() -> None:
    frame = Frame(FrameKind.EVENT, 1, "session_lost", b'{"broker": "a"}', 15)
    record = TessDecoder(Mqtt(), Photometer()).decode(frame)
    assert record == SourceEvent(frame, "session_lost", '{"broker": "a"}')


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"a":NaN}', b"\xff", b'{"a":"\\u0000"}', b"[" * 100_000])
def test_damaged_event_still_has_details_that_json_readers_take(payload: bytes) -> None:
    frame = Frame(FrameKind.EVENT, 1, "odd\udcff name", payload, len(payload))
    record = TessDecoder(Mqtt(), Photometer()).decode(frame)
    assert isinstance(record, SourceEvent)
    assert record.what == "damaged"
    assert list(json.loads(record.detail)) == ["damaged"]


def test_cut_message_is_not_decoded() -> None:
    payload = json.dumps(READING).encode()
    assert reason(decode(READING_TOPIC, payload, length=len(payload) + 1)) == Reason.TOO_LONG


def test_retain_flag_goes_before_all_else() -> None:
    record = decode("any/topic", b"\xff", retain=True, length=99)
    assert isinstance(record, Filtered)
    assert record.cause == Cause.RETAINED


def test_register_topic_wins_over_a_reading_topic_that_matches_too() -> None:
    decoder = TessDecoder(Mqtt(reading_topics=("#",)), Photometer())
    record = decoder.decode(message(REGISTER_TOPIC, json.dumps(REGISTRATION).encode()))
    assert isinstance(record, Registration)


def test_without_a_register_topic_there_are_no_registrations() -> None:
    decoder = TessDecoder(Mqtt(register_topic=""), Photometer())
    record = decoder.decode(message(REGISTER_TOPIC, json.dumps(REGISTRATION).encode()))
    assert reason(record) == Reason.UNKNOWN_TOPIC


# Numbers


@pytest.mark.parametrize(
    ("written", "value"), [(8, 8.0), (8.5, 8.5), ("8.5", 8.5), ("8", 8.0), (-0.0, 0.0), ("1e2", 100)]
)
def test_number_is_taken_in_each_of_its_forms(written: object, value: float) -> None:
    record = reading(freq=written)
    assert isinstance(record, Reading)
    assert record.frequencies_hz == (value,)


@pytest.mark.parametrize("field", ["freq", "mag", "tamb", "tsky", "az", "alt", "long", "lat", "height"])
@pytest.mark.parametrize(
    "token", ["NaN", "Infinity", "-Infinity", "1e999", "true", '"nan"', '"inf"', '"fast"', "[]", "9" * 400]
)
def test_what_is_no_finite_number_is_refused(field: str, token: str) -> None:
    written = json.dumps(READING | {field: "@"}).replace('"@"', token)
    record = decode(READING_TOPIC, written.encode())
    assert isinstance(record, Reject)
    assert record.reason == Reason.INVALID
    assert record.detail.startswith(f"{field}: ")


def test_minus_without_digits_is_no_number() -> None:
    payload = json.dumps(READING).encode().replace(b"10.25", b"-")
    assert reason(decode(READING_TOPIC, payload)) == Reason.NOT_JSON


def test_minus_before_a_comma_inside_of_text_does_no_harm() -> None:
    record = reading(name="stars-,10")
    assert isinstance(record, Reading)
    assert record.name == "stars-,10"


@pytest.mark.parametrize(
    ("written", "value"), [(7, 7), (7.0, 7), ("7", 7), (-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1)]
)
def test_sequence_number_may_look_like_a_float_or_text(written: object, value: int) -> None:
    record = reading(seq=written)
    assert isinstance(record, Reading)
    assert record.sequence_number == value
    assert isinstance(record.sequence_number, int)


@pytest.mark.parametrize("written", [7.5, True, None, "x", 2**63, -(2**63) - 1, 1e30, [7]])
def test_what_is_no_whole_number_is_no_sequence_number(written: object) -> None:
    assert reason(reading(seq=written)) == Reason.INVALID


@pytest.mark.parametrize("written", [2**31, -(2**31) - 1, -60.5, False])
def test_signal_strength_is_a_whole_number_of_32_bits(written: object) -> None:
    assert reason(reading(wdBm=written)) == Reason.INVALID


def test_null_is_as_good_as_absent_for_optional_fields() -> None:
    optional = ("wdBm", "hash", "tstamp", "az", "alt", "long", "lat", "height")
    absent = json.dumps({key: value for key, value in READING.items() if key not in optional}).encode()
    without, with_nulls = decode(READING_TOPIC, absent), reading(**dict.fromkeys(optional))
    assert isinstance(without, Reading)
    assert isinstance(with_nulls, Reading)
    assert without.signal_strength_dbm == 99
    for field in set(Reading.__struct_fields__) - {"frame"}:
        assert getattr(without, field) == getattr(with_nulls, field)


@pytest.mark.parametrize("field", ["seq", "freq", "mag", "tamb", "tsky"])
def test_null_is_not_good_enough_for_fields_that_must_be_there(field: str) -> None:
    assert reason(reading(**{field: None})) == Reason.INVALID


# Names and texts


@pytest.mark.parametrize(
    ("written", "name"),
    [("STARS10", "stars10"), ("TESS-OAM", "tess-oam"), ("Ñandú ", "ñandú "), ("x" * 255, "x" * 255)],
)
def test_any_text_is_a_name_and_lower_cased(written: str, name: str) -> None:
    record = reading(name=written)
    assert isinstance(record, Reading)
    assert record.name == name


@pytest.mark.parametrize("written", ["", "  ", None])
def test_blank_name_is_none(written: object) -> None:
    assert reason(reading(name=written)) == Reason.NO_NAME


@pytest.mark.parametrize("written", ["a\0b", "\ud800", "a\udfff", "x" * 256, 5, True, ["a"], {"a": 1}])
def test_name_that_no_database_takes_is_refused(written: object) -> None:
    record = reading(name=written)
    assert reason(record) == Reason.INVALID
    assert isinstance(record, Reject)
    assert record.subject == ""


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 256, 5])
@pytest.mark.parametrize("field", ["mac", "firmware", "date", "filter1"])
def test_text_of_a_registration_that_no_database_takes_is_refused(field: str, text: object) -> None:
    assert reason(registration(**{field: text})) == Reason.INVALID


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 256, 5])
def test_hash_that_no_database_takes_is_refused(text: object) -> None:
    assert reason(reading(hash=text)) == Reason.INVALID


def test_hash_is_kept_as_sent_and_an_empty_one_is_none() -> None:
    kept, empty = reading(hash="e01"), reading(hash="")
    assert isinstance(kept, Reading)
    assert kept.hash == "e01"
    assert isinstance(empty, Reading)
    assert empty.hash is None


# Registrations


@pytest.mark.parametrize(
    ("written", "mac"),
    [
        ("1:2:a:b:c:d", "01:02:0A:0B:0C:0D"),
        ("aa:bb:cc:dd:ee:01", "AA:BB:CC:DD:EE:01"),
        ("sqm-Le 1", "sqm-Le 1"),
        ("a:b:c", "a:b:c"),
    ],
)
def test_mac_of_six_parts_is_normalised_and_others_stay(written: str, mac: str) -> None:
    record = registration(mac=written)
    assert isinstance(record, Registration)
    assert record.mac == mac


@pytest.mark.parametrize(
    "written", ["", " ", ":::::", "0x1:2:3:4:5:6", "1:2:3:4:5:100", "1: 2:3:4:5:6", "1:2:3:4:5:٣"]
)
def test_six_parts_that_are_no_octets_are_refused(written: str) -> None:
    assert reason(registration(mac=written)) == Reason.BAD_MAC


@pytest.mark.parametrize(
    ("sent", "firmware"),
    [
        ({}, None),
        ({"firmware": "2.1"}, "2.1"),
        ({"firmware": "2.1", "date": "Mar 4"}, "2.1 (Mar 4)"),
        ({"date": "Mar 4"}, "Unknown (Mar 4)"),
        ({"firmware": "", "date": None}, None),
    ],
)
def test_firmware_is_version_and_date_as_far_as_sent(sent: dict[str, object], firmware: str | None) -> None:
    record = registration(**sent)
    assert isinstance(record, Registration)
    assert record.firmware == firmware


def test_one_channel_may_name_its_filter() -> None:
    record = registration(filter1="BG39", offsethz="0.03")
    assert isinstance(record, Registration)
    assert (record.channels[0].band, record.channels[0].offset_hz) == ("BG39", 0.03)


def test_absurd_zero_point_is_left_to_the_sink() -> None:
    assert isinstance(registration(calib=-3), Registration)


def test_key_f4_alone_makes_four_channels() -> None:
    assert reason(reading(F4={"freq": 1, "mag": 2})) == Reason.INVALID
    three = reading(F1={"freq": 1, "mag": 2}, F2={}, F3=None)
    assert isinstance(three, Reading)
    assert len(three.magnitudes) == 1


def test_refusal_names_the_channel_and_field() -> None:
    channels = {f"F{number}": {"freq": 1, "mag": 2} for number in (1, 2, 3, 4)}
    record = reading(**channels | {"F3": {"freq": 1, "mag": True}})
    assert isinstance(record, Reject)
    assert record.detail.startswith("F3.mag: ")
    assert record.subject == "stars10"


@pytest.mark.parametrize(("lists", "becomes"), [(99, Reading), (100, Reject)])
def test_message_of_too_many_lists_is_refused(lists: int, becomes: type[Record]) -> None:
    assert isinstance(reading(ain=[[] for _ in range(lists - 1)]), becomes)


# Times


@pytest.mark.parametrize(
    ("stamp", "at_s"),
    [
        ("2026-03-01T22:15:00", 1_772_403_300),
        ("2026-03-01 22:15:00.999999999", 1_772_403_300),
        ("2026-03-01T22:15:00.5Z", 1_772_403_300),
        ("2026-03-01T22:15:00+01:30", 1_772_397_900),
        ("2026-03-01T22:15:00.25-0330", 1_772_415_900),
        ("2026-03-01T22:15:00+02", 1_772_396_100),
        ("2000-01-01T00:00:00Z", 946_684_800),
        ("2026-03-03T00:00:00Z", 1_772_496_000),  # a day ahead of its arrival
    ],
)
def test_stamp_is_converted_to_utc_and_its_fraction_cut_off(stamp: str, at_s: int) -> None:
    for record in (reading(tstamp=stamp), registration(tstamp=stamp)):
        assert isinstance(record, Reading | Registration)
        assert record.at_s == at_s


@pytest.mark.parametrize(
    "stamp",
    [
        "", "now", "2026-03-01", "2026-03-01T22:15", "2026-02-29T00:00:00", "2026-13-01T00:00:00",
        "0000-01-01T00:00:00", "20260301T221500",
        "2026-03-01T24:00:00", "2026-03-01T23:59:60", "2026-03-01T22:15:00+16:00", "2026-03-01T22:15:00+01:60",
        "2026-03-01T22:15:00.", "2026-03-01T22:15:00Z ", "2026-03-01T22:15:00Z\n", "٢٠٢٦-03-01T22:15:00",
        "2026-03-01T22:15:00." + "1" * 5000, 1_772_403_300, 1.5, True, [], {},
    ],
)  # fmt: skip
def test_other_forms_of_stamps_are_refused(stamp: object) -> None:
    assert reason(reading(tstamp=stamp)) == Reason.BAD_TIME
    assert reason(registration(tstamp=stamp)) == Reason.BAD_TIME


@pytest.mark.parametrize(
    "stamp",
    [
        "1999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+15:00",
        "2026-03-03T00:00:01Z",
        "9999-12-31T23:59:59-15:59",
    ],
)
def test_stamp_of_a_wrong_clock_is_implausible(stamp: str) -> None:
    assert reason(reading(tstamp=stamp)) == Reason.IMPLAUSIBLE_TIME
    assert reason(registration(tstamp=stamp)) == Reason.IMPLAUSIBLE_TIME


def test_without_a_stamp_the_second_of_arrival_holds() -> None:
    record = reading()
    assert isinstance(record, Reading)
    assert (record.at_s, record.stamped) == (RECEIVED_S, False)


@pytest.mark.parametrize(
    ("resolution_s", "at_s"), [(1, 1_772_403_359), (10, 1_772_403_350), (60, 1_772_403_300)]
)
def test_time_of_a_reading_is_cut_to_the_resolution(resolution_s: int, at_s: int) -> None:
    payload = json.dumps(READING | {"tstamp": "2026-03-01T22:15:59Z"}).encode()
    record = decode(READING_TOPIC, payload, Photometer(seconds_resolution=resolution_s))
    assert isinstance(record, Reading)
    assert record.at_s == at_s


def test_time_of_a_registration_is_exact_to_the_second() -> None:
    payload = json.dumps(REGISTRATION | {"tstamp": "2026-03-01T22:15:59Z"}).encode()
    record = decode(REGISTER_TOPIC, payload, Photometer(seconds_resolution=60))
    assert isinstance(record, Registration)
    assert record.at_s == 1_772_403_359
